//! Tasks of a plan.

use std::collections::HashMap;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ActionName, PlanPath};
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply};
use crate::ids::{OrganizationId, PlanId, TaskId};
use crate::organizations::{OrganizationKind, OrganizationReference};
use crate::plans::rules::{RecordKind, TaskFrequency, TaskPart};
use crate::plans::store::{self, TaskOrganizationRow, TaskRow};
use crate::{filters, page_schema};

/// Name of a partner outside the federation.
#[derive(Serialize, ToSchema)]
#[schema(examples("市农业农村局"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
pub struct OutsidePartner(pub String);

/// A task of a plan.
#[derive(Serialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    #[schema(examples("0168028c-2f00-7000-8011-000000000503"))]
    pub id: TaskId,
    /// Its plan.
    #[schema(examples("0168028c-2f00-7000-8010-000000002019"))]
    pub plan_id: PlanId,
    /// Its number in the plan: work point and task.
    #[schema(examples("5.3"), max_length = 20, pattern = "^[0-9.]+$")]
    pub number: String,
    /// Its code in the imported document.
    #[schema(required = true, examples("YY2019-05-03"), max_length = 40, pattern = "^[A-Za-z0-9._-]+$")]
    pub code: Option<String>,
    /// Number of its chapter.
    #[schema(examples(2), minimum = 1, maximum = 1000)]
    pub chapter_number: i16,
    /// Title of its chapter.
    #[schema(examples("纵深推进妇联组织改革"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub chapter: String,
    /// Number of its work point; points are numbered through all chapters.
    #[schema(examples(5), minimum = 1, maximum = 1000)]
    pub point_number: i16,
    /// Title of its work point.
    #[schema(examples("构建开放格局"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub point: String,
    /// Title, verbatim.
    #[schema(examples("县市区微信公众号实现全覆盖"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title: String,
    /// Title in English.
    #[schema(
        required = true,
        examples("WeChat official account in every county-level federation"),
        max_length = 2000,
        pattern = "^[^\\x00]+$"
    )]
    pub title_en: Option<String>,
    /// 牵头单位: the organization that leads; null where every unit of a kind leads its own share.
    #[schema(required = true)]
    pub lead_organization_id: Option<OrganizationId>,
    /// The organization that leads, as a reference.
    #[schema(required = true)]
    pub lead_organization: Option<OrganizationReference>,
    /// The kind of which every unit leads its own share; null where one organization leads.
    #[schema(required = true)]
    pub lead_organization_kind: Option<OrganizationKind>,
    /// 责任单位: kinds of which every unit carries out its own share.
    #[schema(max_items = 50)]
    pub responsible_organization_kinds: Vec<OrganizationKind>,
    /// 责任单位 named one by one.
    #[schema(max_items = 1000)]
    pub responsible_organizations: Vec<OrganizationReference>,
    /// 配合单位: organizations that support.
    #[schema(max_items = 1000)]
    pub co_organizations: Vec<OrganizationReference>,
    /// Partners outside the federation, by name.
    #[schema(max_items = 100)]
    pub outside_partners: Vec<OutsidePartner>,
    /// Due date.
    #[schema(examples("2019-12-31"))]
    pub due_on: NaiveDate,
    /// How often it is reported.
    pub frequency: TaskFrequency,
    /// Kinds of work records that prove it.
    #[schema(max_items = 50)]
    pub record_kinds: Vec<RecordKind>,
    /// How many indicators it has; without a target it is closed by evidence, not by a number.
    #[schema(examples(1), minimum = 0, maximum = 1000)]
    pub indicator_count: i64,
    /// Remarks.
    #[schema(required = true, max_length = 2000, pattern = "^[^\\x00]+$")]
    pub notes: Option<String>,
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

page_schema!(TaskPage, TaskView);

/// What tasks name beside themselves, read once for a page of them.
struct Named {
    organizations: HashMap<TaskId, Vec<TaskOrganizationRow>>,
    indicators: HashMap<TaskId, i64>,
}

impl Named {
    async fn by(conn: &AsyncPgConnection, tasks: &[TaskRow]) -> ApiResult<Self> {
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let (rows, indicators) =
            futures_util::try_join!(store::organizations_of(conn, &ids), store::indicator_counts(conn, &ids))?;
        let mut organizations: HashMap<TaskId, Vec<TaskOrganizationRow>> = HashMap::new();
        for row in rows {
            organizations.entry(row.task_id).or_default().push(row);
        }
        Ok(Self { organizations, indicators: indicators.into_iter().collect() })
    }
}

impl TaskView {
    fn of(row: TaskRow, named: &mut Named) -> Self {
        let (mut responsible_organizations, mut co_organizations) = (vec![], vec![]);
        for named in named.organizations.remove(&row.id).unwrap_or_default() {
            match named.part {
                TaskPart::Responsible => responsible_organizations.push(named.organization.into()),
                TaskPart::Cooperating => co_organizations.push(named.organization.into()),
            }
        }
        Self {
            id: row.id,
            plan_id: row.plan_id,
            number: row.number,
            code: row.code,
            chapter_number: row.chapter_number,
            chapter: row.chapter,
            point_number: row.point_number,
            point: row.point,
            title: row.title,
            title_en: row.title_en,
            lead_organization_id: row.lead.as_ref().map(|lead| lead.id),
            lead_organization: row.lead.map(Into::into),
            lead_organization_kind: row.lead_organization_kind,
            responsible_organization_kinds: row.responsible_organization_kinds,
            responsible_organizations,
            co_organizations,
            outside_partners: row.outside_partners.into_iter().map(OutsidePartner).collect(),
            due_on: row.due_on,
            frequency: row.frequency,
            record_kinds: row.record_kinds,
            indicator_count: named.indicators.get(&row.id).copied().unwrap_or_default(),
            notes: row.notes,
            allowed_actions: vec![],
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

filters! {
    /// Filters of the tasks of a plan.
    TaskFilter {
        /// Only the chapter with this number.
        #[param(minimum = 1, maximum = 1000, example = 2)]
        chapter: i16,
        /// Only the work point with this number.
        #[param(minimum = 1, maximum = 1000, example = 5)]
        point: i16,
        /// Part of the title, or the number.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "微信")]
        q: String,
        /// Only tasks that this organization leads.
        #[param(example = "0168028c-2f00-7000-8000-430600000000")]
        lead_organization_id: OrganizationId,
        /// Only tasks of which every unit of one of these kinds leads its own share.
        lead_organization_kind: Vec<OrganizationKind>,
        /// Only tasks that are reported this often.
        frequency: Vec<TaskFrequency>,
        /// Due on this day or later.
        #[param(example = "2019-01-01")]
        due_on_gte: NaiveDate,
        /// Due before this day.
        #[param(example = "2020-01-01")]
        due_on_lt: NaiveDate,
    }
}

/// 计划任务列表 · List the tasks of a plan
///
/// The tasks of one plan, in the plan's order, each with the organizations it names.
#[utoipa::path(
    tag = "plans",
    params(PlanPath, TaskFilter, Paging),
    responses((status = OK, body = TaskPage, description = "One page of tasks."))
)]
#[get("/api/v1/plans/{id}/tasks")]
pub async fn list_plan_tasks(call: Call, path: Path<PlanPath>, filter: Query<TaskFilter>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let plan_id = store::see_plan(&conn, &call.scope(), path.id).await?;
    let listed = store::list_tasks(&conn, plan_id, &filter, &page).await?;
    let mut named = Named::by(&conn, &listed.rows).await?;
    page.reply(listed, |row| Position::number(row.position), |row| TaskView::of(row, &mut named))
}

/// Path of a task.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TaskPath {
    /// The task.
    #[param(example = "0168028c-2f00-7000-8011-000000000503")]
    pub id: TaskId,
}

/// 任务详情 · Get a task
///
/// One task of a plan you may read, with the organizations it names.
#[utoipa::path(tag = "plans", params(TaskPath), responses((status = OK, body = TaskView, description = "The task.")))]
#[get("/api/v1/tasks/{id}")]
pub async fn get_task(call: Call, path: Path<TaskPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find_task(&conn, &call.scope(), path.id).await?;
    let mut named = Named::by(&conn, std::slice::from_ref(&row)).await?;
    let version = row.version;
    Reply::item(&TaskView::of(row, &mut named), version)
}
