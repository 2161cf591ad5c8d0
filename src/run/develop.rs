//! `half-sky` without a command: a private PostgreSQL, migrations, reference and demo data, the service, what to open.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diesel::sql_types::Bool;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{clock, owner, runtime, serve, tables};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::private_postgres::{Options, PrivatePostgres, Purpose, SUPERUSER};
use crate::db::{Address, migrate};
use crate::demo::{self, SignIn};
use crate::vault::random;

/// Database of the private PostgreSQL.
const DATABASE: &str = "half_sky";
/// Role that owns the tables.
const OWNER: &str = "half_sky_owner";
/// Role the service logs in as.
const LOGIN: &str = "half_sky_login";

/// Serves for development.
pub fn run(mut config: Config, demo: bool) -> Result<(), String> {
    fs::create_dir_all(&config.data).map_err(|fault| format!("{}: {fault}", config.data.display()))?;
    if config.master_keys.is_empty() {
        config.master_keys = vec![development_key(&config.data.join("master-key"))?];
    }
    let background = runtime()?;
    let (postgres, owner, url) = match config.database_url.clone() {
        Some(url) => {
            let owner = owner(&config)?;
            background.block_on(check_foreign(&owner, demo))?;
            (None, owner, url)
        }
        None => {
            let postgres = start_private(&config)?;
            background.block_on(prepare(&postgres))?;
            let (owner, login) = (Address::new(&postgres.url(OWNER, DATABASE), None)?, postgres.url(LOGIN, DATABASE));
            (Some(postgres), owner, login)
        }
    };
    let progress = progress_bar();
    let clock = config.clock.map_or_else(Clock::system, Clock::starting_at);
    let sign_ins_file = config.data.join("sign-ins.json");
    let (app, sign_ins) = background.block_on(async {
        progress.set_message("migrations");
        migrate::run(&owner).await?;
        if postgres.is_some() {
            serve::grant_service(&owner, LOGIN).await?;
        }
        serve::load_reference(&owner, &progress).await?;
        let app = App::connect(config, clock, &url, true, false).await?;
        let known = read_sign_ins(&sign_ins_file);
        let sign_ins = demo::load(&app, &owner, known, &progress).await?;
        Ok::<_, String>((app, sign_ins))
    })?;
    progress.finish_and_clear();
    write_sign_ins(&sign_ins_file, &sign_ins)?;
    let socket = app.config.data.clone();
    let control = app.clone();
    let beside =
        move |stop| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(clock::listen(control, socket, stop)) };
    let welcome = || welcome(&app, &sign_ins, &sign_ins_file, postgres.as_ref());
    let served = serve::serve(&app, &background, beside, welcome);
    if let Some(postgres) = postgres {
        drop(app);
        postgres.stop();
    }
    served
}

/// A bar on a terminal, nothing elsewhere.
pub fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} {msg} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn start_private(config: &Config) -> Result<PrivatePostgres, String> {
    let mut options = Options::new(Purpose::Development { folder: config.data.join("postgres") });
    options.bin_dir = config.postgres_bin.clone();
    options.path = config.path.clone();
    PrivatePostgres::start_or_install(&options).map_err(|fault| fault.to_string())
}

/// Makes the database and its roles, once.
async fn prepare(postgres: &PrivatePostgres) -> Result<(), String> {
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let fault = |fault: diesel::result::Error| fault.to_string();
    let server = postgres.url(SUPERUSER, "postgres");
    let mut conn = Address::new(&server, None)?.connect().await?;
    let exists = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') AS found");
    let found: Found = diesel::sql_query(exists).get_result(&mut conn).await.map_err(fault)?;
    if found.found {
        return Ok(());
    }
    for role in [format!("{OWNER} LOGIN CREATEROLE"), format!("{LOGIN} LOGIN")] {
        let name = role.split(' ').next().unwrap_or_default();
        conn.batch_execute(&format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN CREATE ROLE {role}; END IF; END $$"
        ))
        .await
        .map_err(fault)?;
    }
    conn.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {OWNER}")).await.map_err(fault)
}

/// A database that was given is touched only when it is empty and `--demo` says so, or when it is marked as ours.
async fn check_foreign(owner: &Address, demo: bool) -> Result<(), String> {
    #[derive(diesel::QueryableByName)]
    struct Encoding {
        #[diesel(sql_type = Bool)]
        utf8: bool,
    }
    let mut conn = owner.connect().await.map_err(|fault| format!("DATABASE_URL: {fault}"))?;
    let look = "SELECT datctype NOT IN ('C', 'POSIX') AND pg_encoding_to_char(encoding) = 'UTF8' AS utf8
        FROM pg_database WHERE datname = current_database()";
    let found: Encoding = diesel::sql_query(look).get_result(&mut conn).await.map_err(|fault| fault.to_string())?;
    if !found.utf8 {
        return Err("DATABASE_URL: the database must be UTF8 with a locale other than C, such as C.UTF-8; \
            otherwise Chinese names cannot be searched"
            .to_owned());
    }
    let marked = diesel::sql_query("SELECT FROM markers WHERE name = 'demo'").execute(&mut conn).await == Ok(1);
    match (marked, tables(&mut conn).await?, demo) {
        (true, ..) | (_, 0, true) => Ok(()),
        (_, 0, false) => Err("DATABASE_URL names an empty database; add --demo to load demo data into it".to_owned()),
        _ => Err("DATABASE_URL names a database that is not empty and not marked as demo; it was not touched. \
            For production use `half-sky migrate` and `half-sky serve`"
            .to_owned()),
    }
}

/// The master key of this folder, made at the first start.
fn development_key(file: &Path) -> Result<(String, [u8; 32]), String> {
    let fault = |fault: &dyn std::fmt::Display| format!("{}: {fault}", file.display());
    if !file.exists() {
        write_private(file, BASE64_STANDARD.encode(random::<32>()).as_bytes())?;
    }
    let text = fs::read_to_string(file).map_err(|e| fault(&e))?;
    let key = BASE64_STANDARD.decode(text.trim()).map_err(|e| fault(&e))?;
    Ok(("development".to_owned(), key.try_into().map_err(|_| fault(&"not 32 bytes"))?))
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(file: &Path, content: &[u8]) -> Result<(), String> {
    let aside = file.with_extension("new");
    let write = || {
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        out.write_all(content)?;
        out.sync_all()?;
        fs::rename(&aside, file)
    };
    write().map_err(|fault: std::io::Error| format!("{}: {fault}", file.display()))
}

fn read_sign_ins(file: &Path) -> Vec<SignIn> {
    fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write_sign_ins(file: &Path, sign_ins: &[SignIn]) -> Result<(), String> {
    let text = serde_json::to_vec_pretty(sign_ins).map_err(|fault| fault.to_string())?;
    write_private(file, &text)
}

fn welcome(app: &App, sign_ins: &[SignIn], file: &Path, postgres: Option<&PrivatePostgres>) {
    println!("半边天 Half the Sky");
    println!("  Swagger UI   http://{}/swagger-ui/", app.config.http);
    if let Some(postgres) = postgres {
        println!("  PostgreSQL   {}", postgres.folder().display());
    }
    println!("  Sign-ins     {} (user name, password, role, place)", file.display());
    for sign_in in sign_ins {
        println!("    {:<18} {:<22} {:<15} {}", sign_in.username, sign_in.password, sign_in.role, sign_in.organization.name);
    }
}
