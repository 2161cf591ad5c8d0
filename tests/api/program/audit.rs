//! The sealer in running programs: killed in the middle, taken over, stopped; and `half-sky audit verify`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use nix::sys::signal::Signal;

use super::client::{Ask, Client};
use super::process::{Installation, Program, within};
use super::{new_site, number};
use crate::support::Database;

const UNSEALED: &str = "SELECT count(*) AS number FROM audit_entries e
    WHERE NOT EXISTS (SELECT FROM audit_seals WHERE entry_id = e.id)";
const SEALS: &str = "SELECT count(*) AS number FROM audit_seals";
const CHECKPOINTS: &str = "SELECT count(*) AS number FROM audit_checkpoints";

async fn all_sealed(database: &Database) {
    let mut conn = database.owner().await;
    within("seal of everything", async || (number(&mut conn, UNSEALED).await == 0).then_some(())).await;
}

fn checkpoints(installation: &Installation) -> PathBuf {
    installation.folder.path().join("audit-checkpoints.jsonl")
}

/// Eight clients write until the node is gone or `enough` were answered.
async fn write(client: &Client, from: usize, enough: usize, then: impl Fn()) {
    let (next, answered, over) = (AtomicUsize::new(from), AtomicUsize::new(0), AtomicBool::new(false));
    let writer = async || {
        while !over.load(Ordering::Relaxed) {
            let site = next.fetch_add(1, Ordering::Relaxed);
            let Ok(answer) = client.post("/api/v1/sites").json(&new_site(site)).attempt().await else { return };
            answer.expect(201);
            if answered.fetch_add(1, Ordering::Relaxed) + 1 == enough {
                then();
                over.store(true, Ordering::Relaxed);
            }
        }
    };
    join_all((0..8).map(|_| writer())).await;
}

#[actix_web::test]
async fn kill_9_in_the_middle_of_sealing_leaves_a_valid_chain_that_another_node_goes_on_with() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut leader = installation.serve().await;
    let mut owner = database.owner().await;
    within("first seal", async || (number(&mut owner, SEALS).await > 0).then_some(())).await;
    let second = installation.serve().await;
    let officer = leader.sign_in("county-officer").await;
    // Long enough for the sealer to be in the middle of it.
    write(&officer, 0, 150, || leader.signal(Signal::SIGKILL)).await;
    leader.end().await;
    installation.run(&["audit", "verify"]).await.well();
    all_sealed(&database).await;
    let officer = second.anonymous().with_token(officer.token());
    write(&officer, 1000, 20, || ()).await;
    all_sealed(&database).await;
    let said = installation.run(&["audit", "verify"]).await.well();
    let seals = number(&mut owner, SEALS).await;
    assert!(said.contains(&format!("verified through {seals}\n")) && said.contains("waiting for a seal: 0"), "{said}");
    assert_eq!(number(&mut owner, "SELECT max(seq) AS number FROM audit_seals").await, seals, "without gaps");
}

#[actix_web::test]
async fn the_sealer_waits_while_the_database_is_away() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let mut owner = database.owner().await;
    all_sealed(&database).await;
    let mut superuser = database.superuser().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'half-sky'";
    superuser.batch_execute(end).await.unwrap();
    within("warning", async || program.said().contains("the audit trail is not sealed for the moment").then_some(())).await;
    let officer = within("sign-in", async || {
        let sign_in = crate::support::server().sign_ins.iter().find(|known| known.username == "county-officer").unwrap();
        let body = serde_json::json!({ "username": sign_in.username, "password": sign_in.password });
        let answer = program.anonymous().post("/api/v1/auth/login").json(&body).attempt().await.ok()?;
        (answer.status == 200).then(|| program.anonymous().with_token(answer.text("/access_token")))
    })
    .await;
    officer.post("/api/v1/sites").json(&new_site(1)).answer().await.expect(201);
    all_sealed(&database).await;
    assert!(number(&mut owner, SEALS).await > 0);
    installation.run(&["audit", "verify"]).await.well();
}

/// Ends it as a supervisor would.
async fn stop(mut program: Program) {
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().await.code(), Some(0));
}

#[actix_web::test]
async fn at_its_end_the_service_signs_where_the_chain_stands_and_a_cut_tail_is_found_by_the_command() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    write(&officer, 0, 10, || ()).await;
    stop(program).await;
    let mut owner = database.owner().await;
    assert_eq!(number(&mut owner, UNSEALED).await, 0, "it has sealed what it wrote");
    assert_eq!(number(&mut owner, CHECKPOINTS).await, 1);
    let lines = std::fs::read_to_string(checkpoints(&installation)).unwrap();
    assert_eq!(lines.lines().count(), 1);
    // A second start and end without any change says nothing new.
    stop(installation.serve().await).await;
    assert_eq!(std::fs::read_to_string(checkpoints(&installation)).unwrap(), lines);
    let said = installation.run(&["audit", "verify"]).await.well();
    assert!(said.contains("checkpoints: 1 right, 0 without a seal, 0 wrong"), "{said}");

    let seals = number(&mut owner, SEALS).await;
    let cut = format!(
        "ALTER TABLE audit_entries DISABLE TRIGGER USER; ALTER TABLE audit_seals DISABLE TRIGGER USER;
         ALTER TABLE audit_checkpoints DISABLE TRIGGER USER; DELETE FROM audit_checkpoints;
         DELETE FROM audit_entries WHERE id IN (SELECT entry_id FROM audit_seals WHERE seq > {0});
         DELETE FROM audit_seals WHERE seq > {0}",
        seals - 3
    );
    owner.batch_execute(&cut).await.unwrap();
    let elsewhere = installation.folder.path().join("a-copy-kept-elsewhere.jsonl");
    std::fs::rename(checkpoints(&installation), &elsewhere).unwrap();
    installation.run(&["audit", "verify"]).await.well();
    let copy = elsewhere.to_str().unwrap();
    let said = installation.run(&["audit", "verify", "--checkpoints", copy]).await.refused();
    assert!(said.contains(&format!("broken at {}: tail_missing", seals - 2)), "{said}");
    // Seals alone, taken away.
    owner.batch_execute(&format!("DELETE FROM audit_seals WHERE seq > {}", seals - 5)).await.unwrap();
    let said = installation.run(&["audit", "verify"]).await.refused();
    assert!(said.contains("2 entries have no seal although they had one"), "{said}");
}

#[actix_web::test]
async fn another_key_signs_checkpoints_after_a_rotation_and_the_old_ones_still_verify() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    stop(installation.serve().await).await;
    let said = installation.run(&["keys", "rotate", "--audit"]).await.well();
    assert!(said.contains("signs the checkpoints"), "{said}");
    let program = installation.serve().await;
    all_sealed(&database).await;
    let keys = program.anonymous().get("/.well-known/audit-keys.json").answer().await.expect(200);
    assert_eq!(keys.json["keys"].as_array().unwrap().len(), 2);
    stop(program).await;
    let file = std::fs::read_to_string(checkpoints(&installation)).unwrap();
    let signers: Vec<String> = file
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(signers.len(), 2);
    assert_eq!([&signers[0], &signers[1]], [0, 1].map(|at| keys.json["keys"][at]["kid"].as_str().unwrap()));
    let said = installation.run(&["audit", "verify"]).await.well();
    assert!(said.contains("checkpoints: 2 right"), "{said}");
}
