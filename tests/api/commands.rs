//! Idempotency keys, versions and their order, tried with races.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{COUNTY, TestApp};

fn site() -> Value {
    json!({ "owner_organization_id": COUNTY, "kind": "womens_home", "name": "测试妇女之家" })
}

#[actix_web::test]
async fn fifty_parallel_posts_with_one_key_create_one_object() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let answers = join_all((0..50).map(|_| officer.post("/api/v1/sites").key("one").json(&site()).into_future())).await;
    let mut created = 0;
    for answer in &answers {
        match answer.status.as_u16() {
            201 => created += i32::from(answer.header("idempotent-replayed").is_empty()),
            409 => assert_eq!(answer.json["code"], "idempotency_in_progress"),
            503 => assert_eq!(answer.json["code"], "overloaded"),
            other => panic!("{other}: {}", answer.json),
        }
    }
    assert_eq!(created, 1);
    let found = officer.get("/api/v1/sites?q=%E6%B5%8B%E8%AF%95").await.expect(200);
    assert_eq!(found.items().len(), 1);
}

#[actix_web::test]
async fn a_repeat_answers_with_the_first_reply_and_another_body_is_refused() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let first = officer.post("/api/v1/sites").key("a").json(&site()).await.expect(201);
    let again = officer.post("/api/v1/sites").key("\"a\"").json(&site()).await.expect(201);
    assert_eq!(again.bytes, first.bytes, "a quoted key is the same key");
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.etag(), first.etag());
    assert_eq!(again.header("location"), first.header("location"));
    let mut other = site();
    other["name"] = json!("另一个");
    officer.post("/api/v1/sites").key("a").json(&other).await.expect_problem(422, "idempotency_key_reused");
    // Another principal has keys of her own.
    let admin = app.sign_in("county-admin").await;
    let hers = admin.post("/api/v1/sites").key("a").json(&site()).await.expect(201);
    assert_ne!(hers.text("/id"), first.text("/id"));
    officer.post("/api/v1/sites").without("Idempotency-Key").json(&site()).await.expect_problem(400, "idempotency_key_required");
}

#[actix_web::test]
async fn a_refusal_is_not_stored() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let bad = json!({ "owner_organization_id": COUNTY, "kind": "womens_home", "name": "短" });
    officer.post("/api/v1/sites").key("b").json(&bad).await.expect_problem(422, "validation_failed");
    officer.post("/api/v1/sites").key("b").json(&site()).await.expect(201);
}

#[actix_web::test]
async fn a_replay_wins_over_a_stale_version_and_is_authorized_again() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let created = officer.post("/api/v1/sites").json(&site()).await.expect(201);
    let close = format!("/api/v1/sites/{}/close", created.text("/id"));
    let reason = json!({ "reason": "拆迁" });
    let first = officer.post(&close).key("c").if_match(&created.etag()).json(&reason).await.expect(200);
    let again = officer.post(&close).key("c").if_match(&created.etag()).json(&reason).await.expect(200);
    assert_eq!(again.bytes, first.bytes);
    officer.post(&close).key("d").if_match(&created.etag()).json(&reason).await.expect_problem(412, "version_conflict");
    let now = officer.post(&close).key("e").if_match(&first.etag()).json(&reason).await.expect_problem(409, "invalid_transition");
    assert_eq!(now.json["current_status"], "closed");
    // Her grant is taken away: the stored reply is no longer hers.
    use diesel_async::RunQueryDsl;
    let mut owner = app.database.owner().await;
    let revoke = "DELETE FROM grants WHERE account_id = (SELECT id FROM accounts WHERE username = 'county-officer')";
    diesel::sql_query(revoke).execute(&mut owner).await.unwrap();
    app.app.tokens.forget_all();
    officer.post(&close).key("c").if_match(&created.etag()).json(&reason).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn of_two_puts_with_one_version_one_wins() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let path = "/api/v1/sites/0168028c-2f00-7000-8003-000000000001";
    let etag = officer.get(path).await.expect(200).etag();
    let edit = |feature: &str| {
        json!({ "kind": "womens_home", "name": "岳阳楼区妇女之家", "feature": feature, "address": null, "location": null,
                "phone": null, "checklist": [] })
    };
    let put = |feature: &str| officer.put(path).if_match(&etag).json(&edit(feature)).into_future();
    let answers = join_all([put("甲"), put("乙")]).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let conflict = answers.iter().find(|answer| answer.status.as_u16() == 412).unwrap();
    assert_eq!(conflict.json["current_version"], 2);
    officer.put(path).json(&edit("丙")).await.expect_problem(428, "precondition_required");
    officer.put(path).if_match("*").json(&edit("丙")).await.expect(400);
}

#[actix_web::test]
async fn the_order_of_refusals_is_the_contracts() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let neighbour = app.sign_in("neighbour-officer").await;
    let path = "/api/v1/people/0168028c-2f00-7000-8001-000000000001";
    let valid = json!({ "organization_id": COUNTY, "name": "李梅", "sex": null, "birth_year": null, "phone": null,
                        "id_number": null, "tags": [] });
    let mut long = valid.clone();
    long["name"] = json!("长".repeat(65));
    // 404 before 403, 412 and 422; 403 before 412 and 422; 412 before 422; 428 and 400 before all of them.
    neighbour.put(path).if_match("\"9\"").json(&long).await.expect_problem(404, "not_found");
    viewer.put(path).if_match("\"9\"").json(&long).await.expect_problem(403, "permission_denied");
    let officer = app.sign_in("county-officer").await;
    officer.put(path).if_match("\"9\"").json(&long).await.expect_problem(412, "version_conflict");
    officer.put(path).if_match("\"1\"").json(&long).await.expect_problem(422, "validation_failed");
    neighbour.put(path).json(&long).await.expect_problem(428, "precondition_required");
    neighbour.put(path).if_match("\"9\"").json(&json!({})).await.expect_problem(400, "invalid_body");
}

#[actix_web::test]
async fn every_change_has_its_audit_entry() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let created = officer.post("/api/v1/sites").json(&site()).await.expect(201);
    let auditor = app.sign_in("city-auditor").await;
    let entries = auditor.get(format!("/api/v1/audit-entries?object_id={}", created.text("/id"))).await.expect(200);
    assert_eq!(entries.items().len(), 1);
    assert_eq!(entries.items()[0]["action"], "site.created");
    assert_eq!(entries.items()[0]["request_id"], created.header("x-request-id"));
}

#[actix_web::test]
async fn two_batches_with_the_same_objects_in_opposite_orders_wait_for_each_other() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let item = |number: u8| json!({ "id": format!("0168028c-2f00-7000-8002-00000000000{number}"), "version": 1, "to_on": "2019-04-10", "reason": "换届" });
    for round in 0..10 {
        let batch = |items: [Value; 2]| json!({ "action": "end", "mode": "best_effort", "items": items });
        let send = |body: Value| officer.post("/api/v1/posts/batch").json(&body).into_future();
        let answers = join_all([send(batch([item(1), item(2)])), send(batch([item(2), item(1)]))]).await;
        let mut done = 0;
        for answer in answers {
            let answer = answer.expect(207);
            assert_eq!((&answer.items()[0]["index"], &answer.items()[1]["index"]), (&json!(0), &json!(1)));
            done += answer.items().iter().filter(|item| item["status"] == 200).count();
        }
        assert_eq!(done, if round == 0 { 2 } else { 0 }, "each post is ended once");
    }
}
