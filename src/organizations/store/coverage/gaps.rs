//! What is not covered, one by one.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::figures::{covered_units, inside, places};
use crate::db::page::COUNTED;
use crate::http::PageRequest;
use crate::http::page::Listed;
use crate::ids::{CoverageUnitId, OrganizationId};
use crate::organizations::rules::{CoverageGap, CoverageUnitKind};
use crate::reference::DivisionLevel;

/// Townships and villages without a federation or without a Women's Home. $2: which levels, $3: whether those without a
/// federation, $4: whether those that lack only the home.
macro_rules! division_gaps {
    () => {
        "FROM judged WHERE judged.level = ANY ($2)
            AND CASE WHEN judged.federation_id IS NULL THEN $3 ELSE $4 AND NOT judged.has_home END"
    };
}

const DIVISION_GAPS: &str = concat!(
    places!(),
    " SELECT gap.*, divisions.name, divisions.full_name
    FROM (SELECT judged.code, judged.level, judged.near_id, judged.federation_id ",
    division_gaps!(),
    " AND judged.code > $5 ORDER BY judged.code LIMIT $6) AS gap
    JOIN divisions ON divisions.code = gap.code ORDER BY gap.code"
);
const DIVISION_GAPS_COUNTED: &str = concat!(places!(), " SELECT count(*) AS count ", division_gaps!());

/// A township or village that lacks a federation or a Women's Home.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct DivisionGap {
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub full_name: String,
    #[diesel(sql_type = Text)]
    pub level: DivisionLevel,
    /// The federation that holds it, or the next division above it that is held.
    #[diesel(sql_type = SqlUuid)]
    pub near_id: OrganizationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub federation_id: Option<OrganizationId>,
}

/// Active units without an organization. $2: which kinds, $3: whether those that have neither, $4: whether those that have a site.
macro_rules! unit_gaps {
    () => {
        concat!(
            covered_units!(),
            " AND organization.id IS NULL AND unit.kind = ANY ($2) AND CASE WHEN site.id IS NULL THEN $3 ELSE $4 END"
        )
    };
}

const UNIT_GAPS: &str = concat!(
    "SELECT gap.*, divisions.name AS division_name, divisions.full_name FROM (
        SELECT unit.id, unit.kind, unit.name, unit.division_code, unit.women_count, unit.organization_id,
            site.id IS NOT NULL AS has_site ",
    unit_gaps!(),
    " AND unit.id > $5 ORDER BY unit.id LIMIT $6) AS gap
    JOIN divisions ON divisions.code = gap.division_code ORDER BY gap.id"
);
const UNIT_GAPS_COUNTED: &str = concat!("SELECT count(*) AS count FROM (SELECT ", unit_gaps!(), " LIMIT $5) AS gap");

/// A unit without an organization.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct UnitGap {
    #[diesel(sql_type = SqlUuid)]
    pub id: CoverageUnitId,
    #[diesel(sql_type = Text)]
    pub kind: CoverageUnitKind,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub division_code: String,
    #[diesel(sql_type = Text)]
    pub division_name: String,
    #[diesel(sql_type = Text)]
    pub full_name: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub women_count: Option<i32>,
    #[diesel(sql_type = SqlUuid)]
    pub organization_id: OrganizationId,
    #[diesel(sql_type = Bool)]
    pub has_site: bool,
}

/// Something that is not covered.
#[allow(missing_docs)]
pub enum Gap {
    Division(DivisionGap),
    Unit(UnitGap),
}

impl Gap {
    /// Where it stands in the list: divisions by code, then units by id.
    pub fn key(&self) -> String {
        match self {
            Self::Division(gap) => gap.code.clone(),
            Self::Unit(gap) => gap.id.to_string(),
        }
    }

    /// The organization that tells its county.
    pub fn near(&self) -> OrganizationId {
        match self {
            Self::Division(gap) => gap.near_id,
            Self::Unit(gap) => gap.organization_id,
        }
    }

    /// The organization that is to close it.
    pub fn responsible(&self) -> OrganizationId {
        match self {
            Self::Division(gap) => gap.federation_id.unwrap_or(gap.near_id),
            Self::Unit(gap) => gap.organization_id,
        }
    }
}

/// Which gaps are asked for.
#[allow(missing_docs)]
pub struct Wanted {
    pub levels: Vec<DivisionLevel>,
    pub unit_kinds: Vec<CoverageUnitKind>,
    /// What is missing, of all that may be.
    pub missing: Vec<CoverageGap>,
}

impl Wanted {
    fn lacks(&self, gap: CoverageGap) -> bool {
        self.missing.contains(&gap)
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// One page of the gaps below some roots: divisions in the order of their codes, then units in that of their ids.
pub async fn gaps(
    mut conn: &AsyncPgConnection,
    roots: &[OrganizationId],
    wanted: &Wanted,
    page: &PageRequest,
) -> QueryResult<Listed<Gap>> {
    let after = page.after_code();
    let after_unit = after.parse::<uuid::Uuid>().ok();
    let (both, site) = (wanted.lacks(CoverageGap::Both), wanted.lacks(CoverageGap::Site));
    let organization = wanted.lacks(CoverageGap::Organization);
    let mut rows = Vec::new();
    if after_unit.is_none() && !wanted.levels.is_empty() {
        let read = diesel::sql_query(DIVISION_GAPS).bind::<Array<SqlUuid>, _>(roots).bind::<Array<Text>, _>(&wanted.levels);
        let read = read.bind::<Bool, _>(both).bind::<Bool, _>(site).bind::<Text, _>(after).bind::<BigInt, _>(page.rows());
        let found: Vec<DivisionGap> = read.load(&mut conn).await?;
        rows.extend(found.into_iter().map(Gap::Division));
    }
    let left = page.rows() - rows.len() as i64;
    if left > 0 && !wanted.unit_kinds.is_empty() {
        let read = diesel::sql_query(UNIT_GAPS).bind::<Array<SqlUuid>, _>(roots).bind::<Array<Text>, _>(&wanted.unit_kinds);
        let read = read.bind::<Bool, _>(both).bind::<Bool, _>(organization);
        let read = read.bind::<SqlUuid, _>(after_unit.unwrap_or_default()).bind::<BigInt, _>(left);
        let found: Vec<UnitGap> = read.load(&mut conn).await?;
        rows.extend(found.into_iter().map(Gap::Unit));
    }
    let total = if page.with_total { Some(count_gaps(conn, roots, wanted).await?) } else { None };
    Ok(Listed { rows, total })
}

async fn count_gaps(mut conn: &AsyncPgConnection, roots: &[OrganizationId], wanted: &Wanted) -> QueryResult<i64> {
    let (both, site) = (wanted.lacks(CoverageGap::Both), wanted.lacks(CoverageGap::Site));
    let organization = wanted.lacks(CoverageGap::Organization);
    let divisions = diesel::sql_query(DIVISION_GAPS_COUNTED)
        .bind::<Array<SqlUuid>, _>(roots)
        .bind::<Array<Text>, _>(&wanted.levels)
        .bind::<Bool, _>(both)
        .bind::<Bool, _>(site);
    let divisions: Number = divisions.get_result(&mut conn).await?;
    let units = diesel::sql_query(UNIT_GAPS_COUNTED)
        .bind::<Array<SqlUuid>, _>(roots)
        .bind::<Array<Text>, _>(&wanted.unit_kinds)
        .bind::<Bool, _>(both)
        .bind::<Bool, _>(organization)
        .bind::<BigInt, _>(COUNTED);
    let units: Number = units.get_result(&mut conn).await?;
    Ok(divisions.count + units.count)
}
