//! The caller's list of what awaits her.

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::store::{self, WorkItemRow, Worker};
use crate::http::page::{Counts, Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::{OrganizationId, WorkItemId};
use crate::{filters, page_schema, text_enum};

text_enum! {
    /// Which items.
    WorkItemState {
        /// The caller can do them now.
        Todo = "todo", "待办", "To do";
        /// The caller did them.
        Done = "done", "已办", "Done";
        /// They wait inside the caller's subtree for somebody else.
        Watching = "watching", "关注", "Watching";
    }
}

filters! {
    /// Filters of work items.
    WorkItemFilter {
        /// Which items; those to do unless told.
        #[param(inline)]
        state: WorkItemState,
        /// Only these steps.
        #[param(min_length = 1, max_length = 64, pattern = "^[a-z_]+$", example = "post_expiring")]
        kind: String,
        /// Only items of this organization.
        organization_id: OrganizationId,
        /// Only items in the subtree of this organization.
        within: OrganizationId,
    }
}

/// A step that awaits somebody.
#[derive(Serialize, ToSchema)]
pub struct WorkItemView {
    /// Its id.
    pub id: WorkItemId,
    /// Which step.
    #[schema(examples("post_expiring"), max_length = 64, pattern = "^[a-z_]+$")]
    pub kind: String,
    /// One line.
    #[schema(examples("任期将满：李梅（副主席）"), max_length = 300, pattern = "^[^\\x00-\\x1f]+$")]
    pub title: String,
    /// What it is about.
    pub subject: WorkItemSubject,
    /// Where it waits.
    pub organization_id: OrganizationId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// By when it should be done.
    #[schema(required = true)]
    pub due_on: Option<NaiveDate>,
    /// The due date has passed.
    pub overdue: bool,
    /// When it was done; null: open.
    #[schema(required = true)]
    pub done_at: Option<DateTime<Utc>>,
    /// What the caller may do with the item now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
}

/// What a work item is about.
#[derive(Serialize, ToSchema)]
pub struct WorkItemSubject {
    /// Kind of object.
    #[serde(rename = "type")]
    #[schema(examples("post"), max_length = 64, pattern = "^[a-z_]+$")]
    pub kind: String,
    /// The object.
    pub id: Uuid,
    /// Its people-readable number.
    #[schema(required = true, max_length = 100, pattern = "^[^\\x00-\\x1f]*$")]
    pub number: Option<String>,
}

page_schema!(WorkItemPage, WorkItemView);

impl WorkItemView {
    fn of(row: WorkItemRow, today: NaiveDate, state: WorkItemState) -> Self {
        let open = state == WorkItemState::Todo && row.done_at.is_none();
        Self {
            overdue: row.done_at.is_none() && row.due_on.is_some_and(|due| due < today),
            allowed_actions: if open { vec![row.permission.replace('.', "_")] } else { vec![] },
            id: row.id,
            kind: row.kind,
            title: row.title,
            subject: WorkItemSubject { kind: row.subject_type, id: row.subject_id, number: row.subject_number },
            organization_id: row.organization_id,
            since: row.since,
            due_on: row.due_on,
            done_at: row.done_at,
        }
    }
}

fn worker(call: &Call) -> ApiResult<Worker> {
    let caller = call.signed_in()?;
    Ok(Worker::of(caller.account_id, &caller.roles, call.today()))
}

/// 我的待办 · What awaits me
///
/// Steps that the caller can take now, has taken, or watches in her subtree, oldest first.
#[utoipa::path(
    tag = "me",
    params(WorkItemFilter, Paging),
    responses((status = OK, body = WorkItemPage, description = "One page of work items."))
)]
#[get("/api/v1/me/work-items")]
pub async fn list_work_items(call: Call, filter: Query<WorkItemFilter>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let listed = store::list(&conn, &worker(&call)?, &filter, &page).await?;
    let (today, state) = (call.today(), filter.state.unwrap_or(WorkItemState::Todo));
    page.reply(listed, |row| Position::id(row.id), |row| WorkItemView::of(row, today, state))
}

text_enum! {
    /// By what work items are counted.
    WorkItemsBy {
        /// By the kind of step.
        Kind = "kind", "事项", "Step";
        /// By whether the due date has passed.
        Overdue = "overdue", "是否逾期", "Overdue";
        /// By where they wait.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count work items.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WorkItemCounts {
    /// By what.
    #[param(inline)]
    by: WorkItemsBy,
}

/// 待办计数 · Count what awaits me
///
/// How many steps of each kind await the caller: the figures on the tabs.
#[utoipa::path(
    tag = "me",
    params(WorkItemCounts, WorkItemFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/me/work-items/counts")]
pub async fn count_work_items(call: Call, counts: Query<WorkItemCounts>, filter: Query<WorkItemFilter>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let counted = store::counts(&conn, &worker(&call)?, &filter, call.today(), counts.by).await?;
    Counts::reply(counts.by, counted)
}
