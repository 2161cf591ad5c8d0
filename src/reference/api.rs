//! Look-ups that anybody may make.

use actix_web::get;
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::{self, DivisionRow};
use super::{CalendarKind, CodeSystem, DivisionLevel};
use crate::access::{Permission, Role};
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, Code, PageRequest, Path, Query, Reply};
use crate::ids::OrganizationId;
use crate::{filters, page_schema};

/// Where to go from the base of the API.
#[derive(Serialize, ToSchema)]
pub struct HomeView {
    /// Name of the service.
    #[schema(examples("半边天 Half the Sky"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Version of the program.
    #[schema(examples("0.1.0"), max_length = 40, pattern = "^[0-9A-Za-z.+-]+$")]
    pub version: String,
    /// The OpenAPI document.
    #[schema(examples("/api-docs/openapi.json"), max_length = 200, format = "uri-reference")]
    pub openapi: String,
    /// Swagger UI.
    #[schema(examples("/swagger-ui/"), max_length = 200, format = "uri-reference")]
    pub documentation: String,
}

/// 首页 · Home
///
/// Names the service, its version and where its documentation is.
#[utoipa::path(tag = "reference", responses((status = OK, body = HomeView, description = "The home document.")))]
#[get("/api/v1")]
pub async fn get_api_home() -> ApiResult<Reply> {
    Reply::plain(&HomeView {
        name: "半边天 Half the Sky".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        openapi: "/api-docs/openapi.json".to_owned(),
        documentation: "/swagger-ui/".to_owned(),
    })
}

filters! {
    /// Filters of divisions.
    DivisionFilter {
        /// Only the children of this division.
        #[param(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$", example = "430600")]
        parent_code: String,
        /// Only these levels.
        level: Vec<DivisionLevel>,
        /// Part of the name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "屈原")]
        q: String,
    }
}

/// A division and the federation that looks after it.
#[derive(Serialize, ToSchema)]
pub struct DivisionView {
    /// 6, 9 or 12 digits.
    #[schema(examples("430602"), min_length = 6, max_length = 12, pattern = "^[0-9]+$")]
    pub code: String,
    /// Official name.
    #[schema(examples("岳阳楼区"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Names from the city down.
    #[schema(examples("岳阳市岳阳楼区"), max_length = 400, pattern = "^[^\\x00-\\x1f]+$")]
    pub full_name: String,
    /// Its level; levels may be skipped.
    pub level: DivisionLevel,
    /// Next higher division; null at the top of the data.
    #[schema(required = true, examples("430600"), max_length = 12, pattern = "^[0-9]+$")]
    pub parent_code: Option<String>,
    /// Who gave it its code.
    pub code_system: CodeSystem,
    /// The federation of this division; null where there is none.
    #[schema(required = true)]
    pub federation: Option<DivisionFederation>,
}

/// The federation of a division, as the public sees it.
#[derive(Serialize, ToSchema)]
pub struct DivisionFederation {
    /// Its id in the directory.
    pub id: OrganizationId,
    /// Its name.
    #[schema(examples("岳阳楼区妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Office telephone.
    #[schema(required = true, examples("0730-8888888"), max_length = 40, pattern = "^[^\\x00-\\x1f]*$")]
    pub phone: Option<String>,
}

page_schema!(DivisionPage, DivisionView);

impl DivisionView {
    fn of(row: DivisionRow) -> Self {
        Self {
            code: row.code,
            name: row.name,
            full_name: row.full_name,
            level: row.level,
            parent_code: row.parent_code,
            code_system: row.code_system,
            federation: row.federation.map(|(id, name, phone)| DivisionFederation { id, name, phone }),
        }
    }
}

/// 区划列表 · List divisions
///
/// Divisions in the order of their codes, each with the federation that looks after it.
#[utoipa::path(
    tag = "reference",
    params(DivisionFilter, Paging),
    responses((status = OK, body = DivisionPage, description = "One page of divisions."))
)]
#[get("/api/v1/divisions")]
pub async fn list_divisions(call: Call, filter: Query<DivisionFilter>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let listed = store::list_divisions(&conn, &filter, &page).await?;
    page.reply(listed, |row| Position::code(&row.code), DivisionView::of)
}

/// Path of a division.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DivisionPath {
    /// 6, 9 or 12 digits.
    #[param(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$", example = "430602")]
    pub code: String,
}

/// 区划详情 · Get a division
///
/// One division by its code, with the federation that looks after it.
#[utoipa::path(
    tag = "reference",
    params(DivisionPath),
    responses((status = OK, body = DivisionView, description = "The division."))
)]
#[get("/api/v1/divisions/{code}")]
pub async fn get_division(call: Call, path: Path<DivisionPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    Reply::unversioned(&DivisionView::of(store::find_division(&conn, &path.code).await?))
}

/// Which dictionaries.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DictionaryQuery {
    /// Names of dictionaries; all where it is not given.
    #[param(value_type = Option<Vec<String>>, example = json!(["organization_kind", "role"]))]
    pub names: Option<Vec<String>>,
}

/// Dictionaries with their labels.
#[derive(Serialize, ToSchema)]
pub struct DictionariesView {
    /// One per name.
    #[schema(max_items = 1000)]
    pub dictionaries: Vec<DictionaryView>,
}

/// One dictionary.
#[derive(Serialize, ToSchema)]
pub struct DictionaryView {
    /// Its name.
    #[schema(examples("organization_kind"), max_length = 64, pattern = "^[a-z_]+$")]
    pub name: String,
    /// Its values in order.
    #[schema(max_items = 1000)]
    pub entries: Vec<DictionaryEntryView>,
}

/// One value of a dictionary.
#[derive(Serialize, ToSchema)]
pub struct DictionaryEntryView {
    /// The wire value.
    #[schema(examples("county_federation"), max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    pub code: String,
    /// Chinese label.
    #[schema(examples("县级妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub label_zh: String,
    /// English label.
    #[schema(examples("County federation"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub label_en: String,
}

/// 字典 · Dictionaries
///
/// Chinese and English labels of every enumerated value. Clients must tolerate values that are added later.
#[utoipa::path(
    tag = "reference",
    params(DictionaryQuery),
    responses((status = OK, body = DictionariesView, description = "The dictionaries asked for."))
)]
#[get("/api/v1/dictionaries")]
pub async fn list_dictionaries(call: Call, query: Query<DictionaryQuery>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let rows = store::dictionaries(&conn, query.names.as_deref()).await?;
    let mut dictionaries: Vec<DictionaryView> = Vec::new();
    for row in rows {
        if dictionaries.last().is_none_or(|last| last.name != row.dictionary) {
            dictionaries.push(DictionaryView { name: row.dictionary, entries: vec![] });
        }
        if let Some(dictionary) = dictionaries.last_mut() {
            dictionary.entries.push(DictionaryEntryView { code: row.code, label_zh: row.label_zh, label_en: row.label_en });
        }
    }
    Reply::plain(&DictionariesView { dictionaries })
}

/// Which year.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CalendarQuery {
    /// Calendar year; this year where it is not given.
    #[param(minimum = 2000, maximum = 2100, example = 2019)]
    pub year: Option<i32>,
}

/// The days of a year that differ from their weekday.
#[derive(Serialize, ToSchema)]
pub struct CalendarView {
    /// The year.
    #[schema(minimum = 2000, maximum = 2100)]
    pub year: i32,
    /// Public holidays and worked weekends in order.
    #[schema(max_items = 366)]
    pub days: Vec<CalendarDayView>,
}

/// A day that differs from its weekday.
#[derive(Serialize, ToSchema)]
pub struct CalendarDayView {
    /// Civil date in Asia/Shanghai.
    pub day: NaiveDate,
    /// Holiday or worked weekend day.
    pub kind: CalendarKind,
    /// Which holiday it belongs to.
    #[schema(examples("Spring Festival"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
}

/// 工作日历 · Working calendar
///
/// Public holidays and worked weekends of a year, as the State Council announces them; every other day follows its weekday.
#[utoipa::path(
    tag = "reference",
    params(CalendarQuery),
    responses((status = OK, body = CalendarView, description = "The special days of the year."))
)]
#[get("/api/v1/working-calendar")]
pub async fn list_working_calendar(call: Call, query: Query<CalendarQuery>) -> ApiResult<Reply> {
    let year = query.year.unwrap_or_else(|| call.today().year());
    let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let conn = call.connection().await?;
    let rows = store::calendar(&conn, day(1, 1), day(12, 31)).await?;
    let days = rows.into_iter().map(|row| CalendarDayView { day: row.day, kind: row.kind, name: row.name }).collect();
    Reply::plain(&CalendarView { year, days })
}

/// The catalogue of problems.
#[derive(Serialize, ToSchema)]
pub struct ProblemsView {
    /// Every code this service answers.
    #[schema(max_items = 1000)]
    pub problems: Vec<ProblemEntryView>,
}

/// One entry of the catalogue.
#[derive(Serialize, ToSchema)]
pub struct ProblemEntryView {
    /// Stable code.
    #[schema(examples("not_found"), max_length = 64, pattern = "^[a-z_]+$")]
    pub code: String,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: i32,
    /// Chinese title.
    #[schema(examples("没有找到"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title_zh: String,
    /// English title.
    #[schema(examples("Not found"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub title_en: String,
}

impl ProblemEntryView {
    fn of(code: Code) -> Self {
        let title = code.title();
        Self {
            code: code.as_str().to_owned(),
            status: i32::from(code.status().as_u16()),
            title_zh: title.zh.into_owned(),
            title_en: title.en.into_owned(),
        }
    }
}

/// 错误目录 · Catalogue of problems
///
/// Every error code with its status and its title in both languages. Codes are never renamed.
#[utoipa::path(tag = "reference", responses((status = OK, body = ProblemsView, description = "The catalogue.")))]
#[get("/api/v1/problems")]
pub async fn list_problems() -> ApiResult<Reply> {
    Reply::plain(&ProblemsView { problems: Code::ALL.iter().copied().map(ProblemEntryView::of).collect() })
}

/// Path of a problem.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ProblemPath {
    /// Stable code.
    #[param(max_length = 64, pattern = "^[a-z_]+$", example = "not_found")]
    pub code: String,
}

/// 错误说明 · Get a problem
///
/// One entry of the catalogue; the `type` of every error leads here.
#[utoipa::path(
    tag = "reference",
    params(ProblemPath),
    responses((status = OK, body = ProblemEntryView, description = "The entry."))
)]
#[get("/api/v1/problems/{code}")]
pub async fn get_problem(path: Path<ProblemPath>) -> ApiResult<Reply> {
    let code = Code::ALL.iter().copied().find(|code| code.as_str() == path.code).ok_or(Code::NotFound)?;
    Reply::unversioned(&ProblemEntryView::of(code))
}

/// The roles and what they may do.
#[derive(Serialize, ToSchema)]
pub struct RolesView {
    /// Every role.
    #[schema(max_items = 100)]
    pub roles: Vec<RoleView>,
}

/// One role.
#[derive(Serialize, ToSchema)]
pub struct RoleView {
    /// Wire value.
    pub role: Role,
    /// Chinese label.
    #[schema(examples("经办人"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub label_zh: String,
    /// English label.
    #[schema(examples("Officer"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub label_en: String,
    /// Permissions it gives, within the modules of the grant.
    #[schema(max_items = 1000)]
    pub permissions: Vec<PermissionView>,
}

/// One permission.
#[derive(Serialize, ToSchema)]
pub struct PermissionView {
    /// Name, as in `x-permission` of the operations.
    #[schema(examples("organization.read"), max_length = 64, pattern = "^[a-z_.]+$")]
    pub name: String,
    /// Module the grant must include; null: any.
    #[schema(required = true)]
    pub module: Option<crate::access::Module>,
}

/// 角色与权限 · Roles and permissions
///
/// The whole policy: every role with the permissions it gives; each operation names the one it needs in `x-permission`.
#[utoipa::path(tag = "reference", responses((status = OK, body = RolesView, description = "Every role.")))]
#[get("/api/v1/roles")]
pub async fn list_roles() -> ApiResult<Reply> {
    let role = |(role, (_, zh, en)): (&Role, &(&str, &str, &str))| RoleView {
        role: *role,
        label_zh: (*zh).to_owned(),
        label_en: (*en).to_owned(),
        permissions: Permission::ALL
            .iter()
            .filter(|permission| permission.roles().contains(role))
            .map(|permission| PermissionView { name: permission.as_str().to_owned(), module: permission.module() })
            .collect(),
    };
    Reply::plain(&RolesView { roles: Role::ALL.iter().zip(Role::LABELS).map(role).collect() })
}
