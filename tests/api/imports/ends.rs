//! How imports end when they are stopped in the middle, or cannot be worked on at all.

use std::io::{Read, Write};

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join;
use zip::write::SimpleFileOptions;

use super::*;

async fn staged(app: &TestApp) -> i64 {
    count(app, "SELECT count(*) AS count FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE i.finished_at IS NOT NULL")
        .await
}

#[actix_web::test]
async fn rows_that_were_staged_while_somebody_stopped_it_do_not_stay() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织代码,电话\r\n庚某,430602,13711116666\r\n";
    let started = start(&officer, "people", COUNTY, "validate", "a.csv", text.as_bytes()).await.expect(201);
    officer.post(format!("{}/cancel", path(&started))).if_match(&started.etag()).await.expect(200);
    // What the job had in its hands at that moment.
    let late = format!(
        "INSERT INTO import_rows (import_id, number, payload, faulty) VALUES ('{}', 2, 'sealed', false)",
        started.text("/id")
    );
    app.database.owner().await.batch_execute(&late).await.unwrap();
    assert_eq!(staged(&app).await, 1);
    run_due(&app.app).await.unwrap();
    assert_eq!((staged(&app).await, &officer.get(path(&started)).await.json["status"]), (0, &json!("cancelled")));
}

#[actix_web::test]
async fn an_import_that_is_stopped_as_it_goes_on_to_be_applied_is_either_written_or_cancelled() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    for number in 0..8 {
        let text = format!("姓名,组织代码,电话\r\n庚某,430602,1371111{number:04}\r\n");
        let started = start(&admin, "people", COUNTY, "apply", "a.csv", text.as_bytes()).await.expect(201);
        let stop = async {
            let seen = admin.get(path(&started)).await.expect(200);
            admin.post(format!("{}/cancel", path(&started))).if_match(&seen.etag()).await.status.as_u16()
        };
        let (ran, stopped) = join(run_due(&app.app), stop).await;
        ran.unwrap();
        let shown = admin.get(path(&started)).await.expect(200);
        let found =
            admin.post("/api/v1/people/search").json(&json!({ "phone": format!("1371111{number:04}") })).await.expect(200);
        let there = found.items().len();
        match shown.text("/status").as_str() {
            "applied" => assert_eq!((there, &shown.json["counts"]["new"]), (1, &json!(1)), "{stopped}"),
            "cancelled" => assert_eq!((there, stopped), (0, 200)),
            other => panic!("{other} after {stopped}"),
        }
    }
    assert_eq!(staged(&app).await, 0);
}

#[actix_web::test]
async fn cells_without_a_header_are_told_once_for_a_row() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let wide = "x,".repeat(150);
    let rows: String = (0..3).map(|number| format!("周兰{number},430602,{wide}\r\n")).collect();
    let text = format!("姓名,组织代码\r\n{rows}");
    let failed = import(&app, &officer, "people", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    let codes: Vec<_> = errors(&failed).into_iter().map(|(row, _, code)| (row, code)).collect();
    assert_eq!(codes, [2, 3, 4].map(|row| (row, "no_header".to_owned())));
    assert_eq!(failed.json["counts"]["errors"], 3);
}

#[actix_web::test]
async fn a_workbook_whose_rows_do_not_rise_is_broken() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let mut table = Planted::new(&["name", "organization_code"]);
    table.add(&[]);
    table.add(&[]);
    let good = table.bytes();
    for cell in ["A1", "A3000000000"] {
        let book = with_sheet(&good, |sheet| sheet.replace("\"A3\"", &format!("\"{cell}\"")));
        assert_ne!(book, good);
        let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.xlsx", &book).await;
        assert_eq!(failed.json["failure"], "broken", "{cell} {:#}", failed.json);
    }
}

/// The same archive with its first sheet rewritten.
fn with_sheet(book: &[u8], rewrite: impl Fn(&str) -> String) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(std::io::Cursor::new(book.to_vec())).unwrap();
    let mut new = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for index in 0..old.len() {
        let mut part = old.by_index(index).unwrap();
        let (name, mut text) = (part.name().to_owned(), Vec::new());
        part.read_to_end(&mut text).unwrap();
        if name == "xl/worksheets/sheet1.xml" {
            text = rewrite(std::str::from_utf8(&text).unwrap()).into_bytes();
        }
        new.start_file(name, SimpleFileOptions::default()).unwrap();
        new.write_all(&text).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[actix_web::test]
async fn an_import_on_which_no_attempt_came_to_an_end_has_failed_and_so_has_its_operation() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织代码,电话\r\n庚某,430602,13711116666\r\n";
    let started = start(&officer, "people", COUNTY, "apply", "a.csv", text.as_bytes()).await.expect(201);
    // Ten workers have died with it.
    app.database
        .owner()
        .await
        .batch_execute("UPDATE jobs SET attempts = max_attempts WHERE kind = 'import' AND state = 'queued'")
        .await
        .unwrap();
    run_due(&app.app).await.unwrap();
    let failed = officer.get(path(&started)).await.expect(200);
    assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!("given_up")));
    let operation = officer.get(format!("/api/v1/operations/{}", failed.text("/operation_id"))).await.expect(200);
    assert_eq!((&operation.json["status"], staged(&app).await), (&json!("failed"), 0));
}

#[actix_web::test]
async fn who_has_it_applied_follows_the_work_and_stands_in_the_audit_trail() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let text = "姓名,组织代码,电话\r\n庚某,430602,13711116666\r\n";
    let validated = import(&app, &officer, "people", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    let applying =
        admin.post(format!("{}/apply", path(&validated))).if_match(&validated.etag()).json(&json!({})).await.expect(200);
    assert_eq!(applying.json["applied_by"], admin.get("/api/v1/me").await.expect(200).json["id"]);
    run_due(&app.app).await.unwrap();
    let operation = admin.get(format!("/api/v1/operations/{}", applying.text("/operation_id"))).await.expect(200);
    assert_eq!(operation.json["status"], "succeeded");
    let applied = app.sign_in("platform").await.get("/api/v1/audit-entries?action=import.applied").await.expect(200);
    assert_eq!(applied.items()[0]["actor_id"], applying.json["applied_by"], "{:#}", applied.items()[0]);
}
