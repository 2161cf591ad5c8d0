//! The table of work items.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{IntoBoxed, Select};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::api::{Awaiting, WorkItemFilter, WorkItemState, WorkItemsBy};
use super::rules::Step;
use crate::access::Permission;
use crate::db::page::{Condition, all_of};
use crate::db::schema::work_items;
use crate::db::scope::below;
use crate::http::Caller;
use crate::http::page::{Counted, Listed, PageRequest};
use crate::ids::{AccountId, OrganizationId, WorkItemId};
use crate::{count_by, load_page, when};

/// An object whose step starts to wait.
pub struct Waiting {
    /// The object.
    pub subject_id: Uuid,
    /// Its people-readable number.
    pub subject_number: Option<String>,
    /// One line for the list.
    pub title: String,
    /// Where it waits.
    pub organization_id: OrganizationId,
    /// For one person only.
    pub account_id: Option<AccountId>,
    /// By when it should be done.
    pub due_on: Option<NaiveDate>,
}

#[derive(Insertable)]
#[diesel(table_name = work_items)]
struct NewRow<'a> {
    id: WorkItemId,
    kind: &'static str,
    title: &'a str,
    subject_type: &'static str,
    subject_id: Uuid,
    subject_number: Option<&'a str>,
    organization_id: OrganizationId,
    account_id: Option<AccountId>,
    permission: &'static str,
    since: DateTime<Utc>,
    due_on: Option<NaiveDate>,
}

impl<'a> NewRow<'a> {
    fn of(step: &Step, waiting: &'a Waiting, since: DateTime<Utc>) -> Self {
        Self {
            id: WorkItemId::generate(),
            kind: step.kind,
            title: &waiting.title,
            subject_type: step.subject_type,
            subject_id: waiting.subject_id,
            subject_number: waiting.subject_number.as_deref(),
            organization_id: waiting.organization_id,
            account_id: waiting.account_id,
            permission: step.permission.as_str(),
            since,
            due_on: waiting.due_on,
        }
    }
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
    pub account_id: Option<AccountId>,
    pub permission: String,
    pub since: DateTime<Utc>,
    pub due_on: Option<NaiveDate>,
    pub done_at: Option<DateTime<Utc>>,
}

/// Opens an item for each object; one that is open already stays. `since` is domain time.
pub async fn open(conn: &mut AsyncPgConnection, step: &Step, waiting: &[Waiting], since: DateTime<Utc>) -> QueryResult<()> {
    for part in waiting.chunks(2000) {
        let rows: Vec<_> = part.iter().map(|waiting| NewRow::of(step, waiting, since)).collect();
        diesel::insert_into(work_items::table).values(rows).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(())
}

/// Closes the items of a step whose due day has passed and of which nothing is left to decide.
pub async fn close_overdue(conn: &mut AsyncPgConnection, step: &Step, today: NaiveDate, now: DateTime<Utc>) -> QueryResult<()> {
    let over = work_items::table
        .filter(work_items::kind.eq(step.kind))
        .filter(work_items::done_at.is_null())
        .filter(work_items::due_on.lt(today));
    diesel::update(over).set(work_items::done_at.eq(now)).execute(conn).await.map(drop)
}

/// Closes the open items of a step of many objects.
pub async fn close_many(
    conn: &mut AsyncPgConnection,
    step: &Step,
    subjects: &[Uuid],
    by: Option<AccountId>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(work_items::table)
        .filter(work_items::subject_id.eq_any(subjects))
        .filter(work_items::subject_type.eq(step.subject_type))
        .filter(work_items::kind.eq(step.kind))
        .filter(work_items::done_at.is_null())
        .set((work_items::done_at.eq(now), work_items::done_by.eq(by)))
        .execute(conn)
        .await
        .map(drop)
}

/// Closes the open item of a step of an object.
pub async fn close(
    conn: &mut AsyncPgConnection,
    step: &Step,
    subject_id: Uuid,
    by: Option<AccountId>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(work_items::table)
        .filter(work_items::subject_id.eq(subject_id))
        .filter(work_items::subject_type.eq(step.subject_type))
        .filter(work_items::kind.eq(step.kind))
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
    pub fn of(caller: &Caller, today: NaiveDate) -> Self {
        let places = |permission: Permission| caller.scope(permission, today).places().to_vec();
        Self {
            account_id: caller.account_id,
            doing: Permission::ALL
                .iter()
                .map(|permission| (permission.as_str(), places(*permission)))
                .filter(|(_, places)| !places.is_empty())
                .collect(),
            reading: places(Permission::OrganizationRead),
        }
    }
}

/// Items that are hers to do: for her alone, or of a permission that she holds where they wait.
fn doable<'a>(worker: &Worker) -> Condition<'a, work_items::table> {
    let hers: Condition<'a, work_items::table> = Box::new(work_items::account_id.eq(worker.account_id));
    worker.doing.iter().fold(hers, |any, (permission, places)| {
        let permitted = work_items::permission.eq(*permission).and(work_items::account_id.is_null());
        Box::new(any.or(permitted.and(work_items::organization_id.eq_any(below(places)))))
    })
}

/// Selects the objects of a kind that await somebody.
pub fn subjects_awaiting<'a>(worker: &Worker, subject_type: &'static str) -> Subjects<'a> {
    let open = work_items::table.filter(work_items::done_at.is_null()).filter(work_items::subject_type.eq(subject_type));
    open.filter(doable(worker)).select(work_items::subject_id).into_boxed()
}

/// Objects by their id.
pub type Subjects<'a> = IntoBoxed<'a, Select<work_items::table, work_items::subject_id>, Pg>;

/// Whom each of some objects of a kind awaits; objects that await nobody are not in the answer.
pub async fn awaiting(
    mut conn: &AsyncPgConnection,
    subject_type: &'static str,
    ids: Vec<Uuid>,
) -> QueryResult<HashMap<Uuid, Awaiting>> {
    let rows: Vec<WorkItemRow> = work_items::table
        .filter(work_items::subject_type.eq(subject_type))
        .filter(work_items::subject_id.eq_any(ids))
        .filter(work_items::done_at.is_null())
        .order(work_items::id.desc())
        .select(WorkItemRow::as_select())
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.subject_id, Awaiting::of(row))).collect())
}

fn matching<'a>(worker: &'a Worker, filter: &'a WorkItemFilter) -> Condition<'a, work_items::table> {
    let mut all: Vec<Condition<'a, work_items::table>> = vec![];
    match filter.state.unwrap_or(WorkItemState::Todo) {
        WorkItemState::Done => {
            all.push(Box::new(work_items::done_at.is_not_null().nullable()));
            all.push(Box::new(work_items::done_by.eq(worker.account_id)));
        }
        WorkItemState::Todo => {
            all.push(Box::new(work_items::done_at.is_null().nullable()));
            all.push(doable(worker));
        }
        WorkItemState::Watching => {
            all.push(Box::new(work_items::done_at.is_null().nullable()));
            all.push(Box::new(work_items::organization_id.eq_any(below(&worker.reading)).nullable()));
            all.push(Box::new(doable(worker).is_distinct_from(Some(true)).nullable()));
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
