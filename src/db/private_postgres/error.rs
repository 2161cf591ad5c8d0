use std::io;
use std::path::PathBuf;

use super::install::InstallError;

/// Why a private server did not start. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No PostgreSQL server on this system.
    #[error("no PostgreSQL server is installed (looked for `initdb` and `postgres` in PATH and the usual folders)")]
    NotInstalled,

    /// The folder that was set explicitly holds no binaries that the database's user can run.
    #[error("{} holds no `initdb` and `postgres` that user {user} can run", bin_dir.display())]
    NotThere {
        /// The folder as it was set.
        bin_dir: PathBuf,
        /// The system user that would have run them.
        user: String,
    },

    /// We are root, as which PostgreSQL refuses to run, and found nobody to run it as.
    #[error("PostgreSQL does not run as root, and neither the user `postgres` nor `nobody` exists: create one of them")]
    NoUser,

    /// Neither the folder asked for nor one of ours can be used.
    #[error("user {user} cannot use {}: {source}", folder.display())]
    Folder {
        /// The folder that was asked for.
        folder: PathBuf,
        /// The system user that needs it.
        user: String,
        /// What went wrong with it.
        source: io::Error,
    },

    /// The folder exists and is somebody else's, so going elsewhere would hide its data.
    #[error(
        "{} belongs to the system user with id {owner}, not to {user}: run as that user (or as root, if it was \
         made so), or move the folder away",
        folder.display()
    )]
    Foreign {
        /// The folder in question.
        folder: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
        /// The system user that needs it.
        user: String,
    },

    /// Another live process works on the folder.
    #[error("the database in {} is in use by process {pid}: stop that one first", folder.display())]
    InUse {
        /// The folder in question.
        folder: PathBuf,
        /// The service that started the server, or the server itself where nobody started it for us.
        pid: i32,
    },

    /// The data was made by another major version, which is not installed.
    #[error(
        "the database in {} was made by PostgreSQL {made_by}, but only {installed} is installed: install PostgreSQL \
         {made_by}, or move the folder away and start with an empty database",
        folder.display()
    )]
    WrongVersion {
        /// The folder in question.
        folder: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The major versions that were found.
        installed: String,
    },

    /// The system did not let us start a process.
    #[error("cannot start the database's processes: {0}")]
    Spawn(#[source] io::Error),

    /// The server ended before it was ready, or was not ready in time.
    #[error("PostgreSQL did not start; its log ends with\n{log}")]
    Failed {
        /// The last lines of the server's log.
        log: String,
    },

    /// There is no PostgreSQL and it could not be installed.
    #[error(transparent)]
    Install(#[from] InstallError),
}
