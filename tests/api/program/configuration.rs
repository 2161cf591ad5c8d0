//! What the program refuses to start with, and what it says of itself.

use super::client::{Ask, Client};
use super::process::{Folder, Installation, Program, free_address, half_sky, run};
use crate::support::Database;

/// A key that must never be printed.
const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=";

/// What `serve` and `config check` print of these settings, which they refuse with code 2.
async fn refusals(settings: &[(&str, &str)]) -> String {
    let mut said = String::new();
    for arguments in [&["serve"] as &[_], &["config", "check"]] {
        let mut command = half_sky(arguments);
        command.envs(settings.iter().copied());
        let refused = run(command).await;
        assert!(!refused.out.contains(SECRET) && !refused.err.contains(SECRET), "{arguments:?} printed the secret");
        assert!(!refused.out.contains("pa55word") && !refused.err.contains("pa55word"), "{arguments:?} printed the password");
        said.push_str(&refused.refused());
        said.push('\n');
    }
    said
}

/// Both commands name it.
#[track_caller]
fn named_twice(said: &str, name: &str) {
    assert_eq!(said.matches(&format!("half-sky: {name}: ")).count(), 2, "{name} in {said}");
}

#[actix_web::test]
async fn production_refuses_to_start_without_database_and_keys() {
    let said = refusals(&[]).await;
    named_twice(&said, "DATABASE_URL");
    named_twice(&said, "MASTER_KEYS");
}

#[actix_web::test]
async fn production_refuses_what_it_does_not_know_and_what_only_a_demo_may_do() {
    let (database, keys) = (("DATABASE_URL", "postgres://u:pa55word@localhost/x"), format!("k1:{SECRET}"));
    let keys = ("MASTER_KEYS", keys.as_str());
    named_twice(&refusals(&[database, keys, ("HALF_SKY_CLOCK", "2019-04-10T09:00:00+08:00")]).await, "HALF_SKY_CLOCK");
    named_twice(&refusals(&[database, keys, ("HALF_SKY_CLOK", "2019-04-10T09:00:00+08:00")]).await, "HALF_SKY_CLOK");
    named_twice(&refusals(&[database, keys, ("HALF_SKY_HTTP", "0.0.0.0:8080")]).await, "HALF_SKY_PUBLIC_URL");
    named_twice(&refusals(&[database, keys, ("HALF_SKY_HTTP", "everywhere")]).await, "HALF_SKY_HTTP");
    let broken = format!("k1:{SECRET},k2:{SECRET}=");
    named_twice(&refusals(&[database, ("MASTER_KEYS", &broken)]).await, "MASTER_KEYS");
}

#[actix_web::test]
async fn a_complete_configuration_is_explained_without_its_secrets() {
    let mut command = half_sky(&["config", "check"]);
    command.env("DATABASE_URL", "postgres://u:pa55word@localhost/x").env("MASTER_KEYS", format!("k1:{SECRET}"));
    let said = run(command).await.well();
    for variable in half_sky::config::VARIABLES {
        assert!(said.contains(variable.name) && said.contains(variable.doc), "{} in {said}", variable.name);
    }
    assert!(!said.contains(SECRET) && !said.contains("pa55word"), "{said}");
}

#[actix_web::test]
async fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let address = free_address();
    for arguments in [&["serve"] as &[_], &["migrate"], &[], &["backup", "/dev/null"]] {
        let folder = Folder::new();
        let mut command = half_sky(arguments);
        command.env("DATABASE_URL", format!("postgres://u:pa55word@{address}/x")).env("HALF_SKY_DATA", folder.path());
        command.env("MASTER_KEYS", format!("k1:{SECRET}"));
        let refused = run(command).await;
        assert!(!refused.out.contains("pa55word") && !refused.err.contains("pa55word"), "{arguments:?}: {}", refused.err);
        assert!(refused.refused().contains("half-sky: "), "{arguments:?}");
    }
}

#[actix_web::test]
async fn every_command_explains_itself() {
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["migrate"],
        &["openapi"],
        &["import"],
        &["import", "plan"],
        &["admin"],
        &["admin", "create"],
        &["keys"],
        &["keys", "rotate"],
        &["keys", "revoke"],
        &["backup"],
        &["restore"],
        &["clock"],
        &["clock", "advance"],
        &["config"],
        &["config", "check"],
        &["health"],
        &["audit"],
        &["audit", "verify"],
    ];
    let mut named = 0;
    for command in commands {
        let said = run(half_sky(&[command, &["--help"] as &[_]].concat())).await.well();
        assert!(said.contains(&["Usage: half-sky", &command.join(" ")].join(" ").trim_end().to_owned()), "{command:?}: {said}");
        // Each command that it lists is in the list above.
        let listed = said.split_once("Commands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
        let listed = listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        named +=
            listed.inspect(|name| assert!(commands.contains(&[command, &[*name] as &[_]].concat().as_slice()), "{name}")).count();
    }
    assert_eq!(named + 1, commands.len());
}

#[actix_web::test]
async fn figures_are_served_on_their_own_port_only() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let metrics = free_address();
    let mut command = installation.command(&["serve"]);
    command.env("HALF_SKY_METRICS", metrics.to_string());
    let program = Program::start(command, &installation.folder).await;
    program.anonymous().get("/api/v1/divisions").answer().await.expect(200);
    program.anonymous().get("/metrics").answer().await.expect_problem(404, "not_found");
    let figures = Client::new(metrics);
    let shown = figures.get("/metrics").answer().await.expect(200);
    assert!(shown.header("content-type").starts_with("text/plain; version=0.0.4"), "{}", shown.header("content-type"));
    let text = String::from_utf8(shown.bytes).unwrap();
    assert!(text.contains("http_request_seconds_count{operation=\"list_divisions\",status=\"200\"} 1"), "{text}");
    figures.get("/api/v1/divisions").answer().await.expect(404);
    figures.get("/health/live").answer().await.expect(404);
}

#[actix_web::test]
async fn an_address_in_use_is_named_by_its_variable_and_nothing_goes_on_without_it() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for variable in ["HALF_SKY_HTTP", "HALF_SKY_METRICS"] {
        let mut command = installation.command(&["serve"]);
        command.env("HALF_SKY_HTTP", free_address().to_string()).env(variable, &address);
        let refused = run(command).await.refused();
        assert!(refused.contains(&format!("half-sky: {variable}: ")), "{variable}: {refused}");
    }
}
