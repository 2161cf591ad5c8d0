//! The workbooks of imports: files with errors beside the rows, templates that are filled in.

use std::io::Read;

use diesel_async::SimpleAsyncConnection;
use half_sky::sheets::read::{Found, read};
use serde_json::{Value, json};

use super::{HEADER, errors, import, path};
use crate::support::{Answer, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp};

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Row, column and text of every cell of a workbook that holds texts only.
fn cells(book: Answer) -> Vec<(u32, usize, String)> {
    let mut cells = Vec::new();
    let found = |cell| match cell {
        Found::Text(text) => text,
        other => panic!("{other:?} is no text"),
    };
    read(XLSX, &book.bytes.into(), |line| {
        cells.extend(line.cells.into_iter().map(|(column, cell)| (line.number, column, found(cell))));
        true
    })
    .unwrap();
    cells
}

#[actix_web::test]
async fn a_file_with_errors_holds_of_a_long_text_what_a_cell_can_hold() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let table = format!("{HEADER}妇委会,乡镇级,{},430602\r\n妇委会,乡镇级,好,430699\r\n", "长".repeat(40_000));
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", table.as_bytes()).await;
    assert_eq!(failed.json["failure"], "rows");
    let cells = cells(admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200));
    let long = cells.iter().find(|(row, column, _)| (*row, *column) == (2, 2)).unwrap();
    assert!(long.2.ends_with("长…") && long.2.chars().count() == 32_767, "{} letters", long.2.chars().count());
    let told: Vec<&(u32, usize, String)> = cells.iter().filter(|(row, column, _)| *column == 4 && *row > 1).collect();
    assert_eq!(told.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [2, 3], "{told:?}");
}

#[actix_web::test]
async fn what_ends_the_reading_of_a_table_stands_below_its_last_row() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let row = "妇委会,乡镇级,某局妇委会,430699\r\n";
    let table = format!("{HEADER}{}{}x\r\n{row}", row.repeat(20), ",".repeat(200));
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", table.as_bytes()).await;
    assert_eq!(failed.json["failure"], "too_many_columns");
    let book = admin.get(format!("{}/errors.xlsx", path(&failed))).header("Accept-Language", "en").await.expect(200);
    let told = cells(book).into_iter().max_by_key(|(row, ..)| *row);
    assert_eq!(told, Some((22, 4, "has more than 200 columns".to_owned())));
}

#[actix_web::test]
async fn a_table_that_is_longer_than_a_sheet_is_told_so_and_has_a_file_of_errors() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let row = "某,乡镇级,某局妇委会,430602\r\n";
    let table = format!("{HEADER}{row}{}{row}", "\n".repeat(1_048_576));
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", table.as_bytes()).await;
    assert_eq!((&failed.json["failure"], errors(&failed).len()), (&"too_many_rows".into(), 1));
    let cells = cells(admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200));
    assert_eq!(cells.last(), Some(&(3, 4, "行数超过一张工作表的上限，请拆分文件".to_owned())));
}

#[actix_web::test]
async fn a_file_with_errors_ends_where_an_import_ends() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    // The header is refused; nobody has counted the rows.
    let table = format!("类别,备用\r\n{}", "妇委会,x\r\n".repeat(50_002));
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", table.as_bytes()).await;
    assert_eq!(failed.json["failure"], "columns");
    let cells = cells(admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200));
    assert_eq!(cells.last(), Some(&(50_002, 2, "超过 50,000 行，请拆分文件".to_owned())));
}

fn template(kind: &str, more: &str) -> String {
    format!("/api/v1/imports/templates/{kind}.xlsx?organization_id={COUNTY}{more}")
}

/// What the audit trail tells of templates that were filled in: whose place, who, why, what.
async fn filled(platform: &Client) -> Vec<Value> {
    let entries = platform.get("/api/v1/audit-entries?action=import_template.filled&sort=at&limit=100").await.expect(200);
    let told = |entry: &Value| json!([entry["object_id"], entry["actor_name"], entry["role"], entry["reason"], entry["after"]]);
    entries.items().iter().map(told).collect()
}

#[actix_web::test]
async fn a_template_with_people_in_it_needs_a_reason_and_a_step_up_and_leaves_a_trail() {
    let app = TestApp::new().await;
    let (admin, platform) = (app.sign_in("county-admin").await, app.sign_in("platform").await);
    let kinds = ["people", "posts", "accounts"];
    for kind in kinds {
        admin.get(format!("/api/v1/imports/templates/{kind}.xlsx")).await.expect(200);
        let refused = admin.get(template(kind, "")).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), [("reason".to_owned(), "required".to_owned())]);
        // Who may not read there learns nothing of reasons.
        let elsewhere = format!("/api/v1/imports/templates/{kind}.xlsx?organization_id={NEIGHBOUR}");
        admin.get(elsewhere).await.expect_problem(404, "not_found");
    }
    for kind in ["organizations", "coverage_units"] {
        admin.get(template(kind, "")).await.expect(200);
    }
    assert_eq!(filled(&platform).await, Vec::<Value>::new());
    for kind in kinds {
        admin.get(template(kind, "&reason=%E6%A0%B8%E5%AF%B9")).await.expect(200);
    }
    let told = filled(&platform).await;
    for (entry, kind) in told.iter().zip(kinds) {
        let rows = entry[4]["rows"].as_i64();
        assert_eq!((&entry[0], &entry[2], &entry[3]), (&json!(COUNTY), &json!("org_admin"), &json!("核对")));
        assert_eq!((&entry[4]["kind"], rows > Some(0)), (&json!(kind), true), "{entry}");
    }
    assert_eq!(told.len(), 3);
    let aged = "UPDATE sessions SET authenticated_at = authenticated_at - interval '6 minutes'";
    app.database.owner().await.batch_execute(aged).await.unwrap();
    app.app.tokens.forget_all();
    for kind in kinds {
        admin.get(template(kind, "&reason=census")).await.expect_problem(401, "step_up_required");
    }
    admin.get(template("organizations", "")).await.expect(200);
}

#[actix_web::test]
async fn a_template_is_filled_in_with_as_many_rows_as_a_table_has() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let many = format!(
        "INSERT INTO coverage_units (id, kind, name, organization_id, division_code, status, created_at, updated_at)
        SELECT gen_random_uuid(), 'other', 'unit ' || n, '{COUNTY}', '430602', 'active', now(), now() FROM generate_series(1, 50000) n"
    );
    app.database.owner().await.batch_execute(&many).await.unwrap();
    let refused = admin.get(template("coverage_units", "")).await.expect_problem(422, "too_many_rows");
    assert_eq!(refused.json["detail"], "超过 50,000 行，请选择下级组织");
}

#[actix_web::test]
async fn a_template_is_text_in_every_column_and_explains_itself() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    for kind in ["organizations", "people", "posts", "coverage_units", "accounts"] {
        let empty = officer.get(format!("/api/v1/imports/templates/{kind}.xlsx")).await.expect(200);
        assert!(empty.header("content-disposition").contains(kind));
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(empty.bytes)).unwrap();
        let mut text = String::new();
        archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut text).unwrap();
        let columns = text.split_once("<cols>").unwrap().1.split_once("</cols>").unwrap().0.to_owned();
        assert!(columns.split("<col ").skip(1).all(|column| column.contains("style=")), "{columns}");
        assert!(text.contains("<dataValidation "), "lists of what is allowed");
    }
    let filled =
        officer.get(format!("/api/v1/imports/templates/people.xlsx?organization_id={COUNTY}&reason=census")).await.expect(200);
    let same = import(&app, &officer, "people", COUNTY, "validate", "人员.xlsx", &filled.bytes).await;
    assert_eq!((&same.json["status"], errors(&same)), (&json!("validated"), vec![]));
    assert_eq!((&same.json["counts"]["unchanged"], &same.json["counts"]["changed"]), (&same.json["counts"]["rows"], &json!(0)));
    let posts =
        officer.get(format!("/api/v1/imports/templates/posts.xlsx?organization_id={TOWNSHIP}&reason=census")).await.expect(200);
    let same = import(&app, &officer, "posts", TOWNSHIP, "validate", "职务.xlsx", &posts.bytes).await;
    assert_eq!((&same.json["counts"]["unchanged"], errors(&same)), (&same.json["counts"]["rows"], vec![]));
    let units = officer.get(format!("/api/v1/imports/templates/coverage_units.xlsx?organization_id={COUNTY}")).await.expect(200);
    let same = import(&app, &officer, "coverage_units", COUNTY, "validate", "单位.xlsx", &units.bytes).await;
    assert_eq!((&same.json["counts"]["unchanged"], errors(&same)), (&same.json["counts"]["rows"], vec![]));
    assert!(same.json["counts"]["rows"].as_i64() > Some(1));
    officer
        .get(format!("/api/v1/imports/templates/people.xlsx?organization_id={NEIGHBOUR}&reason=census"))
        .await
        .expect_problem(404, "not_found");
    officer.get("/api/v1/imports/templates/loans.xlsx").await.expect_problem(400, "invalid_parameter");
}
