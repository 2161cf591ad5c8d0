use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{chown, fchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

use super::StartError;

/// The system user that the database runs as: ourselves, but where we are root, as which PostgreSQL refuses to run,
/// `postgres` (which packages of it make) or else `nobody`.
#[derive(Clone, Debug)]
pub(super) struct DatabaseUser {
    pub name: String,
    pub uid: u32,
    gid: u32,
    we_are_root: bool,
    path: OsString,
}

impl DatabaseUser {
    /// Decides for this process; `path` is the `PATH` its commands get.
    pub fn of_this_process(path: Option<&OsStr>) -> Result<Self, StartError> {
        let we_are_root = geteuid().is_root();
        let named = |name| User::from_name(name).ok().flatten();
        let path = path.unwrap_or(OsStr::new("/usr/bin:/bin")).to_owned();
        let user = if we_are_root {
            Some(named("postgres").or_else(|| named("nobody")).ok_or(StartError::NoUser)?)
        } else {
            User::from_uid(geteuid()).ok().flatten()
        };
        Ok(match user {
            Some(user) => Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), we_are_root, path },
            // A container may run us under an id without a name: initdb and postgres need one only to print it.
            None => Self { name: geteuid().to_string(), uid: geteuid().as_raw(), gid: 0, we_are_root, path },
        })
    }

    /// A command that runs as this user, with no environment but `PATH`: ours holds secrets and, with `PGPORT` and
    /// its like, things that would mislead the server. As root std also drops our supplementary groups.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.path).current_dir("/");
        if self.we_are_root {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a folder that root has just made to this user.
    pub fn adopt_folder(&self, folder: &Path) -> io::Result<()> {
        if self.we_are_root { chown(folder, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Gives a file that root has just opened to this user, so that it can be used without root later.
    pub fn adopt_file(&self, file: &File) -> io::Result<()> {
        if self.we_are_root { fchown(file, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Whether a folder of root's may become this user's.
    pub fn may_adopt_from(&self, owner: u32) -> bool {
        self.we_are_root && owner == 0
    }
}
