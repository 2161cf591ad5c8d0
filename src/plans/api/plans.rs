//! Plans.

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ActionName;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply};
use crate::ids::{OrganizationId, PlanId};
use crate::organizations::OrganizationReference;
use crate::plans::rules::{PlanKind, PlanStatus};
use crate::plans::store::{self, OutlineRow, PlanRow};
use crate::{filters, page_schema, text_enum};

/// A plan in a list.
#[derive(Serialize, ToSchema)]
pub struct PlanSummary {
    /// Its id.
    #[schema(examples("0168028c-2f00-7000-8010-000000002019"))]
    pub id: PlanId,
    /// What kind of plan it is.
    pub kind: PlanKind,
    /// Whose plan.
    #[schema(examples("0168028c-2f00-7000-8000-430600000000"))]
    pub organization_id: OrganizationId,
    /// Whose plan; it may lie above you.
    pub organization: OrganizationReference,
    /// Plan year.
    #[schema(examples(2019), minimum = 2000, maximum = 2100)]
    pub year: i16,
    /// Official title.
    #[schema(examples("岳阳市妇联2019年工作要点"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title: String,
    /// 文号: number of the issuing document.
    #[schema(required = true, examples("岳妇发〔2019〕1号"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub document_number: Option<String>,
    /// Where it is in its life.
    pub status: PlanStatus,
    /// Raised by each revision after issue.
    #[schema(examples(1), minimum = 1, maximum = 2147483647)]
    pub revision: i32,
    /// Date of the issuing document; null in a draft.
    #[schema(required = true, examples("2019-04-10"))]
    pub issued_on: Option<NaiveDate>,
    /// Raised by every change; the ETag begins with it.
    #[schema(examples(1), minimum = 1, maximum = 2147483647)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

page_schema!(PlanPage, PlanSummary);

impl PlanSummary {
    fn of(row: PlanRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            organization_id: row.organization.id,
            organization: row.organization.into(),
            year: row.year,
            title: row.title,
            document_number: row.document_number,
            status: row.status,
            revision: row.revision,
            issued_on: row.issued_on,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A plan with its outline.
#[derive(Serialize, ToSchema)]
pub struct PlanView {
    /// The plan itself.
    #[serde(flatten)]
    pub plan: PlanSummary,
    /// Its chapters and work points, in order.
    #[schema(max_items = 1000)]
    pub chapters: Vec<ChapterView>,
    /// How many tasks it has.
    #[schema(examples(81), minimum = 0, maximum = 1000000)]
    pub task_count: i64,
    /// What you may do with it now.
    #[schema(max_items = 50)]
    pub allowed_actions: Vec<ActionName>,
}

/// A chapter of a plan.
#[derive(Serialize, ToSchema)]
pub struct ChapterView {
    /// Its number in the plan.
    #[schema(examples(2), minimum = 1, maximum = 1000)]
    pub number: i16,
    /// Its title, verbatim.
    #[schema(examples("纵深推进妇联组织改革"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title: String,
    /// Its work points, in order.
    #[schema(max_items = 1000)]
    pub points: Vec<PointView>,
}

/// A work point of a chapter.
#[derive(Serialize, ToSchema)]
pub struct PointView {
    /// Its number in the plan; points are numbered through all chapters.
    #[schema(examples(5), minimum = 1, maximum = 1000)]
    pub number: i16,
    /// Its title, verbatim.
    #[schema(examples("构建开放格局"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title: String,
    /// How many tasks it has.
    #[schema(examples(6), minimum = 0, maximum = 1000000)]
    pub task_count: i64,
}

impl PlanView {
    fn of(row: PlanRow, outline: Vec<OutlineRow>) -> Self {
        let mut chapters: Vec<ChapterView> = Vec::new();
        let task_count = outline.iter().map(|point| point.tasks).sum();
        for row in outline {
            if chapters.last().is_none_or(|chapter| chapter.number != row.chapter_number) {
                chapters.push(ChapterView { number: row.chapter_number, title: row.chapter, points: vec![] });
            }
            let point = PointView { number: row.point_number, title: row.point, task_count: row.tasks };
            chapters.last_mut().expect("a chapter was just pushed").points.push(point);
        }
        Self { plan: PlanSummary::of(row), chapters, task_count, allowed_actions: vec![] }
    }
}

filters! {
    /// Filters of plans.
    PlanFilter {
        /// Only these states.
        status: Vec<PlanStatus>,
        /// Only these kinds.
        kind: Vec<PlanKind>,
        /// Only this plan year.
        #[param(minimum = 2000, maximum = 2100, example = 2019)]
        year: i16,
        /// Only plans of this organization.
        #[param(example = "0168028c-2f00-7000-8000-430600000000")]
        organization_id: OrganizationId,
        /// Only plans of this organization and those below it.
        #[param(example = "0168028c-2f00-7000-8000-430600000000")]
        within: OrganizationId,
        /// Part of the title or of the document number.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "工作要点")]
        q: String,
        /// Made at this instant or later.
        #[param(example = "2019-01-01T00:00:00Z")]
        created_at_gte: DateTime<Utc>,
        /// Made before this instant.
        #[param(example = "2100-01-01T00:00:00Z")]
        created_at_lt: DateTime<Utc>,
        /// Changed at this instant or later.
        #[param(example = "2019-01-01T00:00:00Z")]
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        #[param(example = "2100-01-01T00:00:00Z")]
        updated_at_lt: DateTime<Utc>,
    }
}

/// 计划列表 · List plans
///
/// Plans of your organizations and those below, and the issued plans of the organizations above you, oldest first.
#[utoipa::path(
    tag = "plans",
    params(PlanFilter, Sorting, Paging),
    responses((status = OK, body = PlanPage, description = "One page of plans."))
)]
#[get("/api/v1/plans")]
pub async fn list_plans(call: Call, filter: Query<PlanFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list_plans(&conn, &scope, &filter, &page).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), PlanSummary::of)
}

text_enum! {
    /// By what plans are counted.
    PlansBy {
        /// By state.
        Status = "status", "状态", "State";
        /// By kind.
        Kind = "kind", "类型", "Kind";
        /// By plan year.
        Year = "year", "年度", "Year";
        /// By organization.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count plans.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlanCounts {
    /// By what.
    #[param(inline)]
    by: PlansBy,
}

/// 计划计数 · Count plans
///
/// How many of the plans you may read there are of each state, kind, year or organization.
#[utoipa::path(
    tag = "plans",
    params(PlanCounts, PlanFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/plans/counts")]
pub async fn count_plans(call: Call, counts: Query<PlanCounts>, filter: Query<PlanFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::count_plans(&conn, &scope, &filter, counts.by).await?)
}

/// Path of a plan.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PlanPath {
    /// The plan.
    #[param(example = "0168028c-2f00-7000-8010-000000002019")]
    pub id: PlanId,
}

/// 计划详情 · Get a plan
///
/// One plan with the outline of its chapters and work points; the tasks are a list of their own.
#[utoipa::path(tag = "plans", params(PlanPath), responses((status = OK, body = PlanView, description = "The plan.")))]
#[get("/api/v1/plans/{id}")]
pub async fn get_plan(call: Call, path: Path<PlanPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find_plan(&conn, &call.scope(), path.id).await?;
    let outline = store::outline(&conn, row.id).await?;
    let version = row.version;
    Reply::item(&PlanView::of(row, outline), version)
}
