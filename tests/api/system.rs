//! The audit trail, long work, jobs, forgetting, and sealing again after a rotation of the data keys.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use half_sky::access::Role;
use half_sky::audit::{self, Actor, Change};
use half_sky::db::schema::{
    accounts, data_keys, idempotency_keys, jobs, operations, people, refresh_tokens, sessions, work_items,
};
use half_sky::ids::{AccountId, OperationId, OrganizationId};
use half_sky::jobs::run_due;
use half_sky::system::operations::{GoOn, StartedBy, advance, begin, create, finish};
use half_sky::system::{self, OperationStatus};
use half_sky::vault::Purpose;
use serde_json::json;
use uuid::Uuid;

use crate::support::{CITY, COUNTY, NEIGHBOUR, TestApp, VILLAGE, now};

fn organization(id: &str) -> OrganizationId {
    id.parse::<Uuid>().unwrap().into()
}

/// The demo data has a dead job and an operation of its own.
async fn db_forget_demo_work(app: &TestApp) {
    let mut conn = app.database.owner().await;
    diesel::delete(jobs::table).execute(&mut conn).await.unwrap();
    diesel::delete(operations::table).execute(&mut conn).await.unwrap();
}

async fn db_audit_entry(conn: &mut AsyncPgConnection, action: &'static str, place: Option<&str>, actor: &Actor) {
    let change = Change::of(action, "test_object", Uuid::now_v7(), place.map(organization)).after(&json!({ "name": "x" }));
    audit::record(conn, now(), actor, change).await.unwrap();
}

async fn actions(who: &crate::support::Client, query: &str) -> Vec<String> {
    let page = who.get(format!("/api/v1/audit-entries?object_type=test_object{query}")).await.expect(200);
    page.items().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn an_auditor_reads_the_audit_trail_of_her_subtree_newest_first() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    for (action, place) in [("test.first", VILLAGE), ("test.second", COUNTY), ("test.third", CITY), ("test.fourth", NEIGHBOUR)] {
        db_audit_entry(&mut conn, action, Some(place), &Actor::system()).await;
    }
    let (_, county) = app.db_account("county-auditor", Some(Role::Auditor), COUNTY).await;
    assert_eq!(actions(&county, "").await, ["test.second", "test.first"]);
    assert_eq!(actions(&county, "&sort=at").await, ["test.first", "test.second"]);
    let city = app.sign_in("city-auditor").await;
    assert_eq!(actions(&city, "").await, ["test.fourth", "test.third", "test.second", "test.first"]);
    assert_eq!(actions(&city, &format!("&organization_id={NEIGHBOUR}")).await, ["test.fourth"]);
    assert_eq!(actions(&county, &format!("&organization_id={NEIGHBOUR}")).await, [""; 0]);

    let page = city.get("/api/v1/audit-entries?object_type=test_object&limit=3").await.expect(200);
    assert_eq!(actions(&city, &format!("&limit=3&cursor={}", page.text("/next_cursor"))).await, ["test.first"]);
}

#[actix_web::test]
async fn the_audit_trail_is_filtered() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let officer = AccountId::generate();
    let by_her = Actor { account_id: Some(officer.0), role: Some("officer"), ..Actor::default() };
    db_audit_entry(&mut conn, "test.hers", Some(CITY), &by_her).await;
    db_audit_entry(&mut conn, "test.systems", Some(CITY), &Actor::system()).await;
    let city = app.sign_in("city-auditor").await;
    assert_eq!(actions(&city, &format!("&actor_id={officer}")).await, ["test.hers"]);
    assert_eq!(actions(&city, "&action=test.systems").await, ["test.systems"]);
    assert_eq!(actions(&city, "&outcome=refused").await, [""; 0]);
    assert_eq!(actions(&city, "&at_gte=2019-04-10T00:00:00Z&at_lt=2019-04-11T00:00:00Z").await.len(), 2);
    assert_eq!(actions(&city, "&at_lt=2019-04-10T00:00:00Z").await, [""; 0]);

    let plan = city.get("/api/v1/audit-entries?object_id=0168028c-2f00-7000-8010-000000002019").await.expect(200);
    assert_eq!(plan.items()[0]["action"], "plan.imported");
    assert_eq!(plan.items()[0]["actor_kind"], "system");
    assert_eq!(plan.items()[0]["after"]["tasks"], 81);
}

#[actix_web::test]
async fn entries_of_no_organization_are_for_platform_administrators_and_officers_read_none() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    db_audit_entry(&mut conn, "test.nowhere", None, &Actor::system()).await;
    assert_eq!(actions(&app.sign_in("platform").await, "").await, ["test.nowhere"]);
    assert_eq!(actions(&app.sign_in("city-auditor").await, "").await, [""; 0]);
    app.sign_in("city-officer").await.get("/api/v1/audit-entries").await.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn the_service_can_neither_change_nor_forget_the_audit_trail() {
    let app = TestApp::new().await;
    let mut service = app.database.login().await;
    for statement in ["UPDATE audit_entries SET action = 'x'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"] {
        let refused = service.batch_execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{statement}: {refused}");
        let refused = app.database.owner().await.batch_execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("audit entries are final"), "{statement}: {refused}");
    }
}

/// Long work of an account that waits for its job.
async fn db_operation(app: &TestApp, account_id: Option<AccountId>) -> OperationId {
    let by = StartedBy { account_id, organization_id: Some(organization(COUNTY)) };
    create(&mut app.database.login().await, "import", by, now()).await.unwrap()
}

#[actix_web::test]
async fn one_sees_and_stops_only_ones_own_long_work_a_platform_administrator_all_of_it() {
    let app = TestApp::new().await;
    let (mine, me) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    let address = format!("/api/v1/operations/{}", db_operation(&app, Some(mine)).await);
    let shown = me.get(&address).await.expect(200);
    assert_eq!(shown.json["status"], "queued");
    assert_eq!(shown.json["allowed_actions"], json!(["cancel"]));
    let neighbour = app.sign_in("city-admin").await;
    neighbour.get(&address).await.expect_problem(404, "not_found");
    neighbour.post(format!("{address}/cancel")).if_match(&shown.etag()).await.expect_problem(404, "not_found");
    let of_nobody = format!("/api/v1/operations/{}", db_operation(&app, None).await);
    me.get(&of_nobody).await.expect_problem(404, "not_found");
    me.post(format!("{of_nobody}/cancel")).if_match("\"1\"").await.expect_problem(404, "not_found");
    let platform = app.sign_in("platform").await;
    platform.get(&address).await.expect(200);
    platform.post(format!("{of_nobody}/cancel")).if_match("\"1\"").await.expect(200);
}

#[actix_web::test]
async fn work_that_waits_is_cancelled_at_once_and_finished_work_refuses() {
    let app = TestApp::new().await;
    let (mine, me) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    let id = db_operation(&app, Some(mine)).await;
    let cancel = format!("/api/v1/operations/{id}/cancel");
    me.post(&cancel).without("If-Match").await.expect_problem(428, "precondition_required");
    me.post(&cancel).if_match("\"7\"").await.expect_problem(412, "version_conflict");
    let cancelled = me.post(&cancel).if_match("\"1\"").key("once").await.expect(200);
    assert_eq!(cancelled.json["status"], "cancelled");
    assert_eq!(cancelled.json["allowed_actions"], json!([]));
    let replayed = me.post(&cancel).if_match("\"1\"").key("once").await.expect(200);
    assert_eq!(replayed.header("Idempotent-Replayed"), "true");
    assert_eq!(replayed.bytes, cancelled.bytes);
    let refused = me.post(&cancel).if_match(&cancelled.etag()).await.expect_problem(409, "invalid_transition");
    assert_eq!(refused.json["current_status"], "cancelled");
    // Its job finds that it is over.
    assert_eq!(begin(&mut app.database.login().await, id, None, now()).await.unwrap(), GoOn::Stop);
}

#[actix_web::test]
async fn work_under_way_stops_at_its_next_safe_point() {
    let app = TestApp::new().await;
    let (mine, me) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    let id = db_operation(&app, Some(mine)).await;
    let mut job = app.database.login().await;
    assert_eq!(begin(&mut job, id, Some(100), now()).await.unwrap(), GoOn::Yes);
    assert_eq!(advance(&mut job, id, 40).await.unwrap(), GoOn::Yes);
    let shown = me.get(format!("/api/v1/operations/{id}")).await.expect(200);
    assert_eq!(shown.json["progress"], json!({ "done": 40, "total": 100 }));
    let told = me.post(format!("/api/v1/operations/{id}/cancel")).if_match(&shown.etag()).await.expect(200);
    assert_eq!((&told.json["status"], &told.json["cancel_requested"]), (&json!("running"), &json!(true)));
    me.post(format!("/api/v1/operations/{id}/cancel")).if_match(&told.etag()).await.expect_problem(409, "invalid_transition");
    assert_eq!(advance(&mut job, id, 50).await.unwrap(), GoOn::Stop);
    finish(&mut job, id, OperationStatus::Cancelled, None, now()).await.unwrap();
    assert_eq!(me.get(format!("/api/v1/operations/{id}")).await.expect(200).json["status"], "cancelled");
}

async fn db_job(conn: &mut AsyncPgConnection, state: &str) -> Uuid {
    let id = Uuid::now_v7();
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::kind.eq("unheard_of"),
            jobs::payload.eq(json!({ "id": id })),
            jobs::state.eq(state),
            jobs::run_at.eq(now() + TimeDelta::days(1)),
            jobs::attempts.eq(10),
            jobs::last_error.eq("no job of this kind"),
            jobs::finished_at.eq(now()),
        ))
        .execute(conn)
        .await
        .unwrap();
    id
}

#[actix_web::test]
async fn a_platform_administrator_finds_dead_jobs_and_retries_them() {
    let app = TestApp::new().await;
    db_forget_demo_work(&app).await;
    let mut conn = app.database.owner().await;
    let (dead, done) = (db_job(&mut conn, "dead").await, db_job(&mut conn, "done").await);
    let platform = app.sign_in("platform").await;
    let listed = platform.get("/api/v1/jobs?state=dead").await.expect(200);
    assert_eq!(listed.items().len(), 1);
    assert_eq!(listed.items()[0]["id"], dead.to_string());
    assert_eq!(listed.items()[0]["allowed_actions"], json!(["retry"]));
    assert_eq!(platform.get("/api/v1/jobs").await.expect(200).json, listed.json);
    assert_eq!(platform.get("/api/v1/jobs?state=done,queued").await.expect(200).items().len(), 1);
    assert_eq!(platform.get("/api/v1/jobs?kind=reseal").await.expect(200).items().len(), 0);

    let retried = platform.post(format!("/api/v1/jobs/{dead}/retry")).key("once").await.expect(200);
    assert_eq!((&retried.json["state"], &retried.json["attempts"]), (&json!("queued"), &json!(0)));
    assert_eq!(retried.json["run_at"], "2019-04-10T01:00:00Z");
    platform.post(format!("/api/v1/jobs/{dead}/retry")).key("once").await.expect(200);
    let refused = platform.post(format!("/api/v1/jobs/{dead}/retry")).await.expect_problem(409, "invalid_transition");
    assert_eq!(refused.json["current_status"], "queued");
    platform.post(format!("/api/v1/jobs/{done}/retry")).await.expect_problem(409, "invalid_transition");
    platform.post(format!("/api/v1/jobs/{}/retry", Uuid::now_v7())).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn nobody_else_sees_the_jobs() {
    let app = TestApp::new().await;
    let job = db_job(&mut app.database.owner().await, "dead").await;
    let admin = app.sign_in("city-admin").await;
    admin.get("/api/v1/jobs").await.expect_problem(403, "permission_denied");
    admin.post(format!("/api/v1/jobs/{job}/retry")).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn what_is_no_longer_needed_is_forgotten_and_the_rest_stays() {
    let app = TestApp::new().await;
    db_forget_demo_work(&app).await;
    let (account_id, _) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    let mut conn = app.database.owner().await;
    let script = format!(
        "INSERT INTO jobs (id, kind, payload, state, run_at, finished_at)
           SELECT gen_random_uuid(), 'x', '{{}}', s, now(), TIMESTAMPTZ '2019-04-10 01:00Z' - d * INTERVAL '1 day'
           FROM unnest(ARRAY[6, 8]) d, unnest(ARRAY['done', 'dead']) s;
         INSERT INTO operations (id, kind, status, created_at, finished_at)
           SELECT gen_random_uuid(), 'x', 'succeeded', now(), TIMESTAMPTZ '2019-04-10 01:00Z' - d * INTERVAL '1 day' FROM unnest(ARRAY[29, 31]) d;
         INSERT INTO operations (id, kind, status, created_at) VALUES (gen_random_uuid(), 'x', 'running', '2000-01-01');
         DELETE FROM refresh_tokens; DELETE FROM sessions;
         INSERT INTO sessions (id, account_id, authenticated_at, strong, created_at, last_used_at, expires_at)
           SELECT gen_random_uuid(), '{account_id}', now(), false, now(), now(), TIMESTAMPTZ '2019-04-10 01:00Z' - d * INTERVAL '1 day'
           FROM unnest(ARRAY[89, 91]) d;
         INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) SELECT sha256(id::text::bytea), id, now(), now() FROM sessions;
         INSERT INTO work_items (id, kind, title, subject_type, subject_id, organization_id, permission, since, done_at)
           SELECT gen_random_uuid(), 'x', 'x', 'x', gen_random_uuid(), '{CITY}', 'x', now(), TIMESTAMPTZ '2019-04-10 01:00Z' - d * INTERVAL '1 day'
           FROM unnest(ARRAY[399, 401]) d;
         DELETE FROM idempotency_keys;
         INSERT INTO idempotency_keys (principal, operation, key, fingerprint, status, body, permission, places, created_at, expires_at)
           SELECT gen_random_uuid(), 'x', 'x', '', 200, '', 'x', '{{}}', now(), TIMESTAMPTZ '2019-04-10 01:00Z' - d * INTERVAL '1 hour'
           FROM unnest(ARRAY[1, -1]) d;"
    );
    conn.batch_execute(&script).await.unwrap();
    system::purge(&app.app, &mut app.database.login().await).await.unwrap();
    macro_rules! left {
        ($table:ident) => {
            $table::table.count().get_result::<i64>(&mut conn).await.unwrap()
        };
    }
    assert_eq!(left!(jobs), 3, "dead jobs wait for a person");
    assert_eq!(left!(operations), 2);
    assert_eq!((left!(sessions), left!(refresh_tokens)), (1, 1));
    assert_eq!(work_items::table.filter(work_items::kind.eq("x")).count().get_result::<i64>(&mut conn).await.unwrap(), 1);
    assert_eq!(left!(idempotency_keys), 1);
}

/// A sealed column.
type Sealed = Option<Vec<u8>>;

const PEOPLE: usize = 1203;

/// People with sealed phones, more than two batches of them, and an account with a sealed secret.
async fn db_sealed(app: &TestApp, account_id: AccountId) {
    let vault = &app.app.vault;
    let mut conn = app.database.owner().await;
    let rows: Vec<_> = (0..PEOPLE)
        .map(|number| {
            (
                people::id.eq(Uuid::now_v7()),
                people::organization_id.eq(organization(COUNTY)),
                people::name.eq(format!("person {number}")),
                people::phone.eq(vault.seal(Purpose::Personal, "people.phone", format!("139{number:08}").as_bytes())),
                people::created_at.eq(now()),
                people::updated_at.eq(now()),
            )
        })
        .collect();
    diesel::insert_into(people::table).values(&rows).execute(&mut conn).await.unwrap();
    let secret = vault.seal(Purpose::Secrets, "accounts.totp_secret", b"secret");
    diesel::update(accounts::table.find(account_id)).set(accounts::totp_secret.eq(secret)).execute(&mut conn).await.unwrap();
}

/// New data keys, as `half-sky keys rotate --data` makes them.
async fn rotate(app: &TestApp) -> OperationId {
    let mut conn = app.database.owner().await;
    app.app.vault.rotate(&mut conn).await.unwrap();
    system::start_reseal(&mut conn, now()).await.unwrap()
}

#[actix_web::test]
async fn after_a_rotation_every_sealed_value_is_sealed_again_and_opens_as_before() {
    let app = TestApp::new().await;
    let (account_id, _) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    db_sealed(&app, account_id).await;
    let operation = rotate(&app).await;
    run_due(&app.app).await.unwrap();

    let shown = app.sign_in("platform").await.get(format!("/api/v1/operations/{operation}")).await.expect(200);
    assert_eq!(shown.json["status"], "succeeded");
    assert_eq!(shown.json["progress"]["done"], shown.json["progress"]["total"]);
    assert!(shown.json["progress"]["total"].as_i64() > Some(PEOPLE as i64));
    let vault = &app.app.vault;
    let mut conn = app.database.owner().await;
    let sealed: Vec<(String, Sealed, Sealed)> =
        people::table.select((people::name, people::phone, people::id_number)).load(&mut conn).await.unwrap();
    for (name, phone, id_number) in sealed {
        for (place, value) in [("people.phone", &phone), ("people.id_number", &id_number)] {
            let Some(value) = value else { continue };
            assert!(vault.is_current(Purpose::Personal, value), "{place} of {name}");
            let plain = vault.open_text(place, value).unwrap();
            if let Some(number) = name.strip_prefix("person ") {
                assert_eq!(plain, format!("139{number:0>8}"));
            }
        }
    }
    let secret: Sealed = accounts::table.find(account_id).select(accounts::totp_secret).first(&mut conn).await.unwrap();
    let secret = secret.unwrap();
    assert!(vault.is_current(Purpose::Secrets, &secret));
    assert_eq!(vault.open("accounts.totp_secret", &secret).unwrap(), b"secret");
    // The old keys are no longer needed: a node that starts without them reads everything.
    diesel::delete(data_keys::table.filter(data_keys::is_current.eq(false)).filter(data_keys::purpose.ne("replies")))
        .execute(&mut conn)
        .await
        .unwrap();
    TestApp::on(app.database.clone(), crate::support::config(), false).await.sign_in("city-officer").await;
}

#[actix_web::test]
async fn a_value_that_does_not_open_is_left_alone_and_the_operation_fails() {
    let app = TestApp::new().await;
    let (account_id, _) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    db_sealed(&app, account_id).await;
    let mut conn = app.database.owner().await;
    let broken = app.app.vault.seal(Purpose::Personal, "another.place", b"x");
    let one = people::table.filter(people::name.eq("person 600"));
    diesel::update(one).set(people::phone.eq(&broken)).execute(&mut conn).await.unwrap();
    let operation = rotate(&app).await;
    run_due(&app.app).await.unwrap();
    let shown = app.sign_in("platform").await.get(format!("/api/v1/operations/{operation}")).await.expect(200);
    assert_eq!((&shown.json["status"], &shown.json["error"]), (&json!("failed"), &json!("internal")));
    assert_eq!(shown.json["progress"]["done"], shown.json["progress"]["total"], "the others are sealed again");
    let left: Sealed = one.select(people::phone).first(&mut conn).await.unwrap();
    assert_eq!(left, Some(broken));
}

#[actix_web::test]
async fn sealing_again_does_not_begin_when_it_was_cancelled() {
    let app = TestApp::new().await;
    db_forget_demo_work(&app).await;
    let (account_id, _) = app.db_account("importer", Some(Role::Officer), COUNTY).await;
    db_sealed(&app, account_id).await;
    let operation = rotate(&app).await;
    let platform = app.sign_in("platform").await;
    platform.post(format!("/api/v1/operations/{operation}/cancel")).if_match("\"1\"").await.expect(200);
    run_due(&app.app).await.unwrap();
    let mut conn = app.database.owner().await;
    let phone: Sealed = people::table.filter(people::name.eq("person 0")).select(people::phone).first(&mut conn).await.unwrap();
    assert!(!app.app.vault.is_current(Purpose::Personal, &phone.unwrap()));
    let state: String = jobs::table.filter(jobs::kind.eq("reseal")).select(jobs::state).first(&mut conn).await.unwrap();
    assert_eq!(state, "done");
}

#[actix_web::test]
async fn a_job_that_takes_its_workers_down_with_it_is_given_up() {
    let app = TestApp::new().await;
    db_forget_demo_work(&app).await;
    let mut conn = app.database.owner().await;
    let script = "INSERT INTO jobs (id, kind, payload, state, run_at, attempts, max_attempts, leased_until)
        VALUES (gen_random_uuid(), 'reseal', '{}', 'running', TIMESTAMPTZ '2019-04-10 00:00Z', 10, 10, TIMESTAMPTZ '2019-04-10 00:01Z')";
    conn.batch_execute(script).await.unwrap();
    run_due(&app.app).await.unwrap();
    let (state, error): (String, Option<String>) =
        jobs::table.select((jobs::state, jobs::last_error)).first(&mut conn).await.unwrap();
    assert_eq!((state.as_str(), error.as_deref()), ("dead", Some("no attempt came to an end")));
}

#[actix_web::test]
async fn one_part_of_the_timetable_that_fails_holds_up_neither_the_others_nor_the_jobs() {
    let app = TestApp::new().await;
    db_forget_demo_work(&app).await;
    run_due(&app.app).await.unwrap();
    let mut conn = app.database.owner().await;
    conn.batch_execute("REVOKE DELETE ON jobs FROM half_sky_service").await.unwrap();
    let operation = rotate(&app).await;
    app.app.clock.advance(TimeDelta::days(1));
    let fault = run_due(&app.app).await.unwrap_err();
    assert!(fault.starts_with("purge: "), "{fault}");
    let ran = "SELECT last_due_at AS at FROM timetable_runs WHERE name = 'post_expiries'";
    assert!(instant(&mut conn, ran).await > now(), "the day was announced");
    let shown = app.sign_in("platform").await.get(format!("/api/v1/operations/{operation}")).await.expect(200);
    assert_eq!(shown.json["status"], "succeeded");
}

#[actix_web::test]
async fn a_demo_whose_clock_was_set_back_runs_what_falls_due_from_there_on() {
    let app = TestApp::new().await;
    run_due(&app.app).await.unwrap();
    let mut conn = app.database.owner().await;
    conn.batch_execute("UPDATE timetable_runs SET last_due_at = '2026-11-24 06:00Z'").await.unwrap();
    run_due(&app.app).await.unwrap();
    app.app.clock.advance(TimeDelta::days(2));
    run_due(&app.app).await.unwrap();
    let ran = "SELECT last_due_at AS at FROM timetable_runs WHERE name = 'post_expiries'";
    assert_eq!(instant(&mut conn, ran).await, "2019-04-11T22:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
}

async fn instant(conn: &mut AsyncPgConnection, query: &str) -> chrono::DateTime<chrono::Utc> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Timestamptz)]
        at: chrono::DateTime<chrono::Utc>,
    }
    diesel::sql_query(query).get_result::<Row>(conn).await.unwrap().at
}
