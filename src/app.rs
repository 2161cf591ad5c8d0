//! The service's shared parts, built once by `main` or by a test.

use std::sync::Arc;

use crate::accounts::{Passwords, SigningKeys, TokenCache};
use crate::audit::refusals::Refusals;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::files::Objects;
use crate::http::Room;
use crate::http::arrivals::Arrivals;
use crate::http::metrics::Metrics;
use crate::http::rate::Limits;
use crate::imports::BOOKS;
use crate::jobs::Wake;
use crate::vault::Vault;

/// Handle to the shared parts; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The shared parts.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// Both clocks.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// Encryption at rest.
    pub vault: Vault,
    /// Keys that sign access tokens.
    pub signing_keys: SigningKeys,
    /// Tokens that have been verified.
    pub tokens: TokenCache,
    /// The bounded argon2 workers.
    pub passwords: Passwords,
    /// The bytes of files.
    pub objects: Objects,
    /// Forms on their way.
    pub arrivals: Arrivals,
    /// Workbooks of imports that are being made.
    pub books: Room,
    /// Rate limits.
    pub limits: Limits,
    /// Figures for /metrics.
    pub metrics: Metrics,
    /// Refusals of the current minute.
    pub refusals: Refusals,
    /// Wakes the job workers.
    pub wake: Wake,
    /// Demo mode: the clock may be moved.
    pub demo: bool,
    /// Commands roll back instead of committing: the tests ask every operation as every role without changing anything.
    pub rehearsal: bool,
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Connects to a migrated database: loads the data keys and signing keys.
    pub async fn connect(config: Config, clock: Clock, database_url: &str, demo: bool, rehearsal: bool) -> Result<Self, String> {
        let db = Db::new(database_url, config.database_ca.as_deref(), config.pool_size)?;
        let mut conn = db.dedicated_connection().await.map_err(|fault| fault.to_string())?;
        let vault = Vault::load(&mut conn, config.master_keys.clone()).await.map_err(|fault| fault.to_string())?;
        let signing_keys = SigningKeys::load(&mut conn, &vault, &clock).await.map_err(|fault| fault.to_string())?;
        let objects = Objects::in_folder(&config.files)?;
        Ok(Self(Arc::new(Parts {
            arrivals: Arrivals::new(objects.scratch()),
            objects,
            books: Room::new(BOOKS),
            limits: Limits::new(&config.rate_limits),
            passwords: Passwords::new(config.cheap_passwords),
            tokens: TokenCache::default(),
            metrics: Metrics::new(),
            refusals: Refusals::default(),
            wake: Wake::default(),
            config,
            clock,
            db,
            vault,
            signing_keys,
            demo,
            rehearsal,
        })))
    }
}
