//! Long work and jobs.

use actix_web::{get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::access::Permission;
use crate::audit::Change;
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, Code, Command, CommandHeaders, KeyHeader, PageRequest, Path, Query, Reply};
use crate::ids::{JobId, OperationId, OrganizationId};
use crate::system::rules::{Cancelled, JobAction, JobState, OperationAction, OperationStatus};
use crate::system::store::{self, JobRow, OperationRow, Sees};
use crate::{filters, page_schema};

/// Who may see the jobs runs the service.
pub(super) fn is_platform_admin(call: &Call) -> bool {
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
