//! The bare program: a private PostgreSQL, demo data, what to open; and nothing left of it. Processes are looked up in
//! `/proc`, so this is for Linux.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use half_sky::demo::SignIn;
use nix::sys::signal::Signal;
use serde_json::json;

use super::client::Ask;
use super::process::{Folder, Program, half_sky, run};
use crate::private_postgres::assert_no_process;

async fn start(data: &Path, folder: &Folder) -> Program {
    let mut command = half_sky(&[]);
    command.env("HALF_SKY_DATA", data);
    Program::start(command, folder).await
}

fn sign_ins(data: &Path) -> Vec<SignIn> {
    serde_json::from_slice(&fs::read(data.join("sign-ins.json")).unwrap()).unwrap()
}

fn welcomed(program: &Program, sign_ins: &[SignIn], address: SocketAddr) {
    let said = program.said();
    assert!(said.contains(&format!("http://{address}/swagger-ui/")), "{said}");
    for sign_in in sign_ins {
        let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{} ", sign_in.username)));
        assert!(line.is_some_and(|line| line.contains(&sign_in.password)), "{}: {said}", sign_in.username);
    }
}

#[actix_web::test]
async fn the_bare_program_serves_a_demo_keeps_it_and_leaves_no_process() {
    let folder = Folder::new();
    let data = folder.path().join(".half-sky");
    let mut program = start(&data, &folder).await;
    let sign_ins_file = data.join("sign-ins.json");
    for private in [&sign_ins_file, &data.join("master-key"), &data.join("control.sock")] {
        assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600, "{}", private.display());
    }
    let first = sign_ins(&data);
    welcomed(&program, &first, program.address);
    program.anonymous().get("/swagger-ui/").answer().await.expect(200);
    for sign_in in &first {
        program.sign_in_with(&sign_in.username, &sign_in.password).await;
    }
    let officer = first.iter().find(|sign_in| sign_in.username == "county-officer").unwrap();
    let client = program.sign_in_with(&officer.username, &officer.password).await;
    let site = client.post("/api/v1/sites").json(&super::new_site(1)).answer().await.expect(201);

    let mut advance = half_sky(&["clock", "advance", "30d"]);
    advance.env("HALF_SKY_DATA", &data);
    let now = run(advance).await.well();
    let now: chrono::DateTime<chrono::FixedOffset> = now.trim().parse().unwrap();
    let later = client.post("/api/v1/sites").json(&super::new_site(2)).answer().await.expect(201);
    let at = |text: String| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let (before, after) = (at(site.text("/created_at")), at(later.text("/created_at")));
    assert_eq!((after - before).num_days(), 30, "domain time moved");
    assert!((after - now.to_utc()).num_minutes() < 1, "to what was printed");

    program.signal(Signal::SIGINT);
    assert_eq!(program.end().await.code(), Some(0));
    assert_no_process(&data);
    assert!(!data.join("control.sock").exists());
    drop(program);

    let mut program = start(&data, &folder).await;
    assert_eq!(json!(sign_ins(&data)), json!(first), "the same sign-ins");
    welcomed(&program, &first, program.address);
    let client = program.sign_in_with(&officer.username, &officer.password).await;
    let kept = client.get(site.header("location")).answer().await.expect(200);
    assert_eq!(kept.bytes, site.bytes, "the same data");

    program.signal(Signal::SIGKILL);
    program.end().await;
    assert_no_process(&data);
    let mut program = start(&data, &folder).await;
    program.sign_in_with(&officer.username, &officer.password).await;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().await.code(), Some(0));
    assert_no_process(&data);
}
