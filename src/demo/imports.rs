//! Three imports to try the operations on: two that wait, and one with errors; and the files behind them.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::files::{self, ContentKey, FilePurpose, FileRow};
use crate::ids::{AccountId, ImportId};
use crate::imports::{self, ErrorRow, ImportFailure, ImportKind, ImportMode, ImportRow, ImportStatus, PAYLOAD, SealedRow};
use crate::vault::{Purpose, sha256};

/// A committee of the county, and the same with a parent that there is not.
const GOOD: &str = "类别,层级,名称,上级代码\r\n妇委会,乡镇级,岳阳楼区教体局妇委会,430602\r\n";
const WRONG: &str = "类别,层级,名称,上级代码\r\n妇委会,乡镇级,岳阳楼区教体局妇委会,430699\r\n";

/// Who uploaded them: the administrator of the city.
fn uploader() -> AccountId {
    fixed_id(0x8004, "2").into()
}

/// Loads the files and the imports.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let now = app.clock.wall();
    for (number, text) in [("2", GOOD), ("3", WRONG)] {
        let id = fixed_id(0x8030, number).into();
        let key = ContentKey::generate();
        let row = FileRow {
            id,
            organization_id: organization_of("430602"),
            uploaded_by: uploader(),
            purpose: FilePurpose::Import,
            name: "组织.csv".to_owned(),
            media_type: "text/csv".to_owned(),
            size: text.len() as i64,
            sha256: sha256(text.as_bytes()),
            content_key: key.sealed(&app.vault),
            width: None,
            height: None,
            attached_type: None,
            attached_id: None,
            attached_at: None,
            created_at: now,
        };
        if files::insert(conn, &row).await? {
            app.objects.put(id, &key, text.as_bytes()).await.map_err(|fault| Fault(fault.to_string()))?;
        }
    }
    for (number, text, failure) in [("1", GOOD, None), ("2", GOOD, None), ("3", WRONG, Some(ImportFailure::Rows))] {
        load_one(app, conn, number, text, failure, now).await?;
    }
    Ok(())
}

async fn load_one(
    app: &App,
    conn: &mut AsyncPgConnection,
    number: &str,
    text: &str,
    failure: Option<ImportFailure>,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let id: ImportId = fixed_id(0x8040, number).into();
    let row = ImportRow {
        id,
        kind: ImportKind::Organizations,
        mode: ImportMode::Validate,
        status: if failure.is_none() { ImportStatus::Validated } else { ImportStatus::Failed },
        organization_id: organization_of("430602"),
        file_id: Some(fixed_id(0x8030, if failure.is_none() { "2" } else { "3" }).into()),
        file_name: "组织.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        file_sha256: sha256(text.as_bytes()),
        again: false,
        same_as_id: (number == "2").then(|| fixed_id(0x8040, "1").into()),
        operation_id: fixed_id(0x8041, number).into(),
        created_by: uploader(),
        applied_by: None,
        sheet: None,
        fields: ["kind", "level", "name", "parent_code"].map(str::to_owned).into(),
        ignored_columns: vec![],
        done: 1,
        total: Some(1),
        row_count: 1,
        new_count: i32::from(failure.is_none()),
        changed_count: 0,
        unchanged_count: 0,
        error_count: 0,
        failure,
        version: 1,
        created_at: now,
        updated_at: now,
        finished_at: failure.map(|_| now),
    };
    imports::insert(conn, &row).await?;
    if failure.is_some() {
        let error = ErrorRow {
            import_id: id,
            seq: 1,
            number: Some(2),
            field: Some("parent_code".to_owned()),
            code: "unknown_reference".to_owned(),
            zh: "引用的对象不存在或不在您的范围内".to_owned(),
            en: "does not exist, or is outside your scope".to_owned(),
            value: Some("430699".to_owned()),
        };
        return Ok(imports::put_errors(conn, id, &[error], 1).await?);
    }
    let cells = json!({
        "kind": "organ_womens_committee", "level": "township", "name": "岳阳楼区教体局妇委会", "parent_code": "430602",
    });
    let payload = app.vault.seal(Purpose::Personal, PAYLOAD, cells.to_string().as_bytes());
    imports::insert_rows(conn, &[SealedRow { import_id: id, number: 2, payload, faulty: false }]).await?;
    Ok(())
}
