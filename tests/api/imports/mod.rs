//! Imports: read, checked, written whole or not at all.

mod accounts;
mod books;
mod ends;
mod meeting;
mod units;

use std::io::{Read, Seek, Write};

use chrono::TimeDelta;
use encoding_rs::GB18030;
use futures_util::future::join;
use half_sky::access::Role;
use half_sky::jobs::run_due;
use half_sky::organizations::create_top;
use rust_xlsxwriter::{Formula, Workbook};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::exports::file_of;
use crate::support::{Answer, CITY, COUNTY, Client, Database, NEIGHBOUR, TOWNSHIP, TestApp, config};

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

/// What is equal on both sides of a round trip: everything but ids, versions and instants, under the full path.
fn by_path(items: &[Value]) -> Vec<(String, Value)> {
    let name_of = |id: &str| items.iter().find(|item| item["id"] == id);
    let mut rows: Vec<(String, Value)> = items
        .iter()
        .map(|item| {
            let (mut names, mut at) = (vec![], Some(item));
            while let Some(organization) = at {
                names.push(organization["name"].as_str().unwrap());
                at = organization["parent_id"].as_str().and_then(name_of);
            }
            names.reverse();
            let mut rest = item.as_object().unwrap().clone();
            for field in ["id", "parent_id", "version", "updated_at"] {
                rest.remove(field);
            }
            (names.join("/"), Value::Object(rest))
        })
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.to_string().cmp(&other.1.to_string())));
    rows
}

/// A service on a database that knows nobody but the city and its administrator.
async fn fresh() -> (TestApp, Client, String) {
    let app = TestApp::on(Database::bare().await, config(), false).await;
    let top = create_top(&mut app.database.owner().await, "岳阳市妇联", &app.app.clock).await.unwrap().to_string();
    let (_, admin) = app.db_account("first-admin", Some(Role::PlatformAdmin), &top).await;
    (app, admin, top)
}

#[actix_web::test]
async fn the_real_tree_goes_out_and_comes_back_equal() {
    let old = TestApp::new().await;
    let administrator = old.sign_in("city-admin").await;
    let tree = all(&administrator, "/api/v1/organizations?").await;
    assert!(tree.len() > 2057, "the real tree and the federations in demo units");
    let (_, book) = file_of(&old, &administrator, json!({ "source": "organizations", "format": "xlsx" })).await;
    let (rows, new_rows) = (tree.len(), tree.len() - 1);
    let (new, admin, top) = fresh().await;
    let applied = import(&new, &admin, "organizations", &top, "apply", "组织.xlsx", &book).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]), "{:#}", applied.json["failure"]);
    assert_eq!(applied.json["counts"], json!({ "rows": rows, "new": new_rows, "changed": 1, "unchanged": 0, "errors": 0 }));
    assert_eq!(applied.json["progress"], json!({ "done": rows, "total": rows }));
    assert_eq!(applied.json["ignored_columns"], json!(["版本", "更新时间"]));
    let back = all(&admin, "/api/v1/organizations?").await;
    let (before, after) = (by_path(&tree), by_path(&back));
    assert_eq!(after.len(), before.len());
    for (one, other) in before.iter().zip(&after) {
        assert_eq!(one, other);
    }
    // Its history tells who made it, and the audit trail of the whole.
    let county = back.iter().find(|item| item["division_code"] == "430602").unwrap()["id"].as_str().unwrap().to_owned();
    let history = admin.get(format!("/api/v1/organizations/{county}/history")).await.expect(200);
    assert_eq!(
        (&history.items()[0]["kind"], &history.items()[0]["actor"]["display_name"]),
        (&json!("created"), &json!("first-admin"))
    );
    let entries = admin.get("/api/v1/audit-entries?action=import.applied").await.expect(200);
    assert_eq!(entries.items()[0]["after"]["new"], new_rows);
    // The whole once more, with a name edited: what is no more is known again, as is what works.
    let (_, book) = file_of(&old, &administrator, json!({ "source": "organizations", "format": "csv" })).await;
    let edited = String::from_utf8(book).unwrap().replacen("郭亮社区妇联", "郭亮新村妇联", 1);
    let again = import(&new, &admin, "organizations", &top, "apply", "组织.csv", edited.as_bytes()).await;
    assert_eq!((&again.json["status"], errors(&again)), (&json!("applied"), vec![]));
    assert_eq!(again.json["counts"], json!({ "rows": rows, "new": 0, "changed": 1, "unchanged": rows - 1, "errors": 0 }));
    // The template of the new tree, sent back as it is, changes nothing.
    let template = admin.get(format!("/api/v1/imports/templates/organizations.xlsx?organization_id={top}")).await.expect(200);
    let again = import(&new, &admin, "organizations", &top, "validate", "模板.xlsx", &template.bytes).await;
    assert_eq!(again.json["counts"], json!({ "rows": new_rows, "new": 0, "changed": 0, "unchanged": new_rows, "errors": 0 }));
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

#[actix_web::test]
async fn thirty_planted_faults_are_told_and_no_others() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let county = format!("/api/v1/organizations/{COUNTY}");
    let edit = json!({ "name": "岳阳楼区妇联", "short_name": null, "host_name": null, "division_code": "430602",
        "uscc": "13430600MB0000019X", "address": null, "location": null, "phone": null, "founded_on": null,
        "approval_document": null, "tags": [], "liaisons": [] });
    admin.put(&county).if_match("\"1\"").json(&edit).await.expect(200);
    let mut table = Planted::new(&[
        "id",
        "kind",
        "level",
        "name",
        "parent_id",
        "parent_code",
        "parent_path",
        "division_code",
        "uscc",
        "phone",
        "founded_on",
        "location.longitude",
        "location.latitude",
        "status",
        "tags",
    ]);
    let mut expected = Vec::new();
    let (one, two) = ("0168028c-2f00-7000-9000-000000000001", "0168028c-2f00-7000-9000-000000000002");
    let many = (0..21).map(|number| format!("标签{number}")).collect::<Vec<_>>().join(",");
    type Fault<'a> = (&'a [(&'a str, Value)], &'a str, &'a str);
    let faults: &[Fault<'_>] = &[
        (&[("kind", Value::Null)], "kind", "required"),
        (&[("kind", json!("居委会"))], "kind", "enum"),
        (&[("name", Value::Null)], "name", "required"),
        (&[("name", json!("会"))], "name", "min_length"),
        (&[("name", json!("长".repeat(101)))], "name", "max_length"),
        (&[("name", json!("=UPPER(\"a\")"))], "name", "formula"),
        (&[("level", Value::Null)], "level", "level"),
        (&[("level", json!("市级"))], "parent_code", "placement"),
        (&[("parent_code", json!("430699"))], "parent_code", "unknown_reference"),
        (&[("parent_code", json!("430603"))], "parent_code", "unknown_reference"),
        (&[("parent_code", Value::Null)], "parent_path", "required"),
        (&[("parent_code", Value::Null), ("parent_path", json!("岳阳市妇联/没有的妇联"))], "parent_path", "unknown_reference"),
        (&[("uscc", json!("91350100M000100Y44"))], "uscc", "check_character"),
        (&[("uscc", json!("91350100"))], "uscc", "min_length"),
        (&[("uscc", json!(4.306_991_988_080_8e17))], "uscc", "number_lost_digits"),
        (&[("uscc", json!("13430600MB0000019X"))], "uscc", "taken"),
        (&[("uscc", json!("51430600MJK000014L"))], "", ""),
        (&[("uscc", json!("51430600MJK000014L"))], "uscc", "repeated_row"),
        (&[("division_code", json!("430602001"))], "division_code", "division"),
        (&[("phone", json!("办公室"))], "phone", "pattern"),
        (&[("founded_on", json!("2019-02-30"))], "founded_on", "date"),
        (&[("location.longitude", json!(200)), ("location.latitude", json!(29))], "location.longitude", "maximum"),
        (&[("location.longitude", json!(113))], "location.latitude", "required"),
        (&[("location.longitude", json!(113)), ("location.latitude", json!("北"))], "location.latitude", "number"),
        (&[("status", json!("已合并"))], "status", "merged"),
        (&[("tags", json!(many))], "tags", "max_items"),
        (&[("tags", json!("长".repeat(33)))], "tags", "max_length"),
        (&[("id", json!("7"))], "id", "format"),
        (&[("name", json!("第17妇委会"))], "name", "repeated_row"),
        (&[("id", json!(one)), ("parent_id", json!(two)), ("parent_code", Value::Null)], "parent_id", "cycle"),
        (&[("id", json!(two)), ("parent_id", json!(one)), ("parent_code", Value::Null)], "parent_id", "cycle"),
        // Below a row that is wrong: told when that one is right.
        (
            &[("kind", json!("村社区妇联")), ("parent_id", json!(one)), ("parent_code", Value::Null), ("level", Value::Null)],
            "",
            "",
        ),
        (&[], "", ""),
    ];
    for (cells, column, code) in faults {
        let row = table.add(cells);
        if !code.is_empty() {
            expected.push((row, (*column).to_owned(), (*code).to_owned()));
        }
    }
    assert_eq!(expected.len(), 30);
    let failed = import(&app, &admin, "organizations", COUNTY, "apply", "组织.xlsx", &table.bytes()).await;
    assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!("rows")));
    assert_eq!(errors(&failed), expected);
    assert_eq!(failed.json["counts"]["errors"], 30);
    let lost = failed.json["errors"].as_array().unwrap().iter().find(|error| error["code"] == "number_lost_digits").unwrap();
    assert_eq!((&lost["column_letter"], &lost["column_label"]), (&json!("I"), &json!("统一社会信用代码")));
    // All of it by pages, and nothing of it was written.
    let pages = all(&admin, &format!("{}/errors?", path(&failed))).await;
    assert_eq!(pages.len(), 30);
    let committees =
        admin.get("/api/v1/organizations?q=妇委会&include_total=true".replace("妇委会", "%E5%A6%87%E5%A7%94%E4%BC%9A")).await;
    assert!(committees.expect(200).items().iter().all(|item| !item["name"].as_str().unwrap().starts_with('第')));
    // The same table with its errors beside its rows.
    let book = admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200);
    let mut told = Vec::new();
    let media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    half_sky::sheets::read::read(media_type, &book.bytes.into(), |line| {
        told.extend(line.cells.iter().filter(|(column, _)| *column == 15).map(|_| i64::from(line.number)));
        true
    })
    .unwrap();
    let mut rows: Vec<i64> = expected.iter().map(|(row, ..)| *row).collect();
    rows.insert(0, 1);
    assert_eq!(told, rows);
}

#[actix_web::test]
async fn columns_that_are_unknown_missing_or_there_twice_are_told_before_any_row() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = "名称,备用,层级,名称,更新时间\r\n某妇委会,x,乡镇级,某妇委会,\r\n";
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    assert_eq!(failed.json["failure"], "columns");
    let codes = [(1, "", "unknown_column"), (1, "name", "repeated_column"), (1, "kind", "missing_column")];
    assert_eq!(errors(&failed), codes.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
    assert_eq!(failed.json["errors"][0]["column_letter"], "B");
    let empty = import(&app, &admin, "organizations", COUNTY, "validate", "b.csv", HEADER.as_bytes()).await;
    assert_eq!(empty.json["failure"], "empty");
    assert_eq!(empty.json["failure_message"], "没有可读取的工作表或数据");
}

#[actix_web::test]
async fn rows_come_in_any_order_and_any_encoding_and_name_their_parents_by_code_or_path() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let text = "类别,名称,上级全路径,上级代码\r\n\
        村社区妇联,东村妇联,岳阳市妇联/岳阳楼区妇联/新镇妇联,\r\n\
        村社区妇联,西村妇联,岳阳市妇联／岳阳楼区妇联／新镇妇联,\r\n\
        乡镇街道妇联,新镇妇联,,４３０６０２\r\n\r\n";
    let bytes = GB18030.encode(text).0;
    let applied = import(&app, &admin, "organizations", CITY, "apply", "组织.csv", &bytes).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    let village = all(&admin, "/api/v1/organizations?kind=village_federation&sort=-id&")
        .await
        .into_iter()
        .find(|item| item["name"] == "西村妇联");
    let ancestors =
        admin.get(format!("/api/v1/organizations/{}/ancestors", village.unwrap()["id"].as_str().unwrap())).await.expect(200);
    let names: Vec<&str> = ancestors.items().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["岳阳市妇联", "岳阳楼区妇联", "新镇妇联"]);
}

#[actix_web::test]
async fn what_works_does_not_hang_below_what_is_no_more() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let gone = json!({ "kind": "township_federation", "name": "老镇妇联", "parent_id": COUNTY });
    let gone = admin.post("/api/v1/organizations").json(&gone).await.expect(201).text("/id");
    let reason = json!({ "reason": "撤镇" });
    admin.post(format!("/api/v1/organizations/{gone}/dissolve")).if_match("\"1\"").json(&reason).await.expect(200);
    let header = "ID,类别,名称,上级组织 ID,上级代码,上级全路径,状态\r\n";
    let right = format!(
        "{gone},乡镇街道妇联,老镇妇联,{COUNTY},,,已撤销\r\n\
        ,村社区妇联,老村妇联,{gone},,,已撤销\r\n\
        ,乡镇街道妇联,旧镇妇联,,430602,,已撤销\r\n\
        ,村社区妇联,旧村妇联,,,岳阳楼区妇联/旧镇妇联,已撤销\r\n"
    );
    let wrong = format!(
        "{header}{right}\
        ,村社区妇联,东村妇联,{gone},,,\r\n\
        ,村社区妇联,西村妇联,,,岳阳楼区妇联/老镇妇联,正常\r\n\
        ,村社区妇联,新村妇联,,,岳阳楼区妇联/旧镇妇联,\r\n"
    );
    let refused = import(&app, &admin, "organizations", COUNTY, "apply", "a.csv", wrong.as_bytes()).await;
    let expected = [(6, "parent_id"), (7, "parent_path"), (8, "parent_path")];
    assert_eq!(errors(&refused), expected.map(|(row, column)| (row, column.to_owned(), "unknown_reference".to_owned())));
    // What is no more is part of the history, and is the same however often it is brought.
    for (name, line, new) in [("b.csv", "", 3), ("c.csv", "\r\n", 0)] {
        let table = format!("{header}{line}{right}");
        let applied = import(&app, &admin, "organizations", COUNTY, "apply", name, table.as_bytes()).await;
        assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]), "{name}");
        assert_eq!(
            applied.json["counts"],
            json!({ "rows": 4, "new": new, "changed": 0, "unchanged": 4 - new, "errors": 0 }),
            "{name}"
        );
    }
}

#[actix_web::test]
async fn a_merged_organization_is_known_by_its_path_and_none_is_imported() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (merged, into) = ("0168028c-2f00-7000-8000-430602001002", "0168028c-2f00-7000-8000-430602001003");
    let name = admin.get(format!("/api/v1/organizations/{merged}")).await.expect(200).text("/name");
    let body = json!({ "into_id": into, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    admin.post(format!("/api/v1/organizations/{merged}/merge")).if_match("\"1\"").json(&body).await.expect(200);
    let header = "类别,名称,上级代码,状态\r\n";
    let known = format!("{header}村社区妇联,{name},430602001,已合并\r\n");
    let same = import(&app, &admin, "organizations", COUNTY, "apply", "a.csv", known.as_bytes()).await;
    assert_eq!((&same.json["status"], errors(&same)), (&json!("applied"), vec![]));
    assert_eq!(same.json["counts"], json!({ "rows": 1, "new": 0, "changed": 0, "unchanged": 1, "errors": 0 }));
    // One that nobody knows, and one that works: imports end nothing.
    let wrong = format!("{header}村社区妇联,旧村妇联,430602001,已合并\r\n村社区妇联,郭亮社区妇联,430602001,已撤销\r\n");
    let refused = import(&app, &admin, "organizations", COUNTY, "apply", "b.csv", wrong.as_bytes()).await;
    let expected = [(2, "merged"), (3, "by_action")];
    assert_eq!(errors(&refused), expected.map(|(row, code)| (row, "status".to_owned(), code.to_owned())));
}

#[actix_web::test]
async fn the_same_file_is_recognised_and_not_applied_twice_unless_told() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = format!("{HEADER}妇委会,乡镇级,某局妇委会,430602\r\n");
    let first = import(&app, &admin, "organizations", COUNTY, "apply", "a.csv", text.as_bytes()).await;
    assert_eq!(first.json["status"], "applied");
    start(&admin, "organizations", COUNTY, "apply", "b.csv", text.as_bytes()).await.expect_problem(409, "already_applied");
    let second = import(&app, &admin, "organizations", COUNTY, "validate", "b.csv", text.as_bytes()).await;
    assert_eq!((&second.json["same_as_id"], &second.json["status"]), (&first.json["id"], &json!("validated")));
    assert_eq!(second.json["counts"], json!({ "rows": 1, "new": 0, "changed": 0, "unchanged": 1, "errors": 0 }));
    let apply = format!("{}/apply", path(&second));
    admin.post(&apply).if_match(&second.etag()).json(&json!({})).await.expect_problem(409, "already_applied");
    admin.post(&apply).if_match("\"1\"").json(&json!({ "again": true })).await.expect_problem(412, "version_conflict");
    let applying = admin.post(&apply).if_match(&second.etag()).json(&json!({ "again": true })).await.expect(200);
    assert_eq!(applying.json["status"], "applying");
    run_due(&app.app).await.unwrap();
    let again = admin.get(path(&second)).await.expect(200);
    assert_eq!((&again.json["status"], &again.json["allowed_actions"]), (&json!("applied"), &json!([])));
    admin.post(&apply).if_match(&again.etag()).json(&json!({})).await.expect_problem(409, "invalid_transition");
}

#[actix_web::test]
async fn of_two_that_apply_the_same_file_at_once_one_is_refused() {
    let app = TestApp::new().await;
    let (admin, other) = (app.sign_in("county-admin").await, app.sign_in("city-admin").await);
    let text = format!("{HEADER}妇委会,乡镇级,某局妇委会,430602\r\n");
    let one = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    let two = import(&app, &other, "organizations", COUNTY, "validate", "b.csv", text.as_bytes()).await;
    let apply = |client: &Client, import: &Answer| {
        client.post(format!("{}/apply", path(import))).if_match(&import.etag()).json(&json!({}))
    };
    let (a, b) = join(apply(&admin, &one).into_future(), apply(&other, &two).into_future()).await;
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    run_due(&app.app).await.unwrap();
    let made = all(&admin, &format!("/api/v1/organizations?parent_id={COUNTY}&kind=organ_womens_committee&")).await;
    assert_eq!(made.len(), 1);
}

#[actix_web::test]
async fn what_no_longer_fits_when_it_is_applied_fails_and_nothing_is_written() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = "类别,层级,名称,上级代码,统一社会信用代码\r\n妇委会,乡镇级,甲局妇委会,430602,\r\n妇委会,乡镇级,乙局妇委会,430602,51430600MJK000014L\r\n";
    let validated = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    assert_eq!(validated.json["counts"]["new"], 2);
    let taken = json!({ "kind": "organ_womens_committee", "level": "township", "name": "丙局妇委会", "parent_id": COUNTY, "uscc": "51430600MJK000014L" });
    admin.post("/api/v1/organizations").json(&taken).await.expect(201);
    admin.post(format!("{}/apply", path(&validated))).if_match(&validated.etag()).json(&json!({})).await.expect(200);
    run_due(&app.app).await.unwrap();
    let failed = admin.get(path(&validated)).await.expect(200);
    assert_eq!((&failed.json["status"], errors(&failed)), (&json!("failed"), vec![(3, "uscc".to_owned(), "taken".to_owned())]));
    let made = all(&admin, &format!("/api/v1/organizations?parent_id={COUNTY}&kind=organ_womens_committee&")).await;
    assert_eq!(made.len(), 1, "not even the row that is right");
    let operation = admin.get(format!("/api/v1/operations/{}", failed.text("/operation_id"))).await.expect(200);
    assert_eq!(operation.json["status"], "failed");
}

#[actix_web::test]
async fn a_cancelled_import_writes_nothing_whenever_it_is_cancelled() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = format!("{HEADER}妇委会,乡镇级,某局妇委会,430602\r\n");
    let cancel = |import: &Answer| admin.post(format!("{}/cancel", path(import))).if_match(&import.etag());
    let waiting = start(&admin, "organizations", COUNTY, "apply", "a.csv", text.as_bytes()).await.expect(201);
    assert_eq!(waiting.json["allowed_actions"], json!(["cancel"]));
    cancel(&waiting).await.expect(200);
    let validated = import(&app, &admin, "organizations", COUNTY, "validate", "b.csv", text.as_bytes()).await;
    assert_eq!(validated.json["allowed_actions"], json!(["apply", "cancel"]));
    let applying =
        admin.post(format!("{}/apply", path(&validated))).if_match(&validated.etag()).json(&json!({})).await.expect(200);
    let cancelled = cancel(&applying).await.expect(200);
    assert_eq!(cancelled.json["status"], "cancelled");
    // By its operation, too.
    let third = start(&admin, "organizations", COUNTY, "apply", "c.csv", text.as_bytes()).await.expect(201);
    let operation = format!("/api/v1/operations/{}", third.text("/operation_id"));
    admin.post(format!("{operation}/cancel")).if_match("\"1\"").await.expect(200);
    run_due(&app.app).await.unwrap();
    for import in [&waiting, &validated, &third] {
        let now = admin.get(path(import)).await.expect(200);
        assert_eq!(now.json["status"], "cancelled");
        cancel(&now).await.expect_problem(409, "invalid_transition");
    }
    let made = all(&admin, &format!("/api/v1/organizations?parent_id={COUNTY}&kind=organ_womens_committee&")).await;
    assert!(made.is_empty());
    let staged = count(
        &app,
        "SELECT count(*) AS count FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE i.status = 'cancelled'",
    )
    .await;
    assert_eq!(staged, 0);
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

#[actix_web::test]
async fn people_are_recognised_by_their_numbers_which_are_nowhere_in_clear() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织全路径,性别,出生年份,电话,身份证号,标签\r\n\
        周兰,岳阳市妇联/岳阳楼区妇联,女,,13700001111,,讲师、调解员\r\n\
        李梅,岳阳楼区妇联,,,138****5678,430699198808081220,\r\n\
        王芳,岳阳楼区妇联,女,1992,13900001234,4306**********0022,执委\r\n";
    let applied = import(&app, &officer, "people", COUNTY, "apply", "人员.csv", text.as_bytes()).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(applied.json["counts"], json!({ "rows": 3, "new": 1, "changed": 1, "unchanged": 1, "errors": 0 }));
    let found = officer.post("/api/v1/people/search").json(&json!({ "phone": "13700001111" })).await.expect(200);
    assert_eq!((&found.items()[0]["name"], &found.items()[0]["tags"]), (&json!("周兰"), &json!(["讲师", "调解员"])));
    let wrong = "姓名,组织代码,性别,电话,身份证号\r\n\
        甲某,430602,女,13711112222,4.3E+17\r\n\
        乙某,430602,男,13711113333,430699199202290022\r\n\
        丙某,430603,女,13711114444,\r\n\
        丁某,430602,女,137****0000,\r\n\
        戊某,430602,女,13711115555,430699198808081239\r\n\
        己某,430602,女,1371111,430699199202290023\r\n";
    let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.csv", wrong.as_bytes()).await;
    let expected = [
        (2, "id_number", "number_lost_digits"),
        (3, "sex", "disagrees"),
        (4, "organization_code", "unknown_reference"),
        (5, "phone", "masked"),
        (6, "sex", "disagrees"),
        (7, "phone", "phone"),
        (7, "id_number", "check_character"),
    ];
    assert_eq!(errors(&failed), expected.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
    assert_eq!(failed.json["errors"][0]["message"], "Excel 已将证件号变成数字，末位已丢失；请把列设为文本后重新填写");
    assert_eq!(failed.json["errors"][6]["value"], "430*************23");
    // A validated table waits sealed.
    let waits = "姓名,组织代码,电话\r\n庚某,430602,13711116666\r\n";
    import(&app, &officer, "people", COUNTY, "validate", "人员.csv", waits.as_bytes()).await;
    let clear = "SELECT count(*) AS count FROM import_rows WHERE position('13711116666'::bytea IN payload) > 0";
    assert_eq!(
        (count(&app, clear).await, count(&app, "SELECT count(*) AS count FROM import_rows WHERE number = 2").await > 0),
        (0, true)
    );
}

#[actix_web::test]
async fn posts_name_their_holders_and_an_organization_has_one_chair() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "组织代码,姓名,电话,身份证号,职务,任职方式,起始日期,截止日期\r\n\
        430602,李梅,,430699198808081220,常委,兼职,2019/4/1,\r\n\
        430602,王芳,13900001234,,执委,兼职,2019-01-01,2023-12-31\r\n";
    let applied = import(&app, &officer, "posts", COUNTY, "apply", "职务.csv", text.as_bytes()).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(applied.json["counts"], json!({ "rows": 2, "new": 1, "changed": 1, "unchanged": 0, "errors": 0 }));
    let wrong = "组织代码,姓名,电话,身份证号,职务,任职方式,起始日期,截止日期\r\n\
        430602,李梅,,430699198808081220,主席,兼职,2019-04-01,\r\n\
        430602,李梅,,430699198808081220,常委,兼职,2019-05-01,\r\n\
        430602,无名,13900009999,,执委,兼职,2019-01-01,\r\n\
        430602,王芳,13900001234,,干部,兼职,2019-03-01,2019-02-01\r\n\
        430602,,,,干部,兼职,2019-03-01,\r\n\
        430602001,王芳,13900001234,,副主席,专职,2019-03-01,\r\n\
        430602001,王芳,13900001234,,副主席,专职,2019-03-02,\r\n";
    let failed = import(&app, &officer, "posts", COUNTY, "validate", "职务.csv", wrong.as_bytes()).await;
    let expected = [
        (2, "position", "taken"),
        (3, "from_on", "taken"),
        (4, "phone", "unknown_reference"),
        (5, "to_on", "before_start"),
        (6, "person_id", "required"),
        (8, "from_on", "repeated_row"),
    ];
    assert_eq!(errors(&failed), expected.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
}

#[actix_web::test]
async fn a_workbook_that_is_dangerous_is_refused_with_its_reason() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let mut table = Planted::new(&["kind", "level", "name", "parent_code"]);
    table.add(&[]);
    let good = table.bytes();
    let sheet = |text: &str| text.as_bytes().to_vec();
    let bomb = vec![b' '; 40 << 20];
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("bomb", "xl/media/picture.bin", bomb),
        ("external_links", "xl/externalLinks/externalLink1.xml", sheet("<externalLink/>")),
        ("document_type", "docProps/more.xml", sheet("<!DOCTYPE x [<!ENTITY a \"b\">]><x/>")),
        ("macros", "xl/macrosheets/sheet1.xml", sheet("<x/>")),
    ];
    for (failure, name, content) in cases {
        let bytes = with_part(&good, name, &content);
        assert!(bytes.len() < 1 << 20, "{failure}: {}", bytes.len());
        let failed = import(&app, &admin, "organizations", COUNTY, "apply", &format!("{failure}.xlsx"), &bytes).await;
        assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!(failure)));
    }
    let macros = with_part(&good, "xl/vbaProject.bin", b"x");
    let refused = admin.post("/api/v1/files").form(&[("purpose", "import")], "m.xlsx", &macros).await.expect(422);
    assert_eq!(refused.faults(), [("/file".to_owned(), "macros".to_owned())]);
    let applied = import(&app, &admin, "organizations", COUNTY, "apply", "good.xlsx", &good).await;
    assert_eq!((&applied.json["status"], &applied.json["sheet"]), (&json!("applied"), &json!("Sheet1")));
}

/// The same archive with one part more.
fn with_part(book: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(book.to_vec());
    let mut archive = zip::ZipWriter::new_append(&mut bytes).unwrap();
    archive.start_file(name, SimpleFileOptions::default()).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap();
    bytes.rewind().unwrap();
    bytes.into_inner()
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

#[actix_web::test]
async fn a_permission_that_is_lost_meanwhile_stops_the_work() {
    let app = TestApp::new().await;
    let (_, officer) = app.db_account("leaver", Some(Role::Officer), COUNTY).await;
    let text = "姓名,组织代码\r\n周兰,430602\r\n";
    let started = start(&officer, "people", COUNTY, "apply", "a.csv", text.as_bytes()).await.expect(201);
    use diesel_async::RunQueryDsl;
    let gone = "UPDATE accounts SET status = 'disabled' WHERE username = 'leaver'";
    diesel::sql_query(gone).execute(&mut app.database.owner().await).await.unwrap();
    run_due(&app.app).await.unwrap();
    let failed = app.sign_in("county-admin").await.get(path(&started)).await.expect(200);
    assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!("permission_lost")));
}

#[actix_web::test]
async fn what_nobody_applies_expires_and_errors_are_forgotten_after_a_week() {
    let app = TestApp::new().await;
    run_due(&app.app).await.unwrap();
    let admin = app.sign_in("county-admin").await;
    let good = format!("{HEADER}妇委会,乡镇级,某局妇委会,430602\r\n");
    let waits = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", good.as_bytes()).await;
    let wrong = format!("{HEADER}妇委会,乡镇级,某局妇委会,430699\r\n");
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "b.csv", wrong.as_bytes()).await;
    use diesel_async::RunQueryDsl;
    let aged = "UPDATE imports SET updated_at = updated_at - interval '8 days', finished_at = finished_at - interval '8 days'";
    diesel::sql_query(aged).execute(&mut app.database.owner().await).await.unwrap();
    app.app.clock.advance(TimeDelta::hours(2));
    run_due(&app.app).await.unwrap();
    let expired = admin.get(path(&waits)).await.expect(200);
    assert_eq!((&expired.json["status"], &expired.json["failure"]), (&json!("cancelled"), &json!("expired")));
    let kept = admin.get(path(&failed)).await.expect(200);
    assert_eq!((&kept.json["counts"]["errors"], &kept.json["errors"]), (&json!(1), &json!([])));
    assert_eq!(count(&app, "SELECT count(*) AS count FROM import_rows").await, 0);
}
