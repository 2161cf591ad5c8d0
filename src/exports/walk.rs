//! The job of an export: it walks the pages of the list as whoever asked for it, writes them row by row into a temporary file, puts
//! the file into the object store, and then writes down what it is. Memory is that of one page, whatever the list holds.
//!
//! It runs in a thread with a runtime of its own, because handlers stay in their thread. It takes no connection from the pool: one
//! that is opened here would die with this runtime.

use std::sync::Arc;

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::cells::Table;
use super::plan::Plan;
use super::store::{self, ExportRow, Produced};
use crate::access::Need;
use crate::accounts::on_behalf_of;
use crate::app::App;
use crate::audit::{self, Actor, Change};
use crate::clock::shanghai;
use crate::files::{ContentKey, Object};
use crate::http::inside::Inside;
use crate::http::lists::{self, ListName};
use crate::http::{ApiError, Code, Language};
use crate::ids::{ExportId, OrganizationId};
use crate::sheets::{Sheet, SheetFault};
use crate::system::operations::{self, GoOn, OperationStatus};
use crate::vault::hex;

/// How long a file is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// After so many attempts that came to no end an export has failed.
const MOST_ATTEMPTS: i32 = 5;

/// The job.
pub async fn run(app: &App, payload: Value) -> Result<(), String> {
    let id: ExportId = serde_json::from_value(payload["export_id"].clone()).map_err(|fault| fault.to_string())?;
    let (mut tell, told) = oneshot::channel();
    let app = app.clone();
    let work = move || {
        let outcome = match actix_web::rt::Runtime::new() {
            Err(fault) => Some(Err(fault.to_string())),
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    outcome = export(&app, id) => Some(outcome),
                    // Nobody listens: another worker has taken the job over.
                    () = tell.closed() => None,
                }
            }),
        };
        if let Some(outcome) = outcome {
            drop(tell.send(outcome));
        }
    };
    std::thread::Builder::new().name("export".to_owned()).spawn(work).map_err(|fault| fault.to_string())?;
    told.await.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// No attempt came to an end: it has failed.
pub async fn given_up(app: &App, payload: Value) -> Result<(), String> {
    let id: ExportId = serde_json::from_value(payload["export_id"].clone()).map_err(|fault| fault.to_string())?;
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    match store::find_any(&conn, id).await.map_err(|fault| fault.to_string())? {
        Some(row) => fail(app, &mut conn, &row, Code::Internal).await.map_err(|fault| fault.to_string()),
        None => Ok(()),
    }
}

/// How an attempt ended without a file.
enum Ended {
    /// Somebody stopped it.
    Cancelled,
    /// It cannot be made, now or later.
    Refused(Code),
    /// It may work the next time.
    Broken(ApiError),
}

impl From<ApiError> for Ended {
    fn from(fault: ApiError) -> Self {
        if fault.code().status().is_server_error() { Self::Broken(fault) } else { Self::Refused(fault.code()) }
    }
}

impl From<diesel::result::Error> for Ended {
    fn from(fault: diesel::result::Error) -> Self {
        Self::Broken(ApiError::internal(fault))
    }
}

impl From<SheetFault> for Ended {
    fn from(fault: SheetFault) -> Self {
        match fault {
            SheetFault::TooManyRows => Self::Refused(Code::TooManyRows),
            other => Self::Broken(ApiError::internal(other)),
        }
    }
}

async fn export(app: &App, id: ExportId) -> Result<(), String> {
    let mut conn = app.db.dedicated_connection().await.map_err(|fault| fault.to_string())?;
    let row = store::find_any(&conn, id).await.map_err(|fault| fault.to_string())?;
    // Forgotten meanwhile: nobody waits for it.
    let Some(row) = row else { return Ok(()) };
    let worked = work(app, &mut conn, &row).await;
    match worked {
        Ok(()) => Ok(()),
        Err(Ended::Cancelled) => {
            let wall = app.clock.wall();
            let cancelled = operations::finish(&mut conn, row.operation_id, OperationStatus::Cancelled, None, wall);
            cancelled.await.map_err(|fault| fault.to_string())
        }
        Err(Ended::Refused(code)) => fail(app, &mut conn, &row, code).await.map_err(|fault| fault.to_string()),
        Err(Ended::Broken(fault)) => Err(fault.to_string()),
    }
}

async fn work(app: &App, conn: &mut AsyncPgConnection, row: &ExportRow) -> Result<(), Ended> {
    if operations::begin(conn, row.operation_id, None, app.clock.wall()).await? == GoOn::Stop {
        return Err(Ended::Cancelled);
    }
    let attempt = store::count_attempt(conn, row.id).await?;
    let made = match make(app, conn, row).await {
        Err(Ended::Broken(fault)) if attempt >= MOST_ATTEMPTS => {
            log::error!(export = row.id.to_string().as_str(), cause = fault.to_string().as_str(); "an export was given up");
            return Err(Ended::Refused(fault.code()));
        }
        other => other?,
    };
    // After a fault nobody knows whether it has committed: tomorrow it is a file, or an object without an export.
    match conn.transaction(async |conn| settle(app, conn, row, &made).await).await? {
        GoOn::Yes => Ok(()),
        GoOn::Stop => {
            // Should this fail, it is an object without an export tomorrow.
            drop(app.objects.delete(Object::Export(made.object)).await);
            Err(Ended::Cancelled)
        }
    }
}

/// A file that was made.
struct Made {
    object: Uuid,
    rows: i64,
    size: i64,
    sha256: Vec<u8>,
    key: ContentKey,
    places: Vec<OrganizationId>,
}

/// Writes down what came of it. Whoever stops it at this moment comes before or after, not between.
async fn settle(app: &App, conn: &mut AsyncPgConnection, row: &ExportRow, made: &Made) -> diesel::QueryResult<GoOn> {
    // In the order of a command that stops it: the export, then its operation.
    store::hold(conn, row.id).await?;
    if operations::advance(conn, row.operation_id, made.rows).await? == GoOn::Stop {
        return Ok(GoOn::Stop);
    }
    let wall = app.clock.wall();
    let produced = Produced {
        row_count: Some(made.rows),
        object_id: Some(made.object),
        size: Some(made.size),
        sha256: Some(made.sha256.clone()),
        content_key: Some(made.key.sealed(&app.vault)),
        places: made.places.clone(),
        expires_at: Some(wall + KEPT),
    };
    store::put_produced(conn, row.id, &produced).await?;
    operations::finish(conn, row.operation_id, OperationStatus::Succeeded, None, wall).await?;
    let what = json!({
        "account_id": row.account_id, "source": row.source, "parameters": row.parameters, "filters": row.filters,
        "columns": row.column_names, "personal": row.personal, "rows": made.rows, "size": made.size, "sha256": hex(&made.sha256),
    });
    let change = Change::of("export.finished", "export", row.id, row.organization_id).after(&what);
    audit::record(conn, wall, &Actor::system(), told_why(change, row)).await?;
    Ok(GoOn::Yes)
}

async fn fail(app: &App, conn: &mut AsyncPgConnection, row: &ExportRow, code: Code) -> diesel::QueryResult<()> {
    conn.transaction(async |conn| {
        let wall = app.clock.wall();
        operations::finish(conn, row.operation_id, OperationStatus::Failed, Some(code.as_str()), wall).await?;
        let what = json!({ "account_id": row.account_id, "source": row.source, "error": code.as_str() });
        let change = Change::of("export.failed", "export", row.id, row.organization_id).after(&what);
        audit::record(conn, wall, &Actor::system(), told_why(change, row)).await
    })
    .await
}

fn told_why(change: Change, row: &ExportRow) -> Change {
    match &row.reason {
        Some(reason) => change.because(reason),
        None => change,
    }
}

/// Walks the list and writes the file.
async fn make(app: &App, conn: &mut AsyncPgConnection, row: &ExportRow) -> Result<Made, Ended> {
    let list = lists::list(&ListName(row.source.clone())).ok_or(Ended::Refused(Code::NotFound))?;
    let (parameters, filters) = (object(&row.parameters), object(&row.filters));
    let (plan, faults) = Plan::check(list, &parameters, &filters, Some(&row.column_names));
    if !faults.is_empty() {
        // The list has changed since it was asked for.
        return Err(Ended::Refused(Code::ValidationFailed));
    }
    let language = if row.english { Language::English } else { Language::Chinese };
    let table = Table::new(&plan.columns, row.cell_values, language);
    let columns = table.columns(list, language);
    let mut sheet = Sheet::new(row.format, &sheet_name(&list.title, language), &columns, app.objects.scratch())?;
    let inside = Inside::new(app).await?;
    let request_id = row.id.to_string();
    let mut places = Vec::new();
    let mut who = String::new();
    let mut cursor: Option<String> = None;
    loop {
        // Her rights of this moment: what was taken from her meanwhile is not read on.
        let found = on_behalf_of(conn, row.account_id, row.session_id).await?;
        let (caller, name) = found.ok_or(Ended::Refused(Code::PermissionDenied))?;
        if caller.must_change_password {
            return Err(Ended::Refused(Code::PasswordChangeRequired));
        }
        if let Need::Holds(permission) = list.operation.need {
            places.extend_from_slice(caller.scope(permission, app.clock.today()).places());
        }
        who = if who.is_empty() { name } else { who };
        let question = match &cursor {
            None => plan.question.with("include_total", "true"),
            Some(cursor) => plan.question.with("cursor", cursor),
        };
        let page = inside.ask(&question, Arc::new(caller), language, &request_id).await?;
        if cursor.is_none() && page["total"]["relation"] == "eq" {
            operations::begin(conn, row.operation_id, page["total"]["value"].as_i64(), app.clock.wall()).await?;
        }
        for item in page["items"].as_array().into_iter().flatten() {
            sheet.row(&table.cells(item))?;
        }
        if operations::advance(conn, row.operation_id, sheet.rows().into()).await? == GoOn::Stop {
            return Err(Ended::Cancelled);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    places.sort();
    places.dedup();
    let rows = sheet.rows().into();
    let (title, notes) = notes(app, row, &list.title, &columns, &who, rows, language);
    let file = sheet.finish(title, &notes)?;
    let (object, key) = (Uuid::now_v7(), ContentKey::generate());
    let written = app.objects.put_file(Object::Export(object), &key, file).await?;
    Ok(Made { object, rows, size: written.size, sha256: written.sha256, key, places })
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A name that Excel takes for a sheet.
fn sheet_name(title: &str, language: Language) -> String {
    match language {
        Language::Chinese => title.chars().filter(|letter| !"[]:*?/\\'".contains(*letter)).take(31).collect(),
        Language::English => "Data".to_owned(),
    }
}

/// What the second sheet tells: what this is, of whom, and why.
fn notes(
    app: &App,
    row: &ExportRow,
    title: &str,
    columns: &[crate::sheets::Column],
    who: &str,
    rows: i64,
    language: Language,
) -> (&'static str, Vec<(String, String)>) {
    let at = app.clock.now().with_timezone(&shanghai()).format("%Y-%m-%d %H:%M:%S").to_string();
    let columns = columns.iter().map(|column| format!("{} ({})", column.label, column.name)).collect::<Vec<_>>().join("\n");
    let personal = match (row.personal, language) {
        (false, Language::Chinese) => "否",
        (false, Language::English) => "no",
        (true, Language::Chinese) => "是。仅限上述用途，不得转发；用后及时删除。",
        (true, Language::English) => "yes: only for the purpose above, not to be passed on, to be deleted after use",
    };
    let lines = [
        ("列表", "List", format!("{title} ({})", row.source)),
        ("路径参数", "Parameters", row.parameters.to_string()),
        ("筛选条件", "Filters", row.filters.to_string()),
        ("行数", "Rows", rows.to_string()),
        ("导出人", "Exported by", who.to_owned()),
        ("导出时间", "Exported at", at),
        ("原因", "Reason", row.reason.clone().unwrap_or_default()),
        ("含个人信息", "Holds personal data", personal.to_owned()),
        ("导出编号", "Export", row.id.to_string()),
        ("列", "Columns", columns),
    ];
    let chinese = language == Language::Chinese;
    let line = |(zh, en, text): (&str, &str, String)| (if chinese { zh } else { en }.to_owned(), text);
    (if chinese { "说明" } else { "Notes" }, lines.into_iter().map(line).collect())
}
