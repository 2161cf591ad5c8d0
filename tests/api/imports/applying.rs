//! Applying what was looked at: once, whole, by whoever still may, and not for ever.

use chrono::TimeDelta;
use futures_util::future::join;
use half_sky::access::Role;

use super::*;

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
