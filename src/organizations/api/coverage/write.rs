//! Making, changing, closing and reopening units, and what becomes of them when organizations end.

use actix_web::{post, put};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Around, CoverageUnitPath, CoverageUnitView};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Command, CommandHeaders, FieldError, KeyHeader, Path, Reply, Tx, VersionHeader};
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::organizations::api::{Faults, taken};
use crate::organizations::rules::{
    CoverageUnitKind, CoverageUnitStatus, OrganizationStatus, SiteStatus, UnitFacts, may_cover, unit_faults,
};
use crate::organizations::store::coverage::{self as store, HandedOver, Unit, UnitEdit, figures};
use crate::organizations::store::organizations::{self, Organization};
use crate::organizations::store::{sites, tree};

/// What two active units may not share, told at the field.
const UNIQUE: &[(&str, &str)] =
    &[("coverage_units_uscc", "/uscc"), ("coverage_units_name", "/name"), ("coverage_units_external", "/external_id")];

/// A new unit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "kind": "enterprise",
    "name": "洞庭湖畔服装厂",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "division_code": "430602001",
    "uscc": null,
    "address": "岳阳市岳阳楼区",
    "employees_count": 120,
    "women_count": 96,
    "covered_by_organization_id": null,
    "covered_by_site_id": null,
    "external_id": null
})))]
pub struct NewCoverageUnit {
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// Official name; no other active unit of the kind has it in the same division.
    #[schema(min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// The active federation in whose area it lies.
    pub organization_id: OrganizationId,
    /// The division it lies in, as exactly as it is known.
    #[schema(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: String,
    /// Unified social credit code; no other active unit has it.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Address.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// People who work there.
    #[schema(minimum = 0, maximum = 10000000)]
    pub employees_count: Option<i32>,
    /// Women who work or live there; in a park, an enterprise or a hospital no more than `employees_count`.
    #[schema(minimum = 0, maximum = 10000000)]
    pub women_count: Option<i32>,
    /// The active women's organization in it, of the same county.
    pub covered_by_organization_id: Option<OrganizationId>,
    /// The open site in it, run by an organization of the same county.
    pub covered_by_site_id: Option<SiteId>,
    /// Its id in your list; no other active unit of the federation has it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub external_id: Option<String>,
}

/// 新增覆盖单位 · Create a unit
///
/// Enters a unit in which there should be a women's organization, in the area of a federation of the caller's subtree.
#[utoipa::path(
    tag = "coverage",
    params(KeyHeader),
    request_body = NewCoverageUnit,
    responses((status = CREATED, body = CoverageUnitView, description = "The unit."))
)]
#[post("/api/v1/coverage-units")]
pub async fn create_coverage_unit(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            // Nobody ends what the unit refers to before it is written.
            tree::lock_shared(tx.conn()).await?;
            tx.require_at("organization_id").await?;
            let body: NewCoverageUnit = tx.body()?;
            let now = tx.now();
            let row = Unit {
                id: CoverageUnitId::generate(),
                kind: body.kind,
                name: body.name,
                organization_id: body.organization_id,
                division_code: body.division_code,
                uscc: body.uscc,
                address: body.address,
                employees_count: body.employees_count,
                women_count: body.women_count,
                covered_by_organization_id: body.covered_by_organization_id,
                covered_by_site_id: body.covered_by_site_id,
                external_id: body.external_id,
                status: CoverageUnitStatus::Active,
                closed_on: None,
                close_reason: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            check(tx, None, &row).await?;
            let row = store::insert(tx.conn(), &row).await.map_err(|error| taken(error, UNIQUE))?;
            let (id, version) = (row.id, row.version);
            let view = view_of(tx, row).await?;
            tx.record(Change::of("coverage_unit.created", "coverage_unit", id, view.organization_id).after(&view)).await?;
            Reply::created(format!("/api/v1/coverage-units/{id}"), &view, version)
        })
        .await
}

/// The unit as it is to be keeps the rules. What it refers to already may stay, whatever has become of it since: what was read
/// can be sent back.
async fn check(tx: &mut Tx, before: Option<&Unit>, unit: &Unit) -> ApiResult<()> {
    let mut faults = Faults::default();
    let moved = before.is_none_or(|before| before.organization_id != unit.organization_id);
    let elsewhere_now = |before: &Unit| before.division_code != unit.division_code;
    let scope = tx.scope();
    let area = organizations::hold(tx.conn(), &scope, unit.organization_id).await?;
    let area = area.filter(|area| !moved || area.status == OrganizationStatus::Active);
    let exists = organizations::division_exists(tx.conn(), &unit.division_code).await?;
    faults.check(exists, || FieldError::at("/division_code", "unknown_reference", "没有这个区划", "there is no such division"));
    let Some(area) = area else {
        faults.0.push(FieldError::unknown_reference("/organization_id"));
        return faults.done();
    };
    let facts = UnitFacts {
        kind: unit.kind,
        division_code: &unit.division_code,
        uscc: unit.uscc.as_deref(),
        employees_count: unit.employees_count,
        women_count: unit.women_count,
        // A unit that a successor took over lies where it lay.
        area: (area.kind, area.division_code.as_deref().filter(|_| moved || before.is_some_and(elsewhere_now))),
    };
    faults.0.extend(unit_faults(&facts).into_iter().map(|fault| {
        let (field, code, zh, en) = fault.told();
        FieldError::at(format!("/{field}"), code, zh, en)
    }));
    check_cover(tx, before.filter(|_| !moved), unit, &area, &mut faults).await?;
    faults.done()
}

/// What covers a unit works, is of its county, and can be inside it.
async fn check_cover(tx: &mut Tx, before: Option<&Unit>, unit: &Unit, area: &Organization, faults: &mut Faults) -> ApiResult<()> {
    let organization = unit.covered_by_organization_id;
    let organization = organization.filter(|id| before.and_then(|unit| unit.covered_by_organization_id) != Some(*id));
    let site = unit.covered_by_site_id;
    let site = site.filter(|id| before.and_then(|unit| unit.covered_by_site_id) != Some(*id));
    if organization.is_none() && site.is_none() {
        return Ok(());
    }
    let county = figures::counties_of(tx.conn(), &[area.id]).await?.remove(&area.id).unwrap_or(area.id);
    let elsewhere = |pointer: &str| {
        FieldError::at(pointer, "other_county", "不在该单位所属的县市区", "does not belong to the county of the unit")
    };
    let scope = tx.scope();
    if let Some(id) = organization {
        let found = organizations::hold(tx.conn(), &scope, id).await?;
        match found.filter(|found| found.status == OrganizationStatus::Active) {
            None => faults.0.push(FieldError::unknown_reference("/covered_by_organization_id")),
            Some(found) => {
                let near = tree::is_below(tx.conn(), id, county).await?;
                faults.check(near, || elsewhere("/covered_by_organization_id"));
                faults.check(may_cover(found.kind), || {
                    let en = "a federation of a whole territory, or an office, is no women's organization inside a unit";
                    FieldError::at("/covered_by_organization_id", "kind", "该组织不是单位内的妇女组织", en)
                });
            }
        }
    }
    if let Some(id) = site {
        let found = sites::hold(tx.conn(), &scope, id).await?;
        match found.filter(|site| site.status == SiteStatus::Active) {
            None => faults.0.push(FieldError::unknown_reference("/covered_by_site_id")),
            Some(found) => {
                let near = tree::is_below(tx.conn(), found.owner_organization_id, county).await?;
                faults.check(near, || elsewhere("/covered_by_site_id"));
            }
        }
    }
    Ok(())
}

async fn view_of(tx: &mut Tx, row: Unit) -> ApiResult<CoverageUnitView> {
    let call = tx.call.clone();
    let around = Around::load(&call, tx.conn(), std::slice::from_ref(&row)).await?;
    Ok(around.view(row))
}

/// Loads a unit for a change: in scope, permitted, of the version read, in this state.
async fn changing(tx: &mut Tx, id: CoverageUnitId, status: CoverageUnitStatus) -> ApiResult<Unit> {
    let scope = tx.scope();
    let unit = store::lock(tx.conn(), &scope, id).await?;
    tx.require(unit.organization_id).await?;
    // Where a change names another one, there too.
    tx.require_at("organization_id").await?;
    tx.check_version(unit.version)?;
    if unit.status != status {
        return Err(ApiError::not_now(unit.status.as_str(), unit.status.actions()));
    }
    Ok(unit)
}

async fn changed(tx: &mut Tx, action: &'static str, before: Unit, after: Unit, reason: Option<&str>) -> ApiResult<Reply> {
    let (old, new) = (view_of(tx, before).await?, view_of(tx, after).await?);
    let change = Change::of(action, "coverage_unit", new.id, new.organization_id).before(&old).after(&new);
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await?;
    Reply::item(&new, new.version)
}

/// The editable fields of a unit: all of them, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "kind": "school",
    "name": "岳阳楼区洞庭湖小学",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "division_code": "430602001",
    "uscc": null,
    "address": "岳阳市岳阳楼区",
    "employees_count": 86,
    "women_count": 71,
    "covered_by_organization_id": null,
    "covered_by_site_id": "0168028c-2f00-7000-8003-000000000002",
    "external_id": "X-0001"
})))]
pub struct EditCoverageUnit {
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// Official name; no other active unit of the kind has it in the same division.
    #[schema(min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// The federation in whose area it lies; another one must be active, and the caller needs the right over both.
    pub organization_id: OrganizationId,
    /// The division it lies in, as exactly as it is known.
    #[schema(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: String,
    /// Unified social credit code; no other active unit has it.
    #[schema(required = true, min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Address.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// People who work there.
    #[schema(required = true, minimum = 0, maximum = 10000000)]
    pub employees_count: Option<i32>,
    /// Women who work or live there; in a park, an enterprise or a hospital no more than `employees_count`.
    #[schema(required = true, minimum = 0, maximum = 10000000)]
    pub women_count: Option<i32>,
    /// The women's organization in it; another one must be active and of the same county.
    #[schema(required = true)]
    pub covered_by_organization_id: Option<OrganizationId>,
    /// The site in it; another one must be open and run by an organization of the same county.
    #[schema(required = true)]
    pub covered_by_site_id: Option<SiteId>,
    /// Its id in your list; no other active unit of the federation has it.
    #[schema(required = true, min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub external_id: Option<String>,
}

/// 修改覆盖单位 · Change a unit
///
/// Changes what is known of an active unit, also what covers it.
#[utoipa::path(
    tag = "coverage",
    params(CoverageUnitPath, VersionHeader),
    request_body = EditCoverageUnit,
    responses((status = OK, body = CoverageUnitView, description = "The unit."))
)]
#[put("/api/v1/coverage-units/{id}")]
pub async fn update_coverage_unit(command: Command, path: Path<CoverageUnitPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            // Before the unit itself: who ends an organization holds the tree first and its units then.
            tree::lock_shared(tx.conn()).await?;
            let before = changing(tx, id, CoverageUnitStatus::Active).await?;
            let body: EditCoverageUnit = tx.body()?;
            let edit = UnitEdit {
                kind: body.kind,
                name: body.name,
                organization_id: body.organization_id,
                division_code: body.division_code,
                uscc: body.uscc,
                address: body.address,
                employees_count: body.employees_count,
                women_count: body.women_count,
                covered_by_organization_id: body.covered_by_organization_id,
                covered_by_site_id: body.covered_by_site_id,
                external_id: body.external_id,
            };
            let wanted = edit.of(&before);
            check(tx, Some(&before), &wanted).await?;
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            changed(tx, "coverage_unit.changed", before, after, None).await
        })
        .await
}

/// Why a unit is closed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "学校合并" })))]
pub struct CloseCoverageUnit {
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 注销覆盖单位 · Close a unit
///
/// The unit is no more: it stays readable and counts nowhere. Its name and its codes are free for another.
#[utoipa::path(
    tag = "coverage",
    params(CoverageUnitPath, CommandHeaders),
    request_body = CloseCoverageUnit,
    responses((status = OK, body = CoverageUnitView, description = "The unit."))
)]
#[post("/api/v1/coverage-units/{id}/close")]
pub async fn close_coverage_unit(command: Command, path: Path<CoverageUnitPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = changing(tx, id, CoverageUnitStatus::Active).await?;
            let body: CloseCoverageUnit = tx.body()?;
            let (now, today) = (tx.now(), tx.today());
            let after = store::set_closed(tx.conn(), id, Some((today, &body.reason)), now).await?;
            changed(tx, "coverage_unit.closed", before, after, Some(&body.reason)).await
        })
        .await
}

/// Path of a unit that was closed.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ClosedCoverageUnitPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8050-000000000002")]
    pub id: CoverageUnitId,
}

/// 恢复覆盖单位 · Reopen a unit
///
/// A unit that was closed by mistake, or is there again. Another active unit may not have taken its name or its codes meanwhile.
#[utoipa::path(
    tag = "coverage",
    params(ClosedCoverageUnitPath, CommandHeaders),
    responses((status = OK, body = CoverageUnitView, description = "The unit."))
)]
#[post("/api/v1/coverage-units/{id}/reopen")]
pub async fn reopen_coverage_unit(command: Command, path: Path<ClosedCoverageUnitPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = changing(tx, id, CoverageUnitStatus::Closed).await?;
            let now = tx.now();
            let after = store::set_closed(tx.conn(), id, None, now).await.map_err(|error| taken(error, UNIQUE))?;
            changed(tx, "coverage_unit.reopened", before, after, None).await
        })
        .await
}

/// The units in the area of an organization that ends, and those that it covers, are the successor's. Returns how many.
pub async fn hand_over(tx: &mut Tx, from: OrganizationId, to: OrganizationId, reason: &str) -> ApiResult<i64> {
    let now = tx.now();
    let moved = store::hand_over(tx.conn(), from, to, now).await?;
    let change = |unit: &HandedOver| {
        let before = json!({ "organization_id": unit.organization_before, "covered_by_organization_id": unit.covered_before,
                             "external_id": unit.external_before });
        let after = json!({ "organization_id": unit.organization_id,
                            "covered_by_organization_id": unit.covered_by_organization_id, "external_id": unit.external_id });
        let change = Change::of("coverage_unit.moved", "coverage_unit", unit.id, unit.organization_id);
        change.before(&before).after(&after).because(reason)
    };
    tx.record_all(moved.iter().map(change).collect()).await?;
    Ok(moved.len() as i64)
}
