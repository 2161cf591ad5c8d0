use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::user::DatabaseUser;
use super::watchdog::within;
use super::{Purpose, StartError};

/// The shortest limit of a socket's path that we know (macOS: 104 bytes with the closing NUL; Linux has 108).
const SOCKET_PATH_LIMIT: usize = 103;
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// How long an earlier server, whose service is gone, may take for its last checkpoint.
const LAST_CHECKPOINT: Duration = Duration::from_mins(1);

/// The folder of one private server: `data/`, `server.log`, `lock` and, if its path is short enough, the socket.
/// Only the database's user (and root) can enter it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Makes or takes over the folder for `purpose`.
    ///
    /// A folder below a home of mode 0700 is out of reach for the user that root drops to. Then we take one of our
    /// own, named after the folder that was asked for so that it is found again. A folder that
    /// belongs to somebody else or has data that is out of reach is an error instead: going elsewhere would hide it.
    pub fn claim(purpose: &Purpose, user: &DatabaseUser) -> Result<Self, StartError> {
        let Purpose::Development { folder } = purpose else {
            let path = Path::new("/tmp").join(format!("half-sky-test-{:016x}", RandomState::new().hash_one(())));
            claim(&path, user).map_err(|refused| refused.at(&path, user))?;
            return Ok(Self { path, temporary: true });
        };
        let wanted = path::absolute(folder).map_err(|error| Refused::Io(error).at(folder, user))?;
        let refused = match claim(&wanted, user) {
            Ok(()) => return Ok(Self { path: wanted, temporary: false }),
            Err(refused) if matches!(refused, Refused::Foreign(_)) || wanted.join("data").exists() => {
                return Err(refused.at(&wanted, user));
            }
            Err(refused) => refused,
        };
        let ours = ["/var/lib", "/var/tmp"].map(|parent| Path::new(parent).join(own_name(&wanted, user)));
        let claimed = ours.into_iter().find(|path| claim(path, user).is_ok());
        claimed.map(|path| Self { path, temporary: false }).ok_or_else(|| refused.at(&wanted, user))
    }

    /// Locks the folder for the one server that may work on it, ending what an earlier one has left behind.
    ///
    /// The lock is inherited by the watchdog and the postmaster, so while it is taken some of them live, and as soon
    /// as it is free none does. The lock file names the service that took it: if that is gone its server is ending,
    /// or, should its watchdog have been killed too, has to be told.
    pub fn lock(&self, user: &DatabaseUser) -> Result<File, StartError> {
        let failed = |error| Refused::Io(error).at(&self.path, user);
        let mut lock = self.open("lock", user).map_err(failed)?;
        let taken = within(LAST_CHECKPOINT, || match lock.try_lock() {
            Ok(()) => Some(Ok(())),
            Err(TryLockError::Error(error)) => Some(Err(failed(error))),
            Err(TryLockError::WouldBlock) => match pid_in(&self.path.join("lock")).filter(|&pid| is_alive(pid)) {
                Some(service) => Some(Err(self.in_use_by(service))),
                None => {
                    self.postmaster().inspect(|&orphan| _ = kill(orphan, Signal::SIGINT));
                    None
                }
            },
        });
        // A service that is not there and yet holds the lock lives in another container, with our folder as a volume.
        let elsewhere = || pid_in(&self.path.join("lock")).unwrap_or(Pid::from_raw(0));
        taken.unwrap_or_else(|| Err(self.in_use_by(self.postmaster().unwrap_or_else(elsewhere))))?;
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        self.forget_the_dead()?;
        Ok(lock)
    }

    /// Removes a stale `postmaster.pid`: its number may by now be another process of the same user, for which
    /// PostgreSQL itself would refuse to start. Where we cannot tell the two apart PostgreSQL shall decide.
    fn forget_the_dead(&self) -> Result<(), StartError> {
        if cfg!(target_os = "linux") {
            self.postmaster().map_or(Ok(()), |somebody_elses| Err(self.in_use_by(somebody_elses)))?;
            _ = fs::remove_file(self.postmaster_pid());
        }
        Ok(())
    }

    /// The server that works on our data now. On Linux a number that has passed on to another process is seen
    /// through: a postmaster's working directory is its data.
    fn postmaster(&self) -> Option<Pid> {
        let pid = pid_in(&self.postmaster_pid()).filter(|&pid| is_alive(pid))?;
        let works_here = || {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok();
            cwd.is_some() && cwd == fs::canonicalize(self.data()).ok()
        };
        (cfg!(not(target_os = "linux")) || works_here()).then_some(pid)
    }

    fn in_use_by(&self, pid: Pid) -> StartError {
        StartError::InUse { folder: self.path.clone(), pid: pid.as_raw() }
    }

    /// A folder for the socket: this one, or a short one where the path is too long or has characters that would
    /// need quoting in the server's settings.
    pub fn socket_dir(&self, user: &DatabaseUser) -> Result<PathBuf, StartError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let path = self.path.as_os_str().as_encoded_bytes();
        if path.len() + 1 + SOCKET_NAME.len() + ".lock".len() <= SOCKET_PATH_LIMIT && path.iter().copied().all(plain) {
            return Ok(self.path.clone());
        }
        let short = Path::new("/tmp").join(own_name(&self.path, user));
        claim(&short, user).map_err(|refused| refused.at(&short, user))?;
        Ok(short)
    }

    /// Opens a new log; the one before it stays as `server.log.old`.
    pub fn log(&self, user: &DatabaseUser) -> io::Result<File> {
        _ = fs::rename(self.path.join("server.log"), self.path.join("server.log.old"));
        self.open("server.log", user)
    }

    /// Opens a file of ours. The folder is the user's and we may be root, so no symbolic link is followed.
    fn open(&self, name: &str, user: &DatabaseUser) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        let file = options.open(self.path.join(name))?;
        user.adopt_file(&file)?;
        Ok(file)
    }

    /// The major version that made the data, if there is any.
    pub fn made_by(&self) -> Option<u32> {
        fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Whether the folder goes away with the server.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The file in which the postmaster writes its number (line 1) and its state (line 8).
    pub fn postmaster_pid(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }
}

impl Drop for Folder {
    /// The watchdog has removed it already, unless there was none yet or it was killed.
    fn drop(&mut self) {
        if self.temporary {
            _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Why a folder cannot be ours.
enum Refused {
    Foreign(u32),
    Io(io::Error),
}

impl Refused {
    fn at(self, folder: &Path, user: &DatabaseUser) -> StartError {
        let (folder, user) = (folder.to_owned(), user.name.clone());
        match self {
            Self::Foreign(owner) => StartError::Foreign { folder, owner, user },
            Self::Io(source) => StartError::Folder { folder, user, source },
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes sure that `folder` is there, is the user's alone and can be reached by her. A folder that was made for
/// nothing is removed again.
fn claim(folder: &Path, user: &DatabaseUser) -> Result<(), Refused> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
    }
    if found.uid() != user.uid {
        // Root's own empty folder is one that we have just made, now or before we were killed.
        if !user.may_adopt_from(found.uid()) || fs::read_dir(folder)?.next().is_some() {
            return Err(Refused::Foreign(found.uid()));
        }
        user.adopt_folder(folder)?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    reach(folder, user).inspect_err(|_| _ = fs::remove_dir(folder))?;
    Ok(())
}

/// Tries as the user herself, since modes of all parents, access lists and mounts have a say in it.
fn reach(folder: &Path, user: &DatabaseUser) -> io::Result<()> {
    let entered = user.command("/bin/sh").args(["-c", r#"cd "$0" 2>/dev/null"#]).arg(folder).status()?;
    if entered.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// A name for what belongs to `folder` but lies elsewhere: the same each time, another for each user.
fn own_name(folder: &Path, user: &DatabaseUser) -> String {
    let bytes = folder.as_os_str().as_encoded_bytes();
    // FNV-1a: std's hashes may change from release to release, and this one is written into file names.
    let hash =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("half-sky-{}-{hash:016x}", user.uid)
}

/// The number on the first line of a lock file or a `postmaster.pid`.
fn pid_in(file: &Path) -> Option<Pid> {
    let mut text = String::new();
    File::open(file).ok()?.take(4096).read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|&pid| pid > 0).map(Pid::from_raw)
}

/// Whether a process has this number, also one that we may not send signals to.
fn is_alive(pid: Pid) -> bool {
    kill(pid, None) != Err(Errno::ESRCH)
}
