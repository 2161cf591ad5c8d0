//! The caller's list of what awaits her.

use std::collections::BTreeMap;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::store::{self, Which, WorkItemRow, Worker};
use crate::http::page::{Counts, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::{OrganizationId, WorkItemId};
use crate::{list_query, page_schema};

/// Which items.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkItemState {
    /// The caller can do them now.
    #[default]
    Todo,
    /// The caller did them.
    Done,
    /// They wait inside the caller's subtree for somebody else.
    Watching,
}

impl WorkItemState {
    fn which(self) -> Which {
        match self {
            Self::Todo => Which::ToDo,
            Self::Done => Which::Done,
            Self::Watching => Which::Watching,
        }
    }
}

list_query! {
    /// Filters of work items.
    WorkItemQuery {
        /// Which items; those to do unless told.
        #[param(inline)]
        state: WorkItemState,
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
    fn of(row: WorkItemRow, today: NaiveDate, which: Which) -> Self {
        let open = which == Which::ToDo && row.done_at.is_none();
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
    params(WorkItemQuery),
    responses((status = OK, body = WorkItemPage, description = "One page of work items."))
)]
#[get("/api/v1/me/work-items")]
pub async fn list_work_items(call: Call, query: Query<WorkItemQuery>) -> ApiResult<Reply> {
    let which = query.state.unwrap_or_default().which();
    let page = PageRequest::of(&call, &query.0)?;
    let conn = call.connection().await?;
    let rows = store::list(&mut &*conn, &worker(&call)?, which, &page).await?;
    let today = call.today();
    Reply::plain(&page.page(&call, rows, |row| Position::id(row.id), |row| WorkItemView::of(row, today, which)))
}

/// By what work items are counted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkItemCountsBy {
    /// By the kind of step.
    Kind,
    /// By whether the due date has passed.
    Overdue,
}

/// How to count work items.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WorkItemCountsQuery {
    /// By what.
    #[param(inline)]
    by: WorkItemCountsBy,
    /// Which items; those to do unless told.
    #[param(inline)]
    state: Option<WorkItemState>,
}

/// 待办计数 · Count what awaits me
///
/// How many steps of each kind await the caller: the figures on the tabs.
#[utoipa::path(
    tag = "me",
    params(WorkItemCountsQuery),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/me/work-items/counts")]
pub async fn count_work_items(call: Call, query: Query<WorkItemCountsQuery>) -> ApiResult<Reply> {
    let which = query.state.unwrap_or_default().which();
    let conn = call.connection().await?;
    let (today, mut counts) = (call.today(), BTreeMap::<String, i64>::new());
    for row in store::all(&mut &*conn, &worker(&call)?, which).await? {
        let view = WorkItemView::of(row, today, which);
        let key = match query.by {
            WorkItemCountsBy::Kind => view.kind,
            WorkItemCountsBy::Overdue => view.overdue.to_string(),
        };
        *counts.entry(key).or_default() += 1;
    }
    let by = match query.by {
        WorkItemCountsBy::Kind => "kind",
        WorkItemCountsBy::Overdue => "overdue",
    };
    Reply::plain(&Counts::of(by, counts.into_iter().map(|(key, count)| (Some(key), count)).collect()))
}
