//! A private PostgreSQL from installed binaries: what `cargo run` and `cargo test` work on, with nothing to set up.
//!
//! It listens on a unix socket in a folder of its own and on no port, so it can neither clash nor be reached from
//! elsewhere. It never outlives this process: see `watchdog.sh`. Everything here blocks and is meant for the time
//! before any runtime exists. PostgreSQL refuses to run as root; see [`DatabaseUser`] for what happens then.

mod error;
mod find;
mod folder;
mod install;
mod user;
mod watchdog;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use error::StartError;
pub use install::{InstallError, Installer};

use find::Binaries;
use folder::Folder;
use user::DatabaseUser;
use watchdog::Watchdog;

/// The superuser that initdb makes; every other role is the business of the migrations.
pub const SUPERUSER: &str = "postgres";

/// What the server is for, which decides where its data lives and how careful it is with it.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Keeps its data for the next time, in `folder` or, where the database's user cannot reach that, in a folder
    /// of ours named after it: see [`PrivatePostgres::folder`].
    Development {
        /// The folder we would like, for example `./.half-sky/postgres`.
        folder: PathBuf,
    },
    /// Throw-away data, gone when this process ends in any way, and therefore never synced to the disk.
    Test,
}

/// How to start a private server. The caller reads the environment; nothing here does.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the server is for.
    pub purpose: Purpose,
    /// The only folder to take binaries from, if one is set.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`: searched for binaries before the usual folders, and handed to the server, whose environment is
    /// otherwise empty (ours holds secrets).
    pub path: Option<OsString>,
    /// Further server settings, such as `("max_connections", "200")`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// The plain options for `purpose`.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, bin_dir: None, path: None, settings: Vec::new() }
    }
}

/// A running private server. Dropping it stops it and waits for its end.
#[derive(Debug)]
pub struct PrivatePostgres {
    // Fields drop in this order: the server ends before its folder is tidied away.
    _watchdog: Watchdog,
    socket_dir: PathBuf,
    bin_dir: PathBuf,
    folder: Folder,
}

impl PrivatePostgres {
    /// Starts the server and returns once it accepts connections: two seconds the first time (initdb), a tenth of
    /// one later, longer after a crash.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let user = DatabaseUser::of_this_process(options.path.as_deref())?;
        let installed = Binaries::installed(options, &user)?;
        let folder = Folder::claim(&options.purpose, &user)?;
        let lock = folder.lock(&user)?;
        let binaries = Binaries::fit_for(installed, &folder)?;
        let socket_dir = folder.socket_dir(&user)?;
        let settings = settings(options);
        let mut watchdog = Watchdog::start(&folder, lock, &binaries, &socket_dir, &settings, &user)?;
        watchdog.wait_until_ready()?;
        Ok(Self { _watchdog: watchdog, socket_dir, bin_dir: binaries.dir, folder })
    }

    /// [`start`](Self::start), which first installs PostgreSQL if there is none and the system and the user let us.
    pub fn start_or_install(options: &Options) -> Result<Self, StartError> {
        match Self::start(options) {
            Err(StartError::NotInstalled) => {
                Installer::for_this_system()?.install()?;
                Self::start(options)
            }
            started => started,
        }
    }

    /// The address of a database for a role (see [`SUPERUSER`]), as tokio-postgres and libpq read it. There are no
    /// passwords: who reaches the socket is trusted.
    pub fn url(&self, role: &str, database: &str) -> String {
        let host = percent_encoded(&self.socket_dir.to_string_lossy());
        format!("postgres://{}@{host}/{}", percent_encoded(role), percent_encoded(database))
    }

    /// Where the socket is: reachable by the database's user and root only.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Where the server's binaries are, for `pg_dump`, `pg_restore` and `psql`, which must be of its version.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Where the data and `server.log` really are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the server, disconnecting its clients, and waits for its end. The same as dropping it.
    pub fn stop(self) {}
}

/// The server's command line settings; the caller's come last and win.
fn settings(options: &Options) -> Vec<String> {
    let mut settings = vec!["listen_addresses=".to_owned(), "unix_socket_permissions=0700".to_owned()];
    if let Purpose::Test = options.purpose {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings.extend(options.settings.iter().map(|(name, value)| format!("{name}={value}")));
    settings
}

/// Encodes whatever is not unreserved in RFC 3986, so also the slashes of a socket folder.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_encoded_as_the_host_of_an_url() {
        assert_eq!(percent_encoded("/tmp/a-b.c_d~"), "%2Ftmp%2Fa-b.c_d~");
        assert_eq!(percent_encoded("妇联 ?"), "%E5%A6%87%E8%81%94%20%3F");
    }

    #[test]
    fn only_a_throw_away_server_may_lose_what_it_has_committed() {
        let unsafe_settings = |purpose| settings(&Options::new(purpose)).iter().any(|setting| setting == "fsync=off");
        assert!(unsafe_settings(Purpose::Test));
        assert!(!unsafe_settings(Purpose::Development { folder: "anywhere".into() }));
    }
}
