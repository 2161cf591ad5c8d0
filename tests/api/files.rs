//! Files: taken by their bytes, read with scope, cleaned away when nobody needs them.

use chrono::TimeDelta;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::{Either, join_all, select};
use half_sky::access::Role;
use half_sky::jobs::run_due;
use serde_json::json;

use crate::support::{Answer, COUNTY, Client, NEIGHBOUR, TestApp};

const SITE: &str = "site/0168028c-2f00-7000-8003-000000000001";
const DEMO: &str = "/api/v1/files/0168028c-2f00-7000-8030-000000000001";

/// The objects in the folder of files, as they rest.
fn objects(app: &TestApp) -> impl Iterator<Item = Vec<u8>> {
    let folders = std::fs::read_dir(app.database.files()).unwrap().flatten().filter(|folder| folder.file_name() != "exports");
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    files.map(|file| std::fs::read(file.path()).unwrap())
}

#[actix_web::test]
async fn an_uploaded_file_is_downloaded_as_it_was() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let pdf = [b"%PDF-1.7\n".as_slice(), &vec![7; 100_000]].concat();
    let created =
        officer.post("/api/v1/files").form(&[("purpose", "evidence")], "../汇报 \u{201c}一\u{201d}.pdf", &pdf).await.expect(201);
    assert_eq!((&created.json["media_type"], &created.json["size"]), (&json!("application/pdf"), &json!(pdf.len())));
    assert_eq!(created.json["organization_id"], COUNTY);
    assert_eq!(created.json["allowed_actions"], json!(["delete"]));
    let content = created.text("/url");
    let whole = officer.get(&content).header("Accept", "*/*").await.expect(200);
    assert_eq!(whole.bytes, pdf);
    assert_eq!(whole.header("content-type"), "application/pdf");
    assert!(whole.header("content-disposition").starts_with("attachment; filename="), "{}", whole.header("content-disposition"));
    assert!(
        whole.header("content-disposition").contains("filename*=UTF-8''%E6%B1%87%E6%8A%A5"),
        "{}",
        whole.header("content-disposition")
    );
    let kept: Vec<_> = objects(&app).collect();
    let sealed =
        |object: &Vec<u8>| object.len() > 100_000 && !object.windows(9).any(|window| window == b"%PDF-1.7\n" || window == [7; 9]);
    assert!(kept.iter().any(sealed), "its bytes rest sealed");
    let part = officer.get(&content).header("Range", "bytes=1-3").await.expect(206);
    assert_eq!(
        (part.bytes.as_slice(), part.header("content-range")),
        (b"PDF".as_slice(), format!("bytes 1-3/{}", pdf.len()).as_str())
    );
    let end = officer.get(&content).header("Range", "bytes=-2").header("If-Range", &whole.etag()).await.expect(206);
    assert_eq!(end.bytes, [7, 7]);
    assert_eq!(officer.get(&content).header("Range", "bytes=0-1").header("If-Range", "\"other\"").await.expect(200).bytes, pdf);
    let beyond = officer.get(&content).header("Range", "bytes=200000-").await.expect_problem(416, "range_not_satisfiable");
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", pdf.len()));
    officer.get(&content).header("If-None-Match", &whole.etag()).await.expect(304);
}

#[actix_web::test]
async fn what_is_not_taken_is_told_and_nothing_is_kept() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let upload = |texts: &[(&str, &str)], name: &str, content: &[u8]| officer.post("/api/v1/files").form(texts, name, content);
    let other = [("purpose", "other")];
    for (name, content, fault) in [
        ("page.html", b"<html>".as_slice(), "file_type"),
        ("photo.png", b"%PDF-1.7", "name_disagrees"),
        ("empty.txt", b"", "empty"),
    ] {
        let refused = upload(&other, name, content).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), [("/file".to_owned(), fault.to_owned())], "{name}");
    }
    let wrong = [("purpose", "other"), ("sha256", &"0".repeat(64)), ("attach_to", "site/0168028c-2f00-7000-8003-999999999999")];
    let refused = upload(&wrong, "a.txt", b"a").await.expect_problem(422, "validation_failed");
    let mut faults = refused.faults();
    faults.sort();
    assert_eq!(
        faults,
        [("/attach_to".to_owned(), "unknown_reference".to_owned()), ("/sha256".to_owned(), "mismatch".to_owned())]
    );
    upload(&[], "a.txt", b"a").await.expect_problem(400, "invalid_body");
    upload(&[("purpose", "other"), ("purpose", "event")], "a.txt", b"a").await.expect_problem(400, "invalid_body");
    upload(&[("purpose", "other"), ("owner", "me")], "a.txt", b"a").await.expect_problem(400, "unknown_field");
    officer.post("/api/v1/files").json(&json!({})).await.expect_problem(415, "unsupported_media_type");
    let cut = b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc";
    let cut = officer.post("/api/v1/files").bytes("multipart/form-data; boundary=x", cut).await;
    cut.expect_problem(400, "malformed_request");
    upload(&other, "large.txt", &vec![b'a'; (10 << 20) + (70 << 10)]).await.expect_problem(413, "payload_too_large");
    assert_eq!(objects(&app).count(), 3, "the demo's own");
}

#[actix_web::test]
async fn a_repeat_with_another_boundary_is_the_same_request() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let send = |boundary: &str, text: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nother\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{text}\r\n--{boundary}--\r\n"
        );
        officer.post("/api/v1/files").key("once").bytes(&format!("multipart/form-data; boundary={boundary}"), body.as_bytes())
    };
    let first = send("aaa", "text").await.expect(201);
    let again = send("bbb", "text").await.expect(201);
    assert_eq!((again.bytes.clone(), again.header("idempotent-replayed")), (first.bytes.clone(), "true"));
    send("ccc", "other text").await.expect_problem(422, "idempotency_key_reused");
    officer.get(first.text("/url")).await.expect(200);
}

#[actix_web::test]
async fn a_file_is_read_in_scope_and_by_the_module_of_its_purpose() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let loan = officer.post("/api/v1/files").form(&[("purpose", "loan_document")], "a.txt", b"a").await.expect(201);
    let path = format!("/api/v1/files/{}", loan.text("/id"));
    for (name, status) in [("neighbour-officer", 404), ("city-officer", 200), ("township-officer", 404), ("city-viewer", 200)] {
        let other = app.sign_in(name).await;
        other.get(&path).await.expect(status);
        other.get(format!("{path}/content")).await.expect(status);
        let listed = other.get("/api/v1/files?purpose=loan_document").await.expect(200);
        assert_eq!(listed.items().len(), usize::from(status == 200), "{name}");
        other.delete(&path).await.expect_problem(404, "not_found");
    }
    // The events clerk of the same county does not read loan files, and uploads none.
    let (_, clerk) = app.db_account("clerk", Some(Role::Officer), COUNTY).await;
    use diesel_async::RunQueryDsl;
    let only_events =
        "UPDATE grants SET modules = '{events}' WHERE account_id = (SELECT id FROM accounts WHERE username = 'clerk')";
    diesel::sql_query(only_events).execute(&mut app.database.owner().await).await.unwrap();
    app.app.tokens.forget_all();
    clerk.get(&path).await.expect_problem(404, "not_found");
    clerk
        .post("/api/v1/files")
        .form(&[("purpose", "loan_document")], "a.txt", b"a")
        .await
        .expect_problem(403, "permission_denied");
    // Not even what is wrong with one.
    let wrong = [("purpose", "loan_document"), ("sha256", "short")];
    clerk.post("/api/v1/files").form(&wrong, "a.txt", b"").await.expect_problem(403, "permission_denied");
    clerk.post("/api/v1/files").form(&[("purpose", "event")], "a.txt", b"a").await.expect(201);
    // Nobody uploads for an organization that is not hers.
    let elsewhere = [("purpose", "other"), ("organization_id", NEIGHBOUR)];
    officer.post("/api/v1/files").form(&elsewhere, "a.txt", b"a").await.expect_problem(403, "permission_denied");
    app.sign_in("city-viewer")
        .await
        .post("/api/v1/files")
        .form(&[("purpose", "other")], "a.txt", b"a")
        .await
        .expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn a_photograph_belongs_to_its_site_and_is_not_deleted_from_under_it() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let picture = officer.get(format!("{DEMO}/content")).await.expect(200).bytes;
    let texts = [("purpose", "site_photo"), ("attach_to", SITE)];
    let photo = officer.post("/api/v1/files").form(&texts, "门口.png", &picture).await.expect(201);
    assert_eq!((&photo.json["width"], &photo.json["attached_type"]), (&json!(64), &json!("site")));
    let site = officer.get("/api/v1/sites/0168028c-2f00-7000-8003-000000000001").await.expect(200);
    let names: Vec<&str> = site.json["photos"].as_array().unwrap().iter().map(|photo| photo["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["妇女之家.png", "门口.png"]);
    let public = app.anonymous().get("/api/v1/sites/0168028c-2f00-7000-8003-000000000001").await.expect(200);
    assert_eq!(public.json["photos"], json!([]));
    let path = format!("/api/v1/files/{}", photo.text("/id"));
    officer.delete(&path).await.expect_problem(409, "invalid_transition");
    let neighbour = app.sign_in("neighbour-officer").await;
    let refused =
        neighbour.post("/api/v1/files").form(&texts, "门口.png", &picture).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/attach_to".to_owned(), "unknown_reference".to_owned())]);
    let loose = officer.post("/api/v1/files").form(&[("purpose", "other")], "a.txt", b"a").await.expect(201);
    let path = format!("/api/v1/files/{}", loose.text("/id"));
    officer.delete(&path).await.expect(204);
    officer.get(&path).await.expect_problem(404, "not_found");
    officer.get(format!("{path}/content")).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn what_nobody_needs_is_cleaned_away_and_nothing_else() {
    let app = TestApp::new().await;
    run_due(&app.app).await.unwrap();
    let officer = app.sign_in("county-officer").await;
    let upload = || officer.post("/api/v1/files").form(&[("purpose", "other")], "a.txt", b"a");
    let (old, new) = (upload().await.expect(201), upload().await.expect(201));
    use diesel_async::RunQueryDsl;
    let aged = format!("UPDATE files SET created_at = created_at - interval '8 days' WHERE id = '{}'", old.text("/id"));
    diesel::sql_query(aged).execute(&mut app.database.owner().await).await.unwrap();
    // The clock of the tests stands in 2019: every object is younger. An object and a half that are older are put there.
    let folder = app.database.files().join("77");
    std::fs::create_dir_all(&folder).unwrap();
    let stray = folder.join("0168028c-2f00-7000-8031-000000000077");
    let half = folder.join("0168028c-2f00-7000-8030-000000000077#1");
    for file in [&stray, &half] {
        std::fs::write(file, b"half").unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        std::fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    app.app.clock.advance(TimeDelta::days(1));
    run_due(&app.app).await.unwrap();
    officer.get(format!("/api/v1/files/{}", old.text("/id"))).await.expect_problem(404, "not_found");
    officer.get(new.text("/url")).await.expect(200);
    officer.get(format!("{DEMO}/content")).await.expect(200);
    assert!(!half.exists(), "the half of an upload is gone");
    assert!(!stray.exists(), "an object that no row names is gone");
}

/// Uploads of which half comes and the rest never, and another beside them.
async fn beside_stalled(stalled: &Client, count: usize, other: &Client) -> Answer {
    let upload = |client: &Client| client.post("/api/v1/files").form(&[("purpose", "other")], "a.txt", &vec![b'a'; 300_000]);
    let never = join_all((0..count).map(|_| upload(stalled).stalled().into_future()));
    match select(never, upload(other).into_future()).await {
        Either::Right((answer, _)) => answer,
        Either::Left(_) => panic!("what stalls has an answer"),
    }
}

#[actix_web::test]
async fn clients_that_stall_hold_nobody_up() {
    let app = TestApp::new().await;
    let (officer, neighbour) = (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await);
    for client in [&officer, &neighbour] {
        client.get("/api/v1/me").await.expect(200);
    }
    beside_stalled(&officer, 7, &officer).await.expect(201);
    beside_stalled(&officer, 8, &neighbour).await.expect(201);
    // Her ninth has to wait for one of the others, and when they are gone nothing of them is left.
    let refused = beside_stalled(&officer, 8, &officer).await.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "5");
    officer.post("/api/v1/files").form(&[("purpose", "other")], "a.txt", b"a").await.expect(201);
    assert_eq!(objects(&app).count(), 3 + 3, "the demo's own, and those that came");
}

#[actix_web::test]
async fn a_site_takes_photographs_and_of_these_a_hundred() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let picture = officer.get(format!("{DEMO}/content")).await.expect(200).bytes;
    let upload = |purpose: &str, name: &str, content: &[u8]| {
        officer.post("/api/v1/files").form(&[("purpose", purpose), ("attach_to", SITE)], name, content).into_future()
    };
    for (purpose, name, content) in
        [("import", "a.png", &picture[..]), ("site_photo", "a.csv", b"a,b\n"), ("site_photo", "a.pdf", b"%PDF-1.7")]
    {
        let refused = upload(purpose, name, content).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), [("/attach_to".to_owned(), "not_taken".to_owned())], "{purpose} {name}");
    }
    // The demo's own, ninety-eight more, and two that come at once.
    let many = "INSERT INTO files (id, organization_id, uploaded_by, purpose, name, media_type, size, sha256, content_key, width,
            height, attached_type, attached_id, attached_at, created_at)
        SELECT gen_random_uuid(), organization_id, uploaded_by, purpose, name, media_type, size, sha256, content_key, width,
            height, attached_type, attached_id, attached_at, created_at
        FROM files, generate_series(1, 98) WHERE id = '0168028c-2f00-7000-8030-000000000001'";
    app.database.owner().await.batch_execute(many).await.unwrap();
    let (one, other) = (upload("site_photo", "a.png", &picture), upload("site_photo", "b.png", &picture));
    let (one, other) = futures_util::future::join(one, other).await;
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    let refused = upload("site_photo", "c.png", &picture).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/attach_to".to_owned(), "full".to_owned())]);
    let site = officer.get("/api/v1/sites/0168028c-2f00-7000-8003-000000000001").await.expect(200);
    assert_eq!(site.json["photos"].as_array().map(Vec::len), Some(100));
}

/// Breaks the connection off at the end of each transaction that writes into a table.
pub async fn break_off(app: &TestApp, table: &str, event: &str) {
    let sql = format!(
        "CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER break_off AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            EXECUTE FUNCTION break_off();"
    );
    app.database.owner().await.batch_execute(&sql).await.unwrap();
}

#[actix_web::test]
async fn bytes_stay_while_nobody_knows_whether_their_row_has_committed() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let before = objects(&app).count();
    break_off(&app, "files", "INSERT").await;
    let upload = || officer.post("/api/v1/files").form(&[("purpose", "other")], "a.txt", b"a");
    assert!(upload().await.status.is_server_error());
    assert_eq!(objects(&app).count(), before + 1, "the cleaner decides");
    // A refusal is known to have written nothing.
    let elsewhere = [("purpose", "other"), ("organization_id", NEIGHBOUR)];
    officer.post("/api/v1/files").form(&elsewhere, "a.txt", b"a").await.expect_problem(403, "permission_denied");
    assert_eq!(objects(&app).count(), before + 1);
}
