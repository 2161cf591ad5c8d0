//! argon2id on a bounded number of threads: many sign-ins at once queue up instead of eating the machine.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::http::{ApiError, ApiResult, Code};

/// Hashes at once; each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Sign-ins that may wait; beyond that the service is overloaded.
const WAITING: usize = 50;

/// The bounded hashers.
#[derive(Clone)]
pub struct Passwords {
    hasher: Argon2<'static>,
    running: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    dummy: Arc<str>,
}

impl Passwords {
    /// OWASP's parameters (19 MiB, 2 passes, 1 lane); cheap ones only in tests.
    pub fn new(cheap: bool) -> Self {
        let params = if cheap { Params::new(8, 1, 1, None) } else { Params::new(19_456, 2, 1, None) };
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("the parameters are in range"));
        let dummy = hash(&hasher, "nobody has this password").expect("a password can be hashed");
        Self {
            hasher,
            running: Arc::new(Semaphore::new(AT_ONCE)),
            queued: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            dummy: dummy.into(),
        }
    }

    /// Hashes a password into PHC form.
    pub async fn hash(&self, password: &str) -> ApiResult<String> {
        let (hasher, password) = (self.hasher.clone(), password.to_owned());
        self.run(move || hash(&hasher, &password)).await?.map_err(ApiError::internal)
    }

    /// The same for work in the background: it waits for its turn however long that takes, one password at a time.
    pub async fn hash_in_turn(&self, password: &str) -> ApiResult<String> {
        let (hasher, password) = (self.hasher.clone(), password.to_owned());
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(ApiError::internal)?;
        let hashed = tokio::task::spawn_blocking(move || {
            let _held = turn;
            hash(&hasher, &password)
        });
        hashed.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
    }

    /// Whether a password is right. Without a hash — nobody has that name — it takes as long and answers no.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> ApiResult<bool> {
        let (hasher, password) = (self.hasher.clone(), password.to_owned());
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&self.dummy).to_owned();
        let right = self
            .run(move || {
                PasswordHash::new(&stored).is_ok_and(|parsed| hasher.verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(right && exists)
    }

    async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> ApiResult<R> {
        let place = Arc::clone(&self.queued).try_acquire_owned().map_err(|_| ApiError::from(Code::Overloaded))?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(ApiError::internal)?;
        tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        })
        .await
        .map_err(ApiError::internal)
    }
}

fn hash(hasher: &Argon2<'_>, password: &str) -> Result<String, String> {
    hasher.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|fault| fault.to_string())
}
