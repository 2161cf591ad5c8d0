//! Files: one per upload, its type told by its bytes, kept in an object store under its id, read with the scope of what it is
//! for. Slices whose objects have files use [`FileReference`] and [`attached_to`]; what else lies in the store is sent by [`send`];
//! the timetable cleans what nobody needs.

mod api;
mod clean;
mod download;
mod objects;
pub mod rules;
mod sealing;
mod store;

use std::collections::HashMap;

use bytes::Bytes;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::TryStreamExt;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::app::App;
use crate::db::text_enum::Dictionary;
use crate::http::{ApiError, ApiResult, Code};
use crate::ids::FileId;

pub use api::FileReference;
pub use clean::{clean, schedule_clean};
pub use download::{Content, send};
pub use objects::{Object, Objects};
pub use rules::{AttachableType, FilePurpose};
pub use sealing::{CONTENT_KEY, ContentKey};
pub use store::{FileRow, find_own, insert};

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] = &[("file_purpose", FilePurpose::LABELS), ("attachable_type", AttachableType::LABELS)];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::list_files)
        .service(api::upload_file)
        .service(api::get_file)
        .service(api::delete_file)
        .service(api::download_file);
}

/// The whole content of a file, for work that has found its row; none: the file is gone.
pub async fn content(app: &App, conn: &AsyncPgConnection, id: FileId) -> ApiResult<Option<Bytes>> {
    let Some(row) = store::get(conn, id).await? else { return Ok(None) };
    let key = ContentKey::open(&app.vault, &row.content_key)?;
    let size = row.size as u64;
    let stream = app.objects.get(row.id, &key, &(0..size), size).await?;
    let read = |mut whole: Vec<u8>, part: Bytes| {
        whole.extend_from_slice(&part);
        std::future::ready(Ok(whole))
    };
    let whole = stream.try_fold(Vec::with_capacity(row.size as usize), read).await;
    Ok(Some(whole.map_err(|fault| ApiError::from(Code::Unavailable).caused_by(fault))?.into()))
}

/// References to the files of some objects of a kind, oldest first.
pub async fn attached_to(
    conn: &AsyncPgConnection,
    kind: AttachableType,
    ids: Vec<Uuid>,
) -> QueryResult<HashMap<Uuid, Vec<FileReference>>> {
    let mut found: HashMap<Uuid, Vec<FileReference>> = HashMap::new();
    for row in store::attached_to(conn, kind, ids).await? {
        if let Some(object) = row.attached_id {
            found.entry(object).or_default().push(FileReference::of(&row));
        }
    }
    Ok(found)
}
