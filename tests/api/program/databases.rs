//! Which databases the program touches, and which it leaves alone.

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use serde_json::json;

use super::client::Ask;
use super::number;
use super::process::{Installation, Program};
use crate::support::Database;

const TABLES: &str = "SELECT count(*) AS number FROM information_schema.tables WHERE table_schema = 'public'";

#[actix_web::test]
async fn a_service_with_a_pending_migration_lives_but_is_not_ready_and_changes_nothing() {
    let database = Database::create().await;
    let mut owner = database.owner().await;
    let newest = "DELETE FROM __diesel_schema_migrations
        WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)";
    diesel::sql_query(newest).execute(&mut owner).await.unwrap();
    let migrated = "SELECT count(*) AS number FROM __diesel_schema_migrations";
    let (before, tables) = (number(&mut owner, migrated).await, number(&mut owner, TABLES).await);

    let installation = Installation::on(&database);
    let program = installation.serve().await;
    program.anonymous().get("/health/live").answer().await.expect(200);
    let ready = program.anonymous().get("/health/ready").answer().await.expect(503);
    assert_eq!(
        (&ready.json["ready"], &ready.json["database"], &ready.json["migrations"]),
        (&json!(false), &json!(true), &json!(false))
    );
    let mut health = installation.command(&["health"]);
    health.env("HALF_SKY_HTTP", program.address.to_string());
    assert!(super::process::run(health).await.refused().contains("not ready"));
    assert_eq!((number(&mut owner, migrated).await, number(&mut owner, TABLES).await), (before, tables));
}

#[actix_web::test]
async fn two_migrations_at_once_take_turns_and_serving_adds_no_demo_data() {
    let database = Database::empty().await;
    let installation = Installation::on(&database);
    let migrate = || installation.run(&["migrate", "--service-role", "half_sky_login"]);
    let (one, two) = futures_util::join!(migrate(), migrate());
    let ran = [one.well(), two.well()].concat();
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    assert_eq!(ran.matches("migrated ").count(), migrations, "each migration ran once: {ran}");

    let program = installation.serve().await;
    program.anonymous().get("/health/ready").answer().await.expect(200);
    program.anonymous().get("/api/v1/divisions/430602").answer().await.expect(200);
    let mut owner = database.owner().await;
    for table in ["organizations", "accounts", "people", "sites", "plans", "markers"] {
        let rows = number(&mut owner, &format!("SELECT count(*) AS number FROM {table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
}

#[actix_web::test]
async fn an_empty_database_is_loaded_with_demo_data_only_when_that_is_asked_for() {
    let database = Database::empty().await;
    let installation = Installation::on(&database);
    let refused = installation.run(&[]).await.refused();
    assert!(refused.contains("add --demo"), "{refused}");
    let mut owner = database.owner().await;
    assert_eq!(number(&mut owner, TABLES).await, 0, "it was not touched");

    std::fs::remove_file(installation.folder.path().join("sign-ins.json")).unwrap();
    let program = Program::start(installation.command(&["--demo"]), &installation.folder).await;
    program.anonymous().get("/health/ready").answer().await.expect(200);
    assert_eq!(number(&mut owner, "SELECT count(*) AS number FROM markers WHERE name = 'demo'").await, 1);
    assert!(number(&mut owner, "SELECT count(*) AS number FROM organizations").await > 2000);
    drop(program);
    // Marked as demo, it needs no word any more.
    Program::start(installation.command(&[]), &installation.folder).await;
}

#[actix_web::test]
async fn a_database_of_somebody_else_is_refused_untouched() {
    let database = Database::empty().await;
    let mut owner = database.owner().await;
    owner.batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.ledger AS SELECT 42 AS answer").await.unwrap();
    let installation = Installation::on(&database);
    for arguments in [&[] as &[_], &["--demo"]] {
        let refused = installation.run(arguments).await.refused();
        assert!(refused.contains("not empty and not marked as demo"), "{refused}");
    }
    assert_eq!(number(&mut owner, TABLES).await, 0);
    assert_eq!(number(&mut owner, "SELECT answer::bigint AS number FROM theirs.ledger").await, 42);
}
