//! The coverage in figures, and what they are read from: [`super::gaps`] reads the same. The divisions are the yardstick of
//! townships and villages, the list of units that of the rest; which county either belongs to is told by the tree and not by the
//! digits of a code, because functional zones lie in the divisions of others.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::organizations::Reference;
use crate::db::schema::organizations;
use crate::db::scope::below;
use crate::ids::OrganizationId;
use crate::organizations::rules::{CoverageUnitKind, OrganizationKind, OrganizationStatus};
use crate::reference::DivisionLevel;

/// Everything that lies below the roots $1 today.
macro_rules! inside {
    () => {
        "(SELECT descendant_id FROM organization_tree WHERE ancestor_id = ANY ($1) AND to_on IS NULL)"
    };
}
pub(super) use inside;

/// Of each id of `$ids` the county: the nearest active federation of a county or zone that it is or lies below, and where there
/// is none, that of the city.
macro_rules! area {
    ($ids:expr) => {
        concat!(
            "area AS MATERIALIZED (
                SELECT near.id, county.id AS county_id
                FROM (SELECT DISTINCT id FROM (",
            $ids,
            ") AS ids (id)) AS near
                CROSS JOIN LATERAL (
                    SELECT above.id FROM organization_tree AS line JOIN organizations AS above ON above.id = line.ancestor_id
                    WHERE line.descendant_id = near.id AND line.to_on IS NULL AND above.status = 'active'
                        AND above.kind IN ('county_federation', 'zone_federation', 'city_federation', 'province_federation')
                    ORDER BY line.depth LIMIT 1) AS county)"
        )
    };
}

/// The townships and villages of the roots $1. `yard`: divisions that an active federation below the roots holds, and all below
/// these that nobody holds, each with the federation that is nearest to it. `heir`: who took over where the last federation of a
/// division has ended, if that is one of the same level; two villages that have become one are both covered by it. `places`: each
/// township and village with its federation, if it has one.
///
/// The database cannot know how much lies below a root, so each step is told to look up what it needs (OFFSET 0 keeps a lookup
/// one): some 7 ms for a county, 25 for a city and half a second for a province, where a guess reads all of China.
macro_rules! places {
    () => {
        concat!(
            "WITH RECURSIVE yard AS (
                SELECT division.code, division.level, inside.id AS near_id, true AS held
                FROM (SELECT DISTINCT descendant_id AS id FROM organization_tree
                    WHERE ancestor_id = ANY ($1) AND to_on IS NULL) AS inside
                CROSS JOIN LATERAL (SELECT division_code FROM organizations
                    WHERE id = inside.id AND status = 'active' OFFSET 0) AS federation
                CROSS JOIN LATERAL (SELECT code, level FROM divisions
                    WHERE code = federation.division_code OFFSET 0) AS division
                UNION ALL
                SELECT division.code, division.level, yard.near_id, false
                FROM yard CROSS JOIN LATERAL (SELECT code, level FROM divisions WHERE parent_code = yard.code
                    AND NOT EXISTS (SELECT FROM organizations WHERE division_code = divisions.code AND status = 'active')
                    OFFSET 0) AS division),
            line (code, level, heir_id) AS (
                SELECT yard.code, yard.level, ended.successor_id
                FROM yard CROSS JOIN LATERAL (SELECT successor_id FROM organizations
                    WHERE division_code = yard.code AND status <> 'active'
                    ORDER BY status_changed_on DESC NULLS LAST, id DESC LIMIT 1) AS ended
                WHERE NOT yard.held
                UNION
                SELECT line.code, line.level, ended.successor_id
                FROM line CROSS JOIN LATERAL (SELECT successor_id FROM organizations
                    WHERE id = line.heir_id AND status <> 'active' OFFSET 0) AS ended),
            heir AS MATERIALIZED (
                SELECT line.code, federation.id
                FROM line CROSS JOIN LATERAL (SELECT id FROM organizations
                    WHERE id = line.heir_id AND status = 'active' AND kind = line.level || '_federation' OFFSET 0) AS federation),
            places AS MATERIALIZED (
                SELECT yard.code, yard.level, yard.near_id,
                    CASE WHEN yard.held THEN yard.near_id ELSE heir.id END AS federation_id
                FROM yard LEFT JOIN heir ON heir.code = yard.code WHERE yard.level IN ('township', 'village')),
            judged AS (
                SELECT places.*, EXISTS (SELECT FROM sites WHERE sites.owner_organization_id = places.federation_id
                    AND sites.kind = 'womens_home' AND sites.status = 'active') AS has_home
                FROM places)"
        )
    };
}
pub(super) use places;

const DIVISIONS: &str = concat!(
    places!(),
    ", ",
    area!("SELECT near_id FROM places"),
    " SELECT county_id, level, count(*) AS total, count(federation_id) AS with_organization,
        count(*) FILTER (WHERE has_home) AS with_site
    FROM judged JOIN area ON area.id = judged.near_id GROUP BY county_id, level"
);

/// How many divisions of a level a county has, and how many of them have a federation or a Women's Home.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct DivisionFigures {
    #[diesel(sql_type = SqlUuid)]
    pub county_id: OrganizationId,
    #[diesel(sql_type = Text)]
    pub level: DivisionLevel,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub with_organization: i64,
    #[diesel(sql_type = BigInt)]
    pub with_site: i64,
}

/// The townships and villages below some roots, by county.
pub async fn divisions(mut conn: &AsyncPgConnection, roots: &[OrganizationId]) -> QueryResult<Vec<DivisionFigures>> {
    diesel::sql_query(DIVISIONS).bind::<Array<SqlUuid>, _>(roots).load(&mut conn).await
}

/// Active units below the roots $1, each with the active organization and the open site that cover it.
macro_rules! covered_units {
    () => {
        concat!(
            "FROM coverage_units AS unit
            LEFT JOIN organizations AS organization
                ON organization.id = unit.covered_by_organization_id AND organization.status = 'active'
            LEFT JOIN sites AS site ON site.id = unit.covered_by_site_id AND site.status = 'active'
            WHERE unit.status = 'active' AND unit.organization_id IN ",
            inside!()
        )
    };
}
pub(super) use covered_units;

const UNITS: &str = concat!(
    "WITH counted AS (
        SELECT unit.organization_id, unit.kind, count(*) AS total, count(organization.id) AS with_organization,
            count(site.id) AS with_site, count(*) FILTER (WHERE organization.id IS NULL AND site.id IS NULL) AS without,
            sum(unit.women_count) AS women,
            sum(unit.women_count) FILTER (WHERE organization.id IS NULL AND site.id IS NULL) AS women_uncovered ",
    covered_units!(),
    " GROUP BY unit.organization_id, unit.kind), ",
    area!("SELECT organization_id FROM counted"),
    " SELECT county_id, kind, sum(total)::bigint AS total, sum(with_organization)::bigint AS with_organization,
        sum(with_site)::bigint AS with_site, sum(without)::bigint AS without,
        coalesce(sum(women), 0)::bigint - coalesce(sum(women_uncovered), 0)::bigint AS women_covered,
        coalesce(sum(women_uncovered), 0)::bigint AS women_uncovered
    FROM counted JOIN area ON area.id = counted.organization_id GROUP BY county_id, kind"
);

/// How many units of a kind a county has, how many of them have an organization or a site, and how many women there are in them.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct UnitFigures {
    #[diesel(sql_type = SqlUuid)]
    pub county_id: OrganizationId,
    #[diesel(sql_type = Text)]
    pub kind: CoverageUnitKind,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub with_organization: i64,
    #[diesel(sql_type = BigInt)]
    pub with_site: i64,
    #[diesel(sql_type = BigInt)]
    pub without: i64,
    #[diesel(sql_type = BigInt)]
    pub women_covered: i64,
    #[diesel(sql_type = BigInt)]
    pub women_uncovered: i64,
}

/// The units below some roots, by county and kind.
pub async fn units(mut conn: &AsyncPgConnection, roots: &[OrganizationId]) -> QueryResult<Vec<UnitFigures>> {
    diesel::sql_query(UNITS).bind::<Array<SqlUuid>, _>(roots).load(&mut conn).await
}

/// The active federations of counties and zones below some roots: a county in which there is nothing yet is a county.
pub async fn counties(mut conn: &AsyncPgConnection, roots: &[OrganizationId]) -> QueryResult<Vec<Reference>> {
    organizations::table
        .filter(organizations::id.eq_any(below(roots)))
        .filter(organizations::kind.eq_any([OrganizationKind::CountyFederation, OrganizationKind::ZoneFederation]))
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .select(Reference::as_select())
        .order(organizations::id)
        .load(&mut conn)
        .await
}

/// What an organization's own units are, without those of its children.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct OwnUnits {
    #[diesel(sql_type = BigInt)]
    pub units: i64,
    #[diesel(sql_type = BigInt)]
    pub covered: i64,
    #[diesel(sql_type = BigInt)]
    pub women: i64,
    #[diesel(sql_type = BigInt)]
    pub women_covered: i64,
}

const OWN: &str = "SELECT count(*) AS units, coalesce(sum(unit.women_count), 0) AS women,
        count(*) FILTER (WHERE organization.id IS NOT NULL OR site.id IS NOT NULL) AS covered,
        coalesce(sum(unit.women_count) FILTER (WHERE organization.id IS NOT NULL OR site.id IS NOT NULL), 0) AS women_covered
    FROM coverage_units AS unit
    LEFT JOIN organizations AS organization ON organization.id = unit.covered_by_organization_id AND organization.status = 'active'
    LEFT JOIN sites AS site ON site.id = unit.covered_by_site_id AND site.status = 'active'
    WHERE unit.status = 'active' AND unit.organization_id = $1";

/// The active units in the area of an organization.
pub async fn own_units(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<OwnUnits> {
    diesel::sql_query(OWN).bind::<SqlUuid, _>(id).get_result(&mut conn).await
}

const COUNTIES_OF: &str = concat!("WITH ", area!("SELECT unnest($1)"), " SELECT id, county_id FROM area");

#[derive(QueryableByName)]
struct CountyOf {
    #[diesel(sql_type = SqlUuid)]
    id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    county_id: OrganizationId,
}

/// The county or zone of some organizations; of those in none the city's.
pub async fn counties_of(
    mut conn: &AsyncPgConnection,
    ids: &[OrganizationId],
) -> QueryResult<HashMap<OrganizationId, OrganizationId>> {
    let rows: Vec<CountyOf> = diesel::sql_query(COUNTIES_OF).bind::<Array<SqlUuid>, _>(ids).load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.county_id)).collect())
}
