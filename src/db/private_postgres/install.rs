use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use nix::unistd::geteuid;

/// Why PostgreSQL was not installed. The messages are bilingual: they are the first that a new user sees.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A system whose package manager we do not know.
    #[error(
        "没有找到 PostgreSQL，也不认识本系统的软件包管理器：请自行安装 PostgreSQL 服务器 15 或更新版本。\n\
         PostgreSQL is not installed, and the package manager of this system is unknown to us: \
         please install a PostgreSQL server, version 15 or newer."
    )]
    UnknownSystem,

    /// We may not install anything, or were told not to.
    #[error("没有找到 PostgreSQL，请用下面的命令安装：\nPostgreSQL is not installed. Install it with:\n\n    {0}\n")]
    Declined(String),

    /// The package manager failed; it has said why on the terminal.
    #[error("安装 PostgreSQL 失败，命令为：\nInstalling PostgreSQL failed; the command was:\n\n    {0}\n")]
    Failed(String),
}

/// The systems whose package managers we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Debian,
    Fedora,
    MacOs,
}

/// Installs PostgreSQL with the system's own package manager.
#[derive(Clone, Copy, Debug)]
pub struct Installer {
    system: System,
}

impl Installer {
    /// Recognises the system by `/etc/os-release`, or as macOS.
    pub fn for_this_system() -> Result<Self, InstallError> {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = if cfg!(target_os = "macos") { Some(System::MacOs) } else { System::of(&os_release) };
        system.map(|system| Self { system }).ok_or(InstallError::UnknownSystem)
    }

    /// The exact command that an ordinary user types, and that [`install`](Self::install) runs.
    pub fn command(self) -> String {
        let script = self.system.script();
        if self.system.needs_root() { format!("sudo sh -c {}", single_quoted(script)) } else { script.to_owned() }
    }

    /// Installs, and lets the package manager speak on standard error.
    ///
    /// As root it says so and goes ahead. As an ordinary user in a terminal it asks first and goes through sudo.
    /// Otherwise, or if the answer is no, it fails with the exact command.
    pub fn install(self) -> Result<(), InstallError> {
        let we_are_root = geteuid().is_root();
        // Where root is not needed it is not wanted either: Homebrew refuses to run as root.
        let may = if we_are_root { self.system.needs_root() } else { self.is_wanted() };
        if !may {
            return Err(InstallError::Declined(self.command()));
        }
        let script = if we_are_root { self.system.script().to_owned() } else { self.command() };
        eprintln!("没有找到 PostgreSQL，正在安装。 PostgreSQL is not installed; installing it:\n\n    {script}\n");
        // What the package manager says belongs on standard error: ours is the only voice on standard output.
        let status = Command::new("/bin/sh").args(["-c", &format!("{{ {script}\n}} >&2")]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(InstallError::Failed(self.command())),
        }
    }

    /// Asks the user, if there is one.
    fn is_wanted(self) -> bool {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return false;
        }
        eprint!(
            "没有找到 PostgreSQL。现在安装吗？ PostgreSQL is not installed. Install it now?\n\n    {}\n\n[y/N] ",
            self.command()
        );
        let mut answer = String::new();
        let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "是")
    }
}

impl System {
    /// Reads os-release(5): `ID`, or what the system says it is like.
    fn of(os_release: &str) -> Option<Self> {
        let value = |key| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\''])
        };
        value("ID").split(' ').chain(value("ID_LIKE").split(' ')).find_map(|name| match name {
            "debian" | "ubuntu" => Some(Self::Debian),
            "fedora" | "rhel" | "centos" => Some(Self::Fedora),
            _ => None,
        })
    }

    fn needs_root(self) -> bool {
        self != Self::MacOs
    }

    /// What root (on macOS: the user) runs.
    fn script(self) -> &'static str {
        match self {
            // Debian would make a cluster and start it on port 5432, which nobody has asked for.
            Self::Debian => {
                "set -e; conf=/etc/postgresql-common/createcluster.d/half-sky.conf; mkdir -p ${conf%/*}; \
                 echo \"create_main_cluster = false\" >$conf; trap \"rm -f $conf\" EXIT; apt-get update; \
                 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql"
            }
            Self::Fedora => "dnf install -y postgresql-server postgresql-contrib",
            Self::MacOs => "brew install postgresql@17",
        }
    }
}

/// Quotes for sh.
fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_recognised_by_what_they_are_or_are_like() {
        assert_eq!(System::of("NAME=\"Debian GNU/Linux\"\nID=debian\n"), Some(System::Debian));
        assert_eq!(System::of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(System::Debian));
        assert_eq!(System::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some(System::Fedora));
        assert_eq!(System::of("ID=alpine\n"), None);
        assert_eq!(System::of(""), None);
    }

    #[test]
    fn the_printed_command_can_be_pasted_into_a_shell() {
        let command = Installer { system: System::Debian }.command();
        let pasted = command.replace("sudo sh -c ", "printf %s ");
        let output = Command::new("/bin/sh").args(["-c", &pasted]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), System::Debian.script());
        assert_eq!(Installer { system: System::MacOs }.command(), "brew install postgresql@17");
    }
}
