//! Sites: places where work happens. Everybody may read them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::access::Scope;
use crate::db::page::{Condition, all_of, holds};
use crate::db::schema::sites;
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{OrganizationId, SiteId};
use crate::organizations::api::sites::{SiteFilter, SitesBy};
use crate::organizations::rules::{AccreditationLevel, SiteKind, SiteStatus};
use crate::{count_by, load_page, when};

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

fn matching<'a>(filter: &'a SiteFilter) -> Condition<'a, sites::table> {
    let mut all: Vec<Condition<'a, sites::table>> = vec![];
    when!(all,
        filter.within, |top| sites::owner_organization_id.eq_any(below(&[*top]));
        filter.organization_id, |id| sites::owner_organization_id.eq(id);
        filter.kind, |kinds| sites::kind.eq_any(kinds);
        filter.status, |statuses| sites::status.eq_any(statuses);
        filter.accreditation, |levels| sites::accreditation.eq_any(levels);
        filter.q, |q| holds(sites::name, q);
        filter.created_at_gte, |from| sites::created_at.ge(from);
        filter.created_at_lt, |before| sites::created_at.lt(before);
        filter.updated_at_gte, |from| sites::updated_at.ge(from);
        filter.updated_at_lt, |before| sites::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of sites.
pub async fn list(conn: &AsyncPgConnection, filter: &SiteFilter, page: &PageRequest) -> QueryResult<Listed<Site>> {
    let rows = || sites::table.filter(matching(filter));
    load_page!(conn, page, rows(), Site::as_select(), by(sites::id, sites::updated_at))
}

/// How many there are of each kind, state or grade.
pub async fn counts(mut conn: &AsyncPgConnection, filter: &SiteFilter, by: SitesBy) -> QueryResult<Vec<Counted>> {
    let rows = sites::table.filter(matching(filter));
    match by {
        SitesBy::Kind => count_by!(conn, rows, sites::kind),
        SitesBy::Status => count_by!(conn, rows, sites::status),
        SitesBy::Accreditation => count_by!(conn, rows, sites::accreditation),
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
        .filter(sites::owner_organization_id.eq_any(below(scope.places())))
        .select(Site::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Holds one site in a scope as it is until the transaction ends, for what refers to it.
pub async fn hold(conn: &mut AsyncPgConnection, scope: &Scope, id: SiteId) -> QueryResult<Option<Site>> {
    sites::table
        .filter(sites::id.eq(id))
        .filter(sites::owner_organization_id.eq_any(below(scope.places())))
        .select(Site::as_select())
        .for_share()
        .first(conn)
        .await
        .optional()
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
