//! One private PostgreSQL per test binary, a template database with the demo data, a clone of it per test.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use half_sky::app::App;
use half_sky::clock::Clock;
use half_sky::config::Config;
use half_sky::db::private_postgres::{Options, PrivatePostgres, Purpose, SUPERUSER};
use half_sky::db::{Address, migrate};
use half_sky::demo::{self, SignIn};
use half_sky::run::serve;
use indicatif::ProgressBar;
use tempfile::TempDir;

use super::{config, now};

const OWNER: &str = "half_sky_owner";
const LOGIN: &str = "half_sky_login";
const TEMPLATE: &str = "template_demo";

/// The server of this test binary.
pub struct Server {
    /// The private PostgreSQL; it ends with the process.
    pub postgres: PrivatePostgres,
    /// Demo accounts of the template.
    pub sign_ins: Vec<SignIn>,
    /// Files of the template.
    files: TempDir,
    /// Databases whose tests have ended.
    finished: Mutex<Vec<String>>,
}

/// Starts the server at the first call.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| std::thread::spawn(start).join().unwrap_or_else(|_| panic!("the test server did not start")))
}

#[allow(clippy::disallowed_methods)]
fn start() -> Server {
    let mut options = Options::new(Purpose::Test);
    options.path = std::env::var_os("PATH");
    options.settings.push(("max_connections".to_owned(), "300".to_owned()));
    let postgres = PrivatePostgres::start(&options).unwrap_or_else(|fault| panic!("{fault}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let files = tempfile::tempdir().unwrap();
    let sign_ins = runtime.block_on(async {
        let mut admin = AsyncPgConnection::establish(&postgres.url(SUPERUSER, "postgres")).await.unwrap();
        let roles = format!("CREATE ROLE {OWNER} LOGIN CREATEROLE; CREATE ROLE {LOGIN} LOGIN");
        admin.batch_execute(&roles).await.unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER}")).await.unwrap();
        let owner = Address::new(&postgres.url(OWNER, TEMPLATE), None).unwrap();
        let login = postgres.url(LOGIN, TEMPLATE);
        let progress = ProgressBar::hidden();
        migrate::run(&owner).await.unwrap();
        serve::grant_service(&owner, LOGIN).await.unwrap();
        serve::load_reference(&owner, &progress).await.unwrap();
        let config = Config { files: files.path().to_owned(), ..config() };
        let app = App::connect(config, Clock::fixed(now()), &login, true, false).await.unwrap();
        let sign_ins = demo::load(&app, &owner, vec![], &progress).await.unwrap();
        drop(app);
        let sealed = format!("ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true");
        admin.batch_execute(&sealed).await.unwrap();
        // Connections that are still closing would stand in the way of the first clone.
        admin
            .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'template_demo'")
            .await
            .unwrap();
        sign_ins
    });
    runtime.shutdown_background();
    Server { postgres, sign_ins, files, finished: Mutex::default() }
}

/// A database of one test; dropped some time after it.
#[derive(Clone)]
pub struct Database(Arc<Name>);

struct Name(String, TempDir);

impl Drop for Name {
    fn drop(&mut self) {
        server().finished.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(self.0.clone());
    }
}

impl Database {
    /// A clone of the template.
    pub async fn create() -> Self {
        Self::make(&format!(" TEMPLATE {TEMPLATE} OWNER {OWNER}")).await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::make(&format!(" OWNER {OWNER}")).await
    }

    /// A migrated database with the reference data and nothing else.
    pub async fn bare() -> Self {
        let database = Self::empty().await;
        let owner = database.owner_address();
        // The migration harness blocks in place, which needs a multi-threaded runtime.
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                migrate::run(&owner).await.unwrap();
                serve::grant_service(&owner, LOGIN).await.unwrap();
                serve::load_reference(&owner, &ProgressBar::hidden()).await.unwrap();
            });
        });
        made.join().unwrap_or_else(|_| panic!("the database could not be made"));
        database
    }

    async fn make(options: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = tokio::task::spawn_blocking(server).await.unwrap();
        let finished = std::mem::take(&mut *server.finished.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let mut admin = AsyncPgConnection::establish(&server.postgres.url(SUPERUSER, "postgres")).await.unwrap();
        for old in finished {
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {old} WITH (FORCE)")).await.unwrap();
        }
        admin.batch_execute(&format!("CREATE DATABASE {name}{options}")).await.unwrap();
        Self(Arc::new(Name(name, copy_of(server.files.path()))))
    }

    /// Its folder of files.
    pub fn files(&self) -> &Path {
        self.0.1.path()
    }

    /// Its address for the service.
    pub fn login_url(&self) -> String {
        server().postgres.url(LOGIN, &self.0.0)
    }

    /// Its address for the owner of the tables.
    pub fn owner_url(&self) -> String {
        server().postgres.url(OWNER, &self.0.0)
    }

    /// The same, as the owner's commands take it.
    pub fn owner_address(&self) -> Address {
        Address::new(&self.owner_url(), None).unwrap()
    }

    /// A connection as the owner of the tables.
    pub async fn owner(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.owner_url()).await.unwrap()
    }

    /// A connection as the superuser, who sees what every session is doing.
    pub async fn superuser(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&server().postgres.url(SUPERUSER, &self.0.0)).await.unwrap()
    }

    /// A connection as the service.
    pub async fn login(&self) -> AsyncPgConnection {
        let mut conn = AsyncPgConnection::establish(&self.login_url()).await.unwrap();
        conn.batch_execute("SET ROLE half_sky_service").await.unwrap();
        conn
    }
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(folder, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_into(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
