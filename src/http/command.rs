//! A command: one transaction from the replay of its key to its stored reply. The handler inside sees its beats in order — load
//! in scope, permission, version, rule, body, write, record — and cannot forget one: the body is given out only checked, and
//! a command that asked no permission or recorded nothing does not commit.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, TransactionManager};
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use utoipa::IntoParams;
use uuid::Uuid;

use super::call::{Call, Caller};
use super::problem::{ApiError, ApiResult, Code};
use super::reply::Reply;
use crate::access::{Module, Need, Permission, Scope};
use crate::app::App;
use crate::audit::{self, Actor, Change};
use crate::db::locks;
use crate::db::schema::idempotency_keys;
use crate::db::scope::covers;
use crate::ids::OrganizationId;
use crate::vault::{Purpose, sha256};

/// How long stored replies are kept.
const RETENTION: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// Where stored replies are sealed.
const REPLY_PLACE: &str = "idempotency_keys.body";

/// Headers of a command on an existing object.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct CommandHeaders {
    /// Your own name for this request, new for each one; a repeat answers with the first reply.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[ -~]+$", example = "try-it-out")]
    idempotency_key: String,
    /// ETag of the version you have read.
    #[param(
        rename = "If-Match",
        min_length = 3,
        max_length = 100,
        pattern = "^\"[0-9]+(\\.[A-Za-z0-9_-]+)?\"$",
        example = "\"1\""
    )]
    if_match: String,
}

/// Headers of a command that creates.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct KeyHeader {
    /// Your own name for this request, new for each one; a repeat answers with the first reply.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[ -~]+$", example = "try-it-out")]
    idempotency_key: String,
}

/// Headers of a PUT or DELETE.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct VersionHeader {
    /// ETag of the version you have read.
    #[param(
        rename = "If-Match",
        min_length = 3,
        max_length = 100,
        pattern = "^\"[0-9]+(\\.[A-Za-z0-9_-]+)?\"$",
        example = "\"1\""
    )]
    if_match: String,
}

/// A command that is about to run.
pub struct Command {
    /// The call it came with.
    pub call: Call,
}

impl FromRequest for Command {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Call::from_request(request, payload).into_inner().map(|call| Self { call }))
    }
}

/// Something in memory that is brought up to date once the transaction has committed.
type AfterCommit = Box<dyn FnOnce(&App)>;

/// The transaction of a command.
pub struct Tx {
    /// The call it came with.
    pub call: Call,
    conn: Object<AsyncPgConnection>,
    /// Places at which the permission was found; a replay looks again.
    places: Vec<OrganizationId>,
    asked: bool,
    recorded: bool,
    rehearsal: bool,
    after_commit: Vec<AfterCommit>,
    /// Parts of a batch that the caller was not allowed, and their objects.
    denied: Vec<(Code, Option<Uuid>)>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency_keys)]
struct StoredReply {
    principal: Uuid,
    operation: String,
    key: String,
    fingerprint: Vec<u8>,
    status: i16,
    body: Vec<u8>,
    etag: Option<String>,
    location: Option<String>,
    permission: String,
    places: Vec<OrganizationId>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Command {
    /// Runs the handler's work in one transaction. It goes on when the client disconnects, so that a write is done or not
    /// begun, and its connection returns to the pool clean.
    pub async fn run<F>(self, work: F) -> ApiResult<Reply>
    where
        F: AsyncFnOnce(&mut Tx) -> ApiResult<Reply> + 'static,
    {
        actix_web::rt::spawn(async move { self.execute(work).await }).await.map_err(ApiError::internal)?
    }

    async fn execute(self, work: impl AsyncFnOnce(&mut Tx) -> ApiResult<Reply>) -> ApiResult<Reply> {
        let conn = self.call.app.db.transaction_connection().await?;
        let rehearsal = self.call.app.rehearsal;
        let mut tx = Tx {
            call: self.call,
            conn,
            places: vec![],
            asked: false,
            recorded: false,
            rehearsal,
            after_commit: vec![],
            denied: vec![],
        };
        AnsiTransactionManager::begin_transaction(&mut *tx.conn).await?;
        let worked = AssertUnwindSafe(tx.answer(work)).catch_unwind().await;
        match worked {
            Ok(Ok(reply)) if !tx.rehearsal => {
                AnsiTransactionManager::commit_transaction(&mut *tx.conn).await?;
                for work in std::mem::take(&mut tx.after_commit) {
                    work(&tx.call.app);
                }
                let Tx { call, conn, denied, .. } = tx;
                drop(conn);
                call.record_refusals(&denied).await;
                Ok(reply)
            }
            Ok(outcome) => {
                AnsiTransactionManager::rollback_transaction(&mut *tx.conn).await?;
                outcome
            }
            Err(_) => {
                AnsiTransactionManager::rollback_transaction(&mut *tx.conn).await?;
                Err(ApiError::internal("a command panicked"))
            }
        }
    }
}

impl Tx {
    async fn answer(&mut self, work: impl AsyncFnOnce(&mut Tx) -> ApiResult<Reply>) -> ApiResult<Reply> {
        let key = self.key();
        if let Some((key, fingerprint)) = &key
            && let Some(reply) = self.replay(key, fingerprint).await?
        {
            return Ok(reply);
        }
        let reply = work(self).await?;
        if !self.asked || !self.recorded {
            return Err(ApiError::internal(format!(
                "{} committed nothing: permission asked {}, change recorded {}",
                self.call.operation.id, self.asked, self.recorded
            )));
        }
        if let Some((key, fingerprint)) = key {
            self.store(key, fingerprint, &reply).await?;
        }
        Ok(reply)
    }

    /// The transaction's connection.
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }

    /// Who calls; a public command has none.
    pub fn caller(&self) -> ApiResult<&Caller> {
        self.call.signed_in().map(|caller| &**caller)
    }

    /// Domain time.
    pub fn now(&self) -> DateTime<Utc> {
        self.call.app.clock.now()
    }

    /// Today in Asia/Shanghai, by domain time.
    pub fn today(&self) -> NaiveDate {
        self.call.today()
    }

    /// Where the object must lie to exist for the caller: outside it there is nothing (404).
    pub fn scope(&self) -> Scope {
        match self.call.operation.need {
            Need::Holds(permission) => self.call.scope_for(permission.reads()),
            _ => Scope::of(&[], Permission::OrganizationRead, self.today()),
        }
    }

    /// The caller holds the operation's permission at this organization, or 403.
    pub async fn require(&mut self, place: OrganizationId) -> ApiResult<()> {
        let Need::Holds(permission) = self.call.operation.need else {
            return Err(ApiError::internal("require() on an operation without a permission"));
        };
        self.require_permission(permission, None, place).await
    }

    /// The same, by a grant that includes a module; none: by any.
    pub async fn require_in(&mut self, place: OrganizationId, module: Option<Module>) -> ApiResult<()> {
        let Need::Holds(permission) = self.call.operation.need else {
            return Err(ApiError::internal("require_in() on an operation without a permission"));
        };
        self.require_permission(permission, module, place).await
    }

    async fn require_permission(
        &mut self,
        permission: Permission,
        module: Option<Module>,
        place: OrganizationId,
    ) -> ApiResult<()> {
        self.asked = true;
        let roles = self.call.caller.as_ref().map_or(&[][..], |caller| &caller.roles);
        let scope = Scope::in_module(roles, permission, module, self.today());
        if !covers(&self.conn, &scope, place).await? {
            return Err(Code::PermissionDenied.into());
        }
        self.places.push(place);
        Ok(())
    }

    /// Commands on oneself, and signing in, need no permission: says so.
    pub fn concerns_caller(&mut self) {
        self.asked = true;
    }

    /// The caller holds the operation's permission somewhere, or 403: for batches, before their items are looked at.
    pub fn require_somewhere(&self) -> ApiResult<()> {
        match self.call.operation.need {
            Need::Holds(permission) if self.call.scope_for(permission).is_empty() => Err(Code::PermissionDenied.into()),
            _ => Ok(()),
        }
    }

    /// For creates, before the rules of the body: at the organization that this field of the body names the caller holds the
    /// operation's permission, or 403. One that does not exist for her is a fault of the body, which the handler tells.
    pub async fn require_at(&mut self, field: &str) -> ApiResult<()> {
        self.require_somewhere()?;
        let Some(place) = self.call.field::<OrganizationId>(field) else { return Ok(()) };
        if covers(&self.conn, &self.scope(), place).await? { self.require(place).await } else { Ok(()) }
    }

    /// Something in memory to bring up to date when the transaction has committed, such as the cache of tokens.
    pub fn after_commit(&mut self, work: impl FnOnce(&App) + 'static) {
        self.after_commit.push(Box::new(work));
    }

    /// The version the caller has read is the one there is, or 412.
    pub fn check_version(&self, version: i32) -> ApiResult<()> {
        let given = self.call.parameters.get("If-Match").and_then(|value| value.as_str()).unwrap_or_default();
        let given = given.trim_matches('"').split('.').next().unwrap_or_default();
        if given == version.to_string() {
            return Ok(());
        }
        Err(ApiError::from(Code::VersionConflict)
            .with("current_version", version.into())
            .with_header(actix_web::http::header::ETAG, &format!("\"{version}\"")))
    }

    /// The body, after its rules were checked: every fault at once (422).
    pub fn body<T: DeserializeOwned>(&self) -> ApiResult<T> {
        self.call.body()
    }

    /// Writes the audit entry of the change.
    pub async fn record(&mut self, change: Change) -> ApiResult<()> {
        self.record_all(vec![change]).await
    }

    /// Writes an audit entry for each of many changes, if there are any, in one statement.
    pub async fn record_all(&mut self, changes: Vec<Change>) -> ApiResult<()> {
        self.recorded |= !changes.is_empty();
        let role = match (self.call.operation.need, &self.call.caller) {
            (Need::Holds(permission), Some(caller)) => caller.role_for(permission, self.today()).map(|role| role.as_str()),
            _ => None,
        };
        let actor = Actor { role, ..self.call.actor() };
        let at = self.call.app.clock.wall();
        Ok(audit::record_all(&mut self.conn, at, &actor, changes).await?)
    }

    /// Runs one part of a batch: what it wrote is undone when it is refused, and the batch can go on.
    pub async fn part<R>(&mut self, work: impl AsyncFnOnce(&mut Self) -> ApiResult<R>) -> ApiResult<R> {
        AnsiTransactionManager::begin_transaction(&mut *self.conn).await?;
        let worked = work(self).await;
        match &worked {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut *self.conn).await?,
            Err(_) => AnsiTransactionManager::rollback_transaction(&mut *self.conn).await?,
        }
        worked
    }

    /// Everything is done and nothing of it stays: the answer of a preview is that of the command itself, and its key stays free
    /// for the command.
    pub fn rehearse(&mut self) {
        self.rehearsal = true;
    }

    /// Checks the version of one item of a batch.
    pub fn check_item_version(&self, given: i32, version: i32) -> ApiResult<()> {
        if given == version { Ok(()) } else { Err(ApiError::from(Code::VersionConflict).with("current_version", version.into())) }
    }

    /// Notes that a part of a batch was refused; what the caller was not allowed is recorded when the rest has committed.
    pub fn part_refused(&mut self, code: Code, object: Uuid) {
        if matches!(code, Code::PermissionDenied | Code::NotFound) {
            self.denied.push((code, Some(object)));
        }
    }

    /// A batch whose items were all refused has changed nothing and recorded nothing, and is still an answer.
    pub fn settle_batch(&mut self) {
        self.asked = true;
        self.recorded = true;
    }

    fn key(&self) -> Option<(String, Vec<u8>)> {
        if !self.call.operation.needs_key {
            return None;
        }
        let key = self.call.parameters.get("Idempotency-Key")?.as_str()?.trim_matches('"').to_owned();
        let parts = [self.call.operation.id.as_bytes(), b"\n", self.call.target.as_bytes(), b"\n", &self.call.body];
        Some((key, sha256(&parts.concat())))
    }

    fn principal(&self) -> Uuid {
        self.call.caller.as_ref().map_or(Uuid::nil(), |caller| caller.account_id.0)
    }

    /// The stored reply of a repeated key, after authorizing again. The advisory lock lives as long as the transaction, so a
    /// key is worked on by one request at a time on all nodes, and a crash leaves nothing behind.
    async fn replay(&mut self, key: &str, fingerprint: &[u8]) -> ApiResult<Option<Reply>> {
        let (principal, operation) = (self.principal(), self.call.operation.id.as_str());
        let number = locks::number(format!("{principal}\n{operation}\n{key}").as_bytes());
        if !locks::try_take(&mut self.conn, number).await? {
            return Err(ApiError::from(Code::IdempotencyInProgress).with_header(actix_web::http::header::RETRY_AFTER, "1"));
        }
        let stored: Option<StoredReply> = idempotency_keys::table
            .find((principal, operation, key))
            .select(StoredReply::as_select())
            .first(&mut *self.conn)
            .await
            .optional()?;
        let Some(stored) = stored else { return Ok(None) };
        if stored.fingerprint != fingerprint {
            return Err(Code::IdempotencyKeyReused.into());
        }
        if let Some(permission) = Permission::named(&stored.permission) {
            for place in stored.places {
                if !covers(&self.conn, &self.call.scope_for(permission.reads()), place).await? {
                    return Err(Code::NotFound.into());
                }
                self.require_permission(permission, None, place).await?;
            }
        }
        let body = self.call.app.vault.open(REPLY_PLACE, &stored.body)?;
        let status = StatusCode::from_u16(stored.status as u16).map_err(ApiError::internal)?;
        // What was stored may hold an initial password: a replay is kept nowhere, whatever it holds.
        Ok(Some(Reply { status, body, etag: stored.etag, location: stored.location, secret: true, replayed: true }))
    }

    async fn store(&mut self, key: String, fingerprint: Vec<u8>, reply: &Reply) -> ApiResult<()> {
        let now = self.call.app.clock.wall();
        let stored = StoredReply {
            principal: self.principal(),
            operation: self.call.operation.id.clone(),
            key,
            fingerprint,
            status: reply.status.as_u16() as i16,
            body: self.call.app.vault.seal(Purpose::Replies, REPLY_PLACE, &reply.body),
            etag: reply.etag.clone(),
            location: reply.location.clone(),
            permission: self.call.operation.need.as_str().to_owned(),
            places: std::mem::take(&mut self.places),
            created_at: now,
            expires_at: now + RETENTION,
        };
        diesel::insert_into(idempotency_keys::table).values(stored).execute(&mut *self.conn).await?;
        Ok(())
    }
}

/// Forgets stored replies that have expired; a timetable job calls it. Returns how many.
pub async fn purge_replies(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(idempotency_keys::table.filter(idempotency_keys::expires_at.lt(now))).execute(conn).await
}
