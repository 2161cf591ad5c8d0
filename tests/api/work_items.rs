//! What awaits whom, fed by the timetable.

use chrono::TimeDelta;
use diesel_async::RunQueryDsl;
use half_sky::jobs;
use serde_json::json;

use crate::support::{COUNTY, TestApp};

const POST: &str = "/api/v1/posts/0168028c-2f00-7000-8002-000000000001";

#[actix_web::test]
async fn a_term_about_to_end_awaits_whoever_may_write_posts_there() {
    let app = TestApp::new().await;
    let (officer, neighbour, viewer) =
        (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await, app.sign_in("city-viewer").await);
    jobs::run_due(&app.app).await.unwrap();
    let body = json!({
        "employment_mode": "part_time", "secondment": null, "from_on": "2019-01-01", "to_on": "2019-05-05", "appointed_by": null
    });
    officer.put(POST).if_match("\"1\"").json(&body).await.expect(200);
    assert!(officer.get("/api/v1/me/work-items").await.expect(200).items().is_empty(), "nothing fell due yet");
    app.app.clock.advance(TimeDelta::days(1));
    jobs::run_due(&app.app).await.unwrap();
    let items = officer.get("/api/v1/me/work-items").await.expect(200);
    assert_eq!(items.items().len(), 1);
    let item = &items.items()[0];
    assert_eq!((item["kind"].as_str(), item["due_on"].as_str()), (Some("post_expiring"), Some("2019-05-05")));
    assert_eq!(item["subject"]["id"], "0168028c-2f00-7000-8002-000000000001");
    assert_eq!(item["allowed_actions"], json!(["update", "end"]));
    let post = officer.get(POST).await.expect(200);
    assert_eq!(
        post.json["awaiting"],
        json!({ "kind": "organization", "id": COUNTY, "permission": "post.write",
        "since": "2019-04-10T22:00:00Z", "due_on": "2019-05-05" })
    );
    for (who, mine) in [(&officer, 1), (&viewer, 0)] {
        let awaiting = who.get("/api/v1/posts?awaiting=me").await.expect(200);
        assert_eq!(awaiting.items().len(), mine);
        let counted = who.get("/api/v1/posts/counts?by=position&awaiting=me").await.expect(200);
        assert_eq!(counted.json["counts"].as_array().unwrap().len(), mine);
    }
    let counts = officer.get("/api/v1/me/work-items/counts?by=kind").await.expect(200);
    assert_eq!(counts.json["counts"], json!([{ "key": "post_expiring", "count": 1 }]));
    assert!(neighbour.get("/api/v1/me/work-items").await.expect(200).items().is_empty());
    assert!(viewer.get("/api/v1/me/work-items").await.expect(200).items().is_empty(), "she may not write posts");
    assert_eq!(
        viewer.get("/api/v1/me/work-items?state=watching").await.expect(200).items().len(),
        1,
        "but she sees that it waits"
    );
    // The work runs once however often it is asked, and the step closes the item.
    jobs::run_due(&app.app).await.unwrap();
    assert_eq!(officer.get("/api/v1/me/work-items").await.expect(200).items().len(), 1);
    let ended = json!({ "to_on": "2019-05-05", "reason": "届满" });
    officer.post(format!("{POST}/end")).if_match("\"2\"").json(&ended).await.expect(200);
    assert!(officer.get("/api/v1/me/work-items").await.expect(200).items().is_empty());
    assert_eq!(officer.get("/api/v1/me/work-items?state=done").await.expect(200).items().len(), 1);
    assert_eq!(officer.get(POST).await.expect(200).json["awaiting"], json!(null));
    // What was decided is not asked again on the next day; a new last day is another question.
    app.app.clock.advance(TimeDelta::days(1));
    jobs::run_due(&app.app).await.unwrap();
    assert!(officer.get("/api/v1/me/work-items").await.expect(200).items().is_empty());
    let mut other = body;
    other["to_on"] = json!("2019-05-06");
    let changed = officer.put(POST).if_match("\"3\"").json(&other).await.expect(200);
    assert_eq!(changed.json["end_reason"], json!(null), "why it ends belongs to the day it was to end on");
    app.app.clock.advance(TimeDelta::days(1));
    jobs::run_due(&app.app).await.unwrap();
    assert_eq!(officer.get("/api/v1/me/work-items").await.expect(200).items()[0]["due_on"], "2019-05-06");
}

#[actix_web::test]
async fn every_term_about_to_end_is_announced_however_many_end_on_a_day() {
    let app = TestApp::new().await;
    jobs::run_due(&app.app).await.unwrap();
    let many = format!(
        "WITH made AS (
            INSERT INTO people (id, organization_id, name, created_at, updated_at)
            SELECT gen_random_uuid(), '{COUNTY}', '周兰', now(), now() FROM generate_series(1, 2501) RETURNING id)
        INSERT INTO posts (id, organization_id, person_id, position, employment_mode, from_on, to_on, created_at, updated_at)
        SELECT gen_random_uuid(), '{COUNTY}', id, 'cadre', 'part_time', '2019-01-01',
            CASE WHEN row_number() OVER () > 2000 THEN date '2019-05-02' ELSE '2019-05-01' END, now(), now() FROM made"
    );
    diesel::sql_query(many).execute(&mut app.database.owner().await).await.unwrap();
    app.app.clock.advance(TimeDelta::days(1));
    jobs::run_due(&app.app).await.unwrap();
    let officer = app.sign_in("county-officer").await;
    let counts = officer.get("/api/v1/me/work-items/counts?by=kind").await.expect(200);
    assert_eq!(counts.json["counts"], json!([{ "key": "post_expiring", "count": 2501 }]));
}
