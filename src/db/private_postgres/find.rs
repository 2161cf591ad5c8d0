use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::folder::Folder;
use super::user::DatabaseUser;
use super::{Options, StartError};

/// Where packages put each major version: the parent, then what stands before and after the version.
const PACKAGED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),                          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                                   // the PostgreSQL project's own RPMs
    ("/opt/homebrew/opt", "postgresql@", "bin"),                 // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),                    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),    // Homebrew on Linux
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"), // Postgres.app
    ("/usr/libexec", "postgresql", ""),                          // Alpine
];

/// One installation of the server.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The installations that `user` can run, best first: only the folder that was set explicitly, or else `PATH`,
    /// then packages, each newest first.
    pub fn installed(options: &Options, user: &DatabaseUser) -> Result<Vec<Self>, StartError> {
        let folders = match &options.bin_dir {
            Some(bin_dir) => vec![bin_dir.clone()],
            None => candidates(options.path.as_deref(), &PACKAGED),
        };
        let found: Vec<_> = folders.into_iter().filter_map(|dir| Self::in_folder(dir, user)).collect();
        match &options.bin_dir {
            _ if !found.is_empty() => Ok(found),
            Some(bin_dir) => Err(StartError::NotThere { bin_dir: bin_dir.clone(), user: user.name.clone() }),
            None => Err(StartError::NotInstalled),
        }
    }

    /// The best of them for the data in `folder`: of the version that made it, or any if there is none yet.
    pub fn fit_for(installed: Vec<Self>, folder: &Folder) -> Result<Self, StartError> {
        let made_by = folder.made_by();
        let majors = installed.iter().map(|binaries| binaries.major.to_string()).collect::<Vec<_>>().join(", ");
        let fitting = installed.into_iter().find(|binaries| made_by.is_none_or(|major| binaries.major == major));
        fitting.ok_or_else(|| StartError::WrongVersion {
            folder: folder.path().to_owned(),
            made_by: made_by.unwrap_or_default(),
            installed: majors,
        })
    }

    /// Asks the server in `dir` for its version, as the user that will run it: what that user cannot run is not there.
    /// A folder may hold links to a few of the programs; all of them are where the links lead.
    fn in_folder(dir: PathBuf, user: &DatabaseUser) -> Option<Self> {
        let dir = fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_owned();
        if !dir.join("initdb").exists() {
            return None;
        }
        let output = user.command(dir.join("postgres")).arg("--version").output().ok()?;
        let major = major_version(&String::from_utf8(output.stdout).ok()?)?;
        Some(Self { dir, major })
    }
}

/// Every folder that may hold the binaries, best first and each once.
fn candidates(path: Option<&OsStr>, packaged: &[(&str, &str, &str)]) -> Vec<PathBuf> {
    let mut folders: Vec<_> = path.map(|path| env::split_paths(path).collect()).unwrap_or_default();
    folders.retain(|folder| folder.is_absolute());
    for (parent, before, after) in packaged {
        let mut versions = versions_below(Path::new(parent), before);
        versions.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        folders.extend(versions.into_iter().map(|(_, folder)| folder.join(after)));
    }
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// The entries of `parent` that are named `before` and a number, with that number.
fn versions_below(parent: &Path, before: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.strip_prefix(before)?.parse().ok()?;
            Some((major, entry.path()))
        })
        .collect()
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, also of `17beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(major_version("something else"), None);
    }

    #[test]
    fn path_comes_first_then_the_newest_package() {
        let parent = Path::new("/tmp").join(format!("half-sky-find-{}", std::process::id()));
        for version in ["9", "16", "15", "common"] {
            fs::create_dir_all(parent.join(version)).unwrap();
        }
        let packaged = [(parent.to_str().unwrap(), "", "bin")];
        let found = candidates(Some(OsStr::new("/a:relative:/b:/a")), &packaged);
        fs::remove_dir_all(&parent).unwrap();
        let expected = ["16/bin", "15/bin", "9/bin"].map(|version| parent.join(version));
        assert_eq!(found, [&["/a".into(), "/b".into()], &expected[..]].concat());
    }
}
