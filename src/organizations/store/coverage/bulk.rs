//! Writing lists of units that are imported: a thousand rows in a handful of statements.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::tree;
use super::Unit;
use crate::db::schema::coverage_units;
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::organizations::rules::{CoverageUnitKind, CoverageUnitStatus, UnitFate, UnitKeys, recognized};

/// Units that one statement inserts.
const PART: usize = 2000;

/// A row of a list of units. Its organization, division and site exist, and the rules have found no fault in it.
#[derive(Debug, Clone)]
pub struct UnitRow {
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// Its name.
    pub name: String,
    /// The federation in whose area it lies.
    pub organization_id: OrganizationId,
    /// The division it lies in.
    pub division_code: String,
    /// Unified social credit code.
    pub uscc: Option<String>,
    /// Address.
    pub address: Option<String>,
    /// People who work there.
    pub employees_count: Option<i32>,
    /// Women who work or live there.
    pub women_count: Option<i32>,
    /// Women's organization in it.
    pub covered_by_organization_id: Option<OrganizationId>,
    /// Site in it.
    pub covered_by_site_id: Option<SiteId>,
    /// Its id in the list.
    pub external_id: Option<String>,
}

/// What has become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upserted {
    /// It is a new unit.
    Created(CoverageUnitId),
    /// It has changed this unit.
    Changed(CoverageUnitId),
    /// The unit is as the row says.
    Unchanged(CoverageUnitId),
    /// Another unit has this field's value already: nothing was written.
    Taken(&'static str),
    /// It is the same as this earlier row: nothing was written.
    Repeated(usize),
}

fn keys(row: &UnitRow) -> UnitKeys<'_> {
    UnitKeys {
        uscc: row.uscc.as_deref(),
        external: row.external_id.as_deref().map(|id| (row.organization_id, id)),
        name: (&row.division_code, row.kind, &row.name),
    }
}

fn keys_of(unit: &Unit) -> UnitKeys<'_> {
    UnitKeys {
        uscc: unit.uscc.as_deref(),
        external: unit.external_id.as_deref().map(|id| (unit.organization_id, id)),
        name: (&unit.division_code, unit.kind, &unit.name),
    }
}

/// Writes the rows of a list: an active unit is recognized by its credit code, else by its `external_id` in the area of the same
/// federation, else by division, kind and name; what is not recognized is new. A value that is absent leaves what is known as it
/// is. Answers what has become of each row, in their order. Call it inside a transaction; who calls tells the audit trail.
pub async fn upsert_units(conn: &mut AsyncPgConnection, rows: &[UnitRow], now: DateTime<Utc>) -> QueryResult<Vec<Upserted>> {
    // Nobody ends a federation between the look at it and its units.
    tree::lock_shared(conn).await?;
    let known = recognizable(conn, rows).await?;
    let units: Vec<_> = known.iter().map(|unit| (unit.id, keys_of(unit))).collect();
    let fates = recognized(&units, &rows.iter().map(keys).collect::<Vec<_>>());
    let by_id: HashMap<_, _> = known.iter().map(|unit| (unit.id, unit)).collect();
    let mut fresh = Vec::new();
    let mut changed = Vec::new();
    let mut done = Vec::with_capacity(rows.len());
    for (row, fate) in rows.iter().zip(fates) {
        done.push(match fate {
            UnitFate::New => {
                let unit = new_unit(row, now);
                let id = unit.id;
                fresh.push(unit);
                Upserted::Created(id)
            }
            UnitFate::Known(id) => match by_id.get(&id).and_then(|unit| with(unit, row)) {
                Some(unit) => {
                    changed.push(unit);
                    Upserted::Changed(id)
                }
                None => Upserted::Unchanged(id),
            },
            UnitFate::Taken(field) => Upserted::Taken(field),
            UnitFate::Repeated(before) => Upserted::Repeated(before),
        });
    }
    // Two lists at once wait for each other instead of standing in each other's way.
    fresh.sort_by(|one, other| (&one.division_code, one.kind, &one.name).cmp(&(&other.division_code, other.kind, &other.name)));
    // Whoever enters one of them by hand meanwhile comes first.
    let mut inserted = HashSet::new();
    for part in fresh.chunks(PART) {
        let insert = diesel::insert_into(coverage_units::table).values(part).on_conflict_do_nothing();
        let ids: Vec<CoverageUnitId> = insert.returning(coverage_units::id).get_results(conn).await?;
        inserted.extend(ids);
    }
    for row in &mut done {
        if matches!(row, Upserted::Created(id) if !inserted.contains(id)) {
            *row = Upserted::Taken("name");
        }
    }
    write(conn, &changed, now).await?;
    Ok(done)
}

const RECOGNIZABLE: &str = "id IN (
    SELECT unit.id FROM coverage_units AS unit WHERE unit.status = 'active' AND unit.uscc = ANY (";

/// Locks the active units that share a key with one of the rows.
async fn recognizable(conn: &mut AsyncPgConnection, rows: &[UnitRow]) -> QueryResult<Vec<Unit>> {
    let with_external = || rows.iter().filter(|row| row.external_id.is_some());
    let ids = diesel::dsl::sql::<diesel::sql_types::Bool>(RECOGNIZABLE)
        .bind::<Array<Text>, _>(rows.iter().filter_map(|row| row.uscc.clone()).collect::<Vec<_>>())
        .sql(
            ") UNION SELECT unit.id FROM coverage_units AS unit JOIN unnest(",
        )
        .bind::<Array<SqlUuid>, _>(with_external().map(|row| row.organization_id).collect::<Vec<_>>())
        .sql(", ")
        .bind::<Array<Text>, _>(with_external().filter_map(|row| row.external_id.clone()).collect::<Vec<_>>())
        .sql(
            ") AS row (organization_id, external_id)
                ON unit.organization_id = row.organization_id AND unit.external_id = row.external_id AND unit.status = 'active'
            UNION SELECT unit.id FROM coverage_units AS unit JOIN unnest(",
        )
        .bind::<Array<Text>, _>(rows.iter().map(|row| row.division_code.clone()).collect::<Vec<_>>())
        .sql(", ")
        .bind::<Array<Text>, _>(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
        .sql(", ")
        .bind::<Array<Text>, _>(rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>())
        .sql(
            ") AS row (division_code, kind, name)
                ON unit.division_code = row.division_code AND unit.kind = row.kind AND unit.name = row.name AND unit.status = 'active')",
        );
    coverage_units::table.filter(ids).order(coverage_units::id).select(Unit::as_select()).for_update().load(conn).await
}

fn new_unit(row: &UnitRow, now: DateTime<Utc>) -> Unit {
    let row = row.clone();
    Unit {
        id: CoverageUnitId::generate(),
        kind: row.kind,
        name: row.name,
        organization_id: row.organization_id,
        division_code: row.division_code,
        uscc: row.uscc,
        address: row.address,
        employees_count: row.employees_count,
        women_count: row.women_count,
        covered_by_organization_id: row.covered_by_organization_id,
        covered_by_site_id: row.covered_by_site_id,
        external_id: row.external_id,
        status: CoverageUnitStatus::Active,
        closed_on: None,
        close_reason: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// The unit with what the row says of it; none: it says nothing new.
fn with(unit: &Unit, row: &UnitRow) -> Option<Unit> {
    let row = row.clone();
    let changed = Unit {
        kind: row.kind,
        name: row.name,
        organization_id: row.organization_id,
        division_code: row.division_code,
        uscc: row.uscc.or_else(|| unit.uscc.clone()),
        address: row.address.or_else(|| unit.address.clone()),
        employees_count: row.employees_count.or(unit.employees_count),
        women_count: row.women_count.or(unit.women_count),
        covered_by_organization_id: row.covered_by_organization_id.or(unit.covered_by_organization_id),
        covered_by_site_id: row.covered_by_site_id.or(unit.covered_by_site_id),
        // Its id in the list of another federation says nothing in this one's.
        external_id: row.external_id.or_else(|| unit.external_id.clone().filter(|_| row.organization_id == unit.organization_id)),
        ..unit.clone()
    };
    (changed != *unit).then_some(changed)
}

const WRITE: &str = "UPDATE coverage_units AS unit SET kind = row.kind, name = row.name, organization_id = row.organization_id,
        division_code = row.division_code, uscc = row.uscc, address = row.address, employees_count = row.employees_count,
        women_count = row.women_count, covered_by_organization_id = row.covered_by_organization_id,
        covered_by_site_id = row.covered_by_site_id, external_id = row.external_id, version = unit.version + 1, updated_at = $13
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS row (id, kind, name, organization_id, division_code, uscc,
        address, employees_count, women_count, covered_by_organization_id, covered_by_site_id, external_id)
    WHERE unit.id = row.id";

/// Writes changed units, which are locked.
async fn write(conn: &mut AsyncPgConnection, units: &[Unit], now: DateTime<Utc>) -> QueryResult<()> {
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
