//! One photograph of a site, to try the operations on.

use bytes::Bytes;
use diesel_async::AsyncPgConnection;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::files::{self, AttachableType, FilePurpose, FileRow};
use crate::vault::sha256;

/// A small picture made for this purpose: the sun over the lake.
const PICTURE: &[u8] = include_bytes!("data/site.png");

/// Loads the file; its bytes go to the object store first.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let id = fixed_id(0x8030, "1").into();
    app.objects.put(id, Bytes::from_static(PICTURE)).await.map_err(|fault| Fault(fault.to_string()))?;
    let row = FileRow {
        id,
        organization_id: organization_of("430602"),
        uploaded_by: fixed_id(0x8004, "9").into(),
        purpose: FilePurpose::SitePhoto,
        name: "妇女之家.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: PICTURE.len() as i64,
        sha256: sha256(PICTURE),
        width: Some(64),
        height: Some(48),
        attached_type: Some(AttachableType::Site),
        attached_id: Some(fixed_id(0x8003, "1")),
        attached_at: Some(app.clock.now()),
        created_at: app.clock.wall(),
    };
    Ok(files::insert(conn, &row).await?)
}
