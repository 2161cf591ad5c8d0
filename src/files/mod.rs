//! Files: one per upload, its type told by its bytes, kept in an object store under its id, read with the scope of what it is
//! for. Slices whose objects have files use [`FileReference`] and [`attached_to`]; the timetable cleans what nobody needs.

mod api;
mod clean;
mod objects;
pub mod rules;
mod store;

use std::collections::HashMap;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::db::text_enum::Dictionary;

pub use api::FileReference;
pub use clean::{clean, schedule_clean};
pub use objects::Objects;
pub use rules::{AttachableType, FilePurpose};
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
