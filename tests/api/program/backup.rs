//! A backup of a running service, read into a server that has never seen it, answers as the first did.

use std::os::unix::fs::PermissionsExt;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use half_sky::db::private_postgres::{Options, PrivatePostgres, Purpose, SUPERUSER};

use super::client::{Ask, Client};
use super::process::{Installation, run, within};
use super::{new_site, number};
use crate::support::{COUNTY, Database, TOWNSHIP};

const TABLES: &str = "SELECT count(*) AS number FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";

/// What anybody reads.
const PUBLIC: &[&str] = &[
    "/api/v1/divisions?level=county&limit=100",
    "/api/v1/divisions/430602",
    "/api/v1/directory?limit=50",
    "/api/v1/sites?include_total=true",
    "/api/v1/sites/counts?by=kind",
    "/api/v1/dictionaries",
    "/api/v1/roles",
    "/.well-known/jwks.json",
];

/// What an officer of the county reads, besides what stands below her organization.
const SIGNED_IN: &[&str] = &[
    "/api/v1/me",
    "/api/v1/organizations?limit=50&include_total=true",
    "/api/v1/organizations/counts?by=kind",
    "/api/v1/people?include_total=true",
    "/api/v1/posts?current=true",
    "/api/v1/plans",
    "/api/v1/me/work-items",
    "/api/v1/auth/sessions",
];

/// Every answer to the recorded reads, byte by byte.
async fn record(client: &Client, anonymous: &Client) -> Vec<(String, Vec<u8>)> {
    let mut answers = Vec::new();
    let below = [COUNTY, TOWNSHIP].map(|id| format!("/api/v1/organizations/{id}/children"));
    let signed_in = SIGNED_IN.iter().map(|path| (*path).to_owned()).chain(below);
    let reads = PUBLIC.iter().map(|path| (anonymous, (*path).to_owned())).chain(signed_in.map(|path| (client, path)));
    for (client, path) in reads {
        let answer = client.get(&path).answer().await.expect(200);
        answers.push((path, answer.bytes));
    }
    answers
}

#[actix_web::test]
async fn a_backup_restored_into_an_empty_server_gives_the_same_answers() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    officer.post_with_key("/api/v1/sites", "before").json(&new_site(1)).answer().await.expect(201);
    let before = record(&officer, &program.anonymous()).await;
    let file = installation.folder.path().join("half-sky.backup");
    let file = file.to_str().unwrap();
    assert_eq!(installation.run(&["backup", file]).await.well().trim(), file);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    let start = || PrivatePostgres::start(&Options::new(Purpose::Test)).unwrap();
    let postgres = tokio::task::spawn_blocking(start).await.unwrap();
    let mut admin = AsyncPgConnection::establish(&postgres.url(SUPERUSER, "postgres")).await.unwrap();
    admin.batch_execute("CREATE ROLE second_owner LOGIN CREATEROLE; CREATE ROLE second_login LOGIN").await.unwrap();
    admin.batch_execute("CREATE DATABASE second OWNER second_owner").await.unwrap();
    let (login_url, owner_url) = (postgres.url("second_login", "second"), postgres.url("second_owner", "second"));
    let second = Installation::at(&login_url, &owner_url, postgres.bin_dir());
    second.run(&["restore", file]).await.well();
    // As docs/OPERATIONS.md says: roles are not part of a backup.
    let migrated = second.run(&["migrate", "--service-role", "second_login"]).await.well();
    assert_eq!(migrated, "", "nothing is pending");
    {
        let program = second.serve().await;
        program.anonymous().get("/health/ready").answer().await.expect(200);
        let officer = program.anonymous().with_token(officer.token());
        let after = record(&officer, &program.anonymous()).await;
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            assert_eq!(String::from_utf8_lossy(before), String::from_utf8_lossy(after), "{path}");
        }
        let again = officer.post_with_key("/api/v1/sites", "before").json(&new_site(1)).answer().await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        officer.post("/api/v1/sites").json(&new_site(2)).answer().await.expect(201);
        program.sign_in("county-officer").await;
        // The other server counts its transactions from the beginning; the chain goes on all the same.
        within("seal of everything", async || {
            let said = second.run(&["audit", "verify"]).await.well();
            said.contains("waiting for a seal: 0").then_some(())
        })
        .await;
    }

    let refused = second.run(&["restore", file]).await.refused();
    assert!(refused.contains("not empty"), "{refused}");
    let mut owner = AsyncPgConnection::establish(&owner_url).await.unwrap();
    let sites = "SELECT count(*) AS number FROM sites WHERE name LIKE '新建%'";
    assert_eq!(number(&mut owner, sites).await, 2, "nothing was changed");
}

#[actix_web::test]
async fn a_database_of_somebody_else_is_not_restored_into() {
    let (full, database) = (Database::create().await, Database::empty().await);
    let mut owner = database.owner().await;
    owner.batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.ledger AS SELECT 42 AS answer").await.unwrap();
    let (source, target) = (Installation::on(&full), Installation::on(&database));
    let file = source.folder.path().join("half-sky.backup");
    let file = file.to_str().unwrap();
    source.run(&["backup", file]).await.well();
    let refused = target.run(&["restore", file]).await.refused();
    assert!(refused.contains("not empty"), "{refused}");
    assert_eq!(number(&mut owner, TABLES).await, 1, "nothing was added");
}

#[actix_web::test]
async fn a_broken_backup_changes_nothing_and_a_backup_that_fails_leaves_no_file() {
    let database = Database::empty().await;
    let installation = Installation::on(&database);
    let path = installation.folder.path().join("broken.backup");
    std::fs::write(&path, "PGDMP and then nothing that fits").unwrap();
    let file = path.to_str().unwrap();
    installation.run(&["restore", file]).await.refused();
    let mut owner = database.owner().await;
    assert_eq!(number(&mut owner, TABLES).await, 0);

    let mut gone = installation.command(&["backup", file]);
    gone.env("DATABASE_OWNER_URL", format!("{}_that_is_gone", database.owner_url()));
    run(gone).await.refused();
    let left = std::fs::read_dir(installation.folder.path()).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.filter(|name| name != "sign-ins.json").collect::<Vec<_>>(), ["broken.backup"]);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("PGDMP and"), "the file that was there is still there");
}

#[actix_web::test]
async fn a_password_of_the_database_is_on_no_command_line() {
    let database = Database::empty().await;
    let mut installation = Installation::on(&database);
    let folder = installation.folder.path().to_owned();
    let dump = folder.join("pg_dump");
    std::fs::write(&dump, "#!/bin/sh\necho \"$@\" >&2; env | grep ^PG | sort >&2; exit 1\n").unwrap();
    std::fs::set_permissions(&dump, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bin = folder.display().to_string();
    installation.settings.extend([
        ("HALF_SKY_POSTGRES_BIN", bin),
        ("DATABASE_OWNER_URL", "postgres://owner:pa55%20word@db.example:6432/half_sky".to_owned()),
    ]);
    let file = folder.join("x.backup");
    let said = installation.run(&["backup", file.to_str().unwrap()]).await.refused();
    let (arguments, environment) = said.split_once('\n').unwrap();
    assert!(arguments.contains("--format=custom") && !arguments.contains("pa55"), "{said}");
    for variable in ["PGDATABASE=half_sky", "PGHOST=db.example", "PGPASSWORD=pa55 word", "PGPORT=6432", "PGUSER=owner"] {
        assert!(environment.lines().any(|line| line == variable), "{variable} in {said}");
    }
}
