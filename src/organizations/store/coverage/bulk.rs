//! Lists of units that are imported: what they refer to is looked up, and what they change written, in a handful of statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Unit;
use crate::db::locks;
use crate::db::schema::{coverage_units, sites};
use crate::db::scope::below;
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::imports::MOST_SHOWN;
use crate::organizations::rules::{CoverageUnitKind, CoverageUnitStatus, SiteStatus};

/// Key of the lock that a list of units takes for itself: "units" in ASCII.
const LISTS: i64 = 0x75_6e69_7473;

/// No other list of units is written until the transaction ends: two would lock what they have in common in different orders.
pub async fn lock_lists(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    locks::take(conn, LISTS).await
}

/// What rows of a list say of which units they mean.
#[derive(Default)]
pub struct Sought {
    /// Ids.
    pub ids: Vec<CoverageUnitId>,
    /// Unified social credit codes.
    pub usccs: Vec<String>,
    /// Federations, and the numbers in their lists.
    pub externals: Vec<(OrganizationId, String)>,
    /// Divisions, kinds and names.
    pub names: Vec<(String, CoverageUnitKind, String)>,
}

const SOUGHT: &str = "id IN (
    SELECT unit.id FROM coverage_units AS unit WHERE unit.id = ANY (";

/// The units with one of these ids, and the active ones with one of the other keys, wherever they are; locked until the
/// transaction ends where `lock`.
pub async fn sought(conn: &mut AsyncPgConnection, sought: Sought, lock: bool) -> QueryResult<Vec<Unit>> {
    let (areas, numbers): (Vec<OrganizationId>, Vec<String>) = sought.externals.into_iter().unzip();
    let mut columns: (Vec<String>, Vec<CoverageUnitKind>, Vec<String>) = Default::default();
    for (division, kind, name) in sought.names {
        columns.0.push(division);
        columns.1.push(kind);
        columns.2.push(name);
    }
    let ids = diesel::dsl::sql::<Bool>(SOUGHT)
        .bind::<Array<SqlUuid>, _>(sought.ids)
        .sql(") UNION SELECT unit.id FROM coverage_units AS unit WHERE unit.status = 'active' AND unit.uscc = ANY (")
        .bind::<Array<Text>, _>(sought.usccs)
        .sql(") UNION SELECT unit.id FROM coverage_units AS unit JOIN unnest(")
        .bind::<Array<SqlUuid>, _>(areas)
        .sql(", ")
        .bind::<Array<Text>, _>(numbers)
        .sql(
            ") AS row (organization_id, external_id)
                ON unit.organization_id = row.organization_id AND unit.external_id = row.external_id AND unit.status = 'active'
            UNION SELECT unit.id FROM coverage_units AS unit JOIN unnest(",
        )
        .bind::<Array<Text>, _>(columns.0)
        .sql(", ")
        .bind::<Array<Text>, _>(columns.1)
        .sql(", ")
        .bind::<Array<Text>, _>(columns.2)
        .sql(
            ") AS row (division_code, kind, name)
                ON unit.division_code = row.division_code AND unit.kind = row.kind AND unit.name = row.name AND unit.status = 'active')",
        );
    let rows = coverage_units::table.filter(ids).order(coverage_units::id).select(Unit::as_select());
    if lock { rows.for_update().load(conn).await } else { rows.load(conn).await }
}

/// Which of these sites are open, and whose they are; they stay so until the transaction ends where `hold`.
pub async fn open_sites(conn: &mut AsyncPgConnection, ids: &[SiteId], hold: bool) -> QueryResult<Vec<(SiteId, OrganizationId)>> {
    let open = sites::table.filter(sites::id.eq_any(ids)).filter(sites::status.eq(SiteStatus::Active)).order(sites::id);
    let rows = open.select((sites::id, sites::owner_organization_id));
    if hold { rows.for_share().load(conn).await } else { rows.load(conn).await }
}

/// The active units in the areas below a place.
pub async fn units_below(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<Unit>> {
    let there = coverage_units::table.filter(coverage_units::organization_id.eq_any(below(&[place])));
    let active = there.filter(coverage_units::status.eq(CoverageUnitStatus::Active)).order(coverage_units::id);
    active.limit(MOST_SHOWN).select(Unit::as_select()).load(&mut conn).await
}

const WRITE: &str = "UPDATE coverage_units AS unit SET kind = row.kind, name = row.name, organization_id = row.organization_id,
        division_code = row.division_code, uscc = row.uscc, address = row.address, employees_count = row.employees_count,
        women_count = row.women_count, covered_by_organization_id = row.covered_by_organization_id,
        covered_by_site_id = row.covered_by_site_id, external_id = row.external_id, version = unit.version + 1, updated_at = $13
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS row (id, kind, name, organization_id, division_code, uscc,
        address, employees_count, women_count, covered_by_organization_id, covered_by_site_id, external_id)
    WHERE unit.id = row.id";

/// Writes changed units, which are locked: all that can be edited.
pub async fn update_many(conn: &mut AsyncPgConnection, units: &[Unit], now: DateTime<Utc>) -> QueryResult<()> {
    if units.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($field:ident) => {
            units.iter().map(|unit| unit.$field.clone()).collect::<Vec<_>>()
        };
    }
    diesel::sql_query(WRITE)
        .bind::<Array<SqlUuid>, _>(column!(id))
        .bind::<Array<Text>, _>(column!(kind))
        .bind::<Array<Text>, _>(column!(name))
        .bind::<Array<SqlUuid>, _>(column!(organization_id))
        .bind::<Array<Text>, _>(column!(division_code))
        .bind::<Array<Nullable<Text>>, _>(column!(uscc))
        .bind::<Array<Nullable<Text>>, _>(column!(address))
        .bind::<Array<Nullable<Integer>>, _>(column!(employees_count))
        .bind::<Array<Nullable<Integer>>, _>(column!(women_count))
        .bind::<Array<Nullable<SqlUuid>>, _>(column!(covered_by_organization_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(column!(covered_by_site_id))
        .bind::<Array<Nullable<Text>>, _>(column!(external_id))
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await
        .map(drop)
}
