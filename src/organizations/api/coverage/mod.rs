//! Coverage: the units in which there should be a women's organization or a site; [`write`] makes and changes them, [`figures`]
//! counts by county, [`gaps`] tells what is missing.

pub mod figures;
pub mod gaps;
pub mod write;

use std::collections::HashMap;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{OrganizationReference, owned};
use crate::access::Permission;
use crate::db::scope;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply};
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::organizations::rules::{CoverageUnitKind, CoverageUnitStatus, OrganizationStatus, SiteKind, SiteStatus};
use crate::organizations::store::coverage::{self as store, NamedSite, Unit};
use crate::organizations::store::organizations::Reference;
use crate::{filters, page_schema, text_enum};

filters! {
    /// Filters of units.
    CoverageUnitFilter {
        /// Part of the name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "学校")]
        q: String,
        /// Only these kinds.
        kind: Vec<CoverageUnitKind>,
        /// Only these states.
        status: Vec<CoverageUnitStatus>,
        /// true: in which there is an active organization or an open site; false: in which there is neither.
        covered: bool,
        /// Only units in the area of this organization.
        organization_id: OrganizationId,
        /// Only units in the areas of the subtree of this organization.
        within: OrganizationId,
        /// Only units in this division and all below it.
        #[param(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$", example = "430602")]
        division_code: String,
        /// Only units that this organization covers, or covered while it was active.
        covered_by_organization_id: OrganizationId,
        /// Only the units with this unified social credit code.
        #[param(min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
        uscc: String,
        /// Only the units with this id in the list they were imported from.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
        external_id: String,
        /// Only units in which at least so many women work or live.
        #[param(minimum = 0, maximum = 10000000)]
        women_count_gte: i32,
        /// Made at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Made before this instant.
        created_at_lt: DateTime<Utc>,
        /// Changed at or after this instant.
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        updated_at_lt: DateTime<Utc>,
    }
}

/// A division that is named somewhere.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DivisionReference {
    /// 6, 9 or 12 digits.
    #[schema(examples("430602"), min_length = 6, max_length = 12, pattern = "^[0-9]+$")]
    pub code: String,
    /// Official name.
    #[schema(examples("岳阳楼区"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Names from the city down.
    #[schema(examples("岳阳市岳阳楼区"), max_length = 400, pattern = "^[^\\x00-\\x1f]+$")]
    pub full_name: String,
}

/// What a unit is covered by.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CoveredBy {
    /// Women's organization in it.
    #[schema(required = true)]
    pub organization: Option<CoveringOrganization>,
    /// Site in it.
    #[schema(required = true)]
    pub site: Option<CoveringSite>,
}

/// The women's organization in a unit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CoveringOrganization {
    /// Which organization.
    #[serde(flatten)]
    pub organization: OrganizationReference,
    /// Its state: only an active one covers.
    pub status: OrganizationStatus,
}

/// The site in a unit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CoveringSite {
    /// Its id.
    pub id: SiteId,
    /// Name on the door.
    #[schema(examples("步行街妇女微家"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// What kind of site.
    pub kind: SiteKind,
    /// Its state: only an open one covers.
    pub status: SiteStatus,
}

/// A unit in which there should be a women's organization or a site.
#[derive(Serialize, ToSchema)]
pub struct CoverageUnitView {
    /// Its id.
    pub id: CoverageUnitId,
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// Official name.
    #[schema(examples("岳阳楼区第七中学"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// The federation in whose area it lies.
    pub organization_id: OrganizationId,
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// The division it lies in.
    #[schema(examples("430602001"), max_length = 12, pattern = "^[0-9]+$")]
    pub division_code: String,
    /// The same, by name.
    #[schema(required = true)]
    pub division: Option<DivisionReference>,
    /// Unified social credit code.
    #[schema(required = true, examples("91430621MA4ABC0146"), max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Address.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// People who work there; null: unknown.
    #[schema(required = true, minimum = 0, maximum = 10000000)]
    pub employees_count: Option<i32>,
    /// Women who work or live there; null: unknown.
    #[schema(required = true, minimum = 0, maximum = 10000000)]
    pub women_count: Option<i32>,
    /// Whether there is an active organization or an open site in it now.
    pub covered: bool,
    /// Women's organization in it.
    #[schema(required = true)]
    pub covered_by_organization_id: Option<OrganizationId>,
    /// Site in it.
    #[schema(required = true)]
    pub covered_by_site_id: Option<SiteId>,
    /// Both, by name and state.
    pub covered_by: CoveredBy,
    /// Its id in the list it was imported from.
    #[schema(required = true, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub external_id: Option<String>,
    /// Its state.
    pub status: CoverageUnitStatus,
    /// When it was closed.
    #[schema(required = true)]
    pub closed_on: Option<NaiveDate>,
    /// Why it was closed.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub close_reason: Option<String>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(CoverageUnitPage, CoverageUnitView);

/// What the views of some units need beside their rows.
struct Around {
    organizations: HashMap<OrganizationId, (Reference, OrganizationStatus)>,
    sites: HashMap<SiteId, NamedSite>,
    divisions: HashMap<String, (String, String)>,
    writable: Vec<OrganizationId>,
}

impl Around {
    async fn load(call: &Call, conn: &AsyncPgConnection, rows: &[Unit]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let organizations = places.iter().copied().chain(rows.iter().filter_map(|row| row.covered_by_organization_id)).collect();
        let sites = rows.iter().filter_map(|row| row.covered_by_site_id).collect();
        let divisions = rows.iter().map(|row| row.division_code.clone()).collect();
        let writes = call.scope_for(Permission::CoverageWrite);
        let (organizations, sites, divisions, writable) = futures_util::try_join!(
            store::organizations_named(conn, organizations),
            store::sites_named(conn, sites),
            store::divisions_named(conn, divisions),
            scope::covered(conn, &writes, &places),
        )?;
        Ok(Self { organizations, sites, divisions, writable })
    }

    fn covered_by(&self, row: &Unit) -> CoveredBy {
        let organization = row.covered_by_organization_id.and_then(|id| self.organizations.get(&id));
        let site = row.covered_by_site_id.and_then(|id| self.sites.get(&id));
        CoveredBy {
            organization: organization
                .map(|(row, status)| CoveringOrganization { organization: OrganizationReference::from(row), status: *status }),
            site: site.map(|site| CoveringSite { id: site.id, name: site.name.clone(), kind: site.kind, status: site.status }),
        }
    }

    fn view(&self, row: Unit) -> CoverageUnitView {
        let covered_by = self.covered_by(&row);
        let may_write = self.writable.contains(&row.organization_id);
        let organization = covered_by.organization.as_ref().is_some_and(|one| one.status == OrganizationStatus::Active);
        let site = covered_by.site.as_ref().is_some_and(|site| site.status == SiteStatus::Active);
        let division = self.divisions.get(&row.division_code);
        CoverageUnitView {
            organization: self.organizations.get(&row.organization_id).map(|(row, _)| OrganizationReference::from(row)),
            division: division.map(|(name, full_name)| DivisionReference {
                code: row.division_code.clone(),
                name: name.clone(),
                full_name: full_name.clone(),
            }),
            covered: organization || site,
            covered_by,
            allowed_actions: if may_write { owned(row.status.actions()) } else { vec![] },
            id: row.id,
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
            status: row.status,
            closed_on: row.closed_on,
            close_reason: row.close_reason,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Path of a unit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CoverageUnitPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8050-000000000001")]
    pub id: CoverageUnitId,
}

/// 覆盖单位列表 · List units
///
/// Parks, schools, enterprises, chambers and other units in the areas of the caller's subtree, covered or not.
#[utoipa::path(
    tag = "coverage",
    params(CoverageUnitFilter, Sorting, Paging),
    responses((status = OK, body = CoverageUnitPage, description = "One page of units."))
)]
#[get("/api/v1/coverage-units")]
pub async fn list_coverage_units(call: Call, filter: Query<CoverageUnitFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, &page).await?;
    let around = Around::load(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
}

text_enum! {
    /// By what units are counted.
    CoverageUnitsBy {
        /// By kind.
        Kind = "kind", "类型", "Kind";
        /// By state.
        Status = "status", "状态", "State";
        /// By the federation in whose area they lie.
        OrganizationId = "organization_id", "所属妇联", "Federation";
        /// By whether they are covered.
        Covered = "covered", "是否覆盖", "Covered";
    }
}

/// How to count units.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CoverageUnitCounts {
    /// By what.
    #[param(inline)]
    by: CoverageUnitsBy,
}

/// 覆盖单位计数 · Count units
///
/// How many units there are of each kind, state or federation, or how many are covered.
#[utoipa::path(
    tag = "coverage",
    params(CoverageUnitCounts, CoverageUnitFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/coverage-units/counts")]
pub async fn count_coverage_units(
    call: Call,
    counts: Query<CoverageUnitCounts>,
    filter: Query<CoverageUnitFilter>,
) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, counts.by).await?)
}

/// 覆盖单位详情 · Get a unit
///
/// One unit of the caller's subtree. `covered` follows from what its organization and its site are now.
#[utoipa::path(
    tag = "coverage",
    params(CoverageUnitPath),
    responses((status = OK, body = CoverageUnitView, description = "The unit."))
)]
#[get("/api/v1/coverage-units/{id}")]
pub async fn get_coverage_unit(call: Call, path: Path<CoverageUnitPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    let around = Around::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&around.view(row), version)
}
