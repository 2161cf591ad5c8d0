//! The history of organizations: what happened to each, and what state and parent it had on a day.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use super::organizations::{Organization, Source, Summary};
use super::tree;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{accounts, organization_events, organization_past_statuses as past, organizations};
use crate::http::PageRequest;
use crate::http::page::Listed;
use crate::ids::{AccountId, OrganizationEventId, OrganizationId};
use crate::organizations::api::history::EventFilter;
use crate::organizations::rules::{OrganizationEventKind, OrganizationStatus};
use crate::{load_page, when};

/// An event as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = organization_events)]
#[allow(missing_docs)]
pub struct Event {
    pub id: OrganizationEventId,
    pub organization_id: OrganizationId,
    pub kind: OrganizationEventKind,
    pub occurred_on: NaiveDate,
    pub from_id: Option<OrganizationId>,
    pub to_id: Option<OrganizationId>,
    pub changes: Value,
    pub reason: Option<String>,
    pub actor_id: Option<AccountId>,
    pub recorded_at: DateTime<Utc>,
}

/// A state that an organization had on a day and has no longer.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = past)]
pub struct PastStatus {
    organization_id: OrganizationId,
    from_on: Option<NaiveDate>,
    status: OrganizationStatus,
    successor_id: Option<OrganizationId>,
}

/// Writes events, in the transaction of what happened.
pub async fn record(conn: &mut AsyncPgConnection, events: &[Event]) -> QueryResult<()> {
    diesel::insert_into(organization_events::table).values(events).execute(conn).await.map(drop)
}

/// Writes the events of organizations that a file or the command line made on a day; some come with their end.
pub async fn record_made(
    conn: &mut AsyncPgConnection,
    rows: &[&Organization],
    on: NaiveDate,
    actor_id: Option<AccountId>,
) -> QueryResult<()> {
    let event = |row: &Organization, kind, occurred_on, to_id| Event {
        id: OrganizationEventId::generate(),
        organization_id: row.id,
        kind,
        occurred_on,
        from_id: None,
        to_id,
        changes: json!([]),
        reason: None,
        actor_id,
        recorded_at: row.created_at,
    };
    // Collected at once: the ids of what comes later are later.
    let made: Vec<Event> = rows.iter().map(|row| event(row, OrganizationEventKind::Created, on, row.parent_id)).collect();
    let ended = rows.iter().filter_map(|row| {
        let kind = match row.status {
            OrganizationStatus::Active => return None,
            OrganizationStatus::Dissolved => OrganizationEventKind::Dissolved,
            OrganizationStatus::Merged => OrganizationEventKind::Merged,
        };
        Some((*row, event(row, kind, row.status_changed_on?, row.successor_id)))
    });
    let (ended, ends): (Vec<&Organization>, Vec<Event>) = ended.unzip();
    let past: Vec<_> = ended
        .into_iter()
        .map(|row| {
            let until = row.status_changed_on.unwrap_or(on);
            (past::organization_id.eq(row.id), past::to_on.eq(until), past::status.eq(OrganizationStatus::Active))
        })
        .collect();
    diesel::insert_into(past::table).values(past).execute(conn).await?;
    record(conn, &made).await?;
    record(conn, &ends).await
}

/// One page of the events of an organization.
pub async fn page(
    conn: &AsyncPgConnection,
    id: OrganizationId,
    filter: &EventFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Event>> {
    let matching = || {
        let own = organization_events::organization_id.eq(id);
        let mut all: Vec<Condition<'_, organization_events::table>> = vec![Box::new(own.nullable())];
        when!(all,
            filter.kind, |kinds| organization_events::kind.eq_any(kinds);
            filter.occurred_on_gte, |from| organization_events::occurred_on.ge(from);
            filter.occurred_on_lt, |before| organization_events::occurred_on.lt(before);
        );
        all_of(all)
    };
    let rows = || organization_events::table.filter(matching());
    load_page!(conn, page, rows(), Event::as_select(), by(organization_events::id, organization_events::recorded_at))
}

/// Names of accounts by id.
pub async fn actors(
    mut conn: &AsyncPgConnection,
    ids: impl IntoIterator<Item = AccountId>,
) -> QueryResult<HashMap<AccountId, String>> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(AccountId, String)> =
        accounts::table.filter(accounts::id.eq_any(ids)).select((accounts::id, accounts::display_name)).load(&mut conn).await?;
    Ok(rows.into_iter().collect())
}

/// Keeps the state that an organization is about to lose. One that began today held on no day.
pub async fn keep_status(conn: &mut AsyncPgConnection, before: &Organization, today: NaiveDate) -> QueryResult<()> {
    if before.status_changed_on.is_some_and(|since| since >= today) {
        return Ok(());
    }
    diesel::insert_into(past::table)
        .values((
            past::organization_id.eq(before.id),
            past::from_on.eq(before.status_changed_on),
            past::to_on.eq(today),
            past::status.eq(before.status),
            past::successor_id.eq(before.successor_id),
        ))
        .execute(conn)
        .await
        .map(drop)
}

#[diesel::dsl::auto_type]
fn had_on(day: NaiveDate) -> _ {
    let since = past::from_on.is_null();
    let from = past::from_on.le(day).assume_not_null();
    past::to_on.gt(day).and(since.or(from))
}

/// Organizations that had one of these states on a day: by their past state where they had another one then.
pub fn in_status_on<'a>(statuses: &[OrganizationStatus], day: NaiveDate) -> Condition<'a, Source> {
    let another = || past::table.filter(had_on(day)).select(past::organization_id);
    let then = organizations::id.eq_any(another().filter(past::status.eq_any(statuses.to_vec())));
    let still = organizations::status.eq_any(statuses.to_vec()).and(organizations::id.ne_all(another()));
    Box::new(then.or(still).nullable())
}

/// A row whose parent and state can be those of a day.
pub trait Shaped {
    /// Whose row it is.
    fn id(&self) -> OrganizationId;
    /// Gives it a parent.
    fn hang(&mut self, parent: Option<OrganizationId>);
    /// Gives it a state.
    fn become_again(&mut self, past: &PastStatus);
}

impl Shaped for Organization {
    fn id(&self) -> OrganizationId {
        self.id
    }

    fn hang(&mut self, parent: Option<OrganizationId>) {
        self.parent_id = parent;
    }

    fn become_again(&mut self, past: &PastStatus) {
        (self.status, self.status_changed_on, self.successor_id) = (past.status, past.from_on, past.successor_id);
    }
}

impl Shaped for Summary {
    fn id(&self) -> OrganizationId {
        self.id
    }

    fn hang(&mut self, parent: Option<OrganizationId>) {
        self.parent_id = parent;
    }

    fn become_again(&mut self, past: &PastStatus) {
        self.status = past.status;
    }
}

/// Organizations with the shape they had on a day: parent, state and successor; all else is today's. None: today.
pub async fn shaped<T: Shaped>(conn: &AsyncPgConnection, mut rows: Vec<T>, day: Option<NaiveDate>) -> QueryResult<Vec<T>> {
    let Some(day) = day else { return Ok(rows) };
    let ids: Vec<_> = rows.iter().map(Shaped::id).collect();
    let (parents, statuses) = futures_util::try_join!(tree::parents_on(conn, &ids, day), statuses_on(conn, &ids, day))?;
    for row in &mut rows {
        row.hang(parents.get(&row.id()).copied());
        if let Some(past) = statuses.iter().find(|past| past.organization_id == row.id()) {
            row.become_again(past);
        }
    }
    Ok(rows)
}

async fn statuses_on(mut conn: &AsyncPgConnection, ids: &[OrganizationId], day: NaiveDate) -> QueryResult<Vec<PastStatus>> {
    past::table
        .filter(past::organization_id.eq_any(ids))
        .filter(had_on(day))
        .select(PastStatus::as_select())
        .load(&mut conn)
        .await
}
