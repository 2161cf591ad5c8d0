//! Indicators of a task.

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ActionName, TaskPath};
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Path, Reply};
use crate::ids::{IndicatorId, TaskId};
use crate::page_schema;
use crate::plans::rules::{Comparator, IndicatorFrequency, IndicatorSource, ValueKind};
use crate::plans::store::{self, IndicatorRow};

/// An indicator of a task.
#[derive(Serialize, ToSchema)]
pub struct IndicatorView {
    /// Its id.
    #[schema(examples("0168028c-2f00-7000-8012-000000050301"))]
    pub id: IndicatorId,
    /// Its task.
    #[schema(examples("0168028c-2f00-7000-8011-000000000503"))]
    pub task_id: TaskId,
    /// Its code in the imported document.
    #[schema(required = true, examples("YY2019-05-03-I1"), max_length = 40, pattern = "^[A-Za-z0-9._-]+$")]
    pub code: Option<String>,
    /// Name.
    #[schema(examples("县市区微信公众号覆盖率"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Name in English.
    #[schema(
        required = true,
        examples("Share of county-level federations with a WeChat account"),
        max_length = 2000,
        pattern = "^[^\\x00]+$"
    )]
    pub name_en: Option<String>,
    /// Unit, verbatim; empty where there is none.
    #[schema(examples("%"), max_length = 20, pattern = "^[^\\x00-\\x1f]*$")]
    pub unit: String,
    /// How a value is held against the target.
    pub comparator: Comparator,
    /// Target in the unit, at most 4 decimals; null where no number was set.
    #[schema(required = true, examples(100), minimum = 0, maximum = 100000000000i64)]
    pub target: Option<Decimal>,
    /// How values add up.
    pub value_kind: ValueKind,
    /// Where values come from.
    pub source: IndicatorSource,
    /// Name of the registered query that derives it; null where it is declared.
    #[schema(required = true, max_length = 100, pattern = "^[a-z_]+$")]
    pub derivation: Option<String>,
    /// How often the target applies.
    pub frequency: IndicatorFrequency,
    /// First day that counts.
    #[schema(examples("2019-01-01"))]
    pub starts_on: NaiveDate,
    /// Last day that counts.
    #[schema(examples("2019-12-31"))]
    pub due_on: NaiveDate,
    /// Weight within the task, at most 4 decimals.
    #[schema(examples(1), minimum = 0, maximum = 100000000000i64)]
    pub weight: Decimal,
    /// What counts, in words.
    #[schema(required = true, max_length = 2000, pattern = "^[^\\x00]+$")]
    pub counting_rule: Option<String>,
    /// Remarks.
    #[schema(required = true, max_length = 2000, pattern = "^[^\\x00]+$")]
    pub note: Option<String>,
    /// What you may do with it now.
    #[schema(max_items = 50)]
    pub allowed_actions: Vec<ActionName>,
    /// Raised by every change; the ETag begins with it.
    #[schema(examples(1), minimum = 1, maximum = 2147483647)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

page_schema!(IndicatorPage, IndicatorView);

impl IndicatorView {
    fn of(row: IndicatorRow) -> Self {
        Self {
            id: row.id,
            task_id: row.task_id,
            code: row.code,
            name: row.name,
            name_en: row.name_en,
            unit: row.unit,
            comparator: row.comparator,
            target: row.target,
            value_kind: row.value_kind,
            source: row.source,
            derivation: row.derivation,
            frequency: row.frequency,
            starts_on: row.starts_on,
            due_on: row.due_on,
            weight: row.weight,
            counting_rule: row.counting_rule,
            note: row.note,
            allowed_actions: vec![],
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// 任务指标列表 · List the indicators of a task
///
/// What one task is measured by, in order; a task without indicators is closed by evidence alone.
#[utoipa::path(
    tag = "plans",
    params(TaskPath, Paging),
    responses((status = OK, body = IndicatorPage, description = "One page of indicators."))
)]
#[get("/api/v1/tasks/{id}/indicators")]
pub async fn list_task_indicators(call: Call, path: Path<TaskPath>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let task_id = store::see_task(&conn, &call.scope(), path.id).await?;
    let listed = store::list_indicators(&conn, task_id, &page).await?;
    page.reply(listed, |row| Position::number(row.position), IndicatorView::of)
}

/// Path of an indicator.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct IndicatorPath {
    /// The indicator.
    #[param(example = "0168028c-2f00-7000-8012-000000050301")]
    pub id: IndicatorId,
}

/// 指标详情 · Get an indicator
///
/// One indicator of a task of a plan you may read.
#[utoipa::path(
    tag = "plans",
    params(IndicatorPath),
    responses((status = OK, body = IndicatorView, description = "The indicator."))
)]
#[get("/api/v1/indicators/{id}")]
pub async fn get_indicator(call: Call, path: Path<IndicatorPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find_indicator(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    Reply::item(&IndicatorView::of(row), version)
}
