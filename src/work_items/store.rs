//! The table of work items.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::access::{HeldRole, Permission, Scope};
use crate::db::schema::{organization_tree, work_items};
use crate::http::page::{PageRequest, TOTAL_CAP};
use crate::ids::{AccountId, OrganizationId, WorkItemId};

/// A step that starts to wait.
#[derive(Insertable)]
#[diesel(table_name = work_items)]
pub struct NewWorkItem<'a> {
    /// Its id.
    pub id: WorkItemId,
    /// Which step.
    pub kind: &'a str,
    /// One line for the list.
    pub title: &'a str,
    /// Kind of the object.
    pub subject_type: &'a str,
    /// The object.
    pub subject_id: Uuid,
    /// Its people-readable number.
    pub subject_number: Option<&'a str>,
    /// Where it waits.
    pub organization_id: OrganizationId,
    /// For one person only.
    pub account_id: Option<AccountId>,
    /// Permission that the step needs.
    pub permission: &'a str,
    /// Since when (domain time).
    pub since: DateTime<Utc>,
    /// By when it should be done.
    pub due_on: Option<NaiveDate>,
}

/// An item as it is listed.
#[derive(Queryable, Selectable)]
#[diesel(table_name = work_items)]
pub struct WorkItemRow {
    pub id: WorkItemId,
    pub kind: String,
    pub title: String,
    pub subject_type: String,
    pub subject_id: Uuid,
    pub subject_number: Option<String>,
    pub organization_id: OrganizationId,
    pub permission: String,
    pub since: DateTime<Utc>,
    pub due_on: Option<NaiveDate>,
    pub done_at: Option<DateTime<Utc>>,
}

/// Opens an item; one that is open already stays.
pub async fn open(conn: &mut AsyncPgConnection, item: &NewWorkItem<'_>) -> QueryResult<()> {
    diesel::insert_into(work_items::table).values(item).on_conflict_do_nothing().execute(conn).await?;
    Ok(())
}

/// Closes the open items of a kind on an object.
pub async fn close(
    conn: &mut AsyncPgConnection,
    kind: &str,
    subject_id: Uuid,
    by: Option<AccountId>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(work_items::table)
        .filter(work_items::subject_id.eq(subject_id))
        .filter(work_items::kind.eq(kind))
        .filter(work_items::done_at.is_null())
        .set((work_items::done_at.eq(now), work_items::done_by.eq(by)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Which items of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// She can do them now.
    ToDo,
    /// She did them.
    Done,
    /// They wait inside her subtree for somebody else.
    Watching,
}

/// The caller, as far as work items go: for each permission, where she holds it.
pub struct Worker {
    account_id: AccountId,
    doing: Vec<(&'static str, Vec<OrganizationId>)>,
    reading: Vec<OrganizationId>,
}

impl Worker {
    /// Groups the caller's places by permission.
    pub fn of(account_id: AccountId, roles: &[HeldRole], today: NaiveDate) -> Self {
        let places = |permission: Permission| Scope::of(roles, permission, today).places().to_vec();
        Self {
            account_id,
            doing: Permission::ALL
                .iter()
                .map(|permission| (permission.as_str(), places(*permission)))
                .filter(|(_, places)| !places.is_empty())
                .collect(),
            reading: places(Permission::OrganizationRead),
        }
    }
}

type Condition<'a> = Box<dyn BoxableExpression<work_items::table, diesel::pg::Pg, SqlType = diesel::sql_types::Bool> + 'a>;

fn condition<'a>(worker: &'a Worker, which: Which) -> Condition<'a> {
    let below = |places: &'a [OrganizationId]| {
        diesel::dsl::exists(
            organization_tree::table
                .filter(organization_tree::descendant_id.eq(work_items::organization_id))
                .filter(organization_tree::ancestor_id.eq_any(places))
                .filter(organization_tree::to_on.is_null()),
        )
    };
    let hers: Condition<'a> =
        Box::new(work_items::account_id.assume_not_null().eq(worker.account_id).and(work_items::account_id.is_not_null()));
    let doable = worker.doing.iter().fold(hers, |any, (permission, places)| {
        Box::new(any.or(work_items::permission.eq(*permission).and(work_items::account_id.is_null()).and(below(places))))
    });
    let open = work_items::done_at.is_null();
    match which {
        Which::Done => {
            Box::new(work_items::done_at.is_not_null().and(work_items::done_by.assume_not_null().eq(worker.account_id)))
        }
        Which::ToDo => Box::new(open.and(doable)),
        Which::Watching => Box::new(open.and(below(&worker.reading)).and(diesel::dsl::not(doable))),
    }
}

/// One page of the caller's items.
pub async fn list(
    conn: &mut &AsyncPgConnection,
    worker: &Worker,
    which: Which,
    page: &PageRequest,
) -> QueryResult<Vec<WorkItemRow>> {
    let rows = work_items::table.select(WorkItemRow::as_select()).filter(condition(worker, which));
    let mut rows = rows.order(work_items::id).limit(page.rows()).into_boxed();
    if let Some(after) = &page.after {
        rows = rows.filter(work_items::id.gt(after.id));
    }
    rows.load(conn).await
}

/// All of the caller's items up to the cap, for counting.
pub async fn all(conn: &mut &AsyncPgConnection, worker: &Worker, which: Which) -> QueryResult<Vec<WorkItemRow>> {
    let rows = work_items::table.select(WorkItemRow::as_select()).filter(condition(worker, which));
    rows.order(work_items::id).limit(TOTAL_CAP).into_boxed().load(conn).await
}
