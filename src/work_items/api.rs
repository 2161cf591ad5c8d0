//! The caller's list of what awaits her.

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rules::Step;
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
    /// Actions of the subject that take the step; none where it is not the caller's to take.
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
        let actions = Step::named(&row.kind).filter(|_| open).map_or(&[][..], |step| step.actions);
        Self {
            overdue: row.done_at.is_none() && row.due_on.is_some_and(|due| due < today),
            allowed_actions: actions.iter().map(|action| (*action).to_owned()).collect(),
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
    Ok(Worker::of(call.signed_in()?, call.today()))
}

text_enum! {
    /// Whose turn it is.
    AwaitedKind {
        /// Somebody of this organization, or above it, who holds the permission.
        Organization = "organization", "组织", "Organization";
        /// Somebody of this partner.
        Partner = "partner", "合作单位", "Partner";
        /// This person.
        Account = "account", "账号", "Account";
    }
}

/// Who has to take the next step of an object.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Awaiting {
    /// Whose turn it is.
    pub kind: AwaitedKind,
    /// The organization, partner or account.
    pub id: Uuid,
    /// What one must hold there.
    #[schema(examples("post.write"), max_length = 64, pattern = "^[a-z_.]+$")]
    pub permission: String,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// By when it should be done.
    #[schema(required = true)]
    pub due_on: Option<NaiveDate>,
}

impl Awaiting {
    /// What an open item says.
    pub fn of(row: WorkItemRow) -> Self {
        let (kind, id) = match row.account_id {
            Some(account) => (AwaitedKind::Account, account.0),
            None => (AwaitedKind::Organization, row.organization_id.0),
        };
        Self { kind, id, permission: row.permission, since: row.since, due_on: row.due_on }
    }
}

text_enum! {
    /// Whose turn it is, in the filter of a list.
    Awaited {
        /// The caller's.
        Me = "me", "我", "Me";
    }
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
