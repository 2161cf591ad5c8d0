//! Workbooks for people: the template of a kind, filled in for an organization, and a file with its errors beside its rows.

use std::collections::HashMap;

use actix_web::http::header::{CONTENT_DISPOSITION, HeaderValue};
use actix_web::{HttpResponse, get};
use rust_xlsxwriter::{Color, DataValidation, Format, Workbook, Worksheet, XlsxError};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::api::{FailedImportPath, ImportErrorView, column_of, sees};
use super::columns::{Cells, Column, Labels, Shape};
use super::kinds::{self, Kind};
use super::rules::{ImportFailure, ImportKind, MOST_ERRORS, MOST_ROWS};
use super::store;
use crate::access::Role;
use crate::accounts::require_step_up;
use crate::audit::{self, Actor, Change};
use crate::db::scope::covers;
use crate::http::{ApiError, ApiResult, Call, Code, FieldError, Language, Path, Query};
use crate::ids::OrganizationId;
use crate::sheets::read::{self, Found, MOST_LINES, Refusal};
use crate::sheets::{SheetFormat, displayable};
use crate::{files, filters, organizations};

/// Workbooks that are made at a time: each holds as many rows as a table has, or a file.
pub const BOOKS: usize = 2;

/// Path of a template.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TemplatePath {
    /// What the rows are to be.
    #[param(example = "organizations")]
    pub kind: ImportKind,
}

filters! {
    /// What a template is filled in with.
    TemplateFilter {
        /// What there is in the subtree of this organization; an empty template unless told.
        organization_id: OrganizationId,
        /// Why; it stands in the audit trail. Demanded where the rows tell of people.
        #[param(min_length = 2, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
        reason: String,
    }
}

/// 导入模板 · Get an import template
///
/// A workbook with the columns of a kind, every column formatted as text so that long numbers stay whole, lists of the allowed values,
/// and a second sheet that explains. With `organization_id` it holds what there is in that subtree, personal numbers masked: changed
/// and uploaded it changes just that. Rows that tell of people — people, posts, accounts — need a reason and a step-up of the last
/// five minutes, and stand in the audit trail, as an export of them does.
#[utoipa::path(
    tag = "imports",
    params(TemplatePath, TemplateFilter),
    responses(
        (status = OK, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", description = "The workbook."),
        (status = UNPROCESSABLE_ENTITY, description = "The reason is missing, or there are too many rows.")
    )
)]
#[get("/api/v1/imports/templates/{kind}.xlsx")]
pub async fn get_import_template(call: Call, path: Path<TemplatePath>, filter: Query<TemplateFilter>) -> ApiResult<HttpResponse> {
    call.list_scope()?;
    let kind = kinds::of(path.kind);
    if let Some(place) = filter.organization_id {
        may_be_shown(&call, kind, place, filter.reason.as_deref()).await?;
    }
    let room = call.app.books.enter().await?;
    let rows = match filter.organization_id {
        None => vec![],
        Some(place) => there(&call, kind, place).await?,
    };
    let count = rows.len();
    let made = move || {
        let _room = room;
        template(kind, &rows)
    };
    let bytes = tokio::task::spawn_blocking(made).await.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    if let Some(place) = filter.organization_id.filter(|_| kind.tells_of_people() && !call.app.rehearsal) {
        let what = json!({ "kind": kind.kind, "rows": count });
        let change = Change::of("import_template.filled", "organization", place, place).after(&what);
        let change = change.because(filter.reason.as_deref().unwrap_or_default());
        let actor = Actor { role: call.signed_in()?.role_for(kind.reads, call.today()).map(Role::as_str), ..call.actor() };
        let mut conn = call.app.db.transaction_connection().await?;
        audit::record(&mut conn, call.app.clock.wall(), &actor, change).await?;
    }
    book(bytes, &format!("{}-template.xlsx", kind.kind))
}

/// What there is below a place is for who may read it there; where it tells of people, with a reason and after a step-up.
async fn may_be_shown(call: &Call, kind: &Kind, place: OrganizationId, reason: Option<&str>) -> ApiResult<()> {
    let conn = call.connection().await?;
    if !covers(&conn, &call.scope_for(kind.reads), place).await? {
        return Err(Code::NotFound.into());
    }
    if kind.tells_of_people() {
        require_step_up(call)?;
        if reason.is_none() {
            let (zh, en) = ("导出个人信息须填写原因", "is needed where rows tell of people");
            return Err(ApiError::invalid(vec![FieldError::parameter("reason", "required", zh, en)]));
        }
    }
    Ok(())
}

/// What there is below a place, where it is not too much for one table. It is read beside the reads of other requests, which would
/// wait for it.
async fn there(call: &Call, kind: &Kind, place: OrganizationId) -> ApiResult<Vec<Cells>> {
    let reader = call.app.db.patient_reader();
    let conn = reader.connection().await?;
    let too_many = || {
        let (zh, en) = ("超过 50,000 行，请选择下级组织", "more than 50,000 rows; choose an organization further down");
        ApiError::from(Code::TooManyRows).because(zh, en)
    };
    if organizations::has_more_below(&conn, place, MOST_ROWS as i64).await? {
        return Err(too_many());
    }
    let rows = (kind.shown)(&conn, place, call.today()).await?;
    if rows.len() > MOST_ROWS { Err(too_many()) } else { Ok(rows) }
}

fn book(bytes: Vec<u8>, name: &str) -> ApiResult<HttpResponse> {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).map_err(ApiError::internal)?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_DISPOSITION, disposition)).content_type(SheetFormat::Xlsx.media_type());
    Ok(response.body(bytes))
}

fn template(kind: &Kind, rows: &[Cells]) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let text = Format::new().set_num_format("@");
    let header = Format::new().set_num_format("@").set_bold().set_background_color(Color::RGB(0xE7_E6_E6));
    let needed = header.clone().set_font_color(Color::RGB(0xC0_00_00));
    let sheet = workbook.add_worksheet_with_constant_memory();
    sheet.set_name("数据")?;
    sheet.set_freeze_panes(1, 0)?;
    for (index, column) in (0..).zip(kind.columns) {
        sheet.set_column_format(index, &text)?;
        sheet.set_column_width(index, 18)?;
        if let Shape::Choice(labels) = column.shape {
            let values: Vec<&str> = labels.iter().map(|(_, zh, _)| *zh).collect();
            // Excel takes lists of up to 255 characters; a longer one stands in the explanation only.
            if values.join(",").chars().count() <= 255 {
                let list = DataValidation::new().allow_list_strings(&values)?;
                sheet.add_data_validation(1, index, MOST_ROWS as u32, index, &list)?;
            }
        }
        let format = if column.required { &needed } else { &header };
        sheet.write_string_with_format(0, index, column.zh, format)?;
    }
    for (number, row) in (1..).zip(rows) {
        for (index, column) in (0..).zip(kind.columns) {
            let value = said(column, row);
            if !value.is_empty() {
                sheet.write_string_with_format(number, index, displayable(&value), &text)?;
            }
        }
    }
    explanation(workbook.add_worksheet(), kind, &header, &text)?;
    workbook.save_to_buffer()
}

/// A value as people write it: enumerations by their labels.
fn said(column: &Column, row: &Cells) -> String {
    let value = match row.json(column.field) {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(_) => row.list(column.field).join("，"),
        other => other.to_string(),
    };
    match column.shape {
        Shape::Choice(labels) => labels.iter().find(|(code, ..)| *code == value).map_or(value, |(_, zh, _)| (*zh).to_owned()),
        _ => value,
    }
}

fn explanation(sheet: &mut Worksheet, kind: &Kind, header: &Format, text: &Format) -> Result<(), XlsxError> {
    sheet.set_name("说明")?;
    for (index, (title, width)) in (0..).zip([("列名", 18.0), ("字段", 22.0), ("必填", 8.0), ("可填内容", 60.0), ("说明", 60.0)])
    {
        sheet.set_column_width(index, width)?;
        sheet.write_string_with_format(0, index, title, header)?;
    }
    for (number, column) in (1..).zip(kind.columns) {
        let allowed = match column.shape {
            Shape::Choice(labels) => labels.iter().map(|(_, zh, _)| *zh).collect::<Vec<_>>().join("、"),
            Shape::Date => "日期，如 2019-03-01".to_owned(),
            Shape::Integer => "整数".to_owned(),
            Shape::Decimal => "数字".to_owned(),
            Shape::Id => "系统编号".to_owned(),
            Shape::Code => "字母、数字，以文本填写".to_owned(),
            Shape::List => "多项用逗号分隔".to_owned(),
            Shape::Text => "文本".to_owned(),
        };
        let required = if column.required { "是" } else { "" };
        for (index, value) in (0..).zip([column.zh, column.field, required, &allowed, column.hint]) {
            sheet.write_string_with_format(number, index, value, text)?;
        }
    }
    Ok(())
}

/// 导入错误文件 · Download the errors of an import
///
/// For who uploaded it, while the file is kept: the table as a workbook, with the cells that are wrong marked and a last column that
/// says why. For administrators above, and later: a list of the errors, personal numbers masked.
#[utoipa::path(
    tag = "imports",
    params(FailedImportPath),
    responses((status = OK, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", description = "The workbook."))
)]
#[get("/api/v1/imports/{id}/errors.xlsx")]
pub async fn download_import_errors(call: Call, path: Path<FailedImportPath>) -> ApiResult<HttpResponse> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let import = store::find(&conn, &sees(&call)?, path.id).await?;
    let errors = store::first_errors(&conn, import.id, MOST_ERRORS as i64).await?;
    let room = call.app.books.enter().await?;
    // Only who uploaded a table reads it; others, and she when it has been cleaned away, read what is wrong with it.
    let mine = import.created_by == call.signed_in()?.account_id;
    let content = match import.file_id.filter(|_| mine) {
        Some(file) => files::content(&call.app, &conn, file).await?,
        None => None,
    };
    let Some(bytes) = content else {
        let views = errors.into_iter().map(|error| ImportErrorView::of(&import, error, call.language)).collect();
        let made = move || {
            let _room = room;
            listed(views)
        };
        let made = tokio::task::spawn_blocking(made).await.map_err(ApiError::internal)?;
        return book(made.map_err(ApiError::internal)?, "import-errors.xlsx");
    };
    let media_type = import.media_type.clone();
    let mut by_row: HashMap<u32, Vec<(Option<usize>, String)>> = HashMap::new();
    for error in errors {
        let column = column_of(&import, &error);
        let field = error.field.as_deref().filter(|field| !field.starts_with('#'));
        let known = field.and_then(|field| kinds::of(import.kind).columns.iter().find(|known| known.field == field));
        let message = if call.language == Language::English { &error.en } else { &error.zh };
        let told = known.map_or_else(|| message.clone(), |known| format!("{}：{message}", known.zh));
        by_row.entry(error.number.unwrap_or(1).unsigned_abs()).or_default().push((column, told));
    }
    let kind = kinds::of(import.kind);
    let (fields, language) = (import.fields, call.language);
    let made = move || {
        let _room = room;
        annotated(kind, &media_type, &bytes, &fields, &by_row, language)
    };
    book(tokio::task::spawn_blocking(made).await.map_err(ApiError::internal)?.map_err(ApiError::internal)?, "import-errors.xlsx")
}

fn listed(errors: Vec<ImportErrorView>) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let text = Format::new().set_num_format("@");
    let sheet = workbook.add_worksheet_with_constant_memory();
    sheet.set_name("错误")?;
    for (index, (title, width)) in
        (0..).zip([("行", 8.0), ("列", 8.0), ("列名", 18.0), ("代码", 22.0), ("说明", 80.0), ("内容", 30.0)])
    {
        sheet.set_column_width(index, width)?;
        sheet.write_string_with_format(0, index, title, &text)?;
    }
    for (number, error) in (1..).zip(errors) {
        let (letter, label, value) = (error.column_letter, error.column_label, error.value);
        let cells = [Some(error.row.to_string()), letter, label, Some(error.code), Some(error.message), value];
        for (index, cell) in (0..).zip(cells) {
            sheet.write_string_with_format(number, index, displayable(&cell.unwrap_or_default()), &text)?;
        }
    }
    workbook.save_to_buffer()
}

/// The table with its errors beside its rows, as far as it is read: where that ends before the table does, the row after the last
/// says why.
fn annotated(
    kind: &Kind,
    media_type: &str,
    bytes: &bytes::Bytes,
    fields: &[String],
    errors: &HashMap<u32, Vec<(Option<usize>, String)>>,
    language: Language,
) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let text = Format::new().set_num_format("@");
    let marked = text.clone().set_background_color(Color::RGB(0xFF_C7_CE));
    let sheet = workbook.add_worksheet_with_constant_memory();
    sheet.set_name("错误")?;
    let last = fields.len().max(1) as u16;
    sheet.set_column_width(last, 80)?;
    let (mut fault, mut lines, mut end, mut is_cut) = (None, 0, 0, false);
    let outcome = read::read(media_type, bytes, |line| {
        // The header and as many rows as an import takes.
        if lines > MOST_ROWS {
            is_cut = true;
            return false;
        }
        let is_header = lines == 0;
        (lines, end) = (lines + 1, line.number);
        let told = errors.get(&line.number).map(Vec::as_slice).unwrap_or_default();
        let mut write = || {
            let row = line.number - 1;
            for (column, found) in &line.cells {
                if *column >= usize::from(last) {
                    continue;
                }
                let wrong = told.iter().any(|(wrong, _)| *wrong == Some(*column));
                let field = fields.get(*column).map_or("", String::as_str);
                let open = kind.shows(field) || is_header && !field.is_empty();
                let value = if open { shown(found) } else { "（不显示）".to_owned() };
                let format = if wrong { &marked } else { &text };
                sheet.write_string_with_format(row, *column as u16, displayable(&value), format)?;
            }
            let empty = told
                .iter()
                .filter_map(|(column, _)| *column)
                .filter(|column| !line.cells.iter().any(|(filled, _)| filled == column));
            for column in empty.filter(|column| *column < usize::from(last)) {
                sheet.write_blank(row, column as u16, &marked)?;
            }
            let mut messages: Vec<&str> = told.iter().map(|(_, message)| message.as_str()).collect();
            if is_header {
                messages.insert(0, "错误");
            }
            if !messages.is_empty() {
                sheet.write_string_with_format(row, last, displayable(&messages.join("；")), &text)?;
            }
            Ok::<_, XlsxError>(())
        };
        fault = write().err();
        fault.is_none()
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let why = match outcome {
        Err(refusal) => Some(label(Refusal::LABELS, refusal.as_str(), language)),
        Ok(_) if is_cut => Some(label(ImportFailure::LABELS, ImportFailure::TooManyRows.as_str(), language)),
        Ok(_) => None,
    };
    if let Some(why) = why {
        sheet.write_string_with_format(end.min(MOST_LINES - 1), last, why, &text)?;
    }
    workbook.save_to_buffer()
}

/// What a value of an enumeration is called.
fn label(labels: Labels, value: &str, language: Language) -> &'static str {
    let known = labels.iter().find(|(code, ..)| *code == value);
    known.map_or("", |(_, zh, en)| if language == Language::English { en } else { zh })
}

fn shown(found: &Found) -> String {
    match found {
        Found::Text(text) => text.clone(),
        Found::Number(number) => number.to_string(),
        Found::Date(day) => day.to_string(),
        Found::Boolean(value) => value.to_string(),
        Found::Formula => "（公式）".to_owned(),
        Found::Error => "#N/A".to_owned(),
    }
}
