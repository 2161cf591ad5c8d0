//! Units of the coverage. Whether one is covered is never stored: it follows from what its organization and its site are today.
//! [`figures`] counts by county, [`gaps`] tells what is missing; [`bulk`] writes lists that are imported.

pub mod bulk;
pub mod figures;
pub mod gaps;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{And, Eq, LeftJoinQuerySource, Nullable, count_star};
use diesel::prelude::*;
use diesel::sql_types::{Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::organizations::Reference;
use super::tree;
use crate::access::Scope;
use crate::db::page::{Condition, all_of, holds};
use crate::db::schema::{coverage_units, divisions, organizations, sites};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::organizations::api::coverage::{CoverageUnitFilter, CoverageUnitsBy};
use crate::organizations::rules::{
    CoverageUnitKind, CoverageUnitStatus, OrganizationStatus, SiteKind, SiteStatus, division_range,
};
use crate::{count_by, load_page, when};

/// A unit as it is stored.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = coverage_units)]
#[allow(missing_docs)]
pub struct Unit {
    pub id: CoverageUnitId,
    pub kind: CoverageUnitKind,
    pub name: String,
    pub organization_id: OrganizationId,
    pub division_code: String,
    pub uscc: Option<String>,
    pub address: Option<String>,
    pub employees_count: Option<i32>,
    pub women_count: Option<i32>,
    pub covered_by_organization_id: Option<OrganizationId>,
    pub covered_by_site_id: Option<SiteId>,
    pub external_id: Option<String>,
    pub status: CoverageUnitStatus,
    pub closed_on: Option<NaiveDate>,
    pub close_reason: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be edited of a unit.
#[derive(AsChangeset)]
#[diesel(table_name = coverage_units, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct UnitEdit {
    pub kind: CoverageUnitKind,
    pub name: String,
    pub organization_id: OrganizationId,
    pub division_code: String,
    pub uscc: Option<String>,
    pub address: Option<String>,
    pub employees_count: Option<i32>,
    pub women_count: Option<i32>,
    pub covered_by_organization_id: Option<OrganizationId>,
    pub covered_by_site_id: Option<SiteId>,
    pub external_id: Option<String>,
}

impl UnitEdit {
    /// The unit as it is to be.
    pub fn of(&self, unit: &Unit) -> Unit {
        Unit {
            kind: self.kind,
            name: self.name.clone(),
            organization_id: self.organization_id,
            division_code: self.division_code.clone(),
            uscc: self.uscc.clone(),
            address: self.address.clone(),
            employees_count: self.employees_count,
            women_count: self.women_count,
            covered_by_organization_id: self.covered_by_organization_id,
            covered_by_site_id: self.covered_by_site_id,
            external_id: self.external_id.clone(),
            ..unit.clone()
        }
    }
}

type WithOrganization = LeftJoinQuerySource<
    coverage_units::table,
    organizations::table,
    And<
        Eq<coverage_units::covered_by_organization_id, Nullable<organizations::id>>,
        Eq<organizations::status, OrganizationStatus>,
    >,
>;
/// Units, each with the active organization and the open site that cover it.
type Source = LeftJoinQuerySource<
    WithOrganization,
    sites::table,
    And<Eq<coverage_units::covered_by_site_id, Nullable<sites::id>>, Eq<sites::status, SiteStatus>>,
>;

macro_rules! units_with_cover {
    () => {
        coverage_units::table
            .left_join(
                organizations::table.on(coverage_units::covered_by_organization_id
                    .eq(organizations::id.nullable())
                    .and(organizations::status.eq(OrganizationStatus::Active))),
            )
            .left_join(
                sites::table
                    .on(coverage_units::covered_by_site_id.eq(sites::id.nullable()).and(sites::status.eq(SiteStatus::Active))),
            )
    };
}

fn is_covered<'a>(covered: bool) -> Condition<'a, Source> {
    let organization = organizations::id.nullable().is_not_null();
    let site = sites::id.nullable().is_not_null();
    Box::new(organization.or(site).eq(covered).nullable())
}

fn matching<'a>(roots: &[OrganizationId], filter: &'a CoverageUnitFilter) -> Condition<'a, Source> {
    let mut all: Vec<Condition<'a, Source>> = vec![Box::new(coverage_units::organization_id.eq_any(below(roots)).nullable())];
    all.extend(filter.covered.map(is_covered));
    let range = filter.division_code.as_deref().map(division_range);
    if let Some((first, last)) = range {
        all.push(Box::new(coverage_units::division_code.between(first, last).nullable()));
    }
    when!(all,
        filter.q, |q| holds(coverage_units::name, q);
        filter.kind, |kinds| coverage_units::kind.eq_any(kinds);
        filter.status, |statuses| coverage_units::status.eq_any(statuses);
        filter.organization_id, |id| coverage_units::organization_id.eq(id);
        filter.covered_by_organization_id, |id| coverage_units::covered_by_organization_id.eq(id);
        filter.uscc, |uscc| coverage_units::uscc.eq(uscc);
        filter.external_id, |id| coverage_units::external_id.eq(id);
        filter.women_count_gte, |women| coverage_units::women_count.ge(women);
        filter.created_at_gte, |from| coverage_units::created_at.ge(from);
        filter.created_at_lt, |before| coverage_units::created_at.lt(before);
        filter.updated_at_gte, |from| coverage_units::updated_at.ge(from);
        filter.updated_at_lt, |before| coverage_units::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of the units in a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &CoverageUnitFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Unit>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || units_with_cover!().filter(matching(&roots, filter));
    load_page!(conn, page, rows(), Unit::as_select(), by(coverage_units::id, coverage_units::updated_at))
}

/// How many there are of each kind, state or federation, and how many are covered.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &CoverageUnitFilter,
    by: CoverageUnitsBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || units_with_cover!().filter(matching(&roots, filter));
    match by {
        CoverageUnitsBy::Kind => count_by!(conn, rows(), coverage_units::kind),
        CoverageUnitsBy::Status => count_by!(conn, rows(), coverage_units::status),
        CoverageUnitsBy::OrganizationId => count_by!(conn, rows(), coverage_units::organization_id, OrganizationId),
        CoverageUnitsBy::Covered => {
            let mut counts = Vec::new();
            for covered in [false, true] {
                let count: i64 = rows().filter(is_covered(covered)).select(count_star()).first(&mut conn).await?;
                counts.push((Some(covered.to_string()), count));
            }
            counts.retain(|(_, count)| *count > 0);
            Ok(counts)
        }
    }
}

/// One unit in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: CoverageUnitId) -> QueryResult<Unit> {
    coverage_units::table
        .filter(coverage_units::id.eq(id))
        .filter(coverage_units::organization_id.eq_any(below(scope.places())))
        .select(Unit::as_select())
        .first(&mut conn)
        .await
}

/// Locks one unit in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: CoverageUnitId) -> QueryResult<Unit> {
    coverage_units::table
        .filter(coverage_units::id.eq(id))
        .filter(coverage_units::organization_id.eq_any(below(scope.places())))
        .select(Unit::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Writes a new unit.
pub async fn insert(conn: &mut AsyncPgConnection, row: &Unit) -> QueryResult<Unit> {
    diesel::insert_into(coverage_units::table).values(row).returning(Unit::as_returning()).get_result(conn).await
}

/// Writes many units; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Unit]) -> QueryResult<usize> {
    let mut written = 0;
    for part in rows.chunks(2000) {
        written += diesel::insert_into(coverage_units::table).values(part).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(written)
}

/// Edits a unit.
pub async fn update(conn: &mut AsyncPgConnection, id: CoverageUnitId, edit: &UnitEdit, now: DateTime<Utc>) -> QueryResult<Unit> {
    diesel::update(coverage_units::table.find(id))
        .set((edit, coverage_units::version.eq(coverage_units::version + 1), coverage_units::updated_at.eq(now)))
        .returning(Unit::as_returning())
        .get_result(conn)
        .await
}

/// Closes a unit, or opens it again: then there is no day and no reason.
pub async fn set_closed(
    conn: &mut AsyncPgConnection,
    id: CoverageUnitId,
    closed: Option<(NaiveDate, &str)>,
    now: DateTime<Utc>,
) -> QueryResult<Unit> {
    let status = if closed.is_some() { CoverageUnitStatus::Closed } else { CoverageUnitStatus::Active };
    diesel::update(coverage_units::table.find(id))
        .set((
            coverage_units::status.eq(status),
            coverage_units::closed_on.eq(closed.map(|(day, _)| day)),
            coverage_units::close_reason.eq(closed.map(|(_, reason)| reason)),
            coverage_units::version.eq(coverage_units::version + 1),
            coverage_units::updated_at.eq(now),
        ))
        .returning(Unit::as_returning())
        .get_result(conn)
        .await
}

/// A site that is named somewhere.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sites)]
#[allow(missing_docs)]
pub struct NamedSite {
    pub id: SiteId,
    pub name: String,
    pub kind: SiteKind,
    pub status: SiteStatus,
}

/// Organizations by id, each with its state.
pub async fn organizations_named(
    mut conn: &AsyncPgConnection,
    ids: Vec<OrganizationId>,
) -> QueryResult<HashMap<OrganizationId, (Reference, OrganizationStatus)>> {
    let rows: Vec<(Reference, OrganizationStatus)> = organizations::table
        .filter(organizations::id.eq_any(ids))
        .select((Reference::as_select(), organizations::status))
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.0.id, row)).collect())
}

/// Sites by id.
pub async fn sites_named(mut conn: &AsyncPgConnection, ids: Vec<SiteId>) -> QueryResult<HashMap<SiteId, NamedSite>> {
    let rows: Vec<NamedSite> = sites::table.filter(sites::id.eq_any(ids)).select(NamedSite::as_select()).load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Names and full names of divisions by code.
pub async fn divisions_named(mut conn: &AsyncPgConnection, codes: Vec<String>) -> QueryResult<HashMap<String, (String, String)>> {
    let rows: Vec<(String, String, String)> = divisions::table
        .filter(divisions::code.eq_any(codes))
        .select((divisions::code, divisions::name, divisions::full_name))
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(|(code, name, full_name)| (code, (name, full_name))).collect())
}

/// A number of the old list gives way where the successor has a unit with the same.
const HAND_OVER: &str = "WITH before AS (
        SELECT id, organization_id, covered_by_organization_id, external_id FROM coverage_units
        WHERE organization_id = $1 OR covered_by_organization_id = $1 ORDER BY id FOR UPDATE)
    UPDATE coverage_units AS unit SET
        organization_id = CASE WHEN before.organization_id = $1 THEN $2 ELSE before.organization_id END,
        covered_by_organization_id = CASE WHEN before.covered_by_organization_id = $1 THEN $2
            ELSE before.covered_by_organization_id END,
        external_id = CASE WHEN before.organization_id = $1 AND unit.status = 'active' AND EXISTS (
            SELECT FROM coverage_units AS other WHERE other.organization_id = $2 AND other.external_id = before.external_id
                AND other.status = 'active') THEN NULL ELSE before.external_id END,
        version = unit.version + 1, updated_at = $3
    FROM before WHERE unit.id = before.id
    RETURNING unit.id, unit.organization_id, unit.covered_by_organization_id, unit.external_id,
        before.organization_id AS organization_before, before.covered_by_organization_id AS covered_before,
        before.external_id AS external_before";

/// A unit whose area or organization has become the successor's.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct HandedOver {
    #[diesel(sql_type = SqlUuid)]
    pub id: CoverageUnitId,
    #[diesel(sql_type = SqlUuid)]
    pub organization_id: OrganizationId,
    #[diesel(sql_type = diesel::sql_types::Nullable<SqlUuid>)]
    pub covered_by_organization_id: Option<OrganizationId>,
    #[diesel(sql_type = diesel::sql_types::Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    pub organization_before: OrganizationId,
    #[diesel(sql_type = diesel::sql_types::Nullable<SqlUuid>)]
    pub covered_before: Option<OrganizationId>,
    #[diesel(sql_type = diesel::sql_types::Nullable<Text>)]
    pub external_before: Option<String>,
}

/// The units in the area of an organization that ends, and those that it covers, are the successor's from now on. Call it with
/// both organizations locked.
pub async fn hand_over(
    conn: &mut AsyncPgConnection,
    from: OrganizationId,
    to: OrganizationId,
    now: DateTime<Utc>,
) -> QueryResult<Vec<HandedOver>> {
    let moved = diesel::sql_query(HAND_OVER).bind::<SqlUuid, _>(from).bind::<SqlUuid, _>(to).bind::<Timestamptz, _>(now);
    moved.load(conn).await
}
