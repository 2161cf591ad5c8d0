//! Signing in, sessions, second factors, administering accounts.

use chrono::{DateTime, Utc};
use half_sky::access::Role;
use serde_json::json;
use totp_rs::Builder;

use crate::support::{CITY, COUNTY, NEIGHBOUR, TestApp};

/// The code that an authenticator app shows.
pub fn totp_code(secret: &str, at: DateTime<Utc>) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: String =
        secret.bytes().map(|letter| format!("{:05b}", ALPHABET.iter().position(|known| *known == letter).unwrap())).collect();
    let bytes: Vec<u8> =
        bits.as_bytes().chunks_exact(8).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect();
    Builder::new()
        .with_secret(bytes)
        .with_account_name("any")
        .with_issuer(Some("any"))
        .build()
        .unwrap()
        .generate(at.timestamp() as u64)
        .to_string()
}

#[actix_web::test]
async fn unknown_wrong_and_disabled_look_the_same() {
    let app = TestApp::new().await;
    let login = async |username: &str, password: &str| {
        app.anonymous().post("/api/v1/auth/login").json(&json!({ "username": username, "password": password })).await
    };
    for (username, password) in [("nobody-of-that-name", "x"), ("county-officer", "wrong"), ("former-officer", "any")] {
        let answer = login(username, password).await.expect_problem(401, "invalid_credentials");
        assert_eq!(answer.json["detail"], json!(null));
    }
    let answer = login("COUNTY-OFFICER", &app.password("county-officer")).await.expect(200);
    assert_eq!(answer.json["token_type"], "Bearer");
    assert_eq!(answer.json["expires_in"], 600);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json["account"]["username"], "county-officer");
}

#[actix_web::test]
async fn wrong_passwords_hold_back_only_the_network_they_come_from() {
    let app = TestApp::new().await;
    let body = |password: &str| json!({ "username": "county-officer", "password": password });
    for _ in 0..5 {
        app.anonymous().post("/api/v1/auth/login").json(&body("wrong")).await.expect(401);
    }
    let right = app.password("county-officer");
    app.anonymous().post("/api/v1/auth/login").json(&body(&right)).await.expect_problem(401, "invalid_credentials");
    // An administrator forgets the failures.
    let admin = app.sign_in("county-admin").await;
    let path = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000009";
    admin.post(format!("{path}/unlock")).if_match("\"1\"").await.expect(200);
    app.anonymous().post("/api/v1/auth/login").json(&body(&right)).await.expect(200);
}

#[actix_web::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let app = TestApp::new().await;
    let body = json!({ "username": "county-officer", "password": app.password("county-officer") });
    let login = app.anonymous().post("/api/v1/auth/login").json(&body).await.expect(200);
    let refresh = async |token: &str| app.anonymous().post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token })).await;
    let second = refresh(&login.text("/refresh_token")).await.expect(200);
    let client = app.with_token(&second.text("/access_token"));
    client.get("/api/v1/me").await.expect(200);
    refresh(&login.text("/refresh_token")).await.expect_problem(401, "token_revoked");
    client.get("/api/v1/me").await.expect_problem(401, "token_revoked");
    refresh(&second.text("/refresh_token")).await.expect_problem(401, "token_revoked");
    refresh("a-token-that-never-existed").await.expect_problem(401, "token_invalid");
}

#[actix_web::test]
async fn of_two_refreshes_at_once_one_wins() {
    let app = TestApp::new().await;
    let body = json!({ "username": "county-officer", "password": app.password("county-officer") });
    let login = app.anonymous().post("/api/v1/auth/login").json(&body).await.expect(200);
    let body = json!({ "refresh_token": login.text("/refresh_token") });
    let refresh = || app.anonymous().post("/api/v1/auth/refresh").json(&body).into_future();
    let (one, two) = futures_util::future::join(refresh(), refresh()).await;
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
}

#[actix_web::test]
async fn signing_out_takes_effect_at_once_on_every_node() {
    let app = TestApp::new().await;
    let other = TestApp::on(app.database.clone(), crate::support::config(), false).await;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let listener = actix_web::rt::spawn(half_sky::accounts::revocation::listen(other.app.clone(), stopping));
    let officer = app.sign_in("county-officer").await;
    let elsewhere = other.with_token(officer.token());
    elsewhere.get("/api/v1/me").await.expect(200);
    officer.post("/api/v1/auth/logout").await.expect(204);
    officer.get("/api/v1/me").await.expect_problem(401, "token_revoked");
    // The other node hears of it by NOTIFY; until it does, it would answer from its cache.
    let heard = async {
        while elsewhere.get("/api/v1/me").await.status.as_u16() == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), heard).await.expect("the other node heard of it");
    stop.send_replace(true);
    listener.await.unwrap();
}

#[actix_web::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let app = TestApp::new().await;
    let (here, there) = (app.sign_in("county-officer").await, app.sign_in("county-officer").await);
    let sessions = here.get("/api/v1/auth/sessions").await.expect(200);
    assert_eq!(sessions.items().len(), 2);
    let other = sessions.items().iter().find(|session| session["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    here.delete(format!("/api/v1/auth/sessions/{other}")).await.expect(204);
    there.get("/api/v1/me").await.expect_problem(401, "token_revoked");
    here.delete(format!("/api/v1/auth/sessions/{other}")).await.expect_problem(404, "not_found");
    let neighbour = app.sign_in("neighbour-officer").await;
    let hers = here.get("/api/v1/auth/sessions").await.expect(200).items()[0]["id"].as_str().unwrap().to_owned();
    neighbour.delete(format!("/api/v1/auth/sessions/{hers}")).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn tokens_of_attackers_are_refused() {
    let app = TestApp::new().await;
    let token = app.sign_in("county-officer").await.token().to_owned();
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let forge = |head: serde_json::Value| {
        use base64::Engine;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(head.to_string())
    };
    let kid = {
        let jwks = app.anonymous().get("/.well-known/jwks.json").await.expect(200);
        jwks.json["keys"][0]["kid"].as_str().unwrap().to_owned()
    };
    let heads = [
        json!({ "typ": "at+jwt", "alg": "none", "kid": kid }),
        json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid }),
        json!({ "typ": "JWT", "alg": "EdDSA", "kid": kid }),
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "../../dev/null" }),
        json!({ "typ": "at+jwt", "alg": "EdDSA" }),
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false }),
    ];
    for forged in heads {
        let forged = format!("{}.{claims}.{signature}", forge(forged));
        app.with_token(&forged).get("/api/v1/me").await.expect_problem(401, "token_invalid");
    }
    for forged in
        [format!("{head}.{claims}."), format!("{head}.{claims}.{}", "A".repeat(86)), "a.b.c".to_owned(), "x".repeat(16_000)]
    {
        app.with_token(&forged).get("/api/v1/me").await.expect_problem(401, "token_invalid");
    }
    let private = app.anonymous().get("/.well-known/jwks.json").await.expect(200);
    assert!(private.json["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()));
    app.anonymous().get(format!("/api/v1/me?access_token={token}")).await.expect(401);
}

#[actix_web::test]
async fn an_initial_password_opens_nothing_but_its_own_change() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let new = json!({ "username": "xin.ren", "display_name": "新人", "organization_id": COUNTY, "person_id": null });
    let created = admin.post("/api/v1/accounts").json(&new).await.expect(201);
    let initial = created.text("/initial_password");
    let login = json!({ "username": "xin.ren", "password": initial });
    let signed_in = app.anonymous().post("/api/v1/auth/login").json(&login).await.expect(200);
    assert_eq!(signed_in.json["account"]["password_change_required"], true);
    let newcomer = app.with_token(&signed_in.text("/access_token"));
    newcomer.get("/api/v1/me").await.expect_problem(403, "password_change_required");
    newcomer.get("/api/v1/organizations").await.expect_problem(403, "password_change_required");
    let change = |new: &str| json!({ "old_password": initial, "new_password": new });
    for (password, code) in
        [("short", "password_too_short"), ("password1234", "password_too_common"), (&*initial, "password_unchanged")]
    {
        let refused = newcomer.put("/api/v1/me/password").json(&change(password)).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), [("/new_password".to_owned(), code.to_owned())]);
    }
    newcomer.put("/api/v1/me/password").json(&change("dr4gonfly-teapot-92")).await.expect(204);
    newcomer.get("/api/v1/me").await.expect(200);
    newcomer.get("/api/v1/organizations").await.expect_problem(403, "permission_denied");
    let again = admin.post("/api/v1/accounts").json(&new).await.expect_problem(409, "duplicate");
    assert_eq!(again.faults(), [("/username".to_owned(), "taken".to_owned())]);
}

#[actix_web::test]
async fn a_second_factor_is_asked_and_a_code_works_once() {
    let app = TestApp::new().await;
    let (_, client) = app.db_account("two.factors", Some(Role::Viewer), COUNTY).await;
    let started = client.post("/api/v1/me/totp").await.expect(200);
    assert_eq!(started.header("cache-control"), "no-store");
    let secret = started.text("/secret");
    let now = crate::support::now();
    client.post("/api/v1/me/totp/confirm").json(&json!({ "code": "000000" })).await.expect(422);
    let confirmed = client.post("/api/v1/me/totp/confirm").json(&json!({ "code": totp_code(&secret, now) })).await.expect(200);
    let recovery = confirmed.text("/recovery_codes/0");
    let login = |code: Option<&str>| {
        let body = json!({ "username": "two.factors", "password": "dr4gonfly-teapot-92", "totp_code": code });
        app.anonymous().post("/api/v1/auth/login").json(&body)
    };
    login(None).await.expect_problem(401, "mfa_required");
    login(Some("123456")).await.expect_problem(401, "invalid_credentials");
    login(Some(&totp_code(&secret, now))).await.expect_problem(401, "invalid_credentials");
    let next = totp_code(&secret, now + chrono::TimeDelta::seconds(30));
    login(Some(&next)).await.expect(200);
    login(Some(&next)).await.expect_problem(401, "invalid_credentials");
    login(Some(&recovery)).await.expect(200);
    login(Some(&recovery)).await.expect_problem(401, "invalid_credentials");
}

#[actix_web::test]
async fn an_administrator_acts_only_inside_her_subtree_and_below_her_own_role() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let officer = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000009";
    let neighbour = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000010";
    let platform = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000001";
    admin.get(officer).await.expect(200);
    admin.get(neighbour).await.expect_problem(404, "not_found");
    admin.get(platform).await.expect_problem(404, "not_found");
    // In the city everybody is visible, but the platform administrator is above its administrator.
    let city = app.sign_in("city-admin").await;
    city.get(platform).await.expect(200);
    city.post(format!("{platform}/reset-password")).if_match("\"1\"").await.expect_problem(403, "permission_denied");
    city.post(format!("{platform}/disable")).if_match("\"1\"").await.expect_problem(403, "permission_denied");
    let disabled = admin.post(format!("{officer}/disable")).if_match("\"1\"").await.expect(200);
    assert_eq!(disabled.json["allowed_actions"], json!(["enable"]));
    admin.post(format!("{officer}/disable")).if_match("\"2\"").await.expect_problem(409, "invalid_transition");
    admin.post(format!("{officer}/enable")).if_match("\"2\"").await.expect(200);
}

#[actix_web::test]
async fn disabling_an_account_ends_its_sessions_at_once() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    officer.get("/api/v1/me").await.expect(200);
    let admin = app.sign_in("county-admin").await;
    admin.post("/api/v1/accounts/0168028c-2f00-7000-8004-000000000009/disable").if_match("\"1\"").await.expect(200);
    officer.get("/api/v1/me").await.expect_problem(401, "token_revoked");
}

#[actix_web::test]
async fn grants_are_given_by_the_rules_of_delegated_administration() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let officer = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000009/grants";
    let grant = |role: &str, place: &str| json!({ "role": role, "organization_id": place, "modules": ["plans"], "from_on": "2019-01-01", "to_on": null });
    let given = admin.post(officer).json(&grant("manager", COUNTY)).await.expect(201);
    admin.post(officer).json(&grant("auditor", COUNTY)).await.expect_problem(403, "permission_denied");
    admin.post(officer).json(&grant("platform_admin", COUNTY)).await.expect_problem(403, "permission_denied");
    let outside = admin.post(officer).json(&grant("officer", NEIGHBOUR)).await.expect_problem(422, "validation_failed");
    assert_eq!(outside.faults(), [("/organization_id".to_owned(), "unknown_reference".to_owned())]);
    let own = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000008/grants";
    admin.post(own).json(&grant("manager", COUNTY)).await.expect_problem(403, "permission_denied");
    let platform = app.sign_in("platform").await;
    platform.post(officer).json(&grant("auditor", CITY)).await.expect(201);
    let below = platform.post(officer).json(&grant("platform_admin", COUNTY)).await.expect_problem(422, "validation_failed");
    assert_eq!(below.faults(), [("/organization_id".to_owned(), "not_the_top".to_owned())]);
    assert_eq!(admin.get(officer).await.expect(200).items().len(), 3);
    admin.delete(format!("{officer}/{}", given.text("/id"))).await.expect(204);
    admin.delete(format!("{officer}/{}", given.text("/id"))).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn revealing_and_granting_need_a_fresh_proof_of_identity() {
    use diesel_async::RunQueryDsl;
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let mut owner = app.database.owner().await;
    diesel::sql_query("UPDATE sessions SET authenticated_at = authenticated_at - interval '6 minutes'")
        .execute(&mut owner)
        .await
        .unwrap();
    app.app.tokens.forget_all();
    let path = "/api/v1/people/0168028c-2f00-7000-8001-000000000001/reveal";
    let body = json!({ "fields": ["phone", "id_number"], "reason": "通知参加会议" });
    let refused = admin.post(path).json(&body).await.expect_problem(401, "step_up_required");
    assert!(refused.header("www-authenticate").contains("insufficient_user_authentication"));
    let wrong = admin.post("/api/v1/auth/step-up").json(&json!({ "password": "wrong" })).await;
    wrong.expect_problem(401, "invalid_credentials");
    let password = app.password("county-admin");
    let fresh = admin.post("/api/v1/auth/step-up").json(&json!({ "password": password })).await.expect(200);
    let admin = app.with_token(&fresh.text("/access_token"));
    let revealed = admin.post(path).json(&body).await.expect(200);
    assert_eq!(revealed.json["phone"], "+8613800005678");
    assert_eq!(revealed.header("cache-control"), "no-store");
    let auditor = app.sign_in("city-auditor").await;
    let entries = auditor.get("/api/v1/audit-entries?action=person.revealed").await.expect(200);
    assert_eq!(entries.items()[0]["reason"], "通知参加会议");
    assert!(!entries.json.to_string().contains("13800005678"), "the audit trail says that, not what");
}

#[actix_web::test]
async fn a_password_cannot_be_guessed_with_a_stolen_token_either() {
    use diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Failures {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        failures: i32,
    }
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let change = |old: &str| json!({ "old_password": old, "new_password": "a-heron-over-the-lake-7" });
    for _ in 0..5 {
        let wrong = officer.put("/api/v1/me/password").json(&change("wrong")).await.expect_problem(422, "validation_failed");
        assert_eq!(wrong.faults(), [("/old_password".to_owned(), "wrong_password".to_owned())]);
    }
    let right = app.password("county-officer");
    officer.put("/api/v1/me/password").json(&change(&right)).await.expect_problem(422, "validation_failed");
    officer.post("/api/v1/auth/step-up").json(&json!({ "password": right })).await.expect_problem(401, "invalid_credentials");
    let mut owner = app.database.owner().await;
    let counted: Failures =
        diesel::sql_query("SELECT max(failures) AS failures FROM sign_in_attempts").get_result(&mut owner).await.unwrap();
    assert_eq!(counted.failures, 5, "who is held back does not lengthen her own wait");
    let admin = app.sign_in("county-admin").await;
    admin.post("/api/v1/accounts/0168028c-2f00-7000-8004-000000000009/unlock").if_match("\"1\"").await.expect(200);
    officer.put("/api/v1/me/password").json(&change(&right)).await.expect(204);
}

#[actix_web::test]
async fn an_administrator_takes_over_no_account_for_modules_that_she_does_not_have() {
    use diesel_async::RunQueryDsl;
    let app = TestApp::new().await;
    let mut owner = app.database.owner().await;
    let narrow = "UPDATE grants SET modules = '{organizations,system}'
        WHERE account_id = (SELECT id FROM accounts WHERE username = 'county-admin')";
    diesel::sql_query(narrow).execute(&mut owner).await.unwrap();
    let admin = app.sign_in("county-admin").await;
    // The officer also works on loans: whoever resets her password could.
    let officer = "/api/v1/accounts/0168028c-2f00-7000-8004-000000000009";
    let shown = admin.get(officer).await.expect(200);
    assert_eq!(shown.json["allowed_actions"], json!([]));
    admin.post(format!("{officer}/reset-password")).if_match("\"1\"").await.expect_problem(403, "permission_denied");
    let (mine, _) = app.db_account("clerk", None, COUNTY).await;
    let grant = |modules: &[&str]| json!({ "role": "officer", "organization_id": COUNTY, "modules": modules, "from_on": "2019-01-01", "to_on": null });
    let grants = format!("/api/v1/accounts/{mine}/grants");
    admin.post(&grants).json(&grant(&["loans"])).await.expect_problem(403, "permission_denied");
    admin.post(&grants).json(&grant(&["organizations"])).await.expect(201);
    admin.post(format!("/api/v1/accounts/{mine}/reset-password")).if_match("\"1\"").await.expect(200);
}

#[actix_web::test]
async fn what_may_be_done_with_an_account_is_what_the_caller_may_do() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let page = admin.get("/api/v1/accounts?limit=100").await.expect(200);
    let actions = |username: &str| {
        let account = page.items().iter().find(|account| account["username"] == username);
        account.map(|account| account["allowed_actions"].clone()).unwrap_or_default()
    };
    assert_eq!(actions("platform"), json!([]), "she could not have granted that role");
    assert_eq!(actions("city-auditor"), json!([]));
    assert_eq!(actions("city-admin"), json!(["unlock", "reset-password"]), "nobody disables herself");
    assert_eq!(actions("county-officer"), json!(["disable", "unlock", "reset-password"]));
}

#[actix_web::test]
async fn no_session_begins_with_a_password_that_was_reset_meanwhile() {
    use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
    #[derive(diesel::QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        waiting: i64,
    }
    let app = TestApp::new().await;
    let body = json!({ "username": "county-officer", "password": app.password("county-officer") });
    let mut reset = app.database.owner().await;
    let hold = "BEGIN; UPDATE accounts SET password_hash = '!' WHERE username = 'county-officer'";
    reset.batch_execute(hold).await.unwrap();
    let login = actix_web::rt::spawn(app.anonymous().post("/api/v1/auth/login").json(&body).into_future());
    let mut watcher = app.database.superuser().await;
    let look = "SELECT count(*) AS waiting FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while diesel::sql_query(look).get_result::<Waiting>(&mut watcher).await.unwrap().waiting == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waits).await.expect("the sign-in has checked the old password");
    reset.batch_execute("COMMIT").await.unwrap();
    login.await.unwrap().expect_problem(401, "invalid_credentials");
}

#[actix_web::test]
async fn an_initial_password_is_kept_nowhere_also_when_it_is_repeated() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let new = json!({ "username": "xin.ren", "display_name": "新人", "organization_id": COUNTY, "person_id": null });
    let first = admin.post("/api/v1/accounts").key("once").json(&new).await.expect(201);
    let again = admin.post("/api/v1/accounts").key("once").json(&new).await.expect(201);
    assert_eq!(again.bytes, first.bytes);
    assert_eq!((first.header("cache-control"), again.header("cache-control")), ("no-store", "no-store"));
}

#[actix_web::test]
async fn demo_sign_ins_that_do_not_fit_the_database_are_made_anew() {
    use diesel_async::RunQueryDsl;
    let app = TestApp::new().await;
    let mut owner = app.database.owner().await;
    // As in a new database beside the file of an old one.
    let fresh = "UPDATE accounts SET password_hash = '!' WHERE username = 'county-officer'";
    diesel::sql_query(fresh).execute(&mut owner).await.unwrap();
    let known = crate::support::server().sign_ins.clone();
    let progress = indicatif::ProgressBar::hidden();
    let printed = half_sky::demo::load(&app.app, &app.database.owner_address(), known.clone(), &progress).await.unwrap();
    assert_eq!(printed.len(), known.len());
    for (printed, known) in printed.iter().zip(&known) {
        assert_eq!(printed.password == known.password, printed.username != "county-officer", "{}", printed.username);
        let body = json!({ "username": printed.username, "password": printed.password });
        app.anonymous().post("/api/v1/auth/login").json(&body).await.expect(200);
    }
}

#[actix_web::test]
async fn an_account_and_the_organization_whose_liaison_it_is_are_changed_at_the_same_time() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let officer = admin.get("/api/v1/accounts?q=county-officer").await.expect(200).items()[0]["id"].as_str().unwrap().to_owned();
    let (account, county) = (format!("/api/v1/accounts/{officer}"), format!("/api/v1/organizations/{COUNTY}"));
    for round in 0..10 {
        let (mine, theirs) = (admin.get(&account).await.expect(200), admin.get(&county).await.expect(200));
        let renamed = json!({ "display_name": format!("经办{round}"), "organization_id": COUNTY, "person_id": null });
        // One and the same liaison, taken away and given back in each round.
        let liaisons = if round % 2 == 0 { json!([{ "account_id": officer, "modules": ["plans"] }]) } else { json!([]) };
        let edited = json!({ "name": "岳阳楼区妇联", "short_name": null, "host_name": null, "division_code": "430602", "uscc": null,
            "address": null, "location": null, "phone": null, "founded_on": null, "approval_document": null, "tags": [],
            "liaisons": liaisons });
        let rename = admin.put(&account).if_match(&mine.etag()).json(&renamed);
        let edit = admin.put(&county).if_match(&theirs.etag()).json(&edited);
        let (renamed, edited) = futures_util::join!(rename.into_future(), edit.into_future());
        renamed.expect(200);
        edited.expect(200);
    }
}
