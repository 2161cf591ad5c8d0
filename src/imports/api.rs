//! Asking for imports, following them, applying and stopping them.

use actix_web::{get, post};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::kinds;
use super::rules::{ImportFailure, ImportKind, ImportMode, ImportStatus, letters};
use super::store::{self, ErrorRow, ImportRow, Sees};
use super::work::applied;
use crate::access::Permission;
use crate::accounts::require_step_up;
use crate::audit::Change;
use crate::db::scope::covers;
use crate::files::{self, FilePurpose};
use crate::http::page::{Counts, Paging, Position, Sorting};
use crate::http::{
    ApiError, ApiResult, Call, Code, Command, CommandHeaders, FieldError, KeyHeader, Language, PageRequest, Path, Query, Reply,
    Tx,
};
use crate::ids::{AccountId, FileId, ImportId, OperationId, OrganizationId};
use crate::system::operations::{self, OperationStatus, StartedBy};
use crate::{filters, jobs, organizations, page_schema, text_enum};

/// Errors that an import shows itself.
const SHOWN: i64 = 100;

filters! {
    /// Filters of imports.
    ImportFilter {
        /// Only these kinds.
        kind: Vec<ImportKind>,
        /// Only these states.
        status: Vec<ImportStatus>,
        /// Only imports for this organization.
        organization_id: OrganizationId,
        /// Only imports for organizations in the subtree of this one.
        within: OrganizationId,
        /// Asked for at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Asked for before this instant.
        created_at_lt: DateTime<Utc>,
        /// Changed at or after this instant.
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        updated_at_lt: DateTime<Utc>,
    }
}

/// An import in a list.
#[derive(Serialize, ToSchema)]
pub struct ImportSummaryView {
    /// Its id.
    pub id: ImportId,
    /// What its rows are.
    pub kind: ImportKind,
    /// What becomes of it where nothing is wrong.
    pub mode: ImportMode,
    /// Where it is in its life.
    pub status: ImportStatus,
    /// The place below which it applies.
    pub organization_id: OrganizationId,
    /// The uploaded file; null once it has been cleaned away.
    #[schema(required = true)]
    pub file_id: Option<FileId>,
    /// Its name.
    #[schema(examples("组织.xlsx"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub file_name: String,
    /// Who asked for it.
    pub created_by: AccountId,
    /// Who had it applied where that was another command; null: it was not, or at once.
    #[schema(required = true)]
    pub applied_by: Option<AccountId>,
    /// The latest earlier import of the same file, kind and place; null: there is none.
    #[schema(required = true)]
    pub same_as_id: Option<ImportId>,
    /// The long work that does it.
    pub operation_id: OperationId,
    /// How far the present step is.
    pub progress: ImportProgressView,
    /// What its rows are, as far as they were looked at.
    pub counts: ImportCountsView,
    /// Why it failed, or ended by itself; null: it did not.
    #[schema(required = true)]
    pub failure: Option<ImportFailure>,
    /// The same in the caller's language.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub failure_message: Option<String>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Raised by every change of state.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was asked for (wall time).
    pub created_at: DateTime<Utc>,
    /// When its state last changed (wall time).
    pub updated_at: DateTime<Utc>,
    /// When it came to its end (wall time); null: it has not.
    #[schema(required = true)]
    pub finished_at: Option<DateTime<Utc>>,
}

page_schema!(ImportPage, ImportSummaryView);

/// How far the present step of an import is.
#[derive(Serialize, ToSchema)]
pub struct ImportProgressView {
    /// Rows that it has worked on.
    #[schema(examples(1500), minimum = 0, maximum = 9007199254740991i64)]
    pub done: i64,
    /// Rows in all; null while the file is being read.
    #[schema(required = true, examples(20000), minimum = 0, maximum = 9007199254740991i64)]
    pub total: Option<i64>,
}

/// What the rows of an import are.
#[derive(Serialize, ToSchema)]
pub struct ImportCountsView {
    /// Rows with content.
    #[schema(minimum = 0)]
    pub rows: i32,
    /// Of objects that are new.
    #[schema(minimum = 0)]
    pub new: i32,
    /// Of objects that change.
    #[schema(minimum = 0)]
    pub changed: i32,
    /// Of objects that are so already.
    #[schema(minimum = 0)]
    pub unchanged: i32,
    /// Errors that were found.
    #[schema(minimum = 0)]
    pub errors: i32,
}

/// An import.
#[derive(Serialize, ToSchema)]
pub struct ImportView {
    /// All that a list shows of it.
    #[serde(flatten)]
    pub summary: ImportSummaryView,
    /// The sheet that was read, the first that is visible; null for CSV and before it was read.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]*$")]
    pub sheet: Option<String>,
    /// Columns that are known, cannot be written and were ignored.
    #[schema(max_items = 200)]
    pub ignored_columns: Vec<String>,
    /// Its first errors; all are at `/imports/{id}/errors`.
    #[schema(max_items = 100)]
    pub errors: Vec<ImportErrorView>,
}

/// What is wrong with a row.
#[derive(Serialize, ToSchema)]
pub struct ImportErrorView {
    /// Number of the row in the file, from 1.
    #[schema(minimum = 1, maximum = 1048576)]
    pub row: i32,
    /// Field of the column; null: the row as a whole, or a column that is not known.
    #[schema(required = true, examples("division_code"), max_length = 64, pattern = "^[a-z_.]+$")]
    pub column: Option<String>,
    /// Letters of the column in the file; null where the file has none for it.
    #[schema(required = true, examples("D"), max_length = 3, pattern = "^[A-Z]+$")]
    pub column_letter: Option<String>,
    /// Title of the column in templates; null as above.
    #[schema(required = true, examples("区划代码"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub column_label: Option<String>,
    /// Stable code of the rule.
    #[schema(examples("number_lost_digits"), max_length = 64, pattern = "^[A-Za-z_]+$")]
    pub code: String,
    /// What to change, in the caller's language.
    #[schema(max_length = 1000, pattern = "^[^\\x00-\\x1f]*$")]
    pub message: String,
    /// What stands there, shortened; personal numbers masked.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]*$")]
    pub value: Option<String>,
}

page_schema!(ImportErrorPage, ImportErrorView);

/// Column of the file that an error is in.
pub fn column_of(import: &ImportRow, error: &ErrorRow) -> Option<usize> {
    let field = error.field.as_deref()?;
    match field.strip_prefix('#') {
        Some(column) => column.parse().ok(),
        None => import.fields.iter().position(|known| known == field),
    }
}

impl ImportErrorView {
    /// The view of a row.
    pub fn of(import: &ImportRow, row: ErrorRow, language: Language) -> Self {
        let place = column_of(import, &row);
        let column = row.field.filter(|field| !field.starts_with('#'));
        let known = column.as_ref().and_then(|field| kinds::of(import.kind).columns.iter().find(|known| known.field == *field));
        Self {
            row: row.number.unwrap_or(1),
            column_letter: place.map(letters),
            column_label: known.map(|known| known.zh.to_owned()),
            column,
            code: row.code,
            message: if language == Language::English { row.en } else { row.zh },
            value: row.value,
        }
    }
}

/// What the caller may do with imports, by where they are.
struct Rights {
    me: AccountId,
    kinds: Vec<(ImportKind, Vec<OrganizationId>)>,
}

impl Rights {
    async fn at(call: &Call, conn: &AsyncPgConnection, rows: &[ImportRow]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let write = crate::db::scope::covered(conn, &call.scope_for(Permission::ImportWrite), &places).await?;
        let mut rights = Vec::new();
        for kind in ImportKind::ALL {
            let scope = call.scope_for(kinds::of(*kind).permission);
            rights.push((*kind, crate::db::scope::covered(conn, &scope, &write).await?));
        }
        Ok(Self { me: call.signed_in()?.account_id, kinds: rights })
    }

    fn actions(&self, row: &ImportRow) -> Vec<String> {
        if !self.kinds.iter().any(|(kind, places)| *kind == row.kind && places.contains(&row.organization_id)) {
            return vec![];
        }
        let applies = self.me == row.created_by || !kinds::of(row.kind).gives_access;
        let actions = row.status.actions().iter().filter(|action| applies || **action != "apply");
        actions.map(|action| (*action).to_owned()).collect()
    }
}

impl ImportSummaryView {
    fn of(row: ImportRow, rights: &Rights, language: Language) -> Self {
        let label = |failure: ImportFailure| {
            let found = ImportFailure::LABELS.iter().find(|(code, ..)| *code == failure.as_str());
            found.map(|(_, zh, en)| if language == Language::English { *en } else { *zh }.to_owned())
        };
        Self {
            allowed_actions: rights.actions(&row),
            progress: ImportProgressView { done: row.done, total: row.total },
            counts: ImportCountsView {
                rows: row.row_count,
                new: row.new_count,
                changed: row.changed_count,
                unchanged: row.unchanged_count,
                errors: row.error_count,
            },
            failure_message: row.failure.and_then(label),
            id: row.id,
            kind: row.kind,
            mode: row.mode,
            status: row.status,
            organization_id: row.organization_id,
            file_id: row.file_id,
            file_name: row.file_name,
            created_by: row.created_by,
            applied_by: row.applied_by,
            same_as_id: row.same_as_id,
            operation_id: row.operation_id,
            failure: row.failure,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
        }
    }
}

impl ImportView {
    async fn load(call: &Call, conn: &AsyncPgConnection, row: ImportRow) -> ApiResult<Self> {
        let rights = Rights::at(call, conn, std::slice::from_ref(&row)).await?;
        let errors = store::first_errors(conn, row.id, SHOWN).await?;
        Ok(Self {
            errors: errors.into_iter().map(|error| ImportErrorView::of(&row, error, call.language)).collect(),
            sheet: row.sheet.clone(),
            ignored_columns: row.ignored_columns.clone(),
            summary: ImportSummaryView::of(row, &rights, call.language),
        })
    }

    async fn reply(tx: &mut Tx, row: ImportRow) -> ApiResult<Reply> {
        let (call, version) = (tx.call.clone(), row.version);
        Reply::item(&Self::load(&call, tx.conn(), row).await?, version)
    }
}

/// Whose imports the caller sees.
pub fn sees(call: &Call) -> ApiResult<Sees> {
    let administers = call.scope_for(Permission::OrganizationWrite);
    Ok(Sees { account_id: call.signed_in()?.account_id, administers })
}

/// 导入列表 · List imports
///
/// The caller's own imports and those at the places that she administers.
#[utoipa::path(
    tag = "imports",
    params(ImportFilter, Sorting, Paging),
    responses((status = OK, body = ImportPage, description = "One page of imports."))
)]
#[get("/api/v1/imports")]
pub async fn list_imports(call: Call, filter: Query<ImportFilter>, page: PageRequest) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &sees(&call)?, &filter, &page).await?;
    let rights = Rights::at(&call, &conn, &listed.rows).await?;
    let view = |row| ImportSummaryView::of(row, &rights, call.language);
    page.reply(listed, |row| page.position(row.id, row.updated_at), view)
}

text_enum! {
    /// By what imports are counted.
    ImportsBy {
        /// By state.
        Status = "status", "状态", "State";
        /// By kind.
        Kind = "kind", "类别", "Kind";
        /// By place.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count imports.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportCounts {
    /// By what.
    #[param(inline)]
    by: ImportsBy,
}

/// 导入计数 · Count imports
///
/// How many of the imports that the caller sees there are of each state, kind or place.
#[utoipa::path(
    tag = "imports",
    params(ImportCounts, ImportFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/imports/counts")]
pub async fn count_imports(call: Call, counts: Query<ImportCounts>, filter: Query<ImportFilter>) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &sees(&call)?, &filter, counts.by).await?)
}

/// A new import.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "file_id": "0168028c-2f00-7000-8030-000000000002",
    "kind": "organizations",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "mode": "validate"
})))]
pub struct NewImport {
    /// A file that the caller has uploaded for the purpose `import`: xlsx, or CSV in UTF-8 or GB18030.
    pub file_id: FileId,
    /// What its rows are.
    pub kind: ImportKind,
    /// The place: everything that the rows name lies below it, itself included.
    pub organization_id: OrganizationId,
    /// What becomes of it where nothing is wrong.
    pub mode: ImportMode,
    /// Apply it although the same file has been applied already.
    #[serde(default)]
    pub again: bool,
}

/// 新建导入 · Start an import
///
/// The table is read and checked in the background; `validate` waits for `apply`, `apply` writes at once where nothing is wrong. The
/// same file, kind and place is recognised: `same_as_id` names the earlier import, and what was applied is not applied again unless
/// `again` says so. It needs what its kind needs at the place: organization.write, person.write, coverage.write,
/// post.write, or account.write and grant.write. Where it gives access — accounts — writing at once needs a step-up, as granting does.
#[utoipa::path(
    tag = "imports",
    params(KeyHeader),
    request_body = NewImport,
    responses((status = CREATED, body = ImportView, description = "The import, at work."))
)]
#[post("/api/v1/imports")]
pub async fn start_import(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_at("organization_id").await?;
            let place = tx.call.field::<OrganizationId>("organization_id");
            if let (Some(place), Some(kind)) = (place, tx.call.field::<ImportKind>("kind")) {
                let scope = tx.scope();
                if covers(tx.conn(), &scope, place).await? {
                    require_kind(tx, kind, place).await?;
                }
                if tx.call.field("mode") == Some(ImportMode::Apply) && kinds::of(kind).gives_access {
                    require_step_up(&tx.call)?;
                }
            }
            let body: NewImport = tx.body()?;
            let (scope, me) = (tx.scope(), tx.caller()?.account_id);
            let inside = covers(tx.conn(), &scope, body.organization_id).await?;
            let works = inside && organizations::is_active(tx.conn(), body.organization_id).await?;
            let file = files::find_own(tx.conn(), me, FilePurpose::Import, body.file_id).await?;
            let mut faults = Vec::new();
            if !works {
                faults.push(FieldError::unknown_reference("/organization_id"));
            }
            if file.is_none() {
                faults.push(FieldError::unknown_reference("/file_id"));
            }
            let Some(file) = file.filter(|_| faults.is_empty()) else { return Err(ApiError::invalid(faults)) };
            let wall = tx.call.app.clock.wall();
            let by = StartedBy { account_id: Some(me), organization_id: Some(body.organization_id) };
            let operation_id = operations::create(tx.conn(), "import", by, wall).await?;
            let mut row = ImportRow {
                id: ImportId::generate(),
                kind: body.kind,
                mode: body.mode,
                status: ImportStatus::Validating,
                organization_id: body.organization_id,
                file_id: Some(file.id),
                file_name: file.name,
                media_type: file.media_type,
                file_sha256: file.sha256,
                again: body.again,
                same_as_id: None,
                operation_id,
                created_by: me,
                applied_by: None,
                sheet: None,
                fields: vec![],
                ignored_columns: vec![],
                done: 0,
                total: None,
                row_count: 0,
                new_count: 0,
                changed_count: 0,
                unchanged_count: 0,
                error_count: 0,
                failure: None,
                version: 1,
                created_at: wall,
                updated_at: wall,
                finished_at: None,
            };
            let same = store::lock_same(tx.conn(), &row).await?;
            row.same_as_id = same.first().map(|(id, _)| *id);
            if body.mode == ImportMode::Apply && !body.again && same.iter().any(|(_, status)| applied(*status)) {
                return Err(Code::AlreadyApplied.into());
            }
            store::insert(tx.conn(), &row).await?;
            jobs::enqueue(tx.conn(), "import", json!({ "import_id": row.id }), wall).await?;
            tx.after_commit(|app| app.wake.now());
            let (call, id) = (tx.call.clone(), row.id);
            let view = ImportView::load(&call, tx.conn(), row).await?;
            tx.record(Change::of("import.started", "import", id, body.organization_id).after(&view.summary)).await?;
            Reply::created(format!("/api/v1/imports/{id}"), &view, 1)
        })
        .await
}

/// The caller holds what a kind needs at a place, or 403.
async fn require_kind(tx: &mut Tx, kind: ImportKind, place: OrganizationId) -> ApiResult<()> {
    let scope = tx.call.scope_for(kinds::of(kind).permission);
    if covers(tx.conn(), &scope, place).await? { Ok(()) } else { Err(Code::PermissionDenied.into()) }
}

/// Path of an import.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ImportPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8040-000000000001")]
    pub id: ImportId,
}

/// Path of an import that failed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FailedImportPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8040-000000000003")]
    pub id: ImportId,
}

/// Path of an import that is not wanted any more.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UnwantedImportPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8040-000000000002")]
    pub id: ImportId,
}

/// 导入详情 · Get an import
///
/// Where an import is, what its rows are, and its first hundred errors.
#[utoipa::path(
    tag = "imports",
    params(ImportPath),
    responses((status = OK, body = ImportView, description = "The import."))
)]
#[get("/api/v1/imports/{id}")]
pub async fn get_import(call: Call, path: Path<ImportPath>) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let row = store::find(&conn, &sees(&call)?, path.id).await?;
    let version = row.version;
    Reply::item(&ImportView::load(&call, &conn, row).await?, version)
}

/// 导入错误列表 · List errors of an import
///
/// What is wrong with its rows, by row and column: of very many the first ten thousand, kept for a week after its end.
#[utoipa::path(
    tag = "imports",
    params(FailedImportPath, Paging),
    responses((status = OK, body = ImportErrorPage, description = "One page of errors."))
)]
#[get("/api/v1/imports/{id}/errors")]
pub async fn list_import_errors(call: Call, path: Path<FailedImportPath>, page: PageRequest) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let import = store::find(&conn, &sees(&call)?, path.id).await?;
    let listed = store::errors(&conn, import.id, &page).await?;
    let view = |row| ImportErrorView::of(&import, row, call.language);
    page.reply(listed, |row| Position::code(row.seq.to_string()), view)
}

/// How to apply an import.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "again": false })))]
pub struct ApplyImport {
    /// Apply it although the same file has been applied already.
    #[serde(default)]
    pub again: bool,
}

/// 写入导入 · Apply an import
///
/// Writes a validated import in the background, whole or not at all. Its rows are checked again in the transaction that writes them:
/// where something has changed since and does not fit any more, it fails with its errors and nothing is written. Accounts are given
/// only by who uploaded them, after a step-up.
#[utoipa::path(
    tag = "imports",
    params(ImportPath, CommandHeaders),
    request_body = ApplyImport,
    responses((status = OK, body = ImportView, description = "The import, being written."))
)]
#[post("/api/v1/imports/{id}/apply")]
pub async fn apply_import(command: Command, path: Path<ImportPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = permitted(tx, id).await?;
            let me = tx.caller()?.account_id;
            if kinds::of(before.kind).gives_access {
                if me != before.created_by {
                    let (zh, en) = ("账号只能由上传者本人写入", "accounts are given only by who uploaded them");
                    return Err(ApiError::from(Code::PermissionDenied).because(zh, en));
                }
                require_step_up(&tx.call)?;
            }
            tx.check_version(before.version)?;
            if before.status != ImportStatus::Validated {
                return Err(ApiError::not_now(before.status.as_str(), before.status.actions()));
            }
            let body: ApplyImport = tx.body()?;
            let same = store::lock_same(tx.conn(), &before).await?;
            let again = body.again || before.again;
            if !again && same.iter().any(|(_, status)| applied(*status)) {
                return Err(Code::AlreadyApplied.into());
            }
            let wall = tx.call.app.clock.wall();
            let by = StartedBy { account_id: Some(me), organization_id: Some(before.organization_id) };
            let operation = operations::create(tx.conn(), "import", by, wall).await?;
            let row = store::start_applying(tx.conn(), id, operation, Some(me), again, wall).await?;
            let row = row.ok_or_else(|| ApiError::internal("a locked import has changed"))?;
            jobs::enqueue(tx.conn(), "import", json!({ "import_id": id }), wall).await?;
            tx.after_commit(|app| app.wake.now());
            tx.record(Change::of("import.applying", "import", id, row.organization_id)).await?;
            ImportView::reply(tx, row).await
        })
        .await
}

/// Loads an import for a command: seen, permitted at its place and for its kind.
async fn permitted(tx: &mut Tx, id: ImportId) -> ApiResult<ImportRow> {
    let sees = sees(&tx.call)?;
    let row = store::lock(tx.conn(), &sees, id).await?;
    tx.require(row.organization_id).await?;
    require_kind(tx, row.kind, row.organization_id).await?;
    Ok(row)
}

/// 取消导入 · Cancel an import
///
/// Stops an import that is not over; nothing of it is written.
#[utoipa::path(
    tag = "imports",
    params(UnwantedImportPath, CommandHeaders),
    responses((status = OK, body = ImportView, description = "The import, cancelled."))
)]
#[post("/api/v1/imports/{id}/cancel")]
pub async fn cancel_import(command: Command, path: Path<UnwantedImportPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = permitted(tx, id).await?;
            tx.check_version(before.version)?;
            let wall = tx.call.app.clock.wall();
            let ended = store::end(tx.conn(), id, ImportStatus::Cancelled, None, wall).await?;
            let row = ended.ok_or_else(|| ApiError::not_now(before.status.as_str(), before.status.actions()))?;
            operations::finish(tx.conn(), row.operation_id, OperationStatus::Cancelled, None, wall).await?;
            tx.record(Change::of("import.cancelled", "import", id, row.organization_id)).await?;
            ImportView::reply(tx, row).await
        })
        .await
}
