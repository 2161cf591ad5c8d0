//! The table of work items.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::api::{WorkItemFilter, WorkItemState, WorkItemsBy};
use crate::access::{HeldRole, Permission, Scope};
use crate::db::page::{Condition, all_of};
use crate::db::schema::work_items;
use crate::db::scope::below;
use crate::http::page::{Counted, Listed, PageRequest};
use crate::ids::{AccountId, OrganizationId, WorkItemId};
use crate::{count_by, load_page, when};

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

fn matching<'a>(worker: &'a Worker, filter: &'a WorkItemFilter) -> Condition<'a, work_items::table> {
    let hers: Condition<'a, work_items::table> = Box::new(work_items::account_id.eq(worker.account_id));
    let doable = worker.doing.iter().fold(hers, |any, (permission, places)| {
        let permitted = work_items::permission.eq(*permission).and(work_items::account_id.is_null());
        Box::new(any.or(permitted.and(work_items::organization_id.eq_any(below(places)))))
    });
    let mut all: Vec<Condition<'a, work_items::table>> = vec![];
    match filter.state.unwrap_or(WorkItemState::Todo) {
        WorkItemState::Done => {
            all.push(Box::new(work_items::done_at.is_not_null().nullable()));
            all.push(Box::new(work_items::done_by.eq(worker.account_id)));
        }
        WorkItemState::Todo => {
            all.push(Box::new(work_items::done_at.is_null().nullable()));
            all.push(doable);
        }
        WorkItemState::Watching => {
            all.push(Box::new(work_items::done_at.is_null().nullable()));
            all.push(Box::new(work_items::organization_id.eq_any(below(&worker.reading)).nullable()));
            all.push(Box::new(doable.is_distinct_from(Some(true)).nullable()));
        }
    }
    when!(all,
        filter.kind, |kind| work_items::kind.eq(kind);
        filter.organization_id, |id| work_items::organization_id.eq(id);
        filter.within, |top| work_items::organization_id.eq_any(below(&[*top]));
    );
    all_of(all)
}

/// One page of the caller's items.
pub async fn list(
    conn: &AsyncPgConnection,
    worker: &Worker,
    filter: &WorkItemFilter,
    page: &PageRequest,
) -> QueryResult<Listed<WorkItemRow>> {
    let rows = || work_items::table.filter(matching(worker, filter));
    load_page!(conn, page, rows(), WorkItemRow::as_select(), by id > page.start().1, work_items::id)
}

/// How many of the caller's items there are of each kind or organization, or overdue.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    worker: &Worker,
    filter: &WorkItemFilter,
    today: NaiveDate,
    by: WorkItemsBy,
) -> QueryResult<Vec<Counted>> {
    let rows = work_items::table.filter(matching(worker, filter));
    match by {
        WorkItemsBy::Kind => count_by!(conn, rows, work_items::kind),
        WorkItemsBy::OrganizationId => count_by!(conn, rows, work_items::organization_id, OrganizationId),
        WorkItemsBy::Overdue => {
            let due: Vec<(Option<NaiveDate>, i64)> =
                rows.group_by(work_items::due_on).select((work_items::due_on, diesel::dsl::count_star())).load(&mut conn).await?;
            let count =
                |overdue: bool| due.iter().filter(|(on, _)| on.is_some_and(|on| on < today) == overdue).map(|(_, n)| n).sum();
            let counts = [false, true].map(|overdue| (Some(overdue.to_string()), count(overdue)));
            Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
        }
    }
}
