//! The audit trail, long work and jobs.

use actix_web::{get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rules::{ActorKind, AuditOutcome, Cancelled, JobAction, JobState, OperationAction, OperationStatus};
use super::store::{self, AuditEntryRow, JobRow, OperationRow, Sees};
use crate::access::Permission;
use crate::audit::Change;
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, Code, Command, CommandHeaders, KeyHeader, PageRequest, Path, Query, Reply};
use crate::ids::{AccountId, AuditEntryId, JobId, OperationId, OrganizationId, SessionId};
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
        }
    }
}

/// 审计日志 · List audit entries
///
/// Who did what to objects of your organizations and those below. Entries that belong to no organization are shown to platform
/// administrators only.
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

/// Who may see the jobs runs the service.
fn is_platform_admin(call: &Call) -> bool {
    !call.scope_for(Permission::JobRead).is_empty()
}

/// Long work and how far it is.
#[derive(Serialize, ToSchema)]
pub struct OperationView {
    /// Its id.
    pub id: OperationId,
    /// What runs.
    #[schema(examples("reseal"), max_length = 64, pattern = "^[a-z_]+$")]
    pub kind: String,
    /// For which organization; null: for the whole service.
    #[schema(required = true)]
    pub organization_id: Option<OrganizationId>,
    /// Where it is in its life.
    pub status: OperationStatus,
    /// How far it is.
    pub progress: ProgressView,
    /// Why it failed, a code of the problem catalogue.
    #[schema(required = true, max_length = 64, pattern = "^[a-z_]+$")]
    pub error: Option<String>,
    /// It was asked to stop at the next safe point.
    pub cancel_requested: bool,
    /// What you may do with it now.
    #[schema(max_items = 50)]
    pub allowed_actions: Vec<OperationAction>,
    /// Raised by each change by a person; the ETag begins with it.
    #[schema(examples(1), minimum = 1, maximum = 2147483647)]
    pub version: i32,
    /// When it was asked for (wall time).
    pub created_at: DateTime<Utc>,
    /// When it began (wall time).
    #[schema(required = true)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended (wall time).
    #[schema(required = true)]
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far long work is.
#[derive(Serialize, ToSchema)]
pub struct ProgressView {
    /// Units that are done.
    #[schema(examples(1500), minimum = 0, maximum = 9007199254740991i64)]
    pub done: i64,
    /// Units in all; null while that is not known.
    #[schema(required = true, examples(20000), minimum = 0, maximum = 9007199254740991i64)]
    pub total: Option<i64>,
}

impl OperationView {
    fn of(row: OperationRow) -> Self {
        Self {
            allowed_actions: row.status.actions(row.cancel_requested),
            id: row.id,
            kind: row.kind,
            organization_id: row.organization_id,
            status: row.status,
            progress: ProgressView { done: row.done, total: row.total },
            error: row.error,
            cancel_requested: row.cancel_requested,
            version: row.version,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// Path of an operation.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OperationPath {
    /// The operation.
    #[param(example = "0168028c-2f00-7000-8020-000000000001")]
    pub id: OperationId,
}

/// A platform administrator sees everybody's long work, anybody else her own.
fn sees(call: &Call) -> ApiResult<Sees> {
    Ok(if is_platform_admin(call) { Sees::All } else { Sees::OnlyOf(call.signed_in()?.account_id) })
}

/// 长任务进度 · Get an operation
///
/// How far long work is that you have started; platform administrators see everybody's.
#[utoipa::path(
    tag = "system",
    params(OperationPath),
    responses((status = OK, body = OperationView, description = "The operation."))
)]
#[get("/api/v1/operations/{id}")]
pub async fn get_operation(call: Call, path: Path<OperationPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find_operation(&conn, sees(&call)?, path.id).await?;
    let version = row.version;
    Reply::item(&OperationView::of(row), version)
}

/// 取消长任务 · Cancel an operation
///
/// Long work that has not begun is cancelled at once; work under way stops at its next safe point and keeps what it has done.
#[utoipa::path(
    tag = "system",
    params(OperationPath, CommandHeaders),
    responses((status = OK, body = OperationView, description = "The operation, cancelled or about to be."))
)]
#[post("/api/v1/operations/{id}/cancel")]
pub async fn cancel_operation(command: Command, path: Path<OperationPath>) -> ApiResult<Reply> {
    let sees = sees(&command.call)?;
    command
        .run(async move |tx| {
            let operation = store::lock_operation(tx.conn(), sees, path.id).await?;
            tx.concerns_caller();
            tx.check_version(operation.version)?;
            let cancelled = operation.status.cancel(operation.cancel_requested);
            let cancelled = cancelled.ok_or_else(|| ApiError::not_now(operation.status.as_str(), &[]))?;
            let now = tx.call.app.clock.wall();
            let row = store::cancel_operation(tx.conn(), path.id, (cancelled == Cancelled::AtOnce).then_some(now)).await?;
            tx.record(Change::of("operation.cancelled", "operation", row.id, row.organization_id)).await?;
            let version = row.version;
            Reply::item(&OperationView::of(row), version)
        })
        .await
}

filters! {
    /// Filters of jobs.
    JobFilter {
        /// Only these states; dead ones unless told.
        state: Vec<JobState>,
        /// Only this kind.
        #[param(min_length = 1, max_length = 64, pattern = "^[a-z_]+$", example = "reseal")]
        kind: String,
    }
}

/// A job of the background worker.
#[derive(Serialize, ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Which function runs it.
    #[schema(examples("reseal"), max_length = 64, pattern = "^[a-z_]+$")]
    pub kind: String,
    /// Its argument; ids only.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// Where it is in its life.
    pub state: JobState,
    /// Not before (wall time).
    pub run_at: DateTime<Utc>,
    /// How often it was started.
    #[schema(examples(10), minimum = 0, maximum = 2147483647)]
    pub attempts: i32,
    /// After so many failures it is dead.
    #[schema(examples(10), minimum = 1, maximum = 2147483647)]
    pub max_attempts: i32,
    /// Why the last attempt failed.
    #[schema(required = true, max_length = 10000, pattern = "^[^\\x00]*$")]
    pub last_error: Option<String>,
    /// What you may do with it now.
    #[schema(max_items = 50)]
    pub allowed_actions: Vec<JobAction>,
    /// When it was enqueued (wall time).
    pub created_at: DateTime<Utc>,
    /// When it was done or given up (wall time).
    #[schema(required = true)]
    pub finished_at: Option<DateTime<Utc>>,
}

page_schema!(JobPage, JobView);

/// Longest error that is shown.
const LONGEST_ERROR: usize = 10_000;

impl JobView {
    fn of(row: JobRow) -> Self {
        Self {
            allowed_actions: row.state.actions(),
            id: row.id,
            kind: row.kind,
            payload: row.payload,
            state: row.state,
            run_at: row.run_at,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            last_error: row.last_error.map(|error| error.chars().take(LONGEST_ERROR).collect()),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

/// 后台作业列表 · List dead jobs
///
/// Jobs that failed too often and wait for a person; with `state` also those that are queued, running or done.
#[utoipa::path(
    tag = "system",
    params(JobFilter, Paging),
    responses((status = OK, body = JobPage, description = "One page of jobs."))
)]
#[get("/api/v1/jobs")]
pub async fn list_dead_jobs(call: Call, filter: Query<JobFilter>, page: PageRequest) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list_jobs(&conn, &filter, &page).await?;
    page.reply(listed, |row| Position::id(row.id), JobView::of)
}

/// Path of a job.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct JobPath {
    /// The job.
    #[param(example = "0168028c-2f00-7000-8021-000000000001")]
    pub id: JobId,
}

/// 重试后台作业 · Retry a job
///
/// Puts a dead job back into the queue with all its attempts; a job in any other state is refused.
#[utoipa::path(
    tag = "system",
    params(JobPath, KeyHeader),
    responses((status = OK, body = JobView, description = "The job, queued again."))
)]
#[post("/api/v1/jobs/{id}/retry")]
pub async fn retry_job(command: Command, path: Path<JobPath>) -> ApiResult<Reply> {
    command
        .run(async move |tx| {
            // Jobs belong to no organization: the permission counts at whatever place the caller holds it.
            let scope = tx.scope();
            let place = *scope.places().first().ok_or(Code::NotFound)?;
            let job = store::lock_job(tx.conn(), path.id).await?;
            tx.require(place).await?;
            if job.state.actions().is_empty() {
                return Err(ApiError::not_now(job.state.as_str(), &[]));
            }
            let now = tx.call.app.clock.wall();
            let row = store::requeue_job(tx.conn(), path.id, now).await?;
            tx.record(Change::of("job.retried", "job", row.id, None)).await?;
            tx.after_commit(|app| app.wake.now());
            Reply::plain(&JobView::of(row))
        })
        .await
}
