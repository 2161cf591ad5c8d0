//! Uploading, reading and deleting files.

use actix_web::{HttpResponse, delete, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::download::{Content, send};
use super::rules::{self, AttachableType, FileFault, FilePurpose};
use super::sealing::ContentKey;
use super::store::{self, FileRow, Readable};
use crate::access::{Module, Permission, Scope};
use crate::audit::Change;
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, Command, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx};
use crate::ids::{AccountId, FileId, OrganizationId};
use crate::organizations::site_to_write;
use crate::vault::{hex, sha256};
use crate::{filters, page_schema};

/// A file that an object names: enough to show and to download it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileReference {
    /// Its id.
    pub id: FileId,
    /// Its name.
    #[schema(examples("妇女之家.png"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its type, by content.
    #[schema(examples("image/png"), max_length = 100, pattern = "^[a-z]+/[a-z0-9.+-]+$")]
    pub media_type: String,
    /// Its size in bytes.
    #[schema(minimum = 1, maximum = 10485760)]
    pub size: i64,
    /// Where its content is, relative to this host.
    #[schema(examples("/api/v1/files/0168028c-2f00-7000-8030-000000000001/content"), max_length = 200, format = "uri-reference")]
    pub url: String,
}

impl FileReference {
    /// The reference of a row.
    pub fn of(row: &FileRow) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            media_type: row.media_type.clone(),
            size: row.size,
            url: format!("/api/v1/files/{}/content", row.id),
        }
    }
}

/// A file.
#[derive(Serialize, ToSchema)]
pub struct FileView {
    /// Its id.
    pub id: FileId,
    /// Its name.
    #[schema(examples("妇女之家.png"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its type, by content.
    #[schema(examples("image/png"), max_length = 100, pattern = "^[a-z]+/[a-z0-9.+-]+$")]
    pub media_type: String,
    /// Its size in bytes.
    #[schema(minimum = 1, maximum = 10485760)]
    pub size: i64,
    /// Where its content is, relative to this host.
    #[schema(examples("/api/v1/files/0168028c-2f00-7000-8030-000000000001/content"), max_length = 200, format = "uri-reference")]
    pub url: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    pub sha256: String,
    /// Width in pixels; null where it is no image.
    #[schema(required = true, minimum = 1, maximum = 12000)]
    pub width: Option<i32>,
    /// Height in pixels; null where it is no image.
    #[schema(required = true, minimum = 1, maximum = 12000)]
    pub height: Option<i32>,
    /// What it is for.
    pub purpose: FilePurpose,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Account that uploaded it.
    pub uploaded_by: AccountId,
    /// Kind of the object it belongs to; null: none yet.
    #[schema(required = true)]
    pub attached_type: Option<AttachableType>,
    /// The object it belongs to; null: none yet, and it is cleaned away after a week.
    #[schema(required = true)]
    pub attached_id: Option<Uuid>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// When it was uploaded (wall time).
    pub created_at: DateTime<Utc>,
}

page_schema!(FilePage, FileView);

impl FileView {
    fn of(row: FileRow, caller: AccountId) -> Self {
        let reference = FileReference::of(&row);
        let deletable = row.uploaded_by == caller && row.attached_id.is_none();
        Self {
            id: row.id,
            name: reference.name,
            media_type: reference.media_type,
            size: row.size,
            url: reference.url,
            sha256: hex(&row.sha256),
            width: row.width,
            height: row.height,
            purpose: row.purpose,
            organization_id: row.organization_id,
            uploaded_by: row.uploaded_by,
            attached_type: row.attached_type,
            attached_id: row.attached_id,
            allowed_actions: if deletable { vec!["delete".to_owned()] } else { vec![] },
            created_at: row.created_at,
        }
    }
}

filters! {
    /// Filters of files.
    FileFilter {
        /// Only files for these purposes.
        purpose: Vec<FilePurpose>,
        /// Only files of this organization.
        organization_id: OrganizationId,
        /// Only files in the subtree of this organization.
        within: OrganizationId,
        /// Only files of objects of this kind.
        attached_type: AttachableType,
        /// Only files of this object.
        attached_id: Uuid,
        /// Uploaded at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Uploaded before this instant.
        created_at_lt: DateTime<Utc>,
    }
}

/// What the caller reads: her own files, and by the module of their purpose those below her places.
fn readable(call: &Call) -> ApiResult<Readable> {
    let caller = call.signed_in()?;
    let modules = Module::ALL.iter().copied().map(Some).chain([None]);
    let scope = |module| Scope::in_module(&caller.roles, Permission::FileRead, module, call.today());
    Ok(Readable { account_id: caller.account_id, places: modules.map(|module| (module, scope(module))).collect() })
}

/// 文件列表 · List files
///
/// The caller's own files and those of her organizations, as far as her modules go, oldest first.
#[utoipa::path(
    tag = "files",
    params(FileFilter, Paging),
    responses((status = OK, body = FilePage, description = "One page of files."))
)]
#[get("/api/v1/files")]
pub async fn list_files(call: Call, filter: Query<FileFilter>, page: PageRequest) -> ApiResult<Reply> {
    call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &readable(&call)?, &filter, &page).await?;
    let me = call.signed_in()?.account_id;
    page.reply(listed, |row| Position::id(row.id), |row| FileView::of(row, me))
}

/// A new file: the parts of the form.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "file": "姓名,电话\n", "purpose": "other" })))]
pub struct NewFile {
    /// The file, at most 10 MiB: JPEG, PNG, WebP, GIF, PDF, docx, xlsx, pptx, plain text in UTF-8 or CSV in UTF-8 or GB18030, told by its bytes.
    #[schema(max_length = 10485760, format = Binary)]
    #[allow(dead_code)]
    pub file: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// Whose it is; the caller's own organization unless told, and that of the object where it is attached.
    #[schema(nullable = false)]
    pub organization_id: Option<OrganizationId>,
    /// The object it belongs to, as kind and id: `site/0168028c-2f00-7000-8003-000000000001`. A site takes up to a hundred images for
    /// the purpose `site_photo`.
    #[schema(nullable = false, max_length = 64, pattern = "^[a-z_]+/[0-9a-f-]{36}$")]
    pub attach_to: Option<String>,
    /// SHA-256 of the bytes as the client knows it; another is refused.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    pub sha256: Option<String>,
}

/// 上传文件 · Upload a file
///
/// Takes one file in a form, part `file`, with text parts beside it. Its type is told by its bytes; images are bounded to 12,000
/// pixels a side. A repeat with the same key and the same parts answers with the first reply, whatever the boundary.
#[utoipa::path(
    tag = "files",
    params(KeyHeader),
    request_body(content = NewFile, content_type = "multipart/form-data"),
    responses((status = CREATED, body = FileView, description = "The file."))
)]
#[post("/api/v1/files")]
pub async fn upload_file(command: Command) -> ApiResult<Reply> {
    let call = command.call.clone();
    let upload = call.upload.clone().ok_or_else(|| ApiError::internal("a form without a file"))?;
    let id = FileId::generate();
    let name = rules::clean_name(&upload.name);
    let found = rules::look_at(&name, &upload.bytes);
    // The bytes are in their place before the row names them, and no transaction waits for the store.
    let key = ContentKey::generate();
    let stored = found.is_ok() && call.faults.is_empty() && !call.scope_for(Permission::FileWrite).is_empty();
    if stored {
        call.app.objects.put(id, &key, &upload.bytes).await?;
    }
    let kept =
        Kept { id, name, size: upload.bytes.len() as i64, digest: sha256(&upload.bytes), key: key.sealed(&call.app.vault) };
    let outcome = command.run(async move |tx| write(tx, kept, found).await).await;
    // A refusal has written no row. After a fault of ours nobody knows whether the row has committed, and the cleaner decides.
    let is_needless = match &outcome {
        Ok(reply) => reply.replayed,
        Err(fault) => !fault.code().status().is_server_error(),
    };
    if stored && is_needless {
        // Should this fail, the cleaner finds it.
        drop(call.app.objects.delete(id).await);
    }
    outcome
}

/// What is in the object store.
struct Kept {
    id: FileId,
    name: String,
    size: i64,
    digest: Vec<u8>,
    key: Vec<u8>,
}

async fn write(tx: &mut Tx, kept: Kept, found: Result<rules::Content, FileFault>) -> ApiResult<Reply> {
    tx.require_at("organization_id").await?;
    let (me, home) = (tx.caller()?.account_id, tx.caller()?.organization_id);
    // Whose a file is that belongs to an object, the object tells.
    let is_loose = tx.call.field::<String>("attach_to").is_none();
    if let Some(purpose) = tx.call.field::<FilePurpose>("purpose").filter(|_| is_loose) {
        let place = tx.call.field("organization_id").unwrap_or(home);
        tx.require_in(place, purpose.module()).await?;
    }
    let body: NewFile = tx.body()?;
    let mut faults = Vec::new();
    let content = found.map_err(|fault| faults.push(file_fault(fault))).ok();
    if body.sha256.is_some_and(|expected| expected != hex(&kept.digest)) {
        faults.push(FieldError::at("/sha256", "mismatch", "与文件内容不符", "is not that of the bytes that arrived"));
    }
    let mut attached = None;
    let mut place = body.organization_id.unwrap_or(home);
    if let Some(object) = &body.attach_to {
        match attachable(tx, object).await? {
            Some((kind, id, organization)) => {
                place = organization;
                attached = Some((kind, id));
            }
            None => faults.push(FieldError::unknown_reference("/attach_to")),
        }
    }
    if !is_loose {
        tx.require_in(place, body.purpose.module()).await?;
    }
    if let (Some((kind, object)), Some(content)) = (attached, &content) {
        faults.extend(attachment_fault(tx, kind, object, body.purpose, content.media_type).await?);
    }
    let Some(content) = content.filter(|_| faults.is_empty()) else { return Err(ApiError::invalid(faults)) };
    let id = kept.id;
    let row = FileRow {
        id,
        organization_id: place,
        uploaded_by: me,
        purpose: body.purpose,
        name: kept.name,
        media_type: content.media_type.to_owned(),
        size: kept.size,
        sha256: kept.digest,
        content_key: kept.key,
        width: content.size.map(|(width, _)| width),
        height: content.size.map(|(_, height)| height),
        attached_type: attached.map(|(kind, _)| kind),
        attached_id: attached.map(|(_, id)| id),
        attached_at: attached.map(|_| tx.now()),
        created_at: tx.call.app.clock.wall(),
    };
    store::insert(tx.conn(), &row).await?;
    let view = FileView::of(row, me);
    tx.record(Change::of("file.uploaded", "file", id, place).after(&view)).await?;
    Reply::created(format!("/api/v1/files/{id}"), &view, 1)
}

/// The object that a file is to belong to, where the caller may write it, and whose it is.
async fn attachable(tx: &mut Tx, object: &str) -> ApiResult<Option<(AttachableType, Uuid, OrganizationId)>> {
    let Some((kind, id)) = object.split_once('/') else { return Ok(None) };
    let (Ok(kind), Ok(id)) = (kind.parse::<AttachableType>(), id.parse::<Uuid>()) else { return Ok(None) };
    let scope = match kind {
        AttachableType::Site => tx.call.scope_for(Permission::SiteWrite),
    };
    let organization = match kind {
        AttachableType::Site => site_to_write(tx.conn(), &scope, id.into()).await?,
    };
    Ok(organization.map(|organization| (kind, id, organization)))
}

/// Why an object, which is locked, does not take a file; none: it does.
async fn attachment_fault(
    tx: &mut Tx,
    kind: AttachableType,
    object: Uuid,
    purpose: FilePurpose,
    media_type: &str,
) -> ApiResult<Option<FieldError>> {
    if !kind.takes(purpose, media_type) {
        let (zh, en) = match kind {
            AttachableType::Site => ("阵地只接受用途为阵地照片的图片", "takes only images, for the purpose site_photo"),
        };
        return Ok(Some(FieldError::at("/attach_to", "not_taken", zh, en)));
    }
    let is_full = store::count_attached(tx.conn(), kind, object).await? >= kind.most();
    let full = || {
        let zh = format!("已有 {} 个文件，不能再添加", kind.most());
        let en = format!("has {} files already and takes no more", kind.most());
        FieldError::at("/attach_to", "full", zh, en).with_params(json!({ "maximum": kind.most() }))
    };
    Ok(is_full.then(full))
}

fn file_fault(fault: FileFault) -> FieldError {
    let (code, zh, en) = match fault {
        FileFault::Empty => ("empty", "文件为空", "is empty"),
        FileFault::TooLarge => ("too_large", "文件超过 10 MB", "has more than 10 MiB"),
        FileFault::Type => {
            ("file_type", "不支持此类文件", "is of no type that is taken: JPEG, PNG, WebP, GIF, PDF, docx, xlsx, pptx, CSV, text")
        }
        FileFault::NameDisagrees => {
            ("name_disagrees", "文件扩展名与内容不符", "has a name that ends like another type than its bytes are")
        }
        FileFault::Macros => ("macros", "文件含有宏", "has macros"),
        FileFault::BrokenImage => ("broken_image", "图片无法读取", "is an image that cannot be read"),
        FileFault::ImageTooLarge => {
            ("image_too_large", "图片尺寸过大", "is an image of more than 12,000 pixels a side or 40 million in all")
        }
    };
    FieldError::at("/file", code, zh, en)
}

/// Path of a file.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FilePath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8030-000000000001")]
    pub id: FileId,
}

/// 文件详情 · Get a file
///
/// What is known of a file: its own or of the caller's organizations, as far as her modules go.
#[utoipa::path(
    tag = "files",
    params(FilePath),
    responses((status = OK, body = FileView, description = "The file."))
)]
#[get("/api/v1/files/{id}")]
pub async fn get_file(call: Call, path: Path<FilePath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &readable(&call)?, path.id).await?;
    Reply::item(&FileView::of(row, call.signed_in()?.account_id), 1)
}

/// 删除文件 · Delete a file
///
/// Deletes one of the caller's own files that belongs to no object yet.
#[utoipa::path(
    tag = "files",
    params(FilePath),
    responses(
        (status = NO_CONTENT, description = "Deleted."),
        (status = CONFLICT, description = "It belongs to an object.")
    )
)]
#[delete("/api/v1/files/{id}")]
pub async fn delete_file(command: Command, path: Path<FilePath>) -> ApiResult<Reply> {
    let (call, id) = (command.call.clone(), path.id);
    let outcome = command
        .run(async move |tx| {
            tx.concerns_caller();
            let me = tx.caller()?.account_id;
            let row = store::lock_own(tx.conn(), me, id).await?;
            if row.attached_id.is_some() {
                return Err(ApiError::not_now("attached", &[]));
            }
            store::delete(tx.conn(), id).await?;
            let place = row.organization_id;
            tx.record(Change::of("file.deleted", "file", id, place).before(&FileView::of(row, me))).await?;
            Ok(Reply::nothing())
        })
        .await?;
    if !call.app.rehearsal {
        // Should this fail, the cleaner finds it.
        drop(call.app.objects.delete(id).await);
    }
    Ok(outcome)
}

/// 下载文件 · Download a file
///
/// The bytes of a file, whole or the part that `Range` names. They are always an attachment, of the type that they were found to
/// be.
#[utoipa::path(
    tag = "files",
    params(FilePath),
    responses(
        (status = OK, content_type = "*/*", description = "The bytes."),
        (status = PARTIAL_CONTENT, content_type = "*/*", description = "The part that was asked for."),
        (status = RANGE_NOT_SATISFIABLE, description = "There is no such part.")
    )
)]
#[get("/api/v1/files/{id}/content")]
pub async fn download_file(call: Call, path: Path<FilePath>) -> ApiResult<HttpResponse> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &readable(&call)?, path.id).await?;
    let key = ContentKey::open(&call.app.vault, &row.content_key)?;
    let content =
        Content { at: row.id.into(), key, name: row.name, media_type: row.media_type, size: row.size, sha256: row.sha256 };
    send(&call, content).await
}
