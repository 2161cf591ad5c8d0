//! SIGTERM: what runs may finish, nothing new begins.

use std::time::Instant;

use actix_web::rt::task::JoinHandle;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::client::{Answer, Ask, Client};
use super::number;
use super::process::{Installation, Program, within};
use crate::support::Database;

const SITE: &str = "/api/v1/sites/0168028c-2f00-7000-8003-000000000001";

/// A write that waits for a lock, and who holds the lock.
async fn held_write(
    database: &Database,
    officer: &Client,
    watcher: &mut AsyncPgConnection,
) -> (AsyncPgConnection, JoinHandle<reqwest::Result<Answer>>) {
    let mut holder = database.owner().await;
    let hold = "BEGIN; SELECT 1 FROM sites WHERE id = '0168028c-2f00-7000-8003-000000000001' FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    let edit = json!({ "kind": "womens_home", "name": "岳阳楼区妇女之家", "feature": "甲", "address": null, "location": null,
        "phone": null, "checklist": [] });
    let put = officer.request(Method::PUT, SITE).header("If-Match", "\"1\"").json(&edit);
    let put = actix_web::rt::spawn(put.attempt());
    let waiting = "SELECT count(*) AS number FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    within("write that waits for the lock", async || (number(watcher, waiting).await == 1).then_some(())).await;
    (holder, put)
}

#[actix_web::test]
async fn a_write_that_began_before_sigterm_is_answered_and_then_the_program_ends() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    // A connection that is idle when the end comes must not delay it.
    let idle = program.anonymous();
    idle.get("/health/ready").answer().await.expect(200);

    let mut watcher = database.superuser().await;
    let (mut holder, put) = held_write(&database, &officer, &mut watcher).await;
    program.signal(Signal::SIGTERM);
    within("refusal of new connections", async || TcpStream::connect(program.address).await.err()).await;
    assert!(!put.is_finished());
    holder.batch_execute("COMMIT").await.unwrap();
    let released = Instant::now();
    let answer = put.await.unwrap().unwrap().expect(200);
    assert_eq!(answer.json["feature"], "甲");
    assert_eq!(program.end().await.code(), Some(0));
    assert!(released.elapsed().as_secs() < 20, "it ended only after {:?}", released.elapsed());
    assert!(TcpStream::connect(program.address).await.is_err());
    let committed = "SELECT count(*) AS number FROM sites WHERE feature = '甲' AND version = 2";
    assert_eq!(number(&mut watcher, committed).await, 1);
}

#[actix_web::test]
async fn a_write_that_outlasts_the_drain_is_undone() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut command = installation.command(&["serve"]);
    command.env("HALF_SKY_DRAIN_SECONDS", "1");
    let mut program = Program::start(command, &installation.folder).await;
    let officer = program.sign_in("county-officer").await;
    let mut watcher = database.superuser().await;
    let (mut holder, put) = held_write(&database, &officer, &mut watcher).await;

    program.signal(Signal::SIGTERM);
    let told = Instant::now();
    assert_eq!(program.end().await.code(), Some(0));
    assert!(told.elapsed().as_secs() < 8, "before the write would have given up by itself: {:?}", told.elapsed());
    put.await.unwrap().err().expect("no answer");
    holder.batch_execute("COMMIT").await.unwrap();
    let sessions = "SELECT count(*) AS number FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'half-sky'";
    within("end of its sessions", async || (number(&mut watcher, sessions).await == 0).then_some(())).await;
    let undone = "SELECT count(*) AS number FROM sites WHERE version = 1 AND id = '0168028c-2f00-7000-8003-000000000001'";
    assert_eq!(number(&mut watcher, undone).await, 1);
}
