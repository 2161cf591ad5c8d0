//! One photograph of a site, to try the operations on.

use diesel_async::AsyncPgConnection;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::files::{self, AttachableType, ContentKey, FilePurpose, FileRow};
use crate::vault::sha256;

/// A small picture made for this purpose: the sun over the lake.
const PICTURE: &[u8] = include_bytes!("data/site.png");

/// Loads the file.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let id = fixed_id(0x8030, "1").into();
    let key = ContentKey::generate();
    let row = FileRow {
        id,
        organization_id: organization_of("430602"),
        uploaded_by: fixed_id(0x8004, "9").into(),
        purpose: FilePurpose::SitePhoto,
        name: "妇女之家.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: PICTURE.len() as i64,
        sha256: sha256(PICTURE),
        content_key: key.sealed(&app.vault),
        width: Some(64),
        height: Some(48),
        attached_type: Some(AttachableType::Site),
        attached_id: Some(fixed_id(0x8003, "1")),
        attached_at: Some(app.clock.now()),
        created_at: app.clock.wall(),
    };
    if files::insert(conn, &row).await? {
        app.objects.put(id, &key, PICTURE).await.map_err(|fault| Fault(fault.to_string()))?;
    }
    Ok(())
}
