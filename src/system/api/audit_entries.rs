//! The audit trail: reading it, and proving that it is as it was written.

use actix_web::get;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::work::is_platform_admin;
use crate::audit::checkpoints::{self, Checkpoint, PublicKey};
use crate::audit::sealer::backlog;
use crate::audit::verify::{Break, Part, verify};
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::{AccountId, AuditEntryId, OrganizationId, SessionId};
use crate::system::rules::{ActorKind, AuditOutcome};
use crate::system::store::{self, AuditEntryRow};
use crate::vault::hex;
use crate::{filters, page_schema, text_enum};

text_enum! {
    /// In which order the audit trail is read.
    AuditOrder {
        /// The last entry first.
        NewestFirst = "-at", "最新在前", "Newest first";
        /// The first entry first.
        OldestFirst = "at", "最早在前", "Oldest first";
    }
}

/// The order of the audit trail.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct AuditSorting {
    /// The order; the newest first unless told.
    #[param(inline)]
    sort: Option<AuditOrder>,
}

filters! {
    /// Filters of the audit trail.
    AuditEntryFilter {
        /// Only entries about this kind of object.
        #[param(min_length = 1, max_length = 64, pattern = "^[a-z_]+$", example = "plan")]
        object_type: String,
        /// Only entries about this object.
        #[param(example = "0168028c-2f00-7000-8010-000000002019")]
        object_id: Uuid,
        /// Only entries of this account.
        actor_id: AccountId,
        /// Only this action.
        #[param(min_length = 1, max_length = 64, pattern = "^[a-z_.]+$", example = "plan.imported")]
        action: String,
        /// Only entries of this organization, without those below it.
        #[param(example = "0168028c-2f00-7000-8000-430600000000")]
        organization_id: OrganizationId,
        /// Only these outcomes.
        outcome: Vec<AuditOutcome>,
        /// At this instant or later.
        #[param(example = "2019-01-01T00:00:00Z")]
        at_gte: DateTime<Utc>,
        /// Before this instant.
        #[param(example = "2100-01-01T00:00:00Z")]
        at_lt: DateTime<Utc>,
    }
}

/// An entry of the audit trail: who did what.
#[derive(Serialize, ToSchema)]
pub struct AuditEntryView {
    /// Its id.
    pub id: AuditEntryId,
    /// When it was done (wall time).
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor_kind: ActorKind,
    /// Account that did it; null where nobody was signed in or the system itself acted.
    #[schema(required = true)]
    pub actor_id: Option<AccountId>,
    /// Name of that account today.
    #[schema(required = true, examples("王芳"), max_length = 100, pattern = "^[^\\x00-\\x1f]*$")]
    pub actor_name: Option<String>,
    /// Session it was done in.
    #[schema(required = true)]
    pub session_id: Option<SessionId>,
    /// Role that allowed it.
    #[schema(required = true, examples("manager"), max_length = 64, pattern = "^[a-z_]+$")]
    pub role: Option<String>,
    /// Organization the object belongs to.
    #[schema(required = true)]
    pub organization_id: Option<OrganizationId>,
    /// What was done.
    #[schema(examples("plan.imported"), max_length = 64, pattern = "^[a-z_.]+$")]
    pub action: String,
    /// Kind of the object.
    #[schema(examples("plan"), max_length = 64, pattern = "^[a-z_]+$")]
    pub object_type: String,
    /// The object.
    #[schema(required = true)]
    pub object_id: Option<Uuid>,
    /// How it was, personal data masked.
    #[schema(required = true, value_type = Option<Object>)]
    pub before: Option<Value>,
    /// How it is, personal data masked.
    #[schema(required = true, value_type = Option<Object>)]
    pub after: Option<Value>,
    /// Why, in the actor's words.
    #[schema(required = true, max_length = 2000, pattern = "^[^\\x00]*$")]
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// X-Request-Id of the request.
    #[schema(required = true, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub request_id: Option<String>,
    /// Place in the chain, from 1; null for the moment until it is sealed.
    #[schema(required = true, examples(1), minimum = 1, maximum = 9007199254740991i64)]
    pub seq: Option<i64>,
    /// Its hash in the chain: SHA-256 over the hash before and the RFC 8785 JSON of the entry with its seq, hexadecimal; null until
    /// it is sealed.
    #[schema(required = true, min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    pub hash: Option<String>,
}

page_schema!(AuditEntryPage, AuditEntryView);

impl AuditEntryView {
    fn of(row: AuditEntryRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            session_id: row.session_id,
            role: row.role,
            organization_id: row.organization_id,
            action: row.action,
            object_type: row.object_type,
            object_id: row.object_id,
            before: row.before,
            after: row.after,
            reason: row.reason,
            outcome: row.outcome,
            request_id: row.request_id,
            seq: row.seq,
            hash: row.hash.as_deref().map(hex),
        }
    }
}

/// 审计日志 · List audit entries
///
/// Who did what to objects of your organizations and those below, and what was refused. Entries that belong to no organization are
/// shown to platform administrators only. Each is sealed within a second: numbered and chained by hash.
#[utoipa::path(
    tag = "system",
    params(AuditEntryFilter, AuditSorting, Paging),
    responses((status = OK, body = AuditEntryPage, description = "One page of the audit trail."))
)]
#[get("/api/v1/audit-entries")]
pub async fn list_audit_entries(call: Call, filter: Query<AuditEntryFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let page = page.newest_first();
    let listed = store::list_audit_entries(&conn, &scope, is_platform_admin(&call), &filter, &page).await?;
    page.reply(listed, |row| page.position(row.id, row.at), AuditEntryView::of)
}

/// A signed statement of how far the chain had come.
#[derive(Serialize, ToSchema)]
pub struct CheckpointView {
    /// Place of the last seal at that time.
    #[schema(examples(10000), minimum = 1, maximum = 9007199254740991i64)]
    pub seq: i64,
    /// Its hash, hexadecimal.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    pub hash: String,
    /// When it was made (wall time), with six digits of the second, as it is signed.
    #[schema(examples("2019-04-10T01:00:00.000000Z"), format = DateTime)]
    pub at: String,
    /// Entries sealed since the checkpoint before.
    #[schema(examples(250), minimum = 1, maximum = 9007199254740991i64)]
    pub count: i64,
    /// Key that signed it, from `/.well-known/audit-keys.json`.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub kid: String,
    /// Ed25519 over the RFC 8785 JSON of the other members, base64url.
    #[schema(max_length = 100, pattern = "^[A-Za-z0-9_-]+$")]
    pub signature: String,
}

page_schema!(CheckpointPage, CheckpointView);

impl CheckpointView {
    fn of(row: Checkpoint) -> Self {
        let Checkpoint { seq, hash, at, count, kid, signature } = row;
        Self { seq, hash, at, count, kid, signature }
    }
}

/// 审计检查点 · List checkpoints
///
/// Signed statements of how far the chain of audit entries had come, the newest first; at least one an hour while something is
/// written. Keep copies: with one, a trail that was cut or rewritten is recognised. The same stand in a file outside the database.
#[utoipa::path(
    tag = "system",
    params(Paging),
    responses((status = OK, body = CheckpointPage, description = "One page of checkpoints."))
)]
#[get("/api/v1/audit-entries/checkpoints")]
pub async fn list_audit_checkpoints(call: Call, page: PageRequest) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list_checkpoints(&conn, &page).await?;
    page.reply(listed, |row| Position::code(row.seq.to_string()), |row| CheckpointView::of(row.into()))
}

/// Which part of the chain to verify.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VerifyPart {
    /// First place; 1 unless told.
    #[param(minimum = 1, maximum = 9007199254740991i64)]
    from_seq: Option<i64>,
    /// Last place; to the end of the chain unless told.
    #[param(minimum = 1, maximum = 9007199254740991i64)]
    to_seq: Option<i64>,
    /// The most entries to look at in this call; 1000 unless told.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<i64>,
}

/// What verifying a part of the chain has found.
#[derive(Serialize, ToSchema)]
pub struct VerificationView {
    /// Every entry from `from_seq` up to this place is as it was sealed. The hash before `from_seq` is taken as it stands.
    #[schema(examples(1000), minimum = 0, maximum = 9007199254740991i64)]
    pub verified_through: i64,
    /// The first one that is not; null: all are.
    #[schema(required = true)]
    pub first_broken: Option<BrokenView>,
    /// Ask again with this `from_seq`; null: the end was reached, or something is broken.
    #[schema(required = true, examples(1001), minimum = 2, maximum = 9007199254740991i64)]
    pub next: Option<i64>,
    /// Entries that are not sealed yet.
    pub unsealed: UnsealedView,
    /// Checkpoints of the database and of this node's file: those of the places looked at, and at the end of the chain the last ones.
    pub checkpoints: CheckedView,
}

/// The first entry that is not as it was sealed.
#[derive(Serialize, ToSchema)]
pub struct BrokenView {
    /// Place in the chain.
    #[schema(examples(42), minimum = 0, maximum = 9007199254740991i64)]
    pub seq: i64,
    /// The entry; null where none is known.
    #[schema(required = true)]
    pub entry_id: Option<AuditEntryId>,
    /// Why.
    pub reason: Break,
}

/// Entries that are not sealed yet.
#[derive(Serialize, ToSchema)]
pub struct UnsealedView {
    /// How many; counted up to 10,000.
    #[schema(examples(0), minimum = 0, maximum = 10000)]
    pub count: i64,
    /// When the oldest of those counted was written (wall time); null where there are none.
    #[schema(required = true)]
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Checkpoints that were held against the chain.
#[derive(Serialize, ToSchema)]
pub struct CheckedView {
    /// All of them.
    #[schema(examples(3), minimum = 0, maximum = 9007199254740991i64)]
    pub checked: u64,
    /// Those for whose place there is no seal: the end of the chain was cut off.
    #[schema(examples(0), minimum = 0, maximum = 9007199254740991i64)]
    pub missing: u64,
    /// Those that do not fit, are not signed by a key of ours or cannot be read.
    #[schema(examples(0), minimum = 0, maximum = 9007199254740991i64)]
    pub broken: u64,
}

/// 校验审计日志 · Verify the audit trail
///
/// Computes the chain again from the entries, a part at a time, and holds it against the seals and the checkpoints. Names the first
/// entry that was changed, taken out or swapped, and an end that was cut off. `half-sky audit verify` does the whole at once.
#[utoipa::path(
    tag = "system",
    params(VerifyPart),
    responses((status = OK, body = VerificationView, description = "What was found."))
)]
#[get("/api/v1/audit-entries/verify")]
pub async fn verify_audit_entries(call: Call, part: Query<VerifyPart>) -> ApiResult<Reply> {
    call.list_scope()?;
    let part = Part { from: part.from_seq.unwrap_or(1), to: part.to_seq, limit: part.limit.unwrap_or(1000) };
    let conn = call.connection().await?;
    let keys = checkpoints::public_keys(&conn).await?;
    let file = checkpoints::read_own(&call.app).await.map_err(ApiError::internal)?;
    // Those of the part, and the last of the table and of the file, which tell whether the end was cut off.
    let last = part.from.saturating_add(part.limit - 1);
    let mut known = checkpoints::between(&conn, part.from, last).await?;
    let newest = file.checkpoints.iter().max_by_key(|checkpoint| checkpoint.seq).cloned();
    let of_the_part = file.checkpoints.into_iter().filter(|checkpoint| (part.from..=last).contains(&checkpoint.seq));
    for checkpoint in of_the_part.chain(newest).chain(checkpoints::newest(&conn).await?) {
        if !known.contains(&checkpoint) {
            known.push(checkpoint);
        }
    }
    let found = verify(&conn, part, &known, &keys).await?;
    let unsealed = backlog(&conn).await?;
    let (good, missing) = (found.checkpoints.good as u64, found.checkpoints.missing as u64);
    let broken = (found.checkpoints.broken + file.unreadable) as u64;
    Reply::plain(&VerificationView {
        verified_through: found.verified_through,
        first_broken: found.first_broken.map(|broken| BrokenView {
            seq: broken.seq,
            entry_id: broken.entry_id.map(AuditEntryId),
            reason: broken.reason,
        }),
        next: found.next,
        unsealed: UnsealedView { count: unsealed.count, oldest_at: unsealed.oldest_at },
        checkpoints: CheckedView { checked: good + missing + broken, missing, broken },
    })
}

/// Public keys of checkpoints (RFC 7517).
#[derive(Serialize, ToSchema)]
pub struct AuditKeysView {
    /// The keys, the oldest first; the last one signs.
    #[schema(max_items = 1000)]
    pub keys: Vec<AuditKeyView>,
}

/// A public key of checkpoints.
#[derive(Serialize, ToSchema)]
pub struct AuditKeyView {
    /// Key type.
    #[schema(examples("OKP"), max_length = 10, pattern = "^[A-Za-z]+$")]
    pub kty: &'static str,
    /// Curve.
    #[schema(examples("Ed25519"), max_length = 20, pattern = "^[A-Za-z0-9-]+$")]
    pub crv: &'static str,
    /// Public key, base64url.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub x: String,
    /// RFC 7638 thumbprint.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub kid: String,
}

impl AuditKeyView {
    fn of(key: PublicKey) -> Self {
        Self { kty: "OKP", crv: "Ed25519", x: key.x(), kid: key.kid }
    }
}

/// 审计公钥 · Public keys of the audit trail
///
/// Keys that verify the checkpoints of the audit trail. Keep a copy outside: they sign nothing else, and no access token.
#[utoipa::path(tag = "system", responses((status = OK, body = AuditKeysView, description = "The key set.")))]
#[get("/.well-known/audit-keys.json")]
pub async fn get_audit_keys(call: Call) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let keys = checkpoints::public_keys(&conn).await?;
    Reply::plain(&AuditKeysView { keys: keys.into_iter().map(AuditKeyView::of).collect() })
}
