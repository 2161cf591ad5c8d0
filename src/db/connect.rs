//! Connections. Transactions take one from a pool; bounded reads share a few pipelined connections per HTTP worker, which
//! halves the database's work for each of them.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use futures_util::stream::{BoxStream, poll_fn};
use futures_util::{FutureExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::http::problem::{ApiError, ApiResult, Code};

/// Connections of a worker that its reads share.
const READERS: usize = 2;

/// How to reach the database, and the pool for transactions.
#[derive(Clone)]
pub struct Db {
    address: Address,
    pool: Pool<AsyncPgConnection>,
}

/// What is over in milliseconds is not worth a compiler or a crew; a page is a walk of an index with look-ups, and a merge would
/// read the other table from its beginning up to there (84 ms instead of 0.05 for page 500 of a province).
const READ_SETTINGS: &str = "-c default_transaction_read_only=on -c jit=off \
    -c max_parallel_workers_per_gather=0 -c enable_mergejoin=off";

/// What a connection hears beside the answers to its queries: notices and notifications.
pub type Heard = BoxStream<'static, Result<tokio_postgres::AsyncMessage, tokio_postgres::Error>>;

/// Where a database is and how to speak to it: with TLS where an authority is set.
#[derive(Clone)]
pub struct Address {
    url: String,
    tls: Option<MakeRustlsConnect>,
}

impl Db {
    /// Prepares a pool of at most `size` connections; none is opened yet.
    pub fn new(url: &str, ca_file: Option<&Path>, size: usize) -> Result<Self, String> {
        let address = Address::new(url, ca_file)?;
        let mut manager = ManagerConfig::default();
        // A ping at each checkout costs more than the query it protects; broken connections are discarded when they fail.
        manager.recycling_method = RecyclingMethod::Fast;
        let setup = address.clone();
        manager.custom_setup = Box::new(move |_| {
            let address = setup.clone();
            async move { address.connect_for(Role::Transactions).await.map(|(connection, _)| connection) }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(url, manager);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(Duration::from_secs(5)))
            .create_timeout(Some(Duration::from_secs(5)))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|fault| fault.to_string())?;
        Ok(Self { address, pool })
    }

    /// A connection for a transaction. Waits at most five seconds for one.
    pub async fn transaction_connection(&self) -> ApiResult<Object<AsyncPgConnection>> {
        use deadpool::managed::PoolError;
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(_) => ApiError::from(Code::Overloaded).caused_by("no connection became free"),
            other => ApiError::from(Code::Unavailable).caused_by(other),
        })
    }

    /// A connection of one's own, for work that is long or that listens.
    pub async fn dedicated_connection(&self) -> ConnectionResult<AsyncPgConnection> {
        self.address.connect_for(Role::Dedicated).await.map(|(connection, _)| connection)
    }

    /// A client that listens, and what it hears.
    pub async fn listener(&self) -> Result<(tokio_postgres::Client, Heard), String> {
        let connected = self.address.open(Role::Dedicated).await;
        connected.map_err(|fault| fault.to_string())
    }

    /// The reads of one worker.
    pub fn reader(&self) -> Reader {
        Reader { address: self.address.clone(), role: Role::Reads, slots: Default::default(), next: Cell::new(0) }
    }

    /// The reads of long work, such as an export, beside those of the workers.
    pub fn patient_reader(&self) -> Reader {
        Reader { role: Role::PatientReads, ..self.reader() }
    }

    /// Connections in use and idle, for the metrics.
    pub fn pool_state(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.available)
    }
}

/// What a connection is for; decides its time limits.
#[derive(Clone, Copy)]
enum Role {
    Reads,
    PatientReads,
    Transactions,
    Dedicated,
    Named,
}

impl Address {
    /// Reads the certificates; nothing is opened yet.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        Ok(Self { url: url.to_owned(), tls: ca_file.map(tls).transpose()? })
    }

    /// A connection as whoever the address names, such as the owner of the tables. The service itself uses [`Db`].
    pub async fn connect(&self) -> Result<AsyncPgConnection, String> {
        self.connect_for(Role::Named).await.map(|(connection, _)| connection).map_err(|fault| fault.to_string())
    }

    fn config(&self, role: Role) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = self.url.parse()?;
        config.application_name("half-sky");
        config.connect_timeout(Duration::from_secs(5));
        // A link that is lost silently is noticed within a minute, also by the connection that only listens.
        config.keepalives_idle(Duration::from_secs(20)).keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(60));
        let limits = match role {
            Role::Named => return Ok(config),
            Role::Reads => {
                config.application_name("half-sky reads");
                format!("-c statement_timeout=10s {READ_SETTINGS}")
            }
            Role::PatientReads => {
                config.application_name("half-sky long reads");
                format!("-c statement_timeout=30s {READ_SETTINGS}")
            }
            Role::Transactions => {
                "-c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s".to_owned()
            }
            Role::Dedicated => String::new(),
        };
        config.options(format!("-c role=half_sky_service -c TimeZone=UTC {limits}"));
        Ok(config)
    }

    /// Opens a connection.
    async fn open(&self, role: Role) -> ConnectionResult<(tokio_postgres::Client, Heard)> {
        let bad = |fault: tokio_postgres::Error| {
            let cause = std::error::Error::source(&fault).map(|cause| format!(": {cause}")).unwrap_or_default();
            ConnectionError::BadConnection(format!("{fault}{cause}"))
        };
        let config = self.config(role).map_err(bad)?;
        Ok(match &self.tls {
            Some(tls) => {
                let (client, mut driver) = config.connect(tls.clone()).await.map_err(bad)?;
                (client, poll_fn(move |context| driver.poll_message(context)).boxed())
            }
            None => {
                let (client, mut driver) = config.connect(tokio_postgres::NoTls).await.map_err(bad)?;
                (client, poll_fn(move |context| driver.poll_message(context)).boxed())
            }
        })
    }

    /// Opens a connection that queries. The flag turns true when it is lost.
    async fn connect_for(&self, role: Role) -> ConnectionResult<(AsyncPgConnection, Arc<AtomicBool>)> {
        let (client, mut heard) = self.open(role).await?;
        let lost = Arc::new(AtomicBool::new(false));
        let signal = Arc::clone(&lost);
        // Whoever polls drives the connection; it ends when the client is dropped or the server is gone.
        tokio::spawn(async move {
            while let Some(Ok(_)) = heard.next().await {}
            signal.store(true, Ordering::Relaxed);
        });
        Ok((AsyncPgConnection::try_from(client).await?, lost))
    }
}

fn tls(ca_file: &Path) -> Result<MakeRustlsConnect, String> {
    let fault = |fault: &dyn std::fmt::Display| format!("{}: {fault}", ca_file.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|e| fault(&e))? {
        roots.add(certificate.map_err(|e| fault(&e))?).map_err(|e| fault(&e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fault(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// One slot of a [`Reader`]: a shared connection and the flag that says it is lost.
type Slot = RefCell<Option<(Rc<AsyncPgConnection>, Arc<AtomicBool>)>>;

/// The pipelined connections of one HTTP worker. Statements of several requests travel together; scope is in each statement,
/// never in the session. A lost connection is replaced at the next read.
pub struct Reader {
    address: Address,
    role: Role,
    slots: [Slot; READERS],
    next: Cell<usize>,
}

impl Reader {
    /// A connection to read on; use it as `&connection`.
    pub async fn connection(&self) -> ApiResult<Rc<AsyncPgConnection>> {
        let slot = &self.slots[self.next.replace((self.next.get() + 1) % READERS)];
        if let Some((connection, lost)) = &*slot.borrow()
            && !lost.load(Ordering::Relaxed)
        {
            return Ok(Rc::clone(connection));
        }
        let (connection, lost) =
            self.address.connect_for(self.role).await.map_err(|fault| ApiError::from(Code::Unavailable).caused_by(fault))?;
        let connection = Rc::new(connection);
        *slot.borrow_mut() = Some((Rc::clone(&connection), lost));
        Ok(connection)
    }
}
