//! Asking for exports, following them, downloading them. Everybody has her own and sees nobody else's.

use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::Schema;
use utoipa::{IntoParams, ToSchema};

use super::plan::Plan;
use super::rules::{CellValues, ExportAction, ExportStatus};
use super::store::{self, ExportRow, NewExportRow};
use crate::access::Need;
use crate::accounts::require_step_up;
use crate::audit::{self, Change};
use crate::clock::shanghai;
use crate::db::scope::covered;
use crate::files::{Content, ContentKey, Object, send};
use crate::http::lists::{self, List, ListName};
use crate::http::page::{Paging, Position};
use crate::http::{
    ApiError, ApiResult, Call, Code, Command, CommandHeaders, FieldError, KeyHeader, Language, PageRequest, Path, Query, Reply,
};
use crate::ids::{ExportId, OperationId};
use crate::jobs;
use crate::sheets::SheetFormat;
use crate::system::ProgressView;
use crate::system::operations::{self, StartedBy};
use crate::vault::hex;
use crate::{filters, page_schema};

/// Most exports of one account that wait or are under way.
const MOST_UNDER_WAY: i64 = 10;

/// An export of a list.
#[derive(Serialize, ToSchema)]
pub struct ExportView {
    /// Its id.
    pub id: ExportId,
    /// Where it is in its life.
    pub status: ExportStatus,
    /// Which list.
    pub source: ListName,
    /// Parameters of its path.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Its filters.
    #[schema(value_type = Object)]
    pub filters: Value,
    /// Which columns, in which order.
    #[schema(max_items = 200)]
    pub columns: Vec<String>,
    /// Format of the file.
    pub format: SheetFormat,
    /// How enumerated values are written.
    pub values: CellValues,
    /// One of the columns holds personal data.
    pub personal: bool,
    /// Why.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: Option<String>,
    /// How far it is, in rows.
    pub progress: ProgressView,
    /// Rows in the file; null until it is there.
    #[schema(required = true, minimum = 0, maximum = 1048575)]
    pub rows: Option<i64>,
    /// Name of the file.
    #[schema(examples("组织列表-20190410-090000.xlsx"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub file_name: String,
    /// Bytes of the file; null until it is there.
    #[schema(required = true, minimum = 1)]
    pub size: Option<i64>,
    /// SHA-256 of the file, in hexadecimal digits; null until it is there.
    #[schema(required = true, min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    pub sha256: Option<String>,
    /// Where the file is, relative to this host; null where there is none.
    #[schema(required = true, max_length = 200, format = "uri-reference")]
    pub url: Option<String>,
    /// Why it failed, a code of the problem catalogue.
    #[schema(required = true, max_length = 64, pattern = "^[a-z_]+$")]
    pub error: Option<String>,
    /// It was asked to stop.
    pub cancel_requested: bool,
    /// Its work in the background, at `/operations/{id}` too.
    pub operation_id: OperationId,
    /// What you may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<ExportAction>,
    /// Raised by each change by a person; the ETag begins with it.
    #[schema(examples(1), minimum = 1, maximum = 2147483647)]
    pub version: i32,
    /// When it was asked for (wall time).
    pub created_at: DateTime<Utc>,
    /// When it began (wall time).
    #[schema(required = true)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended (wall time).
    #[schema(required = true)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The file is not given out after this (wall time); null until it is there.
    #[schema(required = true)]
    pub expires_at: Option<DateTime<Utc>>,
}

page_schema!(ExportPage, ExportView);

impl ExportView {
    fn of(row: ExportRow, now: DateTime<Utc>) -> Self {
        let status = row.status(now);
        let downloadable = status == ExportStatus::Done;
        Self {
            url: downloadable.then(|| format!("/api/v1/exports/{}/content", row.id)),
            allowed_actions: status.actions(row.cancel_requested),
            id: row.id,
            status,
            source: ListName(row.source),
            parameters: row.parameters,
            filters: row.filters,
            columns: row.column_names,
            format: row.format,
            values: row.cell_values,
            personal: row.personal,
            reason: row.reason,
            progress: ProgressView { done: row.done, total: row.total },
            rows: row.row_count,
            file_name: row.file_name,
            size: row.size,
            sha256: row.sha256.as_deref().map(hex),
            error: row.error,
            cancel_requested: row.cancel_requested,
            operation_id: row.operation_id,
            version: row.version,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            expires_at: row.expires_at,
        }
    }
}

filters! {
    /// Filters of exports.
    ExportFilter {
        /// Only in these states.
        status: Vec<ExportStatus>,
        /// Only of this list.
        source: ListName,
        /// Asked for at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Asked for before this instant.
        created_at_lt: DateTime<Utc>,
    }
}

/// 导出列表 · List exports
///
/// The caller's own exports of the last 30 days, the newest first.
#[utoipa::path(
    tag = "exports",
    params(ExportFilter, Paging),
    responses((status = OK, body = ExportPage, description = "One page of exports."))
)]
#[get("/api/v1/exports")]
pub async fn list_exports(call: Call, filter: Query<ExportFilter>, page: PageRequest) -> ApiResult<Reply> {
    let (me, now, page) = (call.signed_in()?.account_id, call.app.clock.wall(), page.newest_first());
    let conn = call.connection().await?;
    let listed = store::list(&conn, me, &filter, now, &page).await?;
    page.reply(listed, |row| Position::id(row.id), |row| ExportView::of(row, now))
}

/// Values by name, each as it stands in an address or as JSON has it.
fn values_by_name(description: &str) -> Schema {
    let schema = json!({
        "type": ["object", "null"],
        "description": description,
        "maxProperties": 50,
        "additionalProperties": { "anyOf": [
            { "type": "string", "description": "A text, a date, an id; several separated by commas.", "maxLength": 1000,
                "pattern": "^[^\\x00]*$" },
            { "type": "integer", "description": "A whole number." },
            { "type": "boolean", "description": "Yes or no." },
            { "type": "array", "description": "Several.", "minItems": 1, "maxItems": 50,
                "items": { "type": "string", "maxLength": 200, "pattern": "^[^\\x00]*$" } },
        ] },
    });
    serde_json::from_value(schema).expect("a schema of OpenAPI")
}

fn parameters_by_name() -> Schema {
    values_by_name("Parameters of its path, where it has some: `{\"id\": \"…\"}`.")
}

fn filters_by_name() -> Schema {
    values_by_name("The list's own filters, with the meaning they have there. All pages are exported.")
}

/// A list to be exported.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "source": "organizations",
    "format": "xlsx",
    "filters": { "within": "0168028c-2f00-7000-8000-430602000000", "kind": ["township_federation"] },
    "columns": ["id", "name", "division_code", "kind", "status"],
    "values": "labels"
})))]
pub struct NewExport {
    /// Which list: its path without `/api/v1/`.
    pub source: ListName,
    /// Parameters of its path, where it has some: `{"id": "…"}`.
    #[schema(schema_with = parameters_by_name)]
    pub parameters: Option<Map<String, Value>>,
    /// The list's own filters, with the meaning they have there. All pages are exported.
    #[schema(schema_with = filters_by_name)]
    pub filters: Option<Map<String, Value>>,
    /// Which columns in which order: fields of the list's items, dotted where they lie in an object. All that fit into a cell
    /// unless told.
    #[schema(min_items = 1, max_items = 200)]
    pub columns: Option<Vec<String>>,
    /// Format of the file.
    pub format: SheetFormat,
    /// How enumerated values are written; as codes unless told.
    pub values: Option<CellValues>,
    /// Why; it stands in the audit trail. Demanded where a column holds personal data.
    #[schema(min_length = 2, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: Option<String>,
}

/// Whoever may not call the list at all may not export it.
fn may_read(call: &Call, list: &List) -> ApiResult<()> {
    match list.operation.need {
        Need::Holds(permission) if call.scope_for(permission).is_empty() => Err(Code::PermissionDenied.into()),
        _ => Ok(()),
    }
}

/// 导出列表数据 · Export a list
///
/// Writes any list of this API, with its own filters, into an xlsx or CSV file in the background; follow it at its address. It holds
/// what the caller may see while it is written, row by row, personal numbers masked as in the list. Columns with personal data
/// (`x-personal-data`) need a reason and a step-up of the last five minutes. Texts stay texts: long numbers keep their digits, and
/// nothing becomes a formula; in CSV what begins like one gets an apostrophe in front.
#[utoipa::path(
    tag = "exports",
    params(KeyHeader),
    request_body = NewExport,
    responses((status = CREATED, body = ExportView, description = "The export, waiting for a worker."))
)]
#[post("/api/v1/exports")]
pub async fn create_export(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.concerns_caller();
            if let Some(list) = tx.call.field("source").as_ref().and_then(lists::list) {
                may_read(&tx.call, list)?;
            }
            let body: NewExport = tx.body()?;
            let list = lists::list(&body.source).ok_or_else(|| ApiError::internal("a list that the document does not name"))?;
            let (parameters, filters) = (body.parameters.unwrap_or_default(), body.filters.unwrap_or_default());
            let (plan, mut faults) = Plan::check(list, &parameters, &filters, body.columns.as_deref());
            let personal = plan.is_personal();
            if personal {
                require_step_up(&tx.call)?;
                if body.reason.is_none() {
                    let (zh, en) = ("导出个人信息须填写原因", "is needed where a column holds personal data");
                    let columns: Vec<&str> =
                        plan.columns.iter().filter(|column| column.personal).map(|column| column.name.as_str()).collect();
                    faults.push(FieldError::at("/reason", "required", zh, en).with_params(json!({ "personal": columns })));
                }
            }
            if !faults.is_empty() {
                return Err(ApiError::invalid(faults));
            }
            let (me, session) = (tx.caller()?.account_id, tx.caller()?.session_id);
            let (home, now) = (tx.caller()?.organization_id, tx.call.app.clock.wall());
            if store::under_way(tx.conn(), me).await? >= MOST_UNDER_WAY {
                let (zh, en) = ("您已有多个导出正在进行，请稍后再试", "too many of your exports are under way; wait for one to end");
                return Err(ApiError::from(Code::RateLimited).because(zh, en).with_header(RETRY_AFTER, "30"));
            }
            let by = StartedBy { account_id: Some(me), organization_id: Some(home) };
            let id = ExportId::generate();
            let export = NewExportRow {
                id,
                operation_id: operations::create(tx.conn(), "export", by, now).await?,
                account_id: me,
                session_id: session,
                organization_id: home,
                source: list.name.clone(),
                parameters: parameters.into(),
                filters: filters.into(),
                column_names: plan.columns.iter().map(|column| column.name.clone()).collect(),
                format: body.format,
                cell_values: body.values.unwrap_or(CellValues::Codes),
                english: tx.call.language == Language::English,
                personal,
                reason: body.reason,
                file_name: file_name(list, body.format, tx.call.language, tx.now()),
                created_at: now,
            };
            store::insert(tx.conn(), &export).await?;
            jobs::enqueue(tx.conn(), "export", json!({ "export_id": id }), now).await?;
            tx.after_commit(|app| app.wake.now());
            let wanted = json!({
                "source": export.source, "parameters": export.parameters, "filters": export.filters, "columns": export.column_names,
                "format": export.format, "personal": personal,
            });
            let change = Change::of("export.requested", "export", id, home).after(&wanted);
            tx.record(match &export.reason {
                Some(reason) => change.because(reason),
                None => change,
            })
            .await?;
            let row = store::find(tx.conn(), me, id).await?;
            let version = row.version;
            Reply::created(format!("/api/v1/exports/{id}"), &ExportView::of(row, now), version)
        })
        .await
}

/// What the file is called: the list and the domain time.
fn file_name(list: &List, format: SheetFormat, language: Language, now: DateTime<Utc>) -> String {
    let title = match language {
        Language::Chinese => &list.title,
        Language::English => list.name.rsplit('/').next().unwrap_or("export"),
    };
    format!("{title}-{}.{format}", now.with_timezone(&shanghai()).format("%Y%m%d-%H%M%S"))
}

/// Path of an export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ExportPath {
    /// The export.
    #[param(example = "0168028c-2f00-7000-8050-000000000001")]
    pub id: ExportId,
}

/// Path of an export that waits.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct WaitingExportPath {
    /// The export.
    #[param(example = "0168028c-2f00-7000-8050-000000000002")]
    pub id: ExportId,
}

/// 导出详情 · Get an export
///
/// How far one of the caller's exports is, and what its file is.
#[utoipa::path(
    tag = "exports",
    params(ExportPath),
    responses((status = OK, body = ExportView, description = "The export."))
)]
#[get("/api/v1/exports/{id}")]
pub async fn get_export(call: Call, path: Path<ExportPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, call.signed_in()?.account_id, path.id).await?;
    let version = row.version;
    Reply::item(&ExportView::of(row, call.app.clock.wall()), version)
}

/// 取消导出 · Cancel an export
///
/// An export that waits is cancelled at once; one under way stops after the page at hand, and leaves no file.
#[utoipa::path(
    tag = "exports",
    params(WaitingExportPath, CommandHeaders),
    responses((status = OK, body = ExportView, description = "The export, cancelled or about to be."))
)]
#[post("/api/v1/exports/{id}/cancel")]
pub async fn cancel_export(command: Command, path: Path<WaitingExportPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let (me, now) = (tx.caller()?.account_id, tx.call.app.clock.wall());
            let row = store::lock(tx.conn(), me, id).await?;
            tx.concerns_caller();
            tx.check_version(row.version)?;
            if !operations::cancel(tx.conn(), row.operation_id, now).await? {
                let actions = row.status(now).actions(row.cancel_requested);
                let actions: Vec<&str> = actions.into_iter().map(ExportAction::as_str).collect();
                return Err(ApiError::not_now(row.status(now).as_str(), &actions));
            }
            tx.record(Change::of("export.cancelled", "export", id, row.organization_id)).await?;
            let row = store::find(tx.conn(), me, id).await?;
            let version = row.version;
            Reply::item(&ExportView::of(row, now), version)
        })
        .await
}

/// 下载导出文件 · Download an export
///
/// The file, for whoever asked for it, for a day, as long as she may still read the list where she could when it was written. Each
/// download stands in the audit trail.
#[utoipa::path(
    tag = "exports",
    params(ExportPath),
    responses(
        (status = OK, content_type = "*/*", description = "The bytes."),
        (status = PARTIAL_CONTENT, content_type = "*/*", description = "The part that was asked for."),
        (status = CONFLICT, description = "The file is not there yet, or no longer."),
        (status = RANGE_NOT_SATISFIABLE, description = "There is no such part.")
    )
)]
#[get("/api/v1/exports/{id}/content")]
pub async fn download_export(call: Call, path: Path<ExportPath>) -> ApiResult<HttpResponse> {
    let now = call.app.clock.wall();
    let conn = call.connection().await?;
    let row = store::find(&conn, call.signed_in()?.account_id, path.id).await?;
    let status = row.status(now);
    let (ExportStatus::Done, Some(object), Some(size), Some(sha256), Some(key)) =
        (status, row.object_id, row.size, row.sha256, row.content_key)
    else {
        let actions = status.actions(row.cancel_requested);
        return Err(ApiError::not_now(status.as_str(), &actions.into_iter().map(ExportAction::as_str).collect::<Vec<_>>()));
    };
    let list = lists::list(&ListName(row.source.clone())).ok_or(Code::NotFound)?;
    may_read(&call, list)?;
    if let Need::Holds(permission) = list.operation.need {
        let still = covered(&conn, &call.scope_for(permission), &row.places).await?;
        if !row.places.iter().all(|place| still.contains(place)) {
            return Err(Code::PermissionDenied.into());
        }
    }
    if !call.app.rehearsal {
        let what = json!({ "source": row.source, "rows": row.row_count, "sha256": hex(&sha256), "personal": row.personal });
        let change = Change::of("export.downloaded", "export", row.id, row.organization_id).after(&what);
        let mut conn = call.app.db.transaction_connection().await?;
        audit::record(&mut conn, now, &call.actor(), change).await?;
    }
    let media_type = row.format.media_type().to_owned();
    let key = ContentKey::open(&call.app.vault, &key)?;
    send(&call, Content { at: Object::Export(object), key, name: row.file_name, media_type, size, sha256 }).await
}
