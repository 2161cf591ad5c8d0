//! Processes of the program: an environment of their own, and none outlives its test.

use std::fs::{self, DirBuilder, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::process::Command;

use super::client::{Ask, Client};
use crate::support::{Database, server};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something to see, at most [`PATIENCE`].
pub async fn within<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A line of shell that runs when this process ends without dropping it: when the tests are interrupted or killed.
struct Guard(Child);

impl Guard {
    fn new(line: &str) -> Self {
        // The end of this process closes its pipe. A group of its own, because a terminal interrupts all of ours.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("read -r _; {line}")]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.process_group(0).spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A folder that the database's user can enter and that goes away with the test.
pub struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("half-sky-program-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new("/tmp").join(name);
        DirBuilder::new().mode(0o755).create(&path).unwrap();
        // A server that is ending in it may still make files.
        let guard = Guard::new(&format!("for _ in $(seq 50); do rm -rf {} && exit; sleep 0.2; done", path.display()));
        Self { path, _guard: guard }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A server of a killed program may be ending in it.
        let start = Instant::now();
        while fs::remove_dir_all(&self.path).is_err() && self.path.exists() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The program with these arguments, and of its environment only `PATH`.
#[expect(clippy::disallowed_methods, reason = "the programs of PostgreSQL are searched there")]
pub fn half_sky(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_half-sky"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// What a command said, and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// It ended well; its output.
    #[track_caller]
    pub fn well(self) -> String {
        assert!(self.code == Some(0), "ended with {:?}: {}{}", self.code, self.out, self.err);
        self.out
    }

    /// It refused, with code 2; its faults.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(self.code == Some(2), "ended with {:?}: {}{}", self.code, self.out, self.err);
        self.err
    }
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A database, a folder and the settings of programs that work on them.
pub struct Installation {
    pub folder: Folder,
    pub settings: Vec<(&'static str, String)>,
}

impl Installation {
    /// On a database of the tests' server.
    pub fn on(database: &Database) -> Self {
        let mut installation = Self::at(&database.login_url(), &database.owner_url(), server().postgres.bin_dir());
        installation.settings.push(("HALF_SKY_FILES", database.files().display().to_string()));
        installation
    }

    /// On any database.
    pub fn at(login_url: &str, owner_url: &str, postgres_bin: &Path) -> Self {
        let folder = Folder::new();
        let sign_ins = serde_json::to_vec(&server().sign_ins).unwrap();
        fs::write(folder.path().join("sign-ins.json"), sign_ins).unwrap();
        let settings = vec![
            ("DATABASE_URL", login_url.to_owned()),
            ("DATABASE_OWNER_URL", owner_url.to_owned()),
            ("MASTER_KEYS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
            ("HALF_SKY_PUBLIC_URL", "http://half-sky.test".to_owned()),
            ("HALF_SKY_RATE_LIMIT_SCALE", "1000".to_owned()),
            ("HALF_SKY_DATA", folder.path().display().to_string()),
            ("HALF_SKY_POSTGRES_BIN", postgres_bin.display().to_string()),
        ];
        Self { folder, settings }
    }

    /// A command with its settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = half_sky(arguments);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments)).await
    }

    /// A node that serves; there may be several.
    pub async fn serve(&self) -> Program {
        Program::start(self.command(&["serve"]), &self.folder).await
    }
}

/// A program that serves. It is killed with its test.
pub struct Program {
    pub address: SocketAddr,
    process: Child,
    guard: Option<Guard>,
    log: PathBuf,
}

impl Program {
    /// Starts it on an address of its own; returns when it is alive.
    pub async fn start(command: Command, folder: &Folder) -> Self {
        let mut program = Self::spawn(command, folder);
        let http = Client::new(program.address);
        within("sign of life", async || {
            let ended = program.process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", program.said());
            http.get("/health/live").attempt().await.ok().filter(|answer| answer.status == 200)
        })
        .await;
        program
    }

    /// Starts it and waits for nothing.
    pub fn spawn(command: Command, folder: &Folder) -> Self {
        let address = free_address();
        let log = folder.path().join(format!("{}.log", address.port()));
        let out = File::create(&log).unwrap();
        let mut command = command.into_std();
        command.env("HALF_SKY_HTTP", address.to_string()).stderr(out.try_clone().unwrap()).stdout(out);
        let process = command.spawn().unwrap();
        let guard = Some(Guard::new(&format!("kill -9 {}", process.id())));
        Self { address, process, guard, log }
    }

    /// What it has printed and logged so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        within("end of the program", async || self.process.try_wait().unwrap()).await
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// Signs a demo account in.
    pub async fn sign_in(&self, username: &str) -> Client {
        let sign_in = server().sign_ins.iter().find(|sign_in| sign_in.username == username);
        self.sign_in_with(username, &sign_in.unwrap().password).await
    }

    /// Signs anybody in.
    pub async fn sign_in_with(&self, username: &str, password: &str) -> Client {
        let body = json!({ "username": username, "password": password });
        let answer = self.anonymous().post("/api/v1/auth/login").json(&body).answer().await.expect(200);
        self.anonymous().with_token(answer.text("/access_token"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // First: afterwards the number may be another process's.
        self.guard = None;
        _ = self.process.kill();
        _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the program said:\n{}", self.said());
        }
    }
}
