//! The cache that keeps signature checks and look-ups off the path of most requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::DateTime;
use uuid::Uuid;

use super::store;
use super::tokens::{LEEWAY, refused, verify};
use crate::app::App;
use crate::http::{ApiResult, Caller, Code};
use crate::vault::sha256;

/// Tokens that have been verified, with their callers. Every change of a session, an account or its grants drops the copies on
/// this node when it commits, and on the others by NOTIFY.
pub struct TokenCache {
    entries: quick_cache::sync::Cache<Vec<u8>, Arc<Caller>>,
    /// Raised by every drop: what was read before it is not cached after it.
    epoch: AtomicU64,
    /// False while this node cannot hear of changes.
    trusted: AtomicBool,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { entries: quick_cache::sync::Cache::new(10_000), epoch: AtomicU64::new(0), trusted: AtomicBool::new(true) }
    }
}

impl TokenCache {
    /// Drops what is known of an account.
    pub fn forget_account(&self, account: Uuid) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.entries.retain(|_, caller| caller.account_id.0 != account);
    }

    /// Drops everything.
    pub fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.entries.clear();
    }

    /// Whether this node hears of changes; while it does not, nothing is cached.
    pub fn trust(&self, trusted: bool) {
        self.trusted.store(trusted, Ordering::SeqCst);
        self.forget_all();
    }
}

/// Who a token belongs to.
pub async fn authenticate(app: &App, token: &str) -> ApiResult<Arc<Caller>> {
    let key = sha256(token.as_bytes());
    let now = app.clock.wall();
    if let Some(caller) = app.tokens.entries.get(&key) {
        return if caller.expires_at > now { Ok(caller) } else { Err(refused(Code::TokenExpired)) };
    }
    let claims = verify(app, token)?;
    let epoch = app.tokens.epoch.load(Ordering::SeqCst);
    let conn = app.db.transaction_connection().await?;
    let found = store::find_caller(&conn, claims.sid.into(), claims.sub.into(), now).await?;
    let (session, account, roles) = found.ok_or_else(|| refused(Code::TokenRevoked))?;
    let expires_at = DateTime::from_timestamp(claims.exp + LEEWAY, 0).unwrap_or(now).min(session.expires_at);
    let caller = Arc::new(Caller {
        account_id: session.account_id,
        session_id: session.id,
        organization_id: account.organization_id,
        roles,
        authenticated_at: session.authenticated_at,
        strong: session.strong,
        must_change_password: account.password_is_initial,
        expires_at,
    });
    if app.tokens.trusted.load(Ordering::SeqCst) {
        app.tokens.entries.insert(key.clone(), Arc::clone(&caller));
        if app.tokens.epoch.load(Ordering::SeqCst) != epoch {
            app.tokens.entries.remove(&key);
        }
    }
    Ok(caller)
}
