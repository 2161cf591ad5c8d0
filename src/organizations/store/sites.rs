//! Sites: places where work happens. Everybody may read them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::{COUNTED, Capped, Condition, all_of, load_page, tree};
use crate::access::Scope;
use crate::db::schema::sites;
use crate::http::PageRequest;
use crate::ids::{OrganizationId, SiteId};
use crate::organizations::api::Sort;
use crate::organizations::api::sites::{SiteQuery, SitesBy};
use crate::organizations::rules::{AccreditationLevel, SiteKind, SiteStatus};
use crate::reference::contains;

/// A site as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = sites)]
#[allow(missing_docs)]
pub struct Site {
    pub id: SiteId,
    pub owner_organization_id: OrganizationId,
    pub kind: SiteKind,
    pub name: String,
    pub feature: Option<String>,
    pub enterprise_id: Option<Uuid>,
    pub address: Option<String>,
    pub longitude: Option<Decimal>,
    pub latitude: Option<Decimal>,
    pub phone: Option<String>,
    pub checklist: Value,
    pub accreditation: Option<AccreditationLevel>,
    pub accredited_on: Option<NaiveDate>,
    pub accreditation_document: Option<String>,
    pub status: SiteStatus,
    pub closed_on: Option<NaiveDate>,
    pub close_reason: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be edited of a site.
#[derive(AsChangeset)]
#[diesel(table_name = sites, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct SiteEdit {
    pub kind: SiteKind,
    pub name: String,
    pub feature: Option<String>,
    pub address: Option<String>,
    pub longitude: Option<Decimal>,
    pub latitude: Option<Decimal>,
    pub phone: Option<String>,
    pub checklist: Value,
}

fn matching<'a>(query: &'a SiteQuery) -> Condition<'a, sites::table> {
    let mut all: Vec<Condition<'a, sites::table>> = vec![];
    if let Some(top) = query.within {
        all.push(Box::new(sites::owner_organization_id.eq_any(tree::below(&[top])).nullable()));
    }
    if let Some(id) = &query.organization_id {
        all.push(Box::new(sites::owner_organization_id.eq(id).nullable()));
    }
    if let Some(kinds) = &query.kind {
        all.push(Box::new(sites::kind.eq_any(kinds).nullable()));
    }
    if let Some(statuses) = &query.status {
        all.push(Box::new(sites::status.eq_any(statuses).nullable()));
    }
    if let Some(levels) = &query.accreditation {
        all.push(Box::new(sites::accreditation.eq_any(levels)));
    }
    if let Some(q) = &query.q {
        all.push(Box::new(sites::name.like(contains(q)).nullable()));
    }
    if let Some(from) = &query.updated_at_gte {
        all.push(Box::new(sites::updated_at.ge(from).nullable()));
    }
    if let Some(before) = &query.updated_at_lt {
        all.push(Box::new(sites::updated_at.lt(before).nullable()));
    }
    all_of(all)
}

/// One page of the sites.
pub async fn list(mut conn: &AsyncPgConnection, query: &SiteQuery, page: &PageRequest) -> QueryResult<Vec<Site>> {
    let rows = sites::table.filter(matching(query)).select(Site::as_select());
    load_page!(conn, rows, sites::id, sites::updated_at, query.sort, page)
}

/// How many there are, counted up to one beyond the cap.
pub async fn total(mut conn: &AsyncPgConnection, query: &SiteQuery) -> QueryResult<i64> {
    Capped(sites::table.filter(matching(query)).select(sites::id).limit(COUNTED)).get_result(&mut conn).await
}

/// How many there are of each kind, status or grade.
pub async fn counts(mut conn: &AsyncPgConnection, query: &SiteQuery, by: SitesBy) -> QueryResult<Vec<(Option<String>, i64)>> {
    let rows = sites::table.filter(matching(query));
    match by {
        SitesBy::Kind => {
            rows.group_by(sites::kind).select((sites::kind.nullable(), count_star())).order(sites::kind).load(&mut conn).await
        }
        SitesBy::Status => {
            rows.group_by(sites::status)
                .select((sites::status.nullable(), count_star()))
                .order(sites::status)
                .load(&mut conn)
                .await
        }
        SitesBy::Accreditation => {
            let counts = rows.group_by(sites::accreditation).select((sites::accreditation, count_star()));
            counts.order(sites::accreditation).load(&mut conn).await
        }
    }
}

/// One site.
pub async fn find(mut conn: &AsyncPgConnection, id: SiteId) -> QueryResult<Site> {
    sites::table.find(id).select(Site::as_select()).first(&mut conn).await
}

/// Locks one site in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: SiteId) -> QueryResult<Site> {
    sites::table
        .filter(sites::id.eq(id))
        .filter(sites::owner_organization_id.eq_any(tree::below(scope.places())))
        .select(Site::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Writes a new site.
pub async fn insert(conn: &mut AsyncPgConnection, row: &Site) -> QueryResult<Site> {
    diesel::insert_into(sites::table).values(row).returning(Site::as_returning()).get_result(conn).await
}

/// Writes many sites; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Site]) -> QueryResult<usize> {
    let mut written = 0;
    for part in rows.chunks(2000) {
        written += diesel::insert_into(sites::table).values(part).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(written)
}

/// Edits a site.
pub async fn update(conn: &mut AsyncPgConnection, id: SiteId, edit: &SiteEdit, now: DateTime<Utc>) -> QueryResult<Site> {
    diesel::update(sites::table.find(id))
        .set((edit, sites::version.eq(sites::version + 1), sites::updated_at.eq(now)))
        .returning(Site::as_returning())
        .get_result(conn)
        .await
}

/// Gives a site its demonstration grade.
pub async fn accredit(
    conn: &mut AsyncPgConnection,
    id: SiteId,
    level: AccreditationLevel,
    on: NaiveDate,
    document: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<Site> {
    diesel::update(sites::table.find(id))
        .set((
            sites::accreditation.eq(level),
            sites::accredited_on.eq(on),
            sites::accreditation_document.eq(document),
            sites::version.eq(sites::version + 1),
            sites::updated_at.eq(now),
        ))
        .returning(Site::as_returning())
        .get_result(conn)
        .await
}

/// Closes a site.
pub async fn close(
    conn: &mut AsyncPgConnection,
    id: SiteId,
    on: NaiveDate,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<Site> {
    diesel::update(sites::table.find(id))
        .set((
            sites::status.eq(SiteStatus::Closed),
            sites::closed_on.eq(on),
            sites::close_reason.eq(reason),
            sites::version.eq(sites::version + 1),
            sites::updated_at.eq(now),
        ))
        .returning(Site::as_returning())
        .get_result(conn)
        .await
}
