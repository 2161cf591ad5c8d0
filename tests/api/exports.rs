//! Exports: any list as a file, with its own filters and its own scope, for whoever asked and nobody else.

use std::collections::HashSet;
use std::io::Cursor;

use calamine::{Data, Range, Reader, Xlsx, open_workbook_from_rs};
use chrono::TimeDelta;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use half_sky::access::Role;
use half_sky::http::document::document;
use half_sky::http::lists::{List, lists};
use half_sky::ids::AccountId;
use half_sky::jobs::run_due;
use half_sky::sheets::labels::label_in;
use serde_json::{Map, Value, json};

use crate::files::break_off;
use crate::support::{Answer, CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp};

const EXPORTS: &str = "/api/v1/exports";

/// Asks for an export and lets it run. The view at the end.
async fn exported(app: &TestApp, who: &Client, body: Value) -> Answer {
    let asked = who.post(EXPORTS).json(&body).await.expect(201);
    assert_eq!(asked.json["status"], "queued");
    let path = format!("{EXPORTS}/{}", asked.text("/id"));
    assert_eq!(asked.header("location"), path);
    run_due(&app.app).await.unwrap();
    who.get(&path).await.expect(200)
}

/// The same, with its file.
pub async fn file_of(app: &TestApp, who: &Client, body: Value) -> (Answer, Vec<u8>) {
    let done = exported(app, who, body).await;
    assert_eq!(done.json["status"], "done", "{:#}", done.json);
    let file = who.get(done.text("/url")).await.expect(200);
    assert_eq!(done.json["size"], file.bytes.len());
    (done, file.bytes)
}

/// The sheets of a workbook.
fn sheets(bytes: &[u8]) -> Vec<(String, Range<Data>)> {
    let mut workbook: Xlsx<_> = open_workbook_from_rs(Cursor::new(bytes.to_vec())).unwrap();
    let names = workbook.sheet_names();
    for name in &names {
        let formulas = workbook.worksheet_formula(name).unwrap();
        assert_eq!(formulas.used_cells().filter(|(.., formula)| !formula.is_empty()).count(), 0, "{name} has formulas");
    }
    names.into_iter().map(|name| (name.clone(), workbook.worksheet_range(&name).unwrap())).collect()
}

/// The rows of a workbook's first sheet.
fn rows(bytes: &[u8]) -> Vec<Vec<Data>> {
    sheets(bytes).remove(0).1.rows().map(<[Data]>::to_vec).collect()
}

/// The records of a CSV file, which begins as Excel wants it.
fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(bytes).unwrap().strip_prefix('\u{feff}').expect("a byte order mark");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "lines end as RFC 4180 has it");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn text(cell: &Data) -> &str {
    match cell {
        Data::String(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

async fn audit(app: &TestApp, export: &Answer) -> Vec<(String, Value, Value)> {
    let platform = app.sign_in("platform").await;
    let path = format!("/api/v1/audit-entries?object_type=export&object_id={}&sort=at&limit=100", export.text("/id"));
    let entries = platform.get(path).await.expect(200);
    let of = |entry: &Value| (entry["action"].as_str().unwrap().to_owned(), entry["reason"].clone(), entry["after"].clone());
    entries.items().iter().map(of).collect()
}

/// The parameters of a list's path, as the document's examples have them.
fn example_parameters(list: &List) -> Map<String, Value> {
    let declared = &document().json["paths"][&list.operation.path]["get"]["parameters"];
    let parameters = declared.as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path");
    parameters.map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), parameter["example"].clone())).collect()
}

#[actix_web::test]
async fn every_list_of_the_document_is_exported_with_all_its_columns() {
    let app = TestApp::new().await;
    let platform = app.sign_in("platform").await;
    run_due(&app.app).await.unwrap();
    assert!(lists().len() >= 18 && lists().iter().any(|list| list.name == "exports"), "new lists come by themselves");
    // What grows while it is read: signing in, asking and exporting are written down.
    let growing = ["audit-entries", "jobs", "exports", "auth/sessions"];
    for list in lists() {
        let parameters = example_parameters(list);
        let path = parameters.iter().fold(list.operation.path.clone(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value.as_str().unwrap())
        });
        let total = platform.get(format!("{path}?limit=1&include_total=true")).await.expect(200).json["total"]["value"].clone();
        let columns: Vec<&str> = list.columns.iter().map(|column| column.name.as_str()).collect();
        for (format, values) in [("xlsx", "labels"), ("csv", "codes")] {
            let body = json!({ "source": list.name, "parameters": parameters, "format": format, "columns": columns,
                "values": values, "reason": "核对数据" });
            let (done, bytes) = file_of(&app, &platform, body).await;
            let found: Vec<Vec<String>> = match format {
                "csv" => records(&bytes),
                _ => rows(&bytes).iter().map(|row| row.iter().map(ToString::to_string).collect()).collect(),
            };
            let headers: Vec<String> =
                columns.iter().map(|column| label_in(&list.name, column).unwrap().zh.into_owned()).collect();
            assert_eq!(found[0], headers, "{}", list.name);
            assert_eq!(done.json["rows"], found.len() - 1, "{}", list.name);
            if !growing.contains(&list.name.as_str()) {
                assert_eq!(done.json["rows"], total, "{}", list.name);
            }
            assert_eq!(done.json["progress"]["done"], done.json["rows"]);
        }
    }
}

#[test]
fn every_column_of_every_list_has_a_name_of_its_own() {
    for list in lists() {
        let mut seen = HashSet::new();
        for column in &list.columns {
            let label = label_in(&list.name, &column.name);
            let label = label.unwrap_or_else(|| panic!("sheets::labels does not know {} of {}", column.name, list.name));
            assert!(seen.insert(label.zh.clone()), "{}: two columns are called {}", list.name, label.zh);
            if let Some((schema, codes)) = &column.choices {
                let known = half_sky::reference::labels_of(schema, codes).map(|labels| labels.len());
                assert_eq!(known, Some(codes.len()), "{}.{}: the values of {schema} have no labels", list.name, column.name);
            }
        }
    }
}

#[test]
fn columns_that_tell_of_people_are_marked() {
    // Telephones of offices, and what is the caller's own.
    let not_personal = ["directory.phone", "divisions.federation.phone", "sites.phone"];
    let telling = ["person_name", "display_name", "actor_name", "id_number", "phone", "birth_year", "username", "id_card"];
    for list in lists() {
        for column in &list.columns {
            let last = column.name.rsplit('.').next().unwrap();
            let full = format!("{}.{}", list.name, column.name);
            if telling.contains(&last) && !not_personal.contains(&full.as_str()) {
                assert!(column.personal, "{full} is not in access::PERSONAL");
            }
        }
    }
}

#[actix_web::test]
async fn every_organization_is_in_the_file_once_and_long_numbers_keep_their_digits() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let total = viewer.get("/api/v1/organizations?include_total=true&limit=1").await.expect(200).json["total"]["value"].clone();
    let (done, bytes) = file_of(&app, &viewer, json!({ "source": "organizations", "format": "xlsx" })).await;
    assert_eq!((&done.json["rows"], total.as_i64() > Some(2000)), (&total, true));
    assert_eq!(done.json["personal"], false);
    let mut sheets = sheets(&bytes);
    assert_eq!(sheets[0].0, "组织列表");
    let rows: Vec<&[Data]> = sheets[0].1.rows().collect();
    let column = |name: &str| rows[0].iter().position(|cell| text(cell) == name).unwrap_or_else(|| panic!("no {name}"));
    let ids: HashSet<&str> = rows[1..].iter().map(|row| text(&row[column("ID")])).collect();
    assert_eq!(ids.len() as i64, total.as_i64().unwrap());
    let division = column("区划代码");
    assert!(rows[1..].iter().any(|row| text(&row[division]) == "430602001001"), "a number of twelve digits is a text");
    assert!(rows[1..].iter().all(|row| matches!(row[column("版本")], Data::Float(_) | Data::Int(_))), "a number is a number");
    assert!(rows[1..].iter().all(|row| matches!(row[column("更新时间")], Data::DateTime(_))), "an instant is an instant");
    let (title, notes) = sheets.remove(1);
    let notes: Vec<String> = notes.rows().map(|row| format!("{} {}", row[0], row[1])).collect();
    assert_eq!(title, "说明");
    for line in ["列表 组织列表 (organizations)", "导出人 市妇联查看者", "导出时间 2019-04-10 09:00:00", "含个人信息 否"]
    {
        assert!(notes.iter().any(|note| note == line), "{line} in {notes:#?}");
    }
    assert!(notes.contains(&format!("行数 {total}")), "{notes:#?}");
}

#[actix_web::test]
async fn an_export_holds_what_the_list_shows_with_the_same_filters() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let filters = json!({ "kind": ["township_federation", "county_federation"], "within": COUNTY, "sort": "-id" });
    let query = format!("kind=township_federation,county_federation&within={COUNTY}&sort=-id&limit=100");
    let listed = officer.get(format!("/api/v1/organizations?{query}")).await.expect(200);
    let expected: Vec<Vec<String>> = listed
        .items()
        .iter()
        .map(|item| ["name", "id", "kind"].map(|field| item[field].as_str().unwrap().to_owned()).to_vec())
        .collect();
    assert!(expected.len() > 10);
    let body = json!({ "source": "organizations", "format": "csv", "filters": filters, "columns": ["name", "id", "kind"] });
    let (_, bytes) = file_of(&app, &officer, body).await;
    assert_eq!(records(&bytes)[0], ["名称", "ID", "类别"]);
    assert_eq!(records(&bytes)[1..], expected);
    // What is looked for is written as it is, whatever an address would make of it.
    for q in ["岳阳楼", "妇联%+&="] {
        let encoded: String = q.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let listed = officer.get(format!("/api/v1/organizations?q={encoded}&limit=100")).await.expect(200);
        let body = json!({ "source": "organizations", "format": "csv", "filters": { "q": q }, "columns": ["id"] });
        let (found, _) = file_of(&app, &officer, body).await;
        assert_eq!(found.json["rows"], listed.items().len(), "{q}");
    }
    // Nothing from outside her subtree.
    let (_, all) = file_of(&app, &officer, json!({ "source": "organizations", "format": "csv", "columns": ["id"] })).await;
    let ids: Vec<String> = records(&all).into_iter().skip(1).flatten().collect();
    assert!(ids.contains(&TOWNSHIP.to_owned()) && !ids.contains(&NEIGHBOUR.to_owned()) && !ids.contains(&CITY.to_owned()));
    // In English, with labels.
    let body = json!({ "source": "organizations", "format": "csv", "filters": { "level": "county" }, "values": "labels",
        "columns": ["kind", "division_code"] });
    let asked = officer.post(EXPORTS).header("Accept-Language", "en").json(&body).await.expect(201);
    run_due(&app.app).await.unwrap();
    let english = officer.get(format!("{EXPORTS}/{}/content", asked.text("/id"))).await.expect(200);
    assert_eq!(records(&english.bytes)[0], ["Kind", "Division code"]);
    assert_ne!(records(&english.bytes)[1][0], "county_federation");
    assert!(english.header("content-disposition").contains("organizations-20190410-090000.csv"));
    assert_eq!(english.header("content-type"), "text/csv");
}

#[actix_web::test]
async fn a_list_of_one_object_is_exported_by_its_path() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = |id: &str| {
        json!({ "source": "organizations/{id}/children", "parameters": { "id": id }, "format": "csv",
            "columns": ["organization.id", "children_count"] })
    };
    let (_, bytes) = file_of(&app, &officer, body(COUNTY)).await;
    assert_eq!(records(&bytes)[0], ["组织ID", "下级组织数"]);
    assert!(records(&bytes).iter().any(|row| row[0] == TOWNSHIP));
    // What does not exist for her does not exist for her export.
    let failed = exported(&app, &officer, body(NEIGHBOUR)).await;
    assert_eq!((&failed.json["status"], &failed.json["error"]), (&json!("failed"), &json!("not_found")));
    assert_eq!((&failed.json["url"], &failed.json["rows"]), (&Value::Null, &Value::Null));
    let actions: Vec<String> = audit(&app, &failed).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["export.requested", "export.failed"]);
}

#[actix_web::test]
async fn what_cannot_be_exported_is_told_with_every_fault() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let faults = async |body: Value| {
        let refused = officer.post(EXPORTS).json(&body).await.expect_problem(422, "validation_failed");
        let mut faults: Vec<String> = refused.faults().into_iter().map(|(at, code)| format!("{at} {code}")).collect();
        faults.sort();
        faults
    };
    let columns = json!({ "source": "organizations", "format": "csv", "columns": ["id", "phone", "id"] });
    assert_eq!(faults(columns.clone()).await, ["/columns/1 unknown_column", "/columns/2 repeated"]);
    let told = officer.post(EXPORTS).json(&columns).await.expect(422);
    assert!(told.json["errors"][0]["params"]["known"].as_array().unwrap().contains(&json!("division_code")));
    for (filters, expected) in [
        (json!({ "limit": 5, "cursor": "x" }), vec!["/filters/cursor paging", "/filters/limit paging"]),
        (json!({ "sort": "-updated_at" }), vec!["/filters/sort unstable_order"]),
        (json!({ "colour": "red" }), vec!["/filters/colour unknown_parameter"]),
        (json!({ "a/b~\u{0}": "x" }), vec!["/filters/a~1b~0\u{fffd} unknown_parameter"]),
        (json!({ "within": "here", "kind": "club" }), vec!["/filters/kind enum", "/filters/within min_length"]),
        (json!({ "within": [COUNTY, COUNTY] }), vec!["/filters/within max_length"]),
    ] {
        let body = json!({ "source": "organizations", "format": "csv", "filters": filters });
        assert_eq!(faults(body).await, expected, "{filters}");
    }
    let path = "organizations/{id}/posts";
    assert_eq!(faults(json!({ "source": path, "format": "csv", "columns": ["id"] })).await, ["/parameters/id required"]);
    let wrong = json!({ "source": path, "parameters": { "id": "x/../y", "name": "x" }, "format": "csv", "columns": ["id"] });
    assert_eq!(faults(wrong).await, ["/parameters/name unknown_parameter"]);
    let wrong = json!({ "source": path, "parameters": { "id": "x/../y" }, "format": "csv", "columns": ["id"] });
    assert_eq!(faults(wrong).await, ["/parameters/id min_length"]);
    for body in [
        json!({ "source": "nothing", "format": "csv" }),
        json!({ "source": "organizations", "format": "pdf" }),
        json!({ "source": "organizations", "format": "csv", "filters": { "kind": { "like": "x" } } }),
    ] {
        officer.post(EXPORTS).json(&body).await.expect_problem(400, "invalid_body");
    }
    for source in ["audit-entries", "jobs", "accounts"] {
        let body = json!({ "source": source, "format": "csv", "filters": { "colour": "red" } });
        officer.post(EXPORTS).json(&body).await.expect_problem(403, "permission_denied");
    }
    assert_eq!(officer.get(EXPORTS).await.expect(200).items().len(), 0);
}

#[actix_web::test]
async fn personal_data_needs_a_reason_and_a_step_up_and_leaves_a_trail() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let people = |reason: Option<&str>| json!({ "source": "people", "format": "xlsx", "reason": reason });
    let without = json!({ "source": "people", "format": "xlsx" });
    let refused = officer.post(EXPORTS).json(&without).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/reason".to_owned(), "required".to_owned())]);
    officer.post(EXPORTS).json(&people(Some("x"))).await.expect_problem(422, "validation_failed");
    // Without the columns that tell who it is, nothing is asked.
    let few = json!({ "source": "people", "format": "csv", "columns": ["organization_id", "tags"] });
    assert_eq!(officer.post(EXPORTS).json(&few).await.expect(201).json["personal"], false);
    let (done, bytes) = file_of(&app, &officer, people(Some("编制通讯录"))).await;
    assert_eq!(done.json["personal"], true);
    let rows = rows(&bytes);
    let phone = rows[0].iter().position(|cell| text(cell) == "电话").unwrap();
    let phones: Vec<&str> = rows[1..].iter().filter(|row| row[phone] != Data::Empty).map(|row| text(&row[phone])).collect();
    assert!(!phones.is_empty() && phones.iter().all(|phone| phone.contains("****")), "{phones:?}");
    let trail = audit(&app, &done).await;
    let actions: Vec<&str> = trail.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(actions, ["export.requested", "export.finished", "export.downloaded"]);
    assert!(trail[..2].iter().all(|(_, reason, _)| reason == "编制通讯录"));
    assert_eq!((&trail[0].2["source"], &trail[0].2["columns"]), (&json!("people"), &done.json["columns"]));
    assert_eq!((&trail[1].2["rows"], &trail[1].2["sha256"]), (&done.json["rows"], &done.json["sha256"]));
    assert_eq!(trail[2].2["sha256"], done.json["sha256"]);
    diesel::sql_query("UPDATE sessions SET authenticated_at = authenticated_at - interval '6 minutes'")
        .execute(&mut app.database.owner().await)
        .await
        .unwrap();
    app.app.tokens.forget_all();
    officer.post(EXPORTS).json(&people(Some("编制通讯录"))).await.expect_problem(401, "step_up_required");
    officer.post(EXPORTS).json(&few).await.expect(201);
}

#[actix_web::test]
async fn what_looks_like_a_formula_stays_a_text() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let names = ["=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)", "'=1", "周_x0041_兰", "<b>&\"x\", y"];
    for name in names {
        let body = json!({ "organization_id": TOWNSHIP, "name": name, "sex": null, "birth_year": null, "phone": null, "id_number": null,
            "tags": ["=1", "b"] });
        officer.post("/api/v1/people").json(&body).await.expect(201);
    }
    let body = |format: &str| {
        json!({ "source": "people", "format": format, "filters": { "organization_id": TOWNSHIP, "tag": "=1" },
            "columns": ["name", "tags", "phone"], "reason": "测试" })
    };
    let (_, csv) = file_of(&app, &officer, body("csv")).await;
    let written: Vec<String> = records(&csv).into_iter().skip(1).map(|row| row[0].clone()).collect();
    let defused = ["'=HYPERLINK(\"http://x\")", "'+1", "'-1", "'@SUM(A1)", "''=1", "周_x0041_兰", "<b>&\"x\", y"];
    assert_eq!(written, defused);
    assert!(records(&csv)[1..].iter().all(|row| row[1] == "'=1; b" && row[2].is_empty()));
    let (_, xlsx) = file_of(&app, &officer, body("xlsx")).await;
    let written: Vec<String> = rows(&xlsx).iter().skip(1).map(|row| text(&row[0]).to_owned()).collect();
    assert_eq!(written, names);
}

#[actix_web::test]
async fn an_export_is_seen_and_downloaded_by_nobody_else() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let (done, bytes) = file_of(&app, &officer, json!({ "source": "sites", "format": "csv" })).await;
    let path = format!("{EXPORTS}/{}", done.text("/id"));
    for name in ["neighbour-officer", "county-admin", "platform"] {
        let other = app.sign_in(name).await;
        other.get(&path).await.expect_problem(404, "not_found");
        other.get(format!("{path}/content")).await.expect_problem(404, "not_found");
        other.post(format!("{path}/cancel")).if_match("\"1\"").await.expect_problem(404, "not_found");
        let listed = other.get(format!("{EXPORTS}?source=sites")).await.expect(200);
        assert!(listed.items().is_empty(), "{name}");
    }
    let file = officer.get(format!("{path}/content")).header("Accept", "*/*").await.expect(200);
    assert!(file.header("content-disposition").contains("filename*=UTF-8''%E9%98%B5"), "{}", file.header("content-disposition"));
    let part = officer.get(format!("{path}/content")).header("Range", "bytes=0-2").await.expect(206);
    assert_eq!(part.bytes, bytes[..3]);
    let listed = officer.get(format!("{EXPORTS}?status=done&source=sites")).await.expect(200);
    assert_eq!(listed.items().len(), 1);
    assert_eq!(officer.get(format!("{EXPORTS}?status=queued,expired")).await.expect(200).items().len(), 0);
    // The operation tells the same.
    let operation = officer.get(format!("/api/v1/operations/{}", done.text("/operation_id"))).await.expect(200);
    assert_eq!((&operation.json["kind"], &operation.json["status"]), (&json!("export"), &json!("succeeded")));
    assert_eq!(operation.json["progress"], done.json["progress"]);
}

async fn db_revoke(app: &TestApp, account: AccountId, place: &str) {
    let revoked = format!("DELETE FROM grants WHERE account_id = '{account}' AND organization_id = '{place}'");
    app.database.owner().await.batch_execute(&revoked).await.unwrap();
    app.app.tokens.forget_all();
}

#[actix_web::test]
async fn what_was_taken_from_her_is_neither_exported_nor_downloaded() {
    let app = TestApp::new().await;
    let (account, clerk) = app.db_account("clerk", Some(Role::Officer), COUNTY).await;
    app.db_grant(account, Role::Officer, NEIGHBOUR).await;
    let posts = json!({ "source": "posts", "format": "csv", "columns": ["id", "organization_id"] });
    let (both, _) = file_of(&app, &clerk, posts.clone()).await;
    let waiting = clerk.post(EXPORTS).json(&posts).await.expect(201);
    db_revoke(&app, account, COUNTY).await;
    // The file holds rows of a place that is no longer hers.
    clerk.get(format!("{EXPORTS}/{}/content", both.text("/id"))).await.expect_problem(403, "permission_denied");
    // The one that was waiting holds what is still hers.
    run_due(&app.app).await.unwrap();
    let still = clerk.get(format!("{EXPORTS}/{}/content", waiting.text("/id"))).await.expect(200);
    let places: HashSet<String> = records(&still.bytes).into_iter().skip(1).map(|row| row[1].clone()).collect();
    assert!(!places.contains(COUNTY), "{places:?}");
    let waiting = clerk.post(EXPORTS).json(&posts).await.expect(201);
    db_revoke(&app, account, NEIGHBOUR).await;
    run_due(&app.app).await.unwrap();
    let failed = clerk.get(format!("{EXPORTS}/{}", waiting.text("/id"))).await.expect(200);
    assert_eq!((&failed.json["status"], &failed.json["error"]), (&json!("failed"), &json!("permission_denied")));
    clerk.post(EXPORTS).json(&posts).await.expect_problem(403, "permission_denied");
    // An account that was disabled while it waited gets nothing either.
    let (account, leaver) = app.db_account("leaver", Some(Role::Officer), COUNTY).await;
    let asked = leaver.post(EXPORTS).json(&posts).await.expect(201);
    let disabled = format!("UPDATE accounts SET status = 'disabled' WHERE id = '{account}'");
    app.database.owner().await.batch_execute(&disabled).await.unwrap();
    run_due(&app.app).await.unwrap();
    let trail = audit(&app, &asked).await;
    assert_eq!((trail[1].0.as_str(), &trail[1].2["error"]), ("export.failed", &json!("permission_denied")));
}

#[actix_web::test]
async fn an_export_is_cancelled_while_it_waits_and_while_it_runs_and_leaves_no_file() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = json!({ "source": "organizations", "format": "csv" });
    let waits = officer.post(EXPORTS).json(&body).await.expect(201);
    let path = format!("{EXPORTS}/{}", waits.text("/id"));
    assert_eq!(waits.json["allowed_actions"], json!(["cancel"]));
    officer.post(format!("{path}/cancel")).if_match("\"7\"").await.expect_problem(412, "version_conflict");
    let cancelled = officer.post(format!("{path}/cancel")).if_match(&waits.etag()).await.expect(200);
    assert_eq!((&cancelled.json["status"], &cancelled.json["allowed_actions"]), (&json!("cancelled"), &json!([])));
    run_due(&app.app).await.unwrap();
    let refused = officer.get(format!("{path}/content")).await.expect_problem(409, "invalid_transition");
    assert_eq!(refused.json["current_status"], "cancelled");
    officer.post(format!("{path}/cancel")).if_match(&cancelled.etag()).await.expect_problem(409, "invalid_transition");
    let runs = officer.post(EXPORTS).json(&body).await.expect(201);
    let told = format!(
        "UPDATE operations SET status = 'running' WHERE id = '{}'; UPDATE operations SET cancel_requested = true WHERE id = '{}'",
        runs.text("/operation_id"),
        runs.text("/operation_id")
    );
    app.database.owner().await.batch_execute(&told).await.unwrap();
    run_due(&app.app).await.unwrap();
    let path = format!("{EXPORTS}/{}", runs.text("/id"));
    assert_eq!(officer.get(&path).await.expect(200).json["status"], "cancelled");
    assert_eq!(objects(&app).len(), 1, "the demo's own");
}

#[actix_web::test]
async fn an_export_that_is_stopped_as_it_ends_is_either_there_or_not() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let mut done = 0;
    for _ in 0..8 {
        let asked = officer.post(EXPORTS).json(&json!({ "source": "organizations", "format": "csv" })).await.expect(201);
        let path = format!("{EXPORTS}/{}", asked.text("/id"));
        let stop = async { officer.post(format!("{path}/cancel")).if_match("\"1\"").await.status.as_u16() };
        let (ran, stopped) = futures_util::join!(run_due(&app.app), stop);
        ran.unwrap();
        let shown = officer.get(&path).await.expect(200);
        let content = officer.get(format!("{path}/content")).await.status.as_u16();
        match (stopped, shown.text("/status").as_str()) {
            (200, "cancelled") => assert_eq!(content, 409),
            (409, "done") => assert_eq!(content, 200),
            other => panic!("{other:?}"),
        }
        done += usize::from(content == 200);
    }
    assert_eq!(objects(&app).len(), 1 + done, "files of those that are done, and the demo's own");
}

/// The objects of exports that there are.
fn objects(app: &TestApp) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(app.database.files().join("exports")).unwrap().flatten();
    folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path())).collect()
}

#[actix_web::test]
async fn a_file_is_gone_after_a_day_and_what_it_was_is_still_known() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let (old, _) = file_of(&app, &officer, json!({ "source": "sites", "format": "csv" })).await;
    let (young, _) = file_of(&app, &officer, json!({ "source": "sites", "format": "xlsx" })).await;
    assert_eq!(old.text("/expires_at"), "2019-04-11T01:00:00Z");
    assert_eq!(objects(&app).len(), 3);
    let aged = format!("UPDATE exports SET expires_at = expires_at - interval '24 hours' WHERE id = '{}'", old.text("/id"));
    app.database.owner().await.batch_execute(&aged).await.unwrap();
    // Before anybody has cleaned up, too.
    let path = format!("{EXPORTS}/{}", old.text("/id"));
    let refused = officer.get(format!("{path}/content")).await.expect_problem(409, "invalid_transition");
    assert_eq!((&refused.json["current_status"], &refused.json["allowed_actions"]), (&json!("expired"), &json!([])));
    app.app.clock.advance(TimeDelta::hours(1));
    run_due(&app.app).await.unwrap();
    let shown = officer.get(&path).await.expect(200);
    assert_eq!((&shown.json["status"], &shown.json["rows"]), (&json!("expired"), &old.json["rows"]));
    assert_eq!(objects(&app).len(), 2, "its bytes are gone");
    officer.get(young.text("/url")).await.expect(200);
    assert_eq!(officer.get(format!("{EXPORTS}?status=expired")).await.expect(200).items().len(), 1);
    let actions: Vec<String> = audit(&app, &old).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions.last().map(String::as_str), Some("export.expired"));
}

#[actix_web::test]
async fn files_that_no_export_names_are_swept_and_files_of_uploads_are_not() {
    let app = TestApp::new().await;
    run_due(&app.app).await.unwrap();
    let folder = app.database.files().join("exports/ff");
    std::fs::create_dir_all(&folder).unwrap();
    let stray = folder.join("0168028c-2f00-7000-8051-0000000000ff");
    std::fs::write(&stray, b"half").unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    for object in objects(&app) {
        std::fs::File::options().write(true).open(object).unwrap().set_modified(long_ago).unwrap();
    }
    app.app.clock.advance(TimeDelta::days(1));
    run_due(&app.app).await.unwrap();
    assert!(!stray.exists());
    assert_eq!(objects(&app).len(), 1, "the demo's own is kept by both cleaners");
    app.sign_in("platform").await.get("/api/v1/exports/0168028c-2f00-7000-8050-000000000001/content").await.expect(200);
}

#[actix_web::test]
async fn a_file_stays_while_nobody_knows_whether_its_export_has_committed() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    officer.post(EXPORTS).json(&json!({ "source": "sites", "format": "csv" })).await.expect(201);
    break_off(&app, "exports", "UPDATE OF object_id").await;
    run_due(&app.app).await.unwrap();
    assert_eq!(objects(&app).len(), 2, "the demo's own, and one that the sweeper decides on");
}

#[actix_web::test]
async fn a_worker_that_died_is_followed_by_another_and_the_fifth_gives_up() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = json!({ "source": "sites", "format": "csv" });
    let asked = officer.post(EXPORTS).json(&body).await.expect(201);
    let path = format!("{EXPORTS}/{}", asked.text("/id"));
    let mut owner = app.database.owner().await;
    // Nobody may read sites for a while: the database answers with a fault.
    owner.batch_execute("REVOKE SELECT ON sites FROM half_sky_service").await.unwrap();
    run_due(&app.app).await.unwrap();
    assert_eq!(officer.get(&path).await.expect(200).json["status"], "running");
    let now = "UPDATE jobs SET run_at = TIMESTAMPTZ '2019-04-10 00:00Z' WHERE kind = 'export' AND state = 'queued'";
    owner.batch_execute("GRANT SELECT ON sites TO half_sky_service").await.unwrap();
    owner.batch_execute(now).await.unwrap();
    run_due(&app.app).await.unwrap();
    assert_eq!(officer.get(&path).await.expect(200).json["status"], "done");
    owner.batch_execute("REVOKE SELECT ON sites FROM half_sky_service").await.unwrap();
    let asked = officer.post(EXPORTS).json(&body).await.expect(201);
    for _ in 0..5 {
        owner.batch_execute(now).await.unwrap();
        run_due(&app.app).await.unwrap();
    }
    let failed = officer.get(format!("{EXPORTS}/{}", asked.text("/id"))).await.expect(200);
    assert_eq!((&failed.json["status"], &failed.json["error"]), (&json!("failed"), &json!("internal")));
}

#[actix_web::test]
async fn nobody_fills_the_queue() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = json!({ "source": "sites", "format": "csv" });
    let first = officer.post(EXPORTS).key("one").json(&body).await.expect(201);
    let again = officer.post(EXPORTS).key("one").json(&body).await.expect(201);
    assert_eq!((again.json["id"].clone(), again.header("idempotent-replayed")), (first.json["id"].clone(), "true"));
    for _ in 1..9 {
        officer.post(EXPORTS).json(&body).await.expect(201);
    }
    // Two at once: one of them is the tenth.
    let (one, other) = futures_util::join!(
        std::future::IntoFuture::into_future(officer.post(EXPORTS).json(&body)),
        std::future::IntoFuture::into_future(officer.post(EXPORTS).json(&body))
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 429]);
    run_due(&app.app).await.unwrap();
    officer.post(EXPORTS).json(&body).await.expect(201);
}

#[actix_web::test]
async fn rights_are_looked_up_again_for_every_page() {
    let app = TestApp::new().await;
    let (account, clerk) = app.db_account("clerk", Some(Role::Officer), CITY).await;
    let asked = clerk.post(EXPORTS).json(&json!({ "source": "organizations", "format": "csv" })).await.expect(201);
    // Her grant is gone as soon as the first page is written down.
    let taken = format!(
        "CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$BEGIN DELETE FROM grants WHERE account_id = '{account}'; RETURN NEW; END$$;
         CREATE TRIGGER take AFTER UPDATE ON operations FOR EACH ROW WHEN (NEW.done = 100) EXECUTE FUNCTION take()"
    );
    app.database.owner().await.batch_execute(&taken).await.unwrap();
    run_due(&app.app).await.unwrap();
    let failed = clerk.get(format!("{EXPORTS}/{}", asked.text("/id"))).await.expect(200);
    assert_eq!((&failed.json["status"], &failed.json["error"]), (&json!("failed"), &json!("permission_denied")));
    assert_eq!(failed.json["progress"]["done"], 100);
    assert_eq!(objects(&app).len(), 1, "the demo's own");
}
