//! `half-sky backup` and `restore`: PostgreSQL's own dump, which is consistent while the service runs. MASTER_KEYS are not in
//! it: keep them elsewhere, without them the sealed columns stay sealed.

use std::path::{Path, PathBuf};
use std::process::Command;

use diesel_async::{AsyncConnection, AsyncPgConnection};

use super::{owner_url, runtime, tables};
use crate::config::Config;

/// Writes the database into a file, whole or not at all.
pub fn backup(config: &Config, file: &Path) -> Result<(), String> {
    let aside = file.with_extension("incomplete");
    let mut dump = Command::new(program(config, "pg_dump"));
    dump.args(["--format=custom", "--no-owner", "--file"]).arg(&aside).arg(owner_url(config)?);
    execute(dump)?;
    std::fs::rename(&aside, file).map_err(|fault| format!("{}: {fault}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// Reads a backup into an empty database, in one transaction.
pub fn restore(config: &Config, file: &Path) -> Result<(), String> {
    let url = owner_url(config)?;
    let found = runtime()?.block_on(async {
        let mut conn = AsyncPgConnection::establish(url).await.map_err(|fault| fault.to_string())?;
        tables(&mut conn).await
    })?;
    if found > 0 {
        return Err("the database is not empty; nothing was restored".to_owned());
    }
    runtime()?.block_on(make_service_role(url))?;
    let mut restore = Command::new(program(config, "pg_restore"));
    restore.args(["--no-owner", "--single-transaction", "--exit-on-error", "--dbname"]).arg(url).arg(file);
    execute(restore)
}

/// Roles are not part of a dump; the rights in it name this one.
async fn make_service_role(url: &str) -> Result<(), String> {
    use diesel_async::SimpleAsyncConnection;
    let mut conn = AsyncPgConnection::establish(url).await.map_err(|fault| fault.to_string())?;
    conn.batch_execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'half_sky_service') THEN CREATE ROLE half_sky_service NOLOGIN; END IF; END $$",
    )
    .await
    .map_err(|fault| fault.to_string())
}

fn program(config: &Config, name: &str) -> PathBuf {
    config.postgres_bin.as_ref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

fn execute(mut command: Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|fault| format!("{name}: {fault}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}")) }
}
