use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use std::{fs, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::StartError;
use super::find::Binaries;
use super::folder::Folder;
use super::user::DatabaseUser;

/// macOS has no C.UTF-8. Plain C will not do: under it trigrams of Chinese text are empty.
const LOCALE: &str = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };

/// A first start takes two seconds; the recovery of a large database after a crash may take minutes.
const START: Duration = Duration::from_mins(5);
/// A stop takes a tenth of a second, plus a checkpoint of everything that was not yet written.
const STOP: Duration = Duration::from_mins(1);

/// The shell that owns the postmaster. It ends the server when the pipe to its standard input closes, which the
/// kernel does for us however this process ends; see `watchdog.sh`.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    postmaster_pid: PathBuf,
    log: File,
}

impl Watchdog {
    /// Starts the watchdog, which starts the server. It takes the lock of the folder over.
    pub fn start(
        folder: &Folder,
        lock: File,
        binaries: &Binaries,
        socket_dir: &Path,
        settings: &[String],
        user: &DatabaseUser,
    ) -> Result<Self, StartError> {
        let log = folder.log(user).map_err(StartError::Spawn)?;
        let shell = user
            .command("/bin/sh")
            .args(["-c", include_str!("watchdog.sh"), "half-sky-postgres"])
            .arg(folder.path())
            .arg(if folder.is_temporary() { "remove" } else { "keep" })
            .args([socket_dir, &binaries.dir])
            .arg(LOCALE)
            .args(["-p", "5432"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(log.try_clone().map_err(StartError::Spawn)?)
            // Ctrl-C in a terminal goes to a group: it must reach the service and not, at the same time, the server.
            .process_group(0)
            .spawn()
            .map_err(StartError::Spawn)?;
        Ok(Self { shell, postmaster_pid: folder.postmaster_pid(), log })
    }

    /// Waits until the server accepts connections, which it says on line 8 of its `postmaster.pid`.
    pub fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let is_ready = |file: &Path| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().nth(7).is_some_and(|state| state.trim() == "ready")
        };
        let ready = within(START, || match self.shell.try_wait() {
            Ok(None) => is_ready(&self.postmaster_pid).then_some(true),
            _ => Some(false),
        });
        match ready {
            Some(true) => Ok(()),
            _ => Err(StartError::Failed { log: self.end_of_log().unwrap_or_else(|error| error.to_string()) }),
        }
    }

    /// The last lines of the log, through our handle: a throw-away folder may be gone already.
    fn end_of_log(&mut self) -> io::Result<String> {
        let mut text = Vec::new();
        let length = self.log.seek(SeekFrom::End(0))?;
        self.log.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        self.log.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

impl Drop for Watchdog {
    /// Closes the pipe and waits for the server's end. Only one that hangs is ended the hard way; its data survives
    /// that as it survives a power cut.
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let mut ended = || matches!(self.shell.try_wait(), Ok(Some(_)) | Err(_)).then_some(());
        if within(STOP, &mut ended).is_none() {
            _ = killpg(Pid::from_raw(self.shell.id().cast_signed()), Signal::SIGKILL);
            _ = self.shell.wait();
        }
        // Had somebody killed the watchdog, the server would end a moment after it.
        _ = within(STOP, || (!self.postmaster_pid.exists()).then_some(()));
    }
}

/// Looks again and again until there is something to see, but not for longer than `limit`.
pub(super) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    const STEP: Duration = Duration::from_millis(10);
    (0..limit.as_millis() / STEP.as_millis()).find_map(|_| {
        look().or_else(|| {
            thread::sleep(STEP);
            None
        })
    })
}
