//! The gaps of the coverage, one by one, so that an officer can work them off.

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;

use super::DivisionReference;
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::{CoverageUnitId, OrganizationId};
use crate::organizations::api::OrganizationReference;
use crate::organizations::rules::{CoverageGap, CoverageGapKind, CoverageUnitKind};
use crate::organizations::store::coverage::figures::counties_of;
use crate::organizations::store::coverage::gaps::{self as store, Gap, Wanted};
use crate::organizations::store::{organizations, tree};
use crate::reference::DivisionLevel;
use crate::{filters, page_schema};

filters! {
    /// Filters of gaps.
    CoverageGapFilter {
        /// Only the subtree of this organization.
        within: OrganizationId,
        /// Only gaps of these kinds.
        kind: Vec<CoverageGapKind>,
        /// Of the units only these kinds; townships and villages are left out unless `kind` asks for them.
        unit_kind: Vec<CoverageUnitKind>,
        /// Only gaps in which this is missing.
        missing: Vec<CoverageGap>,
    }
}

/// A township, village or unit that is not covered.
#[derive(Serialize, ToSchema)]
pub struct CoverageGapView {
    /// What it is.
    pub kind: CoverageGapKind,
    /// The township or village itself, or the division in which the unit lies.
    pub division: DivisionReference,
    /// The unit; null for townships and villages.
    #[schema(required = true)]
    pub unit: Option<CoverageGapUnit>,
    /// The federation that is to close the gap: its own where it has one, else the nearest above it.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// The federation of its county or zone, or of the city where it is in none.
    #[schema(required = true)]
    pub county: Option<OrganizationReference>,
    /// What is missing. Townships and villages need a federation and a Women's Home, units an organization: one that has only a
    /// site counts as covered, and is told here all the same.
    pub missing: CoverageGap,
}

/// The unit of a gap.
#[derive(Serialize, ToSchema)]
pub struct CoverageGapUnit {
    /// Its id.
    pub id: CoverageUnitId,
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// Official name.
    #[schema(examples("洞庭湖畔服装厂"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Women who work or live there; null: unknown.
    #[schema(required = true, minimum = 0, maximum = 10000000)]
    pub women_count: Option<i32>,
}

page_schema!(CoverageGapPage, CoverageGapView);

impl CoverageGapFilter {
    /// What is asked for, without a filter everything.
    fn wanted(&self) -> Wanted {
        let asked = |kind: CoverageGapKind| match &self.kind {
            Some(kinds) => kinds.contains(&kind),
            None => kind == CoverageGapKind::Unit || self.unit_kind.is_none(),
        };
        let levels = [
            (DivisionLevel::Township, asked(CoverageGapKind::Township)),
            (DivisionLevel::Village, asked(CoverageGapKind::Village)),
        ];
        let units = self.unit_kind.clone().unwrap_or_else(|| CoverageUnitKind::ALL.to_vec());
        Wanted {
            levels: levels.into_iter().filter(|(_, asked)| *asked).map(|(level, _)| level).collect(),
            unit_kinds: if asked(CoverageGapKind::Unit) { units } else { vec![] },
            missing: self.missing.clone().unwrap_or_else(|| CoverageGap::ALL.to_vec()),
        }
    }
}

/// 覆盖空白 · List coverage gaps
///
/// Exactly which townships and villages have no federation or no Women's Home, and which units no women's organization: the
/// divisions in the order of their codes, then the units in that of their ids.
#[utoipa::path(
    tag = "coverage",
    params(CoverageGapFilter, Paging),
    responses((status = OK, body = CoverageGapPage, description = "One page of gaps."))
)]
#[get("/api/v1/organizations/coverage/gaps")]
pub async fn list_coverage_gaps(call: Call, filter: Query<CoverageGapFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let roots = tree::roots(&conn, &scope, filter.within).await?;
    let listed = store::gaps(&conn, &roots, &filter.wanted(), &page).await?;
    let near: Vec<OrganizationId> = listed.rows.iter().map(Gap::near).collect();
    let counties = counties_of(&conn, &near).await?;
    let mentioned = listed.rows.iter().map(Gap::responsible).chain(counties.values().copied());
    let names = organizations::references(&conn, mentioned).await?;
    let named = |id: OrganizationId| names.get(&id).map(OrganizationReference::from);
    let view = |row: Gap| {
        let (organization, county) = (named(row.responsible()), counties.get(&row.near()).and_then(|id| named(*id)));
        match row {
            Gap::Division(gap) => CoverageGapView {
                kind: if gap.level == DivisionLevel::Township { CoverageGapKind::Township } else { CoverageGapKind::Village },
                division: DivisionReference { code: gap.code, name: gap.name, full_name: gap.full_name },
                unit: None,
                organization,
                county,
                missing: if gap.federation_id.is_some() { CoverageGap::Site } else { CoverageGap::Both },
            },
            Gap::Unit(gap) => CoverageGapView {
                kind: CoverageGapKind::Unit,
                division: DivisionReference { code: gap.division_code, name: gap.division_name, full_name: gap.full_name },
                unit: Some(CoverageGapUnit { id: gap.id, kind: gap.kind, name: gap.name, women_count: gap.women_count }),
                organization,
                county,
                missing: if gap.has_site { CoverageGap::Organization } else { CoverageGap::Both },
            },
        }
    };
    page.reply(listed, |row| Position::code(row.key()), view)
}
