//! The command line's ways into the data: the first account, imported plans, keys.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diesel_async::RunQueryDsl;
use half_sky::plans::import::WorkPlan;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Ask, Client};
use super::number;
use super::process::{Installation, Program, within};
use crate::support::{COUNTY, Database};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plans/data/workplan-2019.json");

#[actix_web::test]
async fn the_first_account_signs_in_with_a_printed_password_that_opens_only_its_own_change() {
    let database = Database::empty().await;
    let installation = Installation::on(&database);
    installation.run(&["migrate", "--service-role", "half_sky_login"]).await.well();
    let create = ["admin", "create", "--username", "Zhuren", "--organization", "试点市妇联"];
    let said = installation.run(&create).await.well();
    let password = said.split("initial password ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    installation.run(&create).await.refused();

    let program = installation.serve().await;
    let chief = program.sign_in_with("zhuren", &password).await;
    for read in ["/api/v1/me", "/api/v1/organizations", "/api/v1/accounts", "/api/v1/me/work-items", "/api/v1/auth/sessions"] {
        chief.get(read).answer().await.expect_problem(403, "password_change_required");
    }
    chief.request(Method::POST, "/api/v1/auth/logout").answer().await.expect_problem(403, "password_change_required");
    let change = json!({ "old_password": password, "new_password": "dr4gonfly-teapot-92" });
    chief.request(Method::PUT, "/api/v1/me/password").json(&change).answer().await.expect(204);
    let chief = program.sign_in_with("zhuren", "dr4gonfly-teapot-92").await;
    let organizations = chief.get("/api/v1/organizations").answer().await.expect(200);
    assert_eq!(organizations.text("/items/0/name"), "试点市妇联");
    assert_eq!(chief.get("/api/v1/me").answer().await.expect(200).text("/username"), "zhuren");
}

#[actix_web::test]
async fn a_plan_is_imported_for_a_second_organization() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let import = ["import", "plan", PLAN, "--organization", COUNTY];
    let said = installation.run(&import).await.well();
    let plan = said.trim().strip_prefix("plan ").unwrap();
    let officer = program.sign_in("county-officer").await;
    let shown = officer.get(&format!("/api/v1/plans/{plan}")).answer().await.expect(200);
    assert_eq!((&shown.json["organization_id"], &shown.json["year"]), (&json!(COUNTY), &json!(2019)));
    let tasks = officer.get(&format!("/api/v1/plans/{plan}/tasks?limit=100&include_total=true")).answer().await.expect(200);
    let document = WorkPlan::parse(&std::fs::read_to_string(PLAN).unwrap()).unwrap();
    assert_eq!(tasks.json["total"]["value"], document.tasks().count(), "{}", tasks.json["total"]);
    let neighbour = program.sign_in("neighbour-officer").await;
    neighbour.get(&format!("/api/v1/plans/{plan}")).answer().await.expect_problem(404, "not_found");

    let nowhere = ["import", "plan", PLAN, "--organization", "0168028c-2f00-7000-8000-000000000000"];
    installation.run(&nowhere).await.refused();
    let mut owner = database.owner().await;
    assert_eq!(number(&mut owner, "SELECT count(*) AS number FROM plans").await, 2, "nothing of it is left");
}

/// The key that signed a client's token.
fn kid(client: &Client) -> String {
    let head = BASE64_URL_SAFE_NO_PAD.decode(client.token().split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&head).unwrap()["kid"].as_str().unwrap().to_owned()
}

async fn published(program: &Program) -> Vec<String> {
    let keys = program.anonymous().get("/.well-known/jwks.json").answer().await.expect(200);
    keys.json["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn signing_keys_are_rotated_and_revoked_while_the_service_runs() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let old = program.sign_in("county-officer").await;
    let next = published(&program).await.into_iter().find(|key| *key != kid(&old)).unwrap();
    installation.run(&["keys", "rotate", "--signing"]).await.well();
    within("third key", async || (published(&program).await.len() == 3).then_some(())).await;
    old.get("/api/v1/me").answer().await.expect(200);
    let new = program.sign_in("county-officer").await;
    assert_eq!(kid(&new), next, "the key that was published before signs");
    new.get("/api/v1/me").answer().await.expect(200);

    installation.run(&["keys", "revoke", &kid(&old)]).await.well();
    within("end of the old tokens", async || refused(old.get("/api/v1/me").answer().await)).await;
    new.get("/api/v1/me").answer().await.expect(200);
    // The active key is replaced before it dies.
    installation.run(&["keys", "revoke", &kid(&new)]).await.well();
    within("end of the new tokens", async || refused(new.get("/api/v1/me").answer().await)).await;
    let third = program.sign_in("county-officer").await;
    third.get("/api/v1/me").answer().await.expect(200);
    assert!(![kid(&old), kid(&new)].contains(&kid(&third)));
    assert!(published(&program).await.iter().all(|key| ![kid(&old), kid(&new)].contains(key)));
    let unknown = installation.run(&["keys", "revoke", "no-such-key"]).await.refused();
    assert!(unknown.contains("no signing key no-such-key"), "{unknown}");
}

fn refused(answer: Answer) -> Option<()> {
    (answer.status == 401 && answer.json["code"] == "token_invalid").then_some(())
}

#[actix_web::test]
async fn data_keys_are_rotated_while_the_service_runs_and_what_was_sealed_still_opens() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let admin = program.sign_in("county-admin").await;
    let step_up = json!({ "password": crate::support::server().sign_ins.iter().find(|known| known.username == "county-admin").unwrap().password });
    let fresh = admin.request(Method::POST, "/api/v1/auth/step-up").json(&step_up).answer().await.expect(200);
    let admin = admin.with_token(fresh.text("/access_token"));
    let reveal = async || {
        let ask = json!({ "fields": ["phone", "id_number"], "reason": "通知参加会议" });
        let path = "/api/v1/people/0168028c-2f00-7000-8001-000000000001/reveal";
        admin.request(Method::POST, path).json(&ask).answer().await.expect(200).text("/phone")
    };
    assert_eq!(reveal().await, "+8613800005678");

    let mut owner = database.owner().await;
    let sealed_before = "CREATE TABLE sealed_before AS SELECT id, phone FROM people WHERE phone IS NOT NULL";
    diesel::sql_query(sealed_before).execute(&mut owner).await.unwrap();
    let said = installation.run(&["keys", "rotate", "--data"]).await.well();
    let operation = said.trim().trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
    assert_eq!(reveal().await, "+8613800005678", "before it is sealed again");
    let platform = program.sign_in("platform").await;
    within("success of the operation", async || {
        let shown = platform.get(&format!("/api/v1/operations/{operation}")).answer().await.expect(200);
        (shown.json["status"] == "succeeded").then_some(())
    })
    .await;
    assert_eq!(reveal().await, "+8613800005678", "after it was sealed again");
    let same = "SELECT count(*) AS number FROM people JOIN sealed_before USING (id, phone)";
    assert_eq!(number(&mut owner, same).await, 0, "each was sealed again");
    admin.post("/api/v1/sites").json(&super::new_site(1)).answer().await.expect(201);
    // A node that starts later opens all of it too.
    let later = installation.serve().await;
    later.sign_in("county-admin").await.get("/api/v1/people").answer().await.expect(200);
}
