//! The private server: it starts anywhere, keeps what it should keep and leaves nothing behind. How it does the last
//! is looked up in `/proc`, so these tests are for Linux.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use half_sky::db::private_postgres::{Options, PrivatePostgres, Purpose, SUPERUSER, StartError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// Tells [`a_service_that_holds_a_server`] what to hold: `test`, or a folder to keep.
const HOLD: &str = "HALF_SKY_TEST_HOLD";

#[test]
fn a_throw_away_server_serves_and_is_gone_when_it_is_stopped() {
    let server = PrivatePostgres::start(&Options::new(Purpose::Test)).unwrap();
    assert_eq!(query(&server, "SHOW fsync"), "off");
    assert_eq!(query(&server, "SHOW listen_addresses"), "");
    assert_eq!(query(&server, "SELECT datcollate FROM pg_database WHERE datname = 'template1'"), "C.UTF-8");
    let config: tokio_postgres::Config = server.url(SUPERUSER, "postgres").parse().unwrap();
    assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix(server.socket_dir().to_owned())]);

    let folder = server.folder().to_owned();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    server.stop();
    assert_nothing_is_left(&folder);
}

#[test]
fn a_development_server_keeps_its_data_and_is_careful_with_it() {
    let scratch = Scratch::new("keeps");
    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    query(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    assert_eq!(query(&server, "SHOW fsync"), "on");
    server.stop();
    assert_no_process(&scratch.folder());

    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    assert_eq!(query(&server, "SELECT answer FROM kept"), "42");
    assert_eq!(server.folder(), scratch.folder());
}

#[test]
fn nothing_is_left_however_the_service_ends() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let mut service = Service::holding("test");
        let folder = service.folder.clone();
        assert!(folder.join("data").exists());
        // To the whole group, as a terminal does.
        kill(Pid::from_raw(-service.pid().as_raw()), signal).unwrap();
        service.process.wait().unwrap();
        assert_nothing_is_left(&folder);
    }
}

#[test]
fn a_service_killed_in_its_first_start_leaves_no_process_and_can_start_again() {
    let scratch = Scratch::new("first");
    let mut starting = hold(scratch.folder().as_os_str()).spawn().unwrap();
    within(|| scratch.folder().join("data.new/base").exists(), "initdb at work");
    starting.kill().unwrap();
    starting.wait().unwrap();
    assert_no_process(&scratch.folder());
    assert!(!scratch.folder().join("data").exists());

    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    assert_eq!(query(&server, "SELECT 1"), "1");
}

#[test]
fn a_service_starts_right_after_its_predecessor_was_killed() {
    let scratch = Scratch::new("killed");
    for _ in 0..3 {
        let mut service = Service::holding(scratch.folder());
        service.process.kill().unwrap();
        service.process.wait().unwrap();
    }
    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    assert_eq!(query(&server, "SELECT 1"), "1");
}

#[test]
fn a_server_orphaned_by_the_death_of_its_watchdog_is_replaced() {
    let scratch = Scratch::new("orphan");
    let mut service = Service::holding(scratch.folder());
    let postmaster = postmaster_of(&scratch.folder());
    // The server's own children share its program, and just after their birth its command line too.
    let program = |pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let shells = || processes_on(&scratch.folder()).into_iter().filter(|&pid| program(pid) != program(postmaster));
    shells().for_each(|pid| _ = kill(pid, Signal::SIGKILL));
    service.process.kill().unwrap();
    service.process.wait().unwrap();
    within(|| shells().next().is_none(), "end of the watchdog");
    assert!(processes_on(&scratch.folder()).contains(&postmaster));

    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    assert_eq!(query(&server, "SELECT 1"), "1");
    assert_ne!(postmaster_of(&scratch.folder()), postmaster);
}

#[test]
fn nothing_is_left_even_if_the_watchdog_is_killed_first() {
    let server = PrivatePostgres::start(&Options::new(Purpose::Test)).unwrap();
    let folder = server.folder().to_owned();
    kill(parent_of(postmaster_of(&folder)), Signal::SIGKILL).unwrap();
    server.stop();
    assert_nothing_is_left(&folder);
}

#[test]
fn a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle() {
    let scratch = Scratch::new("stale");
    PrivatePostgres::start(&scratch.options()).unwrap().stop();
    // Of the database's own user, since for anybody else PostgreSQL itself sees that the file is stale.
    let owner = fs::metadata(scratch.folder()).unwrap().uid();
    let mut stranger = Command::new("sleep");
    if geteuid().is_root() {
        stranger.uid(owner);
    }
    let mut stranger = stranger.arg("600").spawn().unwrap();
    let stale = format!("{}\n{}\n", stranger.id(), scratch.folder().join("data").display());
    fs::write(scratch.folder().join("data/postmaster.pid"), stale).unwrap();
    fs::write(scratch.folder().join(".s.PGSQL.5432.lock"), format!("{}\n", 999_999_999)).unwrap();

    let started = PrivatePostgres::start(&scratch.options());
    let stranger_lives = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(query(&started.unwrap(), "SELECT 1"), "1");
    assert!(stranger_lives);
}

#[test]
fn a_folder_in_use_is_refused_with_the_number_of_who_uses_it() {
    let scratch = Scratch::new("inuse");
    let service = Service::holding(scratch.folder());
    match PrivatePostgres::start(&scratch.options()) {
        Err(StartError::InUse { pid, .. }) => assert_eq!(pid, service.pid().as_raw()),
        other => panic!("{other:?}"),
    }
    assert!(processes_on(&scratch.folder()).contains(&postmaster_of(&scratch.folder())), "the other goes on");
}

#[test]
fn data_of_another_major_version_is_refused_with_what_to_do() {
    let scratch = Scratch::new("version");
    PrivatePostgres::start(&scratch.options()).unwrap().stop();
    fs::write(scratch.folder().join("data/PG_VERSION"), "9\n").unwrap();
    let error = PrivatePostgres::start(&scratch.options()).unwrap_err();
    assert!(matches!(error, StartError::WrongVersion { made_by: 9, .. }), "{error:?}");
    assert!(error.to_string().contains("install PostgreSQL 9, or move the folder away"), "{error}");
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let mut options = Options::new(Purpose::Test);
    options.settings.push(("no_such_setting".into(), "1".into()));
    match PrivatePostgres::start(&options) {
        Err(StartError::Failed { log }) => assert!(log.contains("no_such_setting"), "{log}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_set_folder_without_binaries_is_an_error_and_nothing_else_is_tried() {
    let options = Options { bin_dir: Some("/usr/share".into()), ..Options::new(Purpose::Test) };
    let error = PrivatePostgres::start(&options).unwrap_err();
    assert!(matches!(error, StartError::NotThere { .. }), "{error:?}");
}

#[test]
fn a_folder_with_a_long_chinese_name_gets_a_short_socket_path() {
    let scratch = Scratch::new("long");
    let options = Options::new(Purpose::Development { folder: scratch.0.join("妇联 的, 'folder'".repeat(8)) });
    let server = PrivatePostgres::start(&options).unwrap();
    assert_eq!(query(&server, "SELECT 1"), "1");
    let socket_dir = server.socket_dir().to_owned();
    assert!(socket_dir.as_os_str().len() < 60, "{}", socket_dir.display());
    assert_eq!(fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
    server.stop();
    assert!(!socket_dir.exists());
}

#[test]
fn below_a_closed_home_root_keeps_the_data_in_a_folder_of_our_own() {
    if !geteuid().is_root() {
        return; // Only root drops to a user who cannot enter her own home.
    }
    let scratch = Scratch::new("home");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    let _elsewhere = Scratch(server.folder().to_owned());
    assert!(server.folder().to_str().unwrap().starts_with("/var/lib/half-sky-"), "{}", server.folder().display());
    query(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    server.stop();
    assert!(!scratch.folder().exists());

    let server = PrivatePostgres::start(&scratch.options()).unwrap();
    assert_eq!(query(&server, "SELECT answer FROM kept"), "42");
}

#[test]
fn somebody_elses_folder_is_refused_instead_of_hidden_behind_an_empty_one() {
    if !geteuid().is_root() {
        return; // Only root can make somebody else's folder.
    }
    let scratch = Scratch::new("foreign");
    fs::create_dir_all(scratch.folder()).unwrap();
    std::os::unix::fs::chown(scratch.folder(), Some(4242), None).unwrap();
    let error = PrivatePostgres::start(&scratch.options()).unwrap_err();
    assert!(matches!(error, StartError::Foreign { owner: 4242, .. }), "{error:?}");
}

/// The heart of the above once more, by the least of all users, who can neither enter our target folder nor become root.
#[test]
fn an_ordinary_user_can_do_all_of_this_too() {
    let Some(nobody) = User::from_name("nobody").unwrap().filter(|_| geteuid().is_root()) else {
        return; // We are that user.
    };
    let scratch = Scratch::new("nobody");
    let program = scratch.0.join("tests");
    // Copied by a process of its own: a program that this one has open for writing while another test forks cannot be run at once.
    let copied = Command::new("install").args(["-m", "755"]).arg(env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    let output = Command::new(&program)
        .args(["a_throw_away_server", "a_development_server", "nothing_is_left", "a_stale_pid_file"].map(test_path))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("ok. 5 passed"), "{said}");
}

/// Not a test but a service: the tests above run this binary once more with [`HOLD`] set, to end it in rude ways.
#[test]
#[expect(clippy::disallowed_methods, reason = "the only way to tell a test something")]
fn a_service_that_holds_a_server() {
    let Some(held) = env::var_os(HOLD) else { return };
    let purpose = if held == "test" { Purpose::Test } else { Purpose::Development { folder: held.into() } };
    let server = PrivatePostgres::start(&Options::new(purpose)).unwrap();
    println!("\nholding {}", server.folder().display());
    // Until the test that started us ends, however it ends.
    _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// A process of our own that holds a private server.
struct Service {
    process: Child,
    folder: PathBuf,
}

impl Service {
    fn holding(what: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut process = hold(what.as_ref()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let folder = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("holding ").map(PathBuf::from));
        Self { process, folder: folder.expect("the service starts") }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn hold(what: &std::ffi::OsStr) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &test_path("a_service_that_holds_a_server"), "--nocapture"]).env(HOLD, what);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command
}

/// The name of a test of this file, as the test binary's filter knows it.
fn test_path(name: &str) -> String {
    let module = module_path!().split_once("::").expect("a module of the test binary").1;
    format!("{module}::{name}")
}

/// A folder that everybody can enter and that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new("/tmp").join(format!("half-sky-scratch-{name}-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
        Self(path)
    }

    /// Two levels below, as `./.half-sky/postgres` is.
    fn folder(&self) -> PathBuf {
        self.0.join(".half-sky/postgres")
    }

    fn options(&self) -> Options {
        Options::new(Purpose::Development { folder: self.folder() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A server that a failing test still holds may be ending in it.
        within(|| !self.0.exists() || fs::remove_dir_all(&self.0).is_ok(), "removal of the scratch folder");
    }
}

fn query(server: &PrivatePostgres, sql: &str) -> String {
    let url = server.url(SUPERUSER, "postgres");
    let psql = server.bin_dir().join("psql");
    let output = Command::new(psql).args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, &url]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn postmaster_of(folder: &Path) -> Pid {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

fn parent_of(pid: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap())
}

/// The watchdog's shells, initdb and the postmaster: all have the folder on their command line.
fn processes_on(folder: &Path) -> Vec<Pid> {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let command_line = fs::read(process.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&command_line).contains(folder).then_some(Pid::from_raw(pid))
        })
        .collect()
}

pub fn assert_no_process(folder: &Path) {
    within(|| processes_on(folder).is_empty(), "the end of all processes");
}

fn assert_nothing_is_left(folder: &Path) {
    assert_no_process(folder);
    within(|| !folder.exists(), "removal of the folder");
}

fn within(mut condition: impl FnMut() -> bool, what: &str) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no {what} in 30 seconds");
}
