//! Positions and their minimum: what an organization lacks. Falling under it warns and never blocks.

use actix_web::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::OrganizationReference;
use crate::http::page::{Counts, Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, PostPosition};
use crate::organizations::store::vacancies::{self as store, Vacancy};
use crate::{filters, page_schema, text_enum};

filters! {
    /// Filters of positions.
    VacancyFilter {
        /// Only positions of this organization.
        organization_id: OrganizationId,
        /// Only positions of organizations in the subtree of this organization.
        within: OrganizationId,
        /// Only organizations of these kinds.
        kind: Vec<OrganizationKind>,
        /// Only organizations of these levels.
        level: Vec<OrganizationLevel>,
        /// Only these positions.
        position: Vec<PostPosition>,
        /// true: only positions that fewer hold than should; false: only the others, of which some have no known minimum.
        missing: bool,
    }
}

/// A position of an organization: how many hold it today and how many should.
#[derive(Serialize, ToSchema)]
pub struct VacancyView {
    /// Where.
    pub organization: OrganizationReference,
    /// Which position.
    pub position: PostPosition,
    /// Positions whose holders count; of the executive members chair and vice-chairs are part.
    #[schema(max_items = 20)]
    pub counted: Vec<PostPosition>,
    /// How many people hold it today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub held: i64,
    /// How many should; null: no rule is known.
    #[schema(required = true, minimum = 1)]
    pub minimum: Option<i32>,
    /// How many are missing; null: no rule is known.
    #[schema(required = true, minimum = 0, maximum = 9007199254740991i64)]
    pub missing: Option<i64>,
    /// Where the rule stands; null: no rule is known.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub source: Option<String>,
}

page_schema!(VacancyPage, VacancyView);

impl From<Vacancy> for VacancyView {
    fn from(row: Vacancy) -> Self {
        Self {
            organization: OrganizationReference::from(&row.reference()),
            position: row.position,
            held: row.held,
            minimum: row.minimum,
            missing: row.missing(),
            counted: row.counted,
            source: row.source,
        }
    }
}

/// 职数与空缺 · List positions and vacancies
///
/// The positions of the active organizations of the caller's subtree, organization by organization: how many people hold each today, the minimum of the kind of organization with its source, and how many are missing. Where no rule is known, minimum and missing are null.
#[utoipa::path(
    tag = "people",
    params(VacancyFilter, Paging),
    responses((status = OK, body = VacancyPage, description = "One page of positions."))
)]
#[get("/api/v1/posts/vacancies")]
pub async fn list_vacancies(call: Call, filter: Query<VacancyFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, call.today(), &page).await?;
    let position = |row: &Vacancy| Position { code: Some(row.rank.to_string()), ..Position::id(row.organization_id) };
    page.reply(listed, position, VacancyView::from)
}

text_enum! {
    /// By what positions are counted.
    VacanciesBy {
        /// By position.
        Position = "position", "职务", "Position";
        /// By the kind of organization.
        Kind = "kind", "组织类型", "Kind of organization";
        /// By the level of the organization.
        Level = "level", "层级", "Level";
        /// By organization.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count positions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VacancyCounts {
    /// By what.
    #[param(inline)]
    by: VacanciesBy,
}

/// 空缺计数 · Count positions and vacancies
///
/// How many positions of the caller's subtree fit the filters, of each position, kind or level: with `missing=true`, in how many organizations it falls under the minimum.
#[utoipa::path(
    tag = "people",
    params(VacancyCounts, VacancyFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/posts/vacancies/counts")]
pub async fn count_vacancies(call: Call, counts: Query<VacancyCounts>, filter: Query<VacancyFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, call.today(), counts.by).await?)
}
