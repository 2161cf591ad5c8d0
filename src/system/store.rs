//! Tables of running the service.

use chrono::{DateTime, Utc};
use diesel::dsl::{Eq, LeftJoinQuerySource, Nullable};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bool, Bytea, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::api::audit_entries::AuditEntryFilter;
use super::api::work::JobFilter;
use super::operations::StartedBy;
use super::reseal::SealedColumn;
use super::rules::{ActorKind, AuditOutcome, JobState, OperationStatus};
use crate::access::Scope;
use crate::audit::checkpoints::CheckpointRow;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{
    accounts, audit_checkpoints, audit_entries, audit_seals, jobs, operations, refresh_tokens, sessions, work_items,
};
use crate::db::scope::below;
use crate::http::page::{Listed, PageRequest};
use crate::ids::{AccountId, AuditEntryId, JobId, OperationId, OrganizationId, SessionId};
use crate::{load_page, when};

/// An entry of the audit trail and the name of its actor.
#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_entries)]
pub struct AuditEntryRow {
    pub id: AuditEntryId,
    pub at: DateTime<Utc>,
    pub actor_kind: ActorKind,
    pub actor_id: Option<AccountId>,
    #[diesel(select_expression = accounts::display_name.nullable())]
    pub actor_name: Option<String>,
    pub session_id: Option<SessionId>,
    pub role: Option<String>,
    pub organization_id: Option<OrganizationId>,
    pub action: String,
    pub object_type: String,
    pub object_id: Option<Uuid>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    pub outcome: AuditOutcome,
    pub request_id: Option<String>,
    #[diesel(select_expression = audit_seals::seq.nullable())]
    pub seq: Option<i64>,
    #[diesel(select_expression = audit_seals::hash.nullable())]
    pub hash: Option<Vec<u8>>,
}

/// Long work.
#[derive(Queryable, Selectable)]
#[diesel(table_name = operations)]
pub struct OperationRow {
    pub id: OperationId,
    pub kind: String,
    pub organization_id: Option<OrganizationId>,
    pub status: OperationStatus,
    pub done: i64,
    pub total: Option<i64>,
    pub error: Option<String>,
    pub cancel_requested: bool,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A job.
#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub struct JobRow {
    pub id: JobId,
    pub kind: String,
    pub payload: Value,
    pub state: JobState,
    pub run_at: DateTime<Utc>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Whose long work somebody may see.
#[derive(Debug, Clone, Copy)]
pub enum Sees {
    /// Her own.
    OnlyOf(AccountId),
    /// Everybody's.
    All,
}

type AuditSource = LeftJoinQuerySource<
    LeftJoinQuerySource<audit_entries::table, accounts::table, Eq<Nullable<accounts::id>, audit_entries::actor_id>>,
    audit_seals::table,
    Eq<audit_seals::entry_id, audit_entries::id>,
>;

/// One page of the audit trail: entries of the organizations in scope, and with `unplaced` those of no organization.
pub async fn list_audit_entries(
    conn: &AsyncPgConnection,
    scope: &Scope,
    unplaced: bool,
    filter: &AuditEntryFilter,
    page: &PageRequest,
) -> QueryResult<Listed<AuditEntryRow>> {
    let rows = || {
        let placed = audit_entries::organization_id.assume_not_null().eq_any(below(scope.places()));
        let unplaced = audit_entries::organization_id.is_null().and(unplaced.into_sql::<Bool>());
        let mut all: Vec<Condition<'_, AuditSource>> = vec![Box::new(placed.or(unplaced).nullable())];
        when!(all,
            filter.object_type, |kind| audit_entries::object_type.eq(kind);
            filter.object_id, |id| audit_entries::object_id.eq(id);
            filter.actor_id, |id| audit_entries::actor_id.eq(id);
            filter.action, |action| audit_entries::action.eq(action);
            filter.organization_id, |id| audit_entries::organization_id.eq(id);
            filter.outcome, |outcomes| audit_entries::outcome.eq_any(outcomes);
            filter.at_gte, |from| audit_entries::at.ge(from);
            filter.at_lt, |before| audit_entries::at.lt(before);
        );
        audit_entries::table
            .left_join(accounts::table.on(accounts::id.nullable().eq(audit_entries::actor_id)))
            .left_join(audit_seals::table.on(audit_seals::entry_id.eq(audit_entries::id)))
            .filter(all_of(all))
    };
    load_page!(conn, page, rows(), AuditEntryRow::as_select(), by(audit_entries::id, audit_entries::at))
}

/// One page of checkpoints, the newest first.
pub async fn list_checkpoints(conn: &AsyncPgConnection, page: &PageRequest) -> QueryResult<Listed<CheckpointRow>> {
    load_page!(
        conn,
        page,
        audit_checkpoints::table,
        CheckpointRow::as_select(),
        by before < page.before_number(),
        audit_checkpoints::seq
    )
}

/// One piece of long work.
pub async fn find_operation(mut conn: &AsyncPgConnection, sees: Sees, id: OperationId) -> QueryResult<OperationRow> {
    let mut rows = operations::table.filter(operations::id.eq(id)).select(OperationRow::as_select()).into_boxed();
    if let Sees::OnlyOf(account) = sees {
        rows = rows.filter(operations::account_id.eq(account));
    }
    rows.first(&mut conn).await
}

/// Locks one piece of long work.
pub async fn lock_operation(conn: &mut AsyncPgConnection, sees: Sees, id: OperationId) -> QueryResult<OperationRow> {
    let (account, all) = match sees {
        Sees::OnlyOf(account) => (Some(account), false),
        Sees::All => (None, true),
    };
    operations::table
        .filter(operations::id.eq(id))
        .filter(operations::account_id.is_not_distinct_from(account).or(all.into_sql::<diesel::sql_types::Bool>()))
        .select(OperationRow::as_select())
        .for_update()
        .first(conn)
        .await
}

/// A person stops long work: at once, with the time, or at its next safe point.
pub async fn cancel_operation(
    conn: &mut AsyncPgConnection,
    id: OperationId,
    at_once: Option<DateTime<Utc>>,
) -> QueryResult<OperationRow> {
    let operation = diesel::update(operations::table.find(id));
    let raised = operations::version.eq(operations::version + 1);
    match at_once {
        Some(now) => {
            let ended = (operations::status.eq(OperationStatus::Cancelled), operations::finished_at.eq(now));
            operation
                .set((operations::cancel_requested.eq(true), raised, ended))
                .returning(OperationRow::as_returning())
                .get_result(conn)
                .await
        }
        None => {
            operation
                .set((operations::cancel_requested.eq(true), raised))
                .returning(OperationRow::as_returning())
                .get_result(conn)
                .await
        }
    }
}

/// Creates an operation that waits.
pub async fn insert_operation(
    conn: &mut AsyncPgConnection,
    kind: &str,
    by: StartedBy,
    now: DateTime<Utc>,
) -> QueryResult<OperationId> {
    let id = OperationId::generate();
    diesel::insert_into(operations::table)
        .values((
            operations::id.eq(id),
            operations::kind.eq(kind),
            operations::account_id.eq(by.account_id),
            operations::organization_id.eq(by.organization_id),
            operations::status.eq(OperationStatus::Queued),
            operations::created_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(id)
}

const UNDER_WAY: &[OperationStatus] = &[OperationStatus::Queued, OperationStatus::Running];

/// Sets it running. Answers whether a stop was asked for; none: it is over, or does not exist.
pub async fn begin_operation(
    conn: &mut AsyncPgConnection,
    id: OperationId,
    total: Option<i64>,
    now: DateTime<Utc>,
) -> QueryResult<Option<bool>> {
    diesel::update(operations::table.find(id).filter(operations::status.eq_any(UNDER_WAY)))
        .set((
            operations::status.eq(OperationStatus::Running),
            operations::done.eq(0),
            operations::total.eq(total),
            operations::started_at.eq(now),
        ))
        .returning(operations::cancel_requested)
        .get_result(conn)
        .await
        .optional()
}

/// Tells how far it is. Answers as [`begin_operation`] does.
pub async fn advance_operation(conn: &mut AsyncPgConnection, id: OperationId, done: i64) -> QueryResult<Option<bool>> {
    diesel::update(operations::table.find(id).filter(operations::status.eq(OperationStatus::Running)))
        .set(operations::done.eq(done))
        .returning(operations::cancel_requested)
        .get_result(conn)
        .await
        .optional()
}

/// Ends it, where it has not ended already.
pub async fn finish_operation(
    conn: &mut AsyncPgConnection,
    id: OperationId,
    status: OperationStatus,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(operations::table.find(id).filter(operations::status.eq_any(UNDER_WAY)))
        .set((operations::status.eq(status), operations::error.eq(error), operations::finished_at.eq(now)))
        .execute(conn)
        .await?;
    Ok(())
}

/// One page of jobs.
pub async fn list_jobs(conn: &AsyncPgConnection, filter: &JobFilter, page: &PageRequest) -> QueryResult<Listed<JobRow>> {
    let rows = || {
        let states = filter.state.as_deref().unwrap_or(&[JobState::Dead]);
        let mut all: Vec<Condition<'_, jobs::table>> = vec![Box::new(jobs::state.eq_any(states).nullable())];
        when!(all, filter.kind, |kind| jobs::kind.eq(kind););
        jobs::table.filter(all_of(all))
    };
    load_page!(conn, page, rows(), JobRow::as_select(), by(jobs::id, jobs::run_at))
}

/// Locks one job.
pub async fn lock_job(conn: &mut AsyncPgConnection, id: JobId) -> QueryResult<JobRow> {
    jobs::table.find(id).select(JobRow::as_select()).for_update().first(conn).await
}

/// Puts a job back into the queue with all its attempts. Its last error stays until it runs again.
pub async fn requeue_job(conn: &mut AsyncPgConnection, id: JobId, now: DateTime<Utc>) -> QueryResult<JobRow> {
    diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq(JobState::Queued),
            jobs::attempts.eq(0),
            jobs::run_at.eq(now),
            jobs::leased_until.eq(None::<DateTime<Utc>>),
            jobs::finished_at.eq(None::<DateTime<Utc>>),
        ))
        .returning(JobRow::as_returning())
        .get_result(conn)
        .await
}

/// Forgets jobs that were done before. Returns how many, as all that forget do.
pub async fn forget_jobs(conn: &mut AsyncPgConnection, before: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(jobs::table.filter(jobs::state.eq(JobState::Done)).filter(jobs::finished_at.lt(before))).execute(conn).await
}

/// Forgets long work that was finished before.
pub async fn forget_operations(conn: &mut AsyncPgConnection, before: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(operations::table.filter(operations::finished_at.lt(before))).execute(conn).await
}

/// Forgets sessions that were over before, and their refresh tokens.
pub async fn forget_sessions(conn: &mut AsyncPgConnection, before: DateTime<Utc>) -> QueryResult<usize> {
    let over = sessions::table.filter(sessions::expires_at.lt(before)).select(sessions::id);
    diesel::delete(refresh_tokens::table.filter(refresh_tokens::session_id.eq_any(over))).execute(conn).await?;
    diesel::delete(sessions::table.filter(sessions::expires_at.lt(before))).execute(conn).await
}

/// Forgets work items that were done before.
pub async fn forget_work_items(conn: &mut AsyncPgConnection, before: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(work_items::table.filter(work_items::done_at.lt(before))).execute(conn).await
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A sealed value and the key of its row.
#[derive(QueryableByName)]
pub struct SealedRow {
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = Bytea)]
    pub sealed: Vec<u8>,
}

/// Values that were sealed again: keys, old and new, side by side.
#[derive(Default)]
pub struct Resealed {
    keys: Vec<String>,
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

impl Resealed {
    /// Adds one.
    pub fn push(&mut self, key: &str, old: &[u8], new: Vec<u8>) {
        self.keys.push(key.to_owned());
        self.old.push(old.to_vec());
        self.new.push(new);
    }
}

// Table and column names come from the constants of `reseal`, never from a request.

/// How many values a column holds.
pub async fn count_sealed(conn: &mut AsyncPgConnection, at: &SealedColumn) -> QueryResult<i64> {
    let SealedColumn { table, column, .. } = at;
    let row: CountRow = diesel::sql_query(format!("SELECT count({column}) AS count FROM {table}")).get_result(conn).await?;
    Ok(row.count)
}

/// The next values of a column, in the order of the key.
pub async fn sealed_after(
    conn: &mut AsyncPgConnection,
    at: &SealedColumn,
    after: Option<&str>,
    limit: i64,
) -> QueryResult<Vec<SealedRow>> {
    let SealedColumn { table, key, key_type, column, .. } = at;
    diesel::sql_query(format!(
        "SELECT {key}::text AS key, {column} AS sealed FROM {table}
         WHERE {column} IS NOT NULL AND ($1 IS NULL OR {key} > $1::{key_type}) ORDER BY {table}.{key} LIMIT $2"
    ))
    .bind::<sql_types::Nullable<Text>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}

/// Writes values that were sealed again where the old ones still stand.
pub async fn put_resealed(conn: &mut AsyncPgConnection, at: &SealedColumn, values: &Resealed) -> QueryResult<()> {
    if values.keys.is_empty() {
        return Ok(());
    }
    let SealedColumn { table, key, key_type, column, .. } = at;
    diesel::sql_query(format!(
        "UPDATE {table} SET {column} = resealed.new FROM unnest($1, $2, $3) AS resealed (key, old, new)
         WHERE {table}.{key} = resealed.key::{key_type} AND {table}.{column} = resealed.old"
    ))
    .bind::<Array<Text>, _>(&values.keys)
    .bind::<Array<Bytea>, _>(&values.old)
    .bind::<Array<Bytea>, _>(&values.new)
    .execute(conn)
    .await?;
    Ok(())
}
