//! The coverage by county, in figures.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;

use crate::filters;
use crate::http::{ApiResult, Call, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::api::OrganizationReference;
use crate::organizations::rules::{CoverageUnitKind, OrganizationLevel};
use crate::organizations::store::coverage::figures::{self as store, DivisionFigures, OwnUnits, UnitFigures};
use crate::organizations::store::{organizations, tree};
use crate::reference::DivisionLevel;

filters! {
    /// Of which places.
    CoverageFilter {
        /// Only the subtree of this organization.
        within: OrganizationId,
    }
}

/// The coverage of the caller's places.
#[derive(Serialize, ToSchema)]
pub struct CoverageView {
    /// One per county or zone; last the city itself, where something belongs to no county.
    #[schema(max_items = 1000)]
    pub items: Vec<CountyCoverageView>,
    /// All of them together.
    pub total: CoverageFiguresView,
}

/// The coverage of a county.
#[derive(Serialize, ToSchema)]
pub struct CountyCoverageView {
    /// The federation of the county or zone.
    pub county: OrganizationReference,
    /// Its figures, as far as the caller's subtree goes.
    #[serde(flatten)]
    pub figures: CoverageFiguresView,
}

/// What is covered and what is not.
#[derive(Clone, Serialize, ToSchema)]
pub struct CoverageFiguresView {
    /// Townships and streets.
    pub townships: DivisionCoverageView,
    /// Villages and communities.
    pub villages: DivisionCoverageView,
    /// Active units, one entry per kind.
    #[schema(max_items = 50)]
    pub units: Vec<UnitCoverageView>,
    /// Women in units in which there is an organization or a site.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_covered: i64,
    /// Women in units in which there is neither.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_uncovered: i64,
}

/// How many divisions of a level are covered.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
pub struct DivisionCoverageView {
    /// How many there are.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub total: i64,
    /// How many have an active federation, their own or one that took over.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub with_organization: i64,
    /// How many have none.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub without_organization: i64,
    /// How many have an open Women's Home, run by their federation.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub with_site: i64,
    /// How many have none.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub without_site: i64,
}

/// How many units of a kind are covered.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub struct UnitCoverageView {
    /// Which kind.
    pub kind: CoverageUnitKind,
    /// How many there are.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub total: i64,
    /// How many have an active women's organization.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub with_organization: i64,
    /// How many have an open site; some of these have an organization too.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub with_site: i64,
    /// How many have neither.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub without: i64,
    /// Women in those that have one of them.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_covered: i64,
    /// Women in those that have neither.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_uncovered: i64,
}

impl Default for CoverageFiguresView {
    fn default() -> Self {
        let none = |kind: &CoverageUnitKind| UnitCoverageView {
            kind: *kind,
            total: 0,
            with_organization: 0,
            with_site: 0,
            without: 0,
            women_covered: 0,
            women_uncovered: 0,
        };
        Self {
            townships: DivisionCoverageView::default(),
            villages: DivisionCoverageView::default(),
            units: CoverageUnitKind::ALL.iter().map(none).collect(),
            women_covered: 0,
            women_uncovered: 0,
        }
    }
}

impl AddAssign<&DivisionFigures> for CoverageFiguresView {
    fn add_assign(&mut self, row: &DivisionFigures) {
        let sum = match row.level {
            DivisionLevel::Township => &mut self.townships,
            _ => &mut self.villages,
        };
        sum.total += row.total;
        sum.with_organization += row.with_organization;
        sum.without_organization += row.total - row.with_organization;
        sum.with_site += row.with_site;
        sum.without_site += row.total - row.with_site;
    }
}

impl AddAssign<&UnitFigures> for CoverageFiguresView {
    fn add_assign(&mut self, row: &UnitFigures) {
        for sum in self.units.iter_mut().filter(|sum| sum.kind == row.kind) {
            sum.total += row.total;
            sum.with_organization += row.with_organization;
            sum.with_site += row.with_site;
            sum.without += row.without;
            sum.women_covered += row.women_covered;
            sum.women_uncovered += row.women_uncovered;
        }
        self.women_covered += row.women_covered;
        self.women_uncovered += row.women_uncovered;
    }
}

/// 组织覆盖 · Coverage by county
///
/// By county and functional zone: of the townships and villages of the divisions how many have a federation and a Women's Home, of
/// the units how many have a women's organization or a site. Where two villages have become one, both are covered by it. Which
/// county something belongs to is told by the tree. Who holds less than a county sees her part of it.
#[utoipa::path(
    tag = "coverage",
    params(CoverageFilter),
    responses((status = OK, body = CoverageView, description = "The figures."))
)]
#[get("/api/v1/organizations/coverage")]
pub async fn get_organization_coverage(call: Call, filter: Query<CoverageFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let roots = tree::roots(&conn, &scope, filter.within).await?;
    let (counties, divisions, units) =
        futures_util::try_join!(store::counties(&conn, &roots), store::divisions(&conn, &roots), store::units(&conn, &roots))?;
    let mut by_county: BTreeMap<OrganizationId, CoverageFiguresView> = BTreeMap::new();
    by_county.extend(counties.iter().map(|county| (county.id, CoverageFiguresView::default())));
    let mut total = CoverageFiguresView::default();
    for row in &divisions {
        *by_county.entry(row.county_id).or_default() += row;
        total += row;
    }
    for row in &units {
        *by_county.entry(row.county_id).or_default() += row;
        total += row;
    }
    let names = organizations::references(&conn, by_county.keys().copied()).await?;
    let mut items: Vec<_> = by_county
        .into_iter()
        .filter_map(|(id, figures)| Some(CountyCoverageView { county: names.get(&id)?.into(), figures }))
        .collect();
    items.sort_by_key(|item| (item.county.level != OrganizationLevel::County, item.county.id));
    Reply::plain(&CoverageView { items, total })
}

/// The units in an organization's own area.
#[derive(Serialize, ToSchema)]
pub struct OwnCoverageView {
    /// Active units.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub units: i64,
    /// Of these, how many have an active women's organization or an open site.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub covered: i64,
    /// Women in the units.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women: i64,
    /// Of these, how many are in covered units.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_covered: i64,
}

impl From<OwnUnits> for OwnCoverageView {
    fn from(row: OwnUnits) -> Self {
        Self { units: row.units, covered: row.covered, women: row.women, women_covered: row.women_covered }
    }
}
