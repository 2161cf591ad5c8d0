//! What the command line does. Without a command: a development server on a private PostgreSQL, with demo data.

mod admin;
mod audit;
mod backup;
mod clock;
mod develop;
mod import;
mod keys;
mod log;
pub mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::TimeDelta;
use clap::{Args, Parser, Subcommand};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::config::{Config, VARIABLES};
use crate::db::Address;
use crate::ids::OrganizationId;

/// Half the Sky 半边天: the backend on which a city's women's federation runs its year.
#[derive(Parser)]
#[command(name = "half-sky", version, about, long_about = None)]
pub struct Arguments {
    /// With DATABASE_URL set: load demo data into that database, which must be empty.
    #[arg(long)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves in production: configuration from the environment only, no demo data, no migrations.
    Serve,
    /// Runs pending migrations under a lock and loads the reference data.
    Migrate(MigrateArguments),
    /// Prints the OpenAPI document.
    Openapi,
    /// Imports a document.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Makes accounts where there is nobody yet to make them.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Rotates keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Writes the whole database into a file.
    Backup(FileArgument),
    /// Reads a backup into an empty database.
    Restore(FileArgument),
    /// Looks at the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Moves the clock of a running demo.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Asks a running service on this machine whether it is ready; for container health checks.
    Health,
}

#[derive(Args)]
struct MigrateArguments {
    /// Login role of the service: made a member of half_sky_service, so that it may work but not change tables.
    #[arg(long, value_name = "NAME")]
    service_role: Option<String>,
}

#[derive(Subcommand)]
enum ImportCommand {
    /// Imports a work plan, in the structure of the 2019 plan, for an organization.
    Plan {
        /// JSON file.
        file: PathBuf,
        /// Id of the organization whose plan it is.
        #[arg(long)]
        organization: uuid::Uuid,
    },
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Creates an account with the role platform_admin; makes the top organization where there is none. Prints the initial password.
    Create {
        /// Sign-in name.
        #[arg(long)]
        username: String,
        /// Name of the top organization, where there is none yet.
        #[arg(long, default_value = "市妇联")]
        organization: String,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Rotates data keys (sealed columns are sealed again by a job) or signing keys.
    Rotate {
        /// New data keys; wraps all of them with the first of MASTER_KEYS.
        #[arg(long, required_unless_present_any = ["signing", "audit"])]
        data: bool,
        /// A new key signs the checkpoints of the audit trail; the old ones verify what they signed.
        #[arg(long)]
        audit: bool,
        /// The next signing key signs; the active one only verifies.
        #[arg(long)]
        signing: bool,
    },
    /// Kills a signing key at once: every token it signed is worthless.
    Revoke {
        /// Its kid, as in /.well-known/jwks.json. It may begin with a dash.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

#[derive(Args)]
struct FileArgument {
    /// The backup file.
    file: PathBuf,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Computes the whole chain again and holds it against the seals and the checkpoints. Needs to read only.
    Verify {
        /// File of signed checkpoints, of each node one; default: the file of this configuration.
        #[arg(long, value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
}

#[derive(Subcommand)]
enum ClockCommand {
    /// Moves domain time forward and runs the jobs that fall due, e.g. `30d`, `12h`, `90m`.
    Advance {
        /// Number and unit: m, h, d or w.
        #[arg(value_parser = duration)]
        by: TimeDelta,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints every variable with its value and validates them as `serve` would.
    Check,
}

/// Runs a command; faults go to standard error.
pub fn run(arguments: Arguments) -> ExitCode {
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let _lines = log::start(&config);
    let done = match arguments.command {
        None => develop::run(config, arguments.demo),
        Some(Command::Serve) => match config.production_faults() {
            faults if faults.is_empty() => serve::run(config),
            faults => return refuse(&faults),
        },
        Some(Command::Migrate(options)) => serve::migrate(&config, options.service_role.as_deref()),
        Some(Command::Openapi) => {
            println!("{:#}", crate::http::document::document().json);
            Ok(())
        }
        Some(Command::Import(ImportCommand::Plan { file, organization })) => {
            import::plan(&config, &file, OrganizationId(organization))
        }
        Some(Command::Admin(AdminCommand::Create { username, organization })) => admin::create(&config, &username, &organization),
        Some(Command::Keys(KeysCommand::Rotate { data, signing, audit })) => keys::rotate(&config, data, signing, audit),
        Some(Command::Keys(KeysCommand::Revoke { kid })) => keys::revoke(&config, &kid),
        Some(Command::Backup(FileArgument { file })) => backup::backup(&config, &file),
        Some(Command::Restore(FileArgument { file })) => backup::restore(&config, &file),
        Some(Command::Audit(AuditCommand::Verify { checkpoints })) => audit::verify(&config, checkpoints),
        Some(Command::Clock(ClockCommand::Advance { by })) => clock::advance(&config, by),
        Some(Command::Config(ConfigCommand::Check)) => return check(&config),
        Some(Command::Health) => serve::health(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => refuse(&[fault]),
    }
}

fn refuse(faults: &[String]) -> ExitCode {
    for fault in faults {
        eprintln!("half-sky: {fault}");
    }
    ExitCode::from(2)
}

fn check(config: &Config) -> ExitCode {
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!(" [{}]", variable.default) };
        println!("{}{default}\n    {}", variable.name, variable.doc);
    }
    match config.production_faults() {
        faults if faults.is_empty() => {
            config.production_warnings().iter().for_each(|warning| println!("warning: {warning}"));
            println!("The configuration is complete.");
            ExitCode::SUCCESS
        }
        faults => refuse(&faults),
    }
}

fn duration(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "expected a number and a unit: m, h, d or w, such as 30d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "m" => TimeDelta::minutes(1),
        "h" => TimeDelta::hours(1),
        "d" => TimeDelta::days(1),
        "w" => TimeDelta::weeks(1),
        _ => return Err(wrong()),
    };
    i32::try_from(number).ok().filter(|number| (1..=10_000).contains(number)).map(|number| unit * number).ok_or_else(wrong)
}

/// A multi-threaded runtime for migrations and background work.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|fault| fault.to_string())
}

/// The database as its owner reaches it.
fn owner(config: &Config) -> Result<Address, String> {
    Address::new(owner_url(config)?, config.database_ca.as_deref())
}

fn owner_url(config: &Config) -> Result<&str, String> {
    let url = config.owner_url.as_deref().or(config.database_url.as_deref());
    url.ok_or_else(|| "DATABASE_OWNER_URL or DATABASE_URL is needed".to_owned())
}

/// How many tables and views a database has, in whatever schema; an empty one has none.
async fn tables(conn: &mut AsyncPgConnection) -> Result<i64, String> {
    const COUNT: &str = "SELECT count(*) AS tables FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind IN ('r', 'p', 'v', 'm')";
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        tables: i64,
    }
    let found: Found = diesel::sql_query(COUNT).get_result(conn).await.map_err(|fault| fault.to_string())?;
    Ok(found.tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("30d"), Ok(TimeDelta::days(30)));
        assert_eq!(duration("90m"), Ok(TimeDelta::minutes(90)));
        for wrong in ["", "d", "30", "-1d", "1y", "三十d", "99999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
