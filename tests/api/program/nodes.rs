//! Two nodes on one database: what is taken away on one is gone on the other.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::client::{Answer, Ask, Client};
use super::process::{Installation, Program, within};
use crate::support::{COUNTY, Database};

/// How long a node may go on answering from its cache after a change on another: a notification's way through the database.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The other node refuses this read, and soon.
async fn soon_refused(client: &Client, path: &str, refused: impl Fn(&Answer) -> bool) {
    let changed = Instant::now();
    within("refusal", async || Some(client.get(path).answer().await).filter(&refused)).await;
    assert!(changed.elapsed() < AT_ONCE, "only after {:?}", changed.elapsed());
}

/// Reads until the node answers from its cache, as after any first request.
async fn warm(node: &Program, client: &Client, path: &str) -> Client {
    let there = node.anonymous().with_token(client.token());
    for _ in 0..3 {
        there.get(path).answer().await.expect(200);
    }
    there
}

#[actix_web::test]
async fn what_is_revoked_on_one_node_is_revoked_on_the_other() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let (here, there) = futures_util::join!(installation.serve(), installation.serve());
    let admin = here.sign_in("county-admin").await;

    let officer = here.sign_in("county-officer").await;
    let elsewhere = warm(&there, &officer, "/api/v1/me").await;
    officer.request(Method::POST, "/api/v1/auth/logout").answer().await.expect(204);
    soon_refused(&elsewhere, "/api/v1/me", |answer| answer.status == 401 && answer.json["code"] == "token_revoked").await;

    let officer = here.sign_in("county-officer").await;
    let elsewhere = warm(&there, &officer, "/api/v1/people").await;
    let account = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000009";
    let grants = admin.get(&format!("{account}/grants")).answer().await.expect(200);
    let grant = format!("{account}/grants/{}", grants.text("/items/0/id"));
    admin.request(Method::DELETE, &grant).answer().await.expect(204);
    soon_refused(&elsewhere, "/api/v1/people", |answer| answer.status == 403).await;
    elsewhere.get("/api/v1/me").answer().await.expect(200);

    // And what is given on one is given on the other.
    let grant = json!({ "role": "officer", "organization_id": COUNTY, "modules": ["organizations"], "from_on": "2019-01-01", "to_on": null });
    admin.post(&format!("{account}/grants")).json(&grant).answer().await.expect(201);
    soon_refused(&elsewhere, "/api/v1/people", |answer| answer.status == 200).await;

    let etag = admin.get(account).answer().await.expect(200).header("etag").to_owned();
    admin.post(&format!("{account}/disable")).header("If-Match", etag).answer().await.expect(200);
    soon_refused(&elsewhere, "/api/v1/me", |answer| answer.status == 401).await;
}
