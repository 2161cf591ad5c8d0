//! The chain over the audit trail, what breaks it, refusals and sign-ins.

use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use half_sky::access::Role;
use half_sky::app::App;
use half_sky::audit::chain::{self, BEGINNING, Entry};
use half_sky::audit::checkpoints::{self, PublicKey};
use half_sky::audit::verify::{Unsealed, count_unsealed};
use half_sky::audit::{self, Actor, Change, refusals, sealer};
use half_sky::config::Config;
use half_sky::db::schema::{audit_entries, audit_seals};
use half_sky::vault::hex;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir, TempPath};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::{CITY, COUNTY, Client, TestApp, VILLAGE, config, now};

const VERIFY: &str = "/api/v1/audit-entries/verify";

/// The sealer of one node, as `serve` runs it.
struct Sealing {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sealing {
    fn of(app: &App) -> Self {
        let (stop, stopping) = watch::channel(false);
        Self { stop, task: actix_web::rt::spawn(sealer::run(app.clone(), stopping)) }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn within(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !look().await {
        assert!(start.elapsed() < Duration::from_secs(30), "no {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_sealed(conn: &AsyncPgConnection) {
    within("seal of everything", async || count_unsealed(conn).await.unwrap() == Unsealed { waiting: 0, passed: 0 }).await;
}

async fn write(conn: &mut AsyncPgConnection, number: usize) {
    let change = Change::of("test.done", "test_object", Uuid::now_v7(), CITY.parse::<Uuid>().map(Into::into).ok());
    let change = change.after(&json!({ "number": number, "名": "岳阳" })).because("因为");
    audit::record(conn, now(), &Actor::system(), change).await.unwrap();
}

async fn execute(conn: &mut AsyncPgConnection, sql: &str) {
    conn.batch_execute(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
}

/// A service whose trail has `entries` more entries and is sealed, with its checkpoint in a file of its own.
async fn sealed(entries: usize) -> (TestApp, TempPath, i64) {
    let file = NamedTempFile::new().unwrap().into_temp_path();
    let app = TestApp::with(Config { audit_checkpoints: Some(file.to_path_buf()), ..config() }, false).await;
    let mut conn = app.database.login().await;
    for number in 0..entries {
        write(&mut conn, number).await;
    }
    Sealing::of(&app.app).stop().await;
    let seals = audit_seals::table.count().get_result(&mut conn).await.unwrap();
    (app, file, seals)
}

async fn auditor(app: &TestApp) -> Client {
    app.sign_in("city-auditor").await
}

async fn id_at(app: &TestApp, seq: i64) -> Uuid {
    audit_seals::table.find(seq).select(audit_seals::entry_id).first(&mut app.database.login().await).await.unwrap()
}

/// As somebody who may do anything in the database.
async fn tamper(app: &TestApp, sql: &str) {
    let mut owner = app.database.owner().await;
    let tables = ["audit_entries", "audit_seals", "audit_checkpoints"];
    for table in tables {
        execute(&mut owner, &format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await;
    }
    execute(&mut owner, sql).await;
    for table in tables {
        execute(&mut owner, &format!("ALTER TABLE {table} ENABLE TRIGGER USER")).await;
    }
}

#[actix_web::test]
async fn whatever_is_changed_in_the_trail_verification_names_the_first_bad_entry() {
    let entry = |seq: i64| format!("id = (SELECT entry_id FROM audit_seals WHERE seq = {seq})");
    let cases: &[(&str, String, i64, &str, bool)] = &[
        ("one byte of a text", format!("UPDATE audit_entries SET reason = '因力' WHERE {}", entry(7)), 7, "changed", true),
        (
            "one digit inside JSON",
            format!("UPDATE audit_entries SET after = jsonb_set(after, '{{number}}', '0') WHERE {}", entry(12)),
            12,
            "changed",
            true,
        ),
        (
            "one microsecond",
            format!("UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE {}", entry(20)),
            20,
            "changed",
            true,
        ),
        ("a hash", "UPDATE audit_seals SET hash = sha256('x') WHERE seq = 9".to_owned(), 9, "changed", true),
        ("a dropped entry", format!("DELETE FROM audit_entries WHERE {}", entry(9)), 9, "entry_missing", true),
        (
            "a dropped entry with its seal",
            format!("DELETE FROM audit_entries WHERE {}; DELETE FROM audit_seals WHERE seq = 9", entry(9)),
            9,
            "seal_missing",
            false,
        ),
        (
            "two swapped seals",
            "ALTER TABLE audit_seals DROP CONSTRAINT audit_seals_seq_check;
             UPDATE audit_seals SET seq = -11 WHERE seq = 11; UPDATE audit_seals SET seq = 11 WHERE seq = 15;
             UPDATE audit_seals SET seq = 15 WHERE seq = -11"
                .to_owned(),
            11,
            "changed",
            true,
        ),
        (
            "two entries with their contents swapped",
            format!(
                "WITH pair AS (SELECT id, after, lead(after) OVER (ORDER BY id) AS next, lag(after) OVER (ORDER BY id) AS last
                    FROM audit_entries WHERE {} OR {})
                 UPDATE audit_entries e SET after = coalesce(next, last) FROM pair WHERE pair.id = e.id",
                entry(14),
                entry(16)
            ),
            14,
            "changed",
            true,
        ),
    ];
    for (what, sql, seq, reason, known) in cases {
        let (app, _file, seals) = sealed(30).await;
        let auditor = auditor(&app).await;
        let before = auditor.get(VERIFY).await.expect(200);
        assert_eq!((&before.json["verified_through"], &before.json["first_broken"]), (&json!(seals), &Value::Null));
        assert_eq!(before.json["checkpoints"], json!({ "checked": 1, "missing": 0, "broken": 0 }));
        tamper(&app, sql).await;
        let id = if *known { Some(id_at(&app, *seq).await) } else { None };
        let found = auditor.get(VERIFY).await.expect(200);
        assert_eq!(found.json["first_broken"], json!({ "seq": seq, "entry_id": id, "reason": reason }), "{what}");
        assert_eq!((&found.json["verified_through"], &found.json["next"]), (&json!(seq - 1), &Value::Null), "{what}");
    }
}

#[actix_web::test]
async fn a_tail_that_was_cut_is_found_by_the_table_and_by_the_file() {
    let (app, file, seals) = sealed(30).await;
    let auditor = auditor(&app).await;
    let cut = seals - 5;
    let tail = format!(
        "DELETE FROM audit_entries WHERE id IN (SELECT entry_id FROM audit_seals WHERE seq > {cut});
         DELETE FROM audit_seals WHERE seq > {cut}"
    );
    tamper(&app, &tail).await;
    let broken = json!({ "seq": cut + 1, "entry_id": null, "reason": "tail_missing" });
    let found = auditor.get(VERIFY).await.expect(200);
    assert_eq!((&found.json["first_broken"], &found.json["verified_through"]), (&broken, &json!(cut)));
    assert_eq!(found.json["checkpoints"]["missing"], 1);
    // Whoever cuts the trail cuts the table of checkpoints too; the file is out of her reach.
    tamper(&app, "DELETE FROM audit_checkpoints").await;
    let found = auditor.get(VERIFY).await.expect(200);
    assert_eq!((&found.json["first_broken"], &found.json["checkpoints"]["missing"]), (&broken, &json!(1)));
    // Without the file nobody could tell.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(auditor.get(VERIFY).await.expect(200).json["first_broken"], Value::Null);
}

#[actix_web::test]
async fn a_chain_that_was_computed_again_does_not_fit_its_checkpoint() {
    let (app, _file, seals) = sealed(30).await;
    let auditor = auditor(&app).await;
    tamper(&app, "UPDATE audit_entries SET reason = 'other' WHERE id = (SELECT entry_id FROM audit_seals WHERE seq = 7)").await;
    let mut owner = app.database.owner().await;
    let rows: Vec<(i64, Entry)> = audit_seals::table
        .inner_join(audit_entries::table.on(audit_entries::id.eq(audit_seals::entry_id)))
        .select((audit_seals::seq, Entry::as_select()))
        .order(audit_seals::seq)
        .load(&mut owner)
        .await
        .unwrap();
    let mut hash = BEGINNING;
    let mut sql = String::new();
    for (seq, entry) in &rows {
        hash = chain::link(&hash, *seq, entry).unwrap();
        sql += &format!("UPDATE audit_seals SET hash = '\\x{}' WHERE seq = {seq};", hex(&hash));
    }
    tamper(&app, &sql).await;
    let found = auditor.get(VERIFY).await.expect(200);
    let broken = json!({ "seq": seals, "entry_id": id_at(&app, seals).await, "reason": "checkpoint_mismatch" });
    assert_eq!((&found.json["first_broken"], &found.json["verified_through"]), (&broken, &json!(seals - 1)));
    // A checkpoint that is made to fit has no right signature.
    tamper(
        &app,
        "UPDATE audit_checkpoints SET hash = (SELECT hash FROM audit_seals WHERE audit_seals.seq = audit_checkpoints.seq)",
    )
    .await;
    let found = auditor.get(VERIFY).await.expect(200);
    assert_eq!(found.json["first_broken"], broken, "the file has the old one");
    assert_eq!(found.json["checkpoints"]["broken"], 2);
}

#[actix_web::test]
async fn verification_goes_on_part_by_part() {
    let (app, _file, seals) = sealed(30).await;
    let auditor = auditor(&app).await;
    let (mut from, mut parts) = (1, 0);
    loop {
        let found = auditor.get(format!("{VERIFY}?from_seq={from}&limit=10")).await.expect(200);
        assert_eq!(found.json["first_broken"], Value::Null);
        parts += 1;
        match found.json["next"].as_i64() {
            Some(next) => from = next,
            None => break assert_eq!(found.json["verified_through"], seals),
        }
    }
    assert_eq!(parts, (seals + 9) / 10);
    let part = auditor.get(format!("{VERIFY}?from_seq=5&to_seq=8")).await.expect(200);
    assert_eq!((&part.json["verified_through"], &part.json["next"]), (&json!(8), &Value::Null));
    assert_eq!(part.json["checkpoints"]["checked"], 0);
    let beyond = auditor.get(format!("{VERIFY}?from_seq=100000")).await.expect(200);
    assert_eq!((&beyond.json["verified_through"], &beyond.json["first_broken"]), (&json!(seals), &Value::Null));
    auditor.get(format!("{VERIFY}?limit=5001")).await.expect(400);
    auditor.get(format!("{VERIFY}?from_seq=0")).await.expect(400);
    app.sign_in("city-officer").await.get(VERIFY).await.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn each_entry_shows_its_place_and_hash_once_it_is_sealed() {
    let app = TestApp::new().await;
    let mut conn = app.database.login().await;
    write(&mut conn, 1).await;
    let auditor = auditor(&app).await;
    let shown = async || auditor.get("/api/v1/audit-entries?object_type=test_object").await.expect(200).items()[0].clone();
    let before = shown().await;
    assert_eq!((&before["seq"], &before["hash"]), (&Value::Null, &Value::Null));
    let unsealed = auditor.get(VERIFY).await.expect(200);
    assert!(unsealed.json["unsealed"]["count"].as_i64() > Some(0));
    assert_eq!(unsealed.json["unsealed"]["oldest_at"], "2019-04-10T01:00:00Z");
    Sealing::of(&app.app).stop().await;
    let after = shown().await;
    let (seq, hash): (i64, Vec<u8>) = audit_seals::table
        .filter(audit_seals::entry_id.eq(after["id"].as_str().unwrap().parse::<Uuid>().unwrap()))
        .select((audit_seals::seq, audit_seals::hash))
        .first(&mut conn)
        .await
        .unwrap();
    assert_eq!((&after["seq"], &after["hash"]), (&json!(seq), &json!(hex(&hash))));
    assert_eq!(auditor.get(VERIFY).await.expect(200).json["unsealed"], json!({ "count": 0, "oldest_at": null }));
}

#[actix_web::test]
async fn an_entry_of_a_long_transaction_is_sealed_after_later_ones() {
    let app = TestApp::new().await;
    let [mut long, mut short, mut conn] = [app.database.login().await, app.database.login().await, app.database.login().await];
    let sealing = Sealing::of(&app.app);
    execute(&mut long, "BEGIN").await;
    write(&mut long, 1).await;
    for number in 2..20 {
        write(&mut short, number).await;
    }
    all_sealed(&conn).await;
    // The sealer looks again and again meanwhile, and a second one takes over.
    sealing.stop().await;
    let sealing = Sealing::of(&app.app);
    write(&mut short, 20).await;
    all_sealed(&conn).await;
    execute(&mut long, "COMMIT").await;
    assert_eq!(count_unsealed(&conn).await.unwrap().passed, 0);
    all_sealed(&conn).await;
    let places: Vec<(Option<Value>, i64)> = audit_entries::table
        .inner_join(audit_seals::table.on(audit_entries::id.eq(audit_seals::entry_id)))
        .filter(audit_entries::action.eq("test.done"))
        .select((audit_entries::after, audit_seals::seq))
        .order(audit_seals::seq)
        .load(&mut conn)
        .await
        .unwrap();
    assert_eq!(places.len(), 20);
    assert_eq!(places.last().unwrap().0.as_ref().unwrap()["number"], 1, "the long one comes last, though its id is the first");
    assert_eq!(auditor(&app).await.get(VERIFY).await.expect(200).json["first_broken"], Value::Null);
    sealing.stop().await;
}

/// Ends the session that seals; whether there was one.
async fn end_the_leader(conn: &mut AsyncPgConnection) -> bool {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND granted AND datname = current_database()
        AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('half-sky audit sealer', 0)";
    diesel::sql_query(end).execute(conn).await.unwrap() > 0
}

#[actix_web::test]
async fn two_sealers_that_lose_their_connections_while_64_write_make_one_chain_of_all_entries() {
    const WRITERS: usize = 64;
    const ENTRIES: usize = 40;
    let app = TestApp::new().await;
    let other = TestApp::on(app.database.clone(), config(), false).await;
    let sealing = [Sealing::of(&app.app), Sealing::of(&other.app)];
    let mut superuser = app.database.superuser().await;
    let mut writers = vec![];
    for _ in 0..WRITERS {
        let mut conn = app.database.login().await;
        writers.push(actix_web::rt::spawn(async move {
            for number in 0..ENTRIES {
                // One in four is undone.
                execute(&mut conn, "BEGIN").await;
                write(&mut conn, number).await;
                tokio::task::yield_now().await;
                execute(&mut conn, if number % 4 == 3 { "ROLLBACK" } else { "COMMIT" }).await;
            }
        }));
    }
    let writing = actix_web::rt::spawn(join_all(writers));
    let mut ended = 0;
    while !writing.is_finished() || ended < 2 {
        ended += usize::from(end_the_leader(&mut superuser).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    writing.await.unwrap().into_iter().for_each(|writer| writer.unwrap());
    let conn = app.database.login().await;
    all_sealed(&conn).await;
    for sealing in sealing {
        sealing.stop().await;
    }
    let entries: i64 = audit_entries::table.count().get_result(&mut app.database.login().await).await.unwrap();
    assert!(entries >= (WRITERS * ENTRIES * 3 / 4) as i64);
    let auditor = auditor(&app).await;
    // Her own sign-in is not sealed any more.
    let found = auditor.get(format!("{VERIFY}?limit=5000")).await.expect(200);
    assert_eq!((&found.json["first_broken"], &found.json["verified_through"]), (&Value::Null, &json!(entries)));
    assert_eq!(found.json["unsealed"]["count"], 1);
}

#[actix_web::test]
async fn in_another_cluster_the_sealer_looks_at_every_entry_again_and_seals_each_once() {
    let (app, _file, seals) = sealed(10).await;
    let mut conn = app.database.login().await;
    for number in 0..10 {
        write(&mut conn, number).await;
    }
    // As a dump from a cluster with many more transactions would leave them, some sealed and some not.
    tamper(
        &app,
        "UPDATE audit_entries SET transaction_id = transaction_id + 4000000000 WHERE action = 'test.done';
         UPDATE audit_sealer SET cluster = 1, sealed_up_to = '4000000000:4000000000:'",
    )
    .await;
    let sealing = Sealing::of(&app.app);
    all_sealed(&conn).await;
    write(&mut conn, 10).await;
    all_sealed(&conn).await;
    sealing.stop().await;
    let found = auditor(&app).await.get(VERIFY).await.expect(200);
    assert_eq!((&found.json["first_broken"], &found.json["verified_through"]), (&Value::Null, &json!(seals + 11)));
}

#[actix_web::test]
async fn finding_the_next_batch_is_a_range_of_an_index_whatever_the_size_of_the_trail() {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let app = TestApp::new().await;
    let mut owner = app.database.owner().await;
    execute(
        &mut owner,
        "INSERT INTO audit_entries (id, at, actor_kind, action, object_type, outcome, transaction_id)
           SELECT gen_random_uuid(), now(), 'system', 'test.done', 'test_object', 'done', n FROM generate_series(1000, 60999) n;
         INSERT INTO audit_seals SELECT row_number() OVER (), id, sha256('x') FROM audit_entries WHERE transaction_id < 60900;
         ANALYZE audit_entries; ANALYZE audit_seals",
    )
    .await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        execute(&mut owner, &format!("SET plan_cache_mode = {mode}")).await;
        for (search, transactions) in sealer::searches().iter().zip(["{60900, 60950}", "{60990, 61000}"]) {
            let explain = format!(
                "PREPARE search (bigint[], bigint, uuid, bigint) AS {search};
                 CREATE TEMPORARY TABLE IF NOT EXISTS plans (line text)"
            );
            execute(&mut owner, &explain).await;
            let lines: Vec<Line> = diesel::sql_query(format!(
                "EXPLAIN EXECUTE search ('{transactions}', -1, '00000000-0000-0000-0000-000000000000', 1000)"
            ))
            .load(&mut owner)
            .await
            .unwrap();
            let plan = lines.iter().map(|line| line.line.as_str()).collect::<Vec<_>>().join("\n");
            assert!(plan.contains("audit_entries_transaction"), "{mode}: {plan}");
            assert!(!plan.contains("Seq Scan"), "{mode}: {plan}");
            let conditions: Vec<&str> = plan.lines().filter(|line| line.contains("Index Cond")).collect();
            assert!(conditions.iter().any(|line| line.contains("transaction_id")), "{mode}: {plan}");
            execute(&mut owner, "DEALLOCATE search").await;
        }
    }
}

#[actix_web::test]
async fn the_service_can_neither_change_seals_and_checkpoints_nor_choose_a_transaction() {
    let (app, _file, _) = sealed(1).await;
    let mut service = app.database.login().await;
    let mut owner = app.database.owner().await;
    for table in ["audit_seals", "audit_checkpoints"] {
        for statement in [format!("UPDATE {table} SET seq = seq"), format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
            let refused = service.batch_execute(&statement).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{statement}: {refused}");
            let refused = owner.batch_execute(&statement).await.unwrap_err().to_string();
            assert!(refused.contains("are final"), "{statement}: {refused}");
        }
    }
    let chosen = "INSERT INTO audit_entries (id, at, actor_kind, action, object_type, outcome, transaction_id)
        VALUES (gen_random_uuid(), now(), 'system', 'test.done', 'test_object', 'done', 0)";
    let refused = service.batch_execute(chosen).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

#[actix_web::test]
async fn checkpoints_are_listed_and_verify_with_the_published_key() {
    let (app, file, seals) = sealed(5).await;
    let mut conn = app.database.login().await;
    write(&mut conn, 6).await;
    Sealing::of(&app.app).stop().await;
    let auditor = auditor(&app).await;
    let page = auditor.get("/api/v1/audit-entries/checkpoints?limit=1&include_total=true").await.expect(200);
    assert_eq!((&page.items()[0]["seq"], &page.items()[0]["count"]), (&json!(seals + 1), &json!(1)));
    assert_eq!(page.json["total"]["value"], 2);
    let older = format!("/api/v1/audit-entries/checkpoints?limit=1&include_total=true&cursor={}", page.text("/next_cursor"));
    let older = auditor.get(older).await.expect(200);
    assert_eq!((&older.items()[0]["seq"], &older.json["has_more"]), (&json!(seals), &json!(false)));

    let keys = app.anonymous().get("/.well-known/audit-keys.json").await.expect(200);
    let key = &keys.json["keys"][0];
    let public_key = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, key["x"].as_str().unwrap()).unwrap();
    let keys = [PublicKey { kid: key["kid"].as_str().unwrap().to_owned(), public_key }];
    let in_file = checkpoints::read(&file).unwrap();
    assert_eq!((in_file.checkpoints.len(), in_file.unreadable), (2, 0));
    for (line, listed) in in_file.checkpoints.iter().zip([&older, &page]) {
        assert!(line.is_genuine(&keys));
        assert_eq!(serde_json::to_value(line).unwrap(), listed.items()[0]);
    }
    app.sign_in("city-officer").await.get("/api/v1/audit-entries/checkpoints").await.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn where_the_file_cannot_be_written_sealing_goes_on_and_the_checkpoint_is_made_later() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("no-folder");
    std::fs::write(&file, "not a folder").unwrap();
    let app = TestApp::with(Config { audit_checkpoints: Some(file.join("checkpoints")), ..config() }, false).await;
    let mut conn = app.database.login().await;
    write(&mut conn, 1).await;
    let sealing = Sealing::of(&app.app);
    all_sealed(&conn).await;
    sealing.stop().await;
    let auditor = auditor(&app).await;
    assert_eq!(auditor.get("/api/v1/audit-entries/checkpoints").await.expect(200).items().len(), 0);
    std::fs::remove_file(&file).unwrap();
    Sealing::of(&app.app).stop().await;
    assert_eq!(auditor.get("/api/v1/audit-entries/checkpoints").await.expect(200).items().len(), 1);
}

#[actix_web::test]
async fn readiness_tells_of_a_sealer_that_is_minutes_behind_and_stays_ready() {
    let app = TestApp::new().await;
    let ready = async || app.anonymous().get("/health/ready").await.expect(200);
    for (lag, shown) in [(0, Value::Null), (179, Value::Null), (180, json!(180))] {
        app.app.metrics.audit_backlog(5, lag);
        let ready = ready().await;
        assert_eq!((&ready.json["ready"], &ready.json["audit_lag_seconds"]), (&json!(true), &shown));
    }
    assert!(app.app.metrics.text(&app.app).contains("audit_unsealed_entries 5"));
}

/// Refused entries, the oldest first.
async fn refused(reader: &Client) -> Vec<Value> {
    reader.get("/api/v1/audit-entries?outcome=refused&sort=at&limit=100").await.expect(200).items().clone()
}

#[actix_web::test]
async fn what_a_caller_was_not_allowed_is_recorded_and_what_was_merely_wrong_is_not() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let neighbour = app.sign_in("neighbour-officer").await;
    let officer = app.sign_in("county-officer").await;
    let person = "/api/v1/people/0168028c-2f00-7000-8001-000000000001";
    let body = json!({ "organization_id": COUNTY, "name": "李梅", "sex": null, "birth_year": null, "phone": "13800005678",
                       "id_number": null, "tags": [] });
    let mut long = body.clone();
    long["name"] = json!("长".repeat(65));
    // Not allowed: a command, a command on what is out of scope, a function.
    let denied = viewer.put(person).if_match("\"1\"").json(&body).await.expect(403);
    neighbour.put(person).if_match("\"1\"").json(&body).await.expect(404);
    viewer.get("/api/v1/accounts").await.expect(403);
    // Merely wrong, stale, or not there to be read.
    officer.put(person).if_match("\"1\"").json(&long).await.expect(422);
    officer.put(person).if_match("\"9\"").json(&body).await.expect(412);
    officer.put(person).json(&body).await.expect(428);
    neighbour.get(person).await.expect(404);
    app.anonymous().get(person).await.expect(401);

    let entries = refused(&auditor(&app).await).await;
    let told: Vec<(&Value, &Value)> =
        entries.iter().map(|entry| (&entry["after"]["operation"], &entry["after"]["code"])).collect();
    let [put, list, denied_code, missing] = ["update_person", "list_accounts", "permission_denied", "not_found"].map(Value::from);
    assert_eq!(told, [(&put, &denied_code), (&put, &missing), (&list, &denied_code)]);
    let first = &entries[0];
    assert_eq!((&first["action"], &first["object_type"]), (&json!("request.refused"), &json!("request")));
    assert_eq!(first["object_id"], "0168028c-2f00-7000-8001-000000000001");
    assert_eq!((&first["actor_kind"], &first["request_id"]), (&json!("account"), &json!(denied.header("x-request-id"))));
    let text = json!(entries).to_string();
    assert!(!text.contains("李梅") && !text.contains("5678"), "{text}");
}

#[actix_web::test]
async fn refused_parts_of_a_batch_are_recorded_too() {
    let app = TestApp::new().await;
    let neighbour = app.sign_in("neighbour-officer").await;
    let post = "0168028c-2f00-7000-8002-000000000001";
    let item = json!({ "id": post, "version": 1, "to_on": "2019-04-10", "reason": "换届" });
    let batch = json!({ "action": "end", "mode": "best_effort", "items": [item] });
    neighbour.post("/api/v1/posts/batch").json(&batch).await.expect(207);
    let entries = refused(&auditor(&app).await).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["object_id"], &entries[0]["after"]["operation"]), (&json!(post), &json!("batch_posts")));
}

#[actix_web::test]
async fn whoever_is_refused_again_and_again_gets_ten_entries_a_minute_and_a_count_of_the_rest() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let neighbour = app.sign_in("neighbour-officer").await;
    for _ in 0..25 {
        viewer.get("/api/v1/accounts").await.expect(403);
    }
    neighbour.get("/api/v1/jobs").await.expect(403);
    let auditor = auditor(&app).await;
    assert_eq!(refused(&auditor).await.len(), 11, "one's refusals do not hide another's");
    refusals::settle(&app.app, false).await;
    assert_eq!(refused(&auditor).await.len(), 11, "the minute is not over");
    refusals::settle(&app.app, true).await;
    let entries = refused(&auditor).await;
    assert_eq!(entries.len(), 12);
    assert_eq!((&entries[11]["action"], &entries[11]["after"]["left_out"]), (&json!("refusals.left_out"), &json!(15)));
    assert_eq!(entries[11]["actor_id"], entries[0]["actor_id"]);
}

#[actix_web::test]
async fn sign_ins_are_recorded_done_and_refused_and_unknown_names_only_as_a_keyed_hash() {
    let app = TestApp::new().await;
    let (account, _) = app.db_account("somebody", Some(Role::Officer), VILLAGE).await;
    let login = async |username: &str, password: &str, code: Option<&str>| {
        let mut body = json!({ "username": username, "password": password });
        if let Some(code) = code {
            body["totp_code"] = json!(code);
        }
        app.anonymous().post("/api/v1/auth/login").json(&body).await
    };
    login("hunter2-typed-as-a-name", "x", None).await.expect(401);
    login("Hunter2-typed-as-a-name", "y", None).await.expect(401);
    login("somebody", "wrong", None).await.expect(401);
    login("former-officer", "any", None).await.expect(401);
    let client = app.with_token(&login("somebody", "dr4gonfly-teapot-92", None).await.expect(200).text("/access_token"));
    client.post("/api/v1/auth/step-up").json(&json!({ "password": "wrong" })).await.expect(401);
    let change = json!({ "old_password": "wrong", "new_password": "a-heron-over-the-lake-7" });
    client.put("/api/v1/me/password").json(&change).await.expect(422);

    let platform = app.sign_in("platform").await;
    let entries = refused(&platform).await;
    let told: Vec<(&str, &Value)> =
        entries.iter().map(|entry| (entry["action"].as_str().unwrap(), &entry["after"]["reason"])).collect();
    let reason = ["unknown_name", "wrong_password", "disabled"].map(Value::from);
    assert_eq!(
        told,
        [
            ("session.refused", &reason[0]),
            ("session.refused", &reason[0]),
            ("session.refused", &reason[1]),
            ("session.refused", &reason[2]),
            ("session.step_up_refused", &Value::Null),
            ("account.password_refused", &Value::Null),
        ]
    );
    assert_eq!(entries[0]["after"]["username_hash"], entries[1]["after"]["username_hash"], "the same name is recognised");
    assert_eq!((&entries[0]["object_id"], &entries[0]["actor_kind"]), (&Value::Null, &json!("anonymous")));
    assert_eq!((&entries[2]["object_id"], &entries[2]["actor_id"]), (&json!(account), &Value::Null));
    assert_eq!((&entries[4]["actor_id"], &entries[4]["organization_id"]), (&json!(account), &json!(VILLAGE)));
    let text = json!(entries).to_string();
    assert!(!text.to_lowercase().contains("hunter2") && !text.contains("192.0.2"), "{text}");
    let done = platform.get(format!("/api/v1/audit-entries?action=session.opened&actor_id={account}")).await.expect(200);
    assert_eq!(done.items().len(), 2);
    // Her own auditor sees what concerns her account, not what concerns nobody's.
    let seen = refused(&auditor(&app).await).await;
    assert_eq!(seen.len(), 4);
}

#[actix_web::test]
async fn reads_of_personal_data_are_entries() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let reveal = json!({ "fields": ["phone"], "reason": "通知参加会议" });
    admin.post("/api/v1/people/0168028c-2f00-7000-8001-000000000001/reveal").json(&reveal).await.expect(200);
    admin.post("/api/v1/people/search").json(&json!({ "phone": "13800005678" })).await.expect(200);
    let auditor = auditor(&app).await;
    for action in ["person.revealed", "people.searched"] {
        let entries = auditor.get(format!("/api/v1/audit-entries?action={action}")).await.expect(200);
        assert_eq!(entries.items().len(), 1, "{action}");
        assert!(!entries.json.to_string().contains("5678"), "{action} repeats what was read");
    }
}

/// Every operation whose name says that it shows personal data writes an entry: it is a command.
#[test]
fn every_reveal_and_search_is_a_command() {
    let sources = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&sources).unwrap();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.ends_with("/reveal") || path.ends_with("/search") {
            assert!(item.get("post").is_some() && item.get("get").is_none(), "{path}");
            seen += 1;
        }
    }
    assert!(seen >= 2);
}
