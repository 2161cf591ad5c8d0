//! `half-sky backup` and `restore`: PostgreSQL's own dump, which is consistent while the service runs. MASTER_KEYS are not in
//! it: keep them elsewhere, without them the sealed columns stay sealed.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel_async::SimpleAsyncConnection;
use tokio_postgres::config::Host;

use super::{owner, owner_url, runtime, tables};
use crate::config::Config;

/// Writes the database into a file that only its owner reads, whole or not at all.
pub fn backup(config: &Config, file: &Path) -> Result<(), String> {
    let aside = file.with_extension("incomplete");
    let fault = |fault: std::io::Error| format!("{}: {fault}", file.display());
    let mut dump = on_the_database(config, "pg_dump")?;
    dump.args(["--format=custom", "--no-owner", "--file"]).arg(&aside);
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside).map_err(fault)?;
    if let Err(fault) = execute(&mut dump, "") {
        drop(fs::remove_file(&aside));
        return Err(fault);
    }
    fs::rename(&aside, file).map_err(fault)?;
    println!("{}", file.display());
    Ok(())
}

/// Reads a backup into an empty database, in one transaction.
pub fn restore(config: &Config, file: &Path) -> Result<(), String> {
    let owner = owner(config)?;
    let contents = contents(config, file)?;
    runtime()?.block_on(async {
        let mut conn = owner.connect().await?;
        if tables(&mut conn).await? > 0 {
            return Err("the database is not empty; nothing was restored".to_owned());
        }
        conn.batch_execute(MAKE_SERVICE_ROLE).await.map_err(|fault| fault.to_string())
    })?;
    let mut restore = on_the_database(config, "pg_restore")?;
    restore.args(["--no-owner", "--single-transaction", "--exit-on-error", "--use-list", "/dev/stdin", "--dbname="]);
    execute(restore.arg(file), &contents)?;
    runtime()?.block_on(async {
        let mut conn = owner.connect().await?;
        conn.batch_execute(DEFAULT_PRIVILEGES).await.map_err(|fault| fault.to_string())
    })
}

/// Roles are not part of a dump; the rights in it name this one.
const MAKE_SERVICE_ROLE: &str = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'half_sky_service')
    THEN CREATE ROLE half_sky_service NOLOGIN; END IF; END $$";

/// What the first migration gives the service on tables to come. In a dump it names the owner, who may be another here.
const DEFAULT_PRIVILEGES: &str = "
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO half_sky_service;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO half_sky_service";

/// The table of contents of a backup, without the default privileges.
fn contents(config: &Config, file: &Path) -> Result<String, String> {
    let mut list = Command::new(program(config, "pg_restore"));
    let listed = execute(list.arg("--list").arg(file), "")?;
    Ok(listed.lines().filter(|line| !line.contains(" DEFAULT ACL ")).map(|line| format!("{line}\n")).collect())
}

fn program(config: &Config, name: &str) -> PathBuf {
    config.postgres_bin.as_ref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

/// A program that connects as the owner. Everybody on the machine may read a command line, and the address may hold a password:
/// it goes by the environment.
fn on_the_database(config: &Config, name: &str) -> Result<Command, String> {
    let address: tokio_postgres::Config = owner_url(config)?.parse().map_err(|_| "the address of the database is malformed")?;
    let hosts = address.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    });
    let ports = address.get_ports().iter().map(ToString::to_string);
    let mut command = Command::new(program(config, name));
    command.env("PGHOST", hosts.collect::<Vec<_>>().join(",")).env("PGPORT", ports.collect::<Vec<_>>().join(","));
    for (variable, value) in [("PGUSER", address.get_user()), ("PGDATABASE", address.get_dbname())] {
        command.envs(value.map(|value| (variable, value)));
    }
    command.envs(address.get_password().map(|password| ("PGPASSWORD", OsStr::from_bytes(password))));
    if let Some(authority) = &config.database_ca {
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", authority);
    }
    Ok(command)
}

/// Runs a program on some input; its output. What it has to say goes to standard error.
fn execute(command: &mut Command, input: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let fault = |fault: std::io::Error| format!("{name}: {fault}");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(fault)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(fault)?;
    }
    let output = child.wait_with_output().map_err(fault)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name} ended with {}", output.status))
    }
}
