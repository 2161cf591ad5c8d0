//! Two exports of the platform administrator, one with its file and one that waits, to try the operations on. No job belongs to
//! the one that waits, so that it still does when it is cancelled; the file stays longer than the day that others get.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::db::schema::operations;
use crate::exports::{self, CellValues, NewExportRow, Produced};
use crate::files::{ContentKey, Object};
use crate::sheets::SheetFormat;
use crate::vault::sha256;

/// The city federation, as an export would have it.
const TABLE: &str = "\u{feff}ID,名称\r\n0168028c-2f00-7000-8000-430600000000,岳阳市妇女联合会\r\n";

/// Loads the exports; the bytes of the file go to the object store first.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let (now, city, object) = (app.clock.wall(), organization_of("430600"), fixed_id(0x8051, "1"));
    let key = ContentKey::generate();
    app.objects.put(Object::Export(object), &key, TABLE.as_bytes()).await.map_err(|fault| Fault(fault.to_string()))?;
    for (number, status, finished_at) in [("1", "succeeded", Some(now)), ("2", "queued", None)] {
        let (id, operation) = (fixed_id(0x8050, number), fixed_id(0x8052, number));
        diesel::insert_into(operations::table)
            .values((
                operations::id.eq(operation),
                operations::kind.eq("export"),
                operations::account_id.eq(fixed_id(0x8004, "1")),
                operations::organization_id.eq(city),
                operations::status.eq(status),
                operations::done.eq(i64::from(finished_at.is_some())),
                operations::total.eq(finished_at.map(|_| 1i64)),
                operations::created_at.eq(now),
                operations::started_at.eq(finished_at),
                operations::finished_at.eq(finished_at),
            ))
            .on_conflict_do_nothing()
            .execute(conn)
            .await?;
        let export = NewExportRow {
            id: id.into(),
            operation_id: operation.into(),
            account_id: fixed_id(0x8004, "1").into(),
            session_id: fixed_id(0x8053, "1").into(),
            organization_id: city,
            source: "organizations".to_owned(),
            parameters: json!({}),
            filters: json!({ "level": "city" }),
            column_names: vec!["id".to_owned(), "name".to_owned()],
            format: SheetFormat::Csv,
            cell_values: CellValues::Codes,
            english: false,
            personal: false,
            reason: None,
            file_name: "组织列表-20190101-080000.csv".to_owned(),
            created_at: now,
        };
        exports::insert(conn, &export).await?;
    }
    let produced = Produced {
        row_count: Some(1),
        object_id: Some(object),
        size: Some(TABLE.len() as i64),
        sha256: Some(sha256(TABLE.as_bytes())),
        content_key: Some(key.sealed(&app.vault)),
        places: vec![city],
        expires_at: Some(now + TimeDelta::days(3650)),
    };
    Ok(exports::put_produced(conn, fixed_id(0x8050, "1").into(), &produced).await?)
}
