//! Imports: read, checked, written whole or not at all.

mod accounts;
mod applying;
mod books;
mod ends;
mod faults;
mod meeting;
mod organizations;
mod people;
mod units;

use half_sky::jobs::run_due;
use rust_xlsxwriter::{Formula, Workbook};
use serde_json::{Value, json};

use crate::support::{Answer, COUNTY, Client, NEIGHBOUR, TestApp};

const HEADER: &str = "类别,层级,名称,上级代码\r\n";

/// Uploads a table and asks for its import; nothing has been looked at yet.
async fn start(client: &Client, kind: &str, place: &str, mode: &str, name: &str, bytes: &[u8]) -> Answer {
    let file = client.post("/api/v1/files").form(&[("purpose", "import")], name, bytes).await.expect(201);
    let body = json!({ "file_id": file.json["id"], "kind": kind, "organization_id": place, "mode": mode });
    client.post("/api/v1/imports").json(&body).await
}

/// The same, and the work is done.
async fn import(app: &TestApp, client: &Client, kind: &str, place: &str, mode: &str, name: &str, bytes: &[u8]) -> Answer {
    let started = start(client, kind, place, mode, name, bytes).await.expect(201);
    run_due(&app.app).await.unwrap();
    client.get(path(&started)).await.expect(200)
}

fn path(import: &Answer) -> String {
    format!("/api/v1/imports/{}", import.text("/id"))
}

/// Row, column and code of each error.
fn errors(import: &Answer) -> Vec<(i64, String, String)> {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let errors = import.json["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (error["row"].as_i64().unwrap(), text(error, "column"), text(error, "code"))).collect()
}

/// Every item of a list; the path ends where parameters go on.
async fn all(client: &Client, path: &str) -> Vec<Value> {
    let (mut cursor, mut items) = (String::new(), Vec::new());
    loop {
        let page = client.get(format!("{path}limit=100{cursor}")).await.expect(200);
        items.extend(page.items().iter().cloned());
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// A table with one fault per row, as a workbook: the columns, then for each row its cells by column; others are those of a row that
/// is right.
struct Planted {
    columns: Vec<&'static str>,
    workbook: Workbook,
    row: u32,
}

impl Planted {
    fn new(columns: &[&'static str]) -> Self {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        for (index, column) in (0..).zip(columns) {
            sheet.write_string(0, index, *column).unwrap();
        }
        Self { columns: columns.to_vec(), workbook, row: 0 }
    }

    /// Adds a row; returns its number in the file.
    fn add(&mut self, cells: &[(&str, Value)]) -> i64 {
        self.row += 1;
        let row = self.row;
        let sheet = self.workbook.worksheet_from_index(0).unwrap();
        let usual = [
            ("kind", json!("妇委会")),
            ("level", json!("乡镇级")),
            ("name", json!(format!("第{row}妇委会"))),
            ("parent_code", json!("430602")),
        ];
        let given = |name: &str| cells.iter().chain(&usual).find(|(column, _)| *column == name).map(|(_, value)| value.clone());
        for (index, column) in (0..).zip(&self.columns) {
            match given(column) {
                Some(Value::String(text)) if text.starts_with("=") => {
                    sheet.write_formula(row, index, Formula::new(&text[1..]).set_result("1")).unwrap();
                }
                Some(Value::String(text)) => drop(sheet.write_string(row, index, text).unwrap()),
                Some(Value::Number(number)) => drop(sheet.write_number(row, index, number.as_f64().unwrap()).unwrap()),
                _ => {}
            }
        }
        i64::from(row) + 1
    }

    fn bytes(mut self) -> Vec<u8> {
        self.workbook.save_to_buffer().unwrap()
    }
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

async fn count(app: &TestApp, sql: &str) -> i64 {
    use diesel_async::RunQueryDsl;
    diesel::sql_query(sql).get_result::<Count>(&mut app.database.owner().await).await.unwrap().count
}

#[actix_web::test]
async fn an_import_and_its_file_are_seen_by_their_maker_and_administrators_above() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织代码,电话\r\n周兰,430602,13700001111\r\n";
    let file = officer.post("/api/v1/files").form(&[("purpose", "import")], "a.csv", text.as_bytes()).await.expect(201);
    let body = |kind: &str, place: &str| json!({ "file_id": file.json["id"], "kind": kind, "organization_id": place, "mode": "validate" });
    let post = |client: &Client, body: Value| client.post("/api/v1/imports").json(&body);
    // An officer imports people, not organizations, and only where she works.
    post(&officer, body("organizations", COUNTY)).await.expect_problem(403, "permission_denied");
    let outside = post(&officer, body("people", NEIGHBOUR)).await.expect_problem(422, "validation_failed");
    assert_eq!(outside.faults(), [("/organization_id".to_owned(), "unknown_reference".to_owned())]);
    let viewer = app.sign_in("city-viewer").await;
    post(&viewer, body("people", COUNTY)).await.expect_problem(403, "permission_denied");
    viewer.get("/api/v1/imports").await.expect_problem(403, "permission_denied");
    let started = post(&officer, body("people", COUNTY)).await.expect(201);
    run_due(&app.app).await.unwrap();
    for (name, status) in [
        ("county-officer", 200),
        ("county-admin", 200),
        ("city-admin", 200),
        ("city-officer", 404),
        ("neighbour-officer", 404),
        ("township-officer", 404),
    ] {
        let client = app.sign_in(name).await;
        client.get(path(&started)).await.expect(status);
        client.get(format!("{}/errors", path(&started))).await.expect(status);
        client.get(format!("/api/v1/files/{}", file.text("/id"))).await.expect(if name == "county-officer" { 200 } else { 404 });
        if status == 404 {
            client.post(format!("{}/cancel", path(&started))).if_match("\"2\"").await.expect_problem(404, "not_found");
        }
    }
    // Nobody takes somebody else's file.
    let admin = app.sign_in("county-admin").await;
    let refused = post(&admin, body("people", COUNTY)).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/file_id".to_owned(), "unknown_reference".to_owned())]);
    let counts = officer.get("/api/v1/imports/counts?by=status").await.expect(200);
    assert_eq!(counts.json["counts"], json!([{ "key": "validated", "count": 1 }]));
}
