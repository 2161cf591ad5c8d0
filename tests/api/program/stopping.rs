//! SIGTERM: what runs may finish, nothing new begins.

use std::time::Instant;

use diesel_async::SimpleAsyncConnection;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::client::Ask;
use super::number;
use super::process::{Installation, within};
use crate::support::Database;

const SITE: &str = "/api/v1/sites/0168028c-2f00-7000-8003-000000000001";

#[actix_web::test]
async fn a_write_that_began_before_sigterm_is_answered_and_then_the_program_ends() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    // A connection that is idle when the end comes must not delay it.
    let idle = program.anonymous();
    idle.get("/health/ready").answer().await.expect(200);

    let mut holder = database.owner().await;
    let hold = "BEGIN; SELECT 1 FROM sites WHERE id = '0168028c-2f00-7000-8003-000000000001' FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    let edit = json!({ "kind": "womens_home", "name": "岳阳楼区妇女之家", "feature": "甲", "address": null, "location": null,
        "phone": null, "checklist": [] });
    let put = officer.request(Method::PUT, SITE).header("If-Match", "\"1\"").json(&edit);
    let put = actix_web::rt::spawn(put.answer());
    let mut watcher = database.superuser().await;
    let waiting = "SELECT count(*) AS number FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    within("write that waits for the lock", async || (number(&mut watcher, waiting).await == 1).then_some(())).await;

    program.signal(Signal::SIGTERM);
    within("refusal of new connections", async || TcpStream::connect(program.address).await.err()).await;
    assert!(!put.is_finished());
    holder.batch_execute("COMMIT").await.unwrap();
    let released = Instant::now();
    let answer = put.await.unwrap().expect(200);
    assert_eq!(answer.json["feature"], "甲");
    assert_eq!(program.end().await.code(), Some(0));
    assert!(released.elapsed().as_secs() < 20, "it ended only after {:?}", released.elapsed());
    assert!(TcpStream::connect(program.address).await.is_err());
    let committed = "SELECT count(*) AS number FROM sites WHERE feature = '甲' AND version = 2";
    assert_eq!(number(&mut watcher, committed).await, 1);
}
