//! The process is killed, its clients go away: of every write there is all or nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Ask, Client};
use super::process::{Installation, within};
use super::{count_whole_sites, new_site, number};
use crate::support::Database;

/// Sessions of the service on this database that are in a transaction or at work.
const BUSY: &str = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'half-sky' AND state <> 'idle'";

async fn create(client: &Client, site: usize) -> reqwest::Result<super::client::Answer> {
    client.post_with_key("/api/v1/sites", &format!("site-{site}")).json(&new_site(site)).attempt().await
}

#[actix_web::test]
async fn kill_9_during_200_writes_loses_nothing_that_was_answered_and_leaves_nothing_half_done() {
    const SITES: usize = 200;
    const ANSWERS_BEFORE_THE_END: usize = 60;
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    let (next, answered) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let writer = async || {
        loop {
            let site = next.fetch_add(1, Ordering::Relaxed);
            if site >= SITES {
                return;
            }
            let Ok(answer) = create(&officer, site).await else { return };
            let mut answered = answered.lock().unwrap();
            answered.insert(site, answer.expect(201).bytes);
            if answered.len() == ANSWERS_BEFORE_THE_END {
                program.signal(Signal::SIGKILL);
            }
        }
    };
    join_all((0..8).map(|_| writer())).await;
    let answered = answered.into_inner().unwrap();
    assert!((ANSWERS_BEFORE_THE_END..SITES).contains(&answered.len()), "killed in the middle, after {}", answered.len());
    program.end().await;

    let mut conn = database.superuser().await;
    let orphans = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'half-sky'";
    within("end of the dead program's sessions", async || (number(&mut conn, orphans).await == 0).then_some(())).await;
    let written = count_whole_sites(&mut conn).await;
    assert!(written >= answered.len() as i64, "{written} of {} answered", answered.len());

    let program = installation.serve().await;
    let officer = program.anonymous().with_token(officer.token());
    for (site, first) in &answered {
        let again = create(&officer, *site).await.unwrap().expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(&again.bytes, first, "the stored reply is the first one");
        officer.get(again.header("location")).answer().await.expect(200);
    }
    for site in (0..SITES).filter(|site| !answered.contains_key(site)) {
        create(&officer, site).await.unwrap().expect(201);
    }
    assert_eq!(count_whole_sites(&mut conn).await, SITES as i64);
}

#[actix_web::test]
async fn kill_9_during_uploads_leaves_every_file_whole_or_absent() {
    const FILES: usize = 60;
    const ANSWERS_BEFORE_THE_END: usize = 15;
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let mut program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    let content = |number: usize| format!("第 {number} 份材料\n").repeat(40_000).into_bytes();
    let upload = async |client: &Client, number: usize| {
        let head = format!(
            "--file\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nother\r\n--file\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{number}.txt\"\r\n\r\n"
        );
        let body = [head.as_bytes(), &content(number), b"\r\n--file--\r\n"].concat();
        let request = client.post_with_key("/api/v1/files", &format!("file-{number}"));
        request.header("Content-Type", "multipart/form-data; boundary=file").body(body).attempt().await
    };
    let (next, answered) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let uploader = async || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= FILES {
                return;
            }
            let Ok(answer) = upload(&officer, number).await else { return };
            let mut answered = answered.lock().unwrap();
            answered.insert(number, answer.expect(201).text("/url"));
            if answered.len() == ANSWERS_BEFORE_THE_END {
                program.signal(Signal::SIGKILL);
            }
        }
    };
    join_all((0..4).map(|_| uploader())).await;
    let answered = answered.into_inner().unwrap();
    assert!((ANSWERS_BEFORE_THE_END..FILES).contains(&answered.len()), "killed in the middle, after {}", answered.len());
    program.end().await;

    let program = installation.serve().await;
    let officer = program.anonymous().with_token(officer.token());
    for (number, url) in &answered {
        assert!(officer.get(url).answer().await.expect(200).bytes == content(*number), "file {number}");
    }
    // Rows of uploads that were not answered have their content, too.
    let listed = officer.get("/api/v1/files?purpose=other&limit=100").answer().await.expect(200);
    let files = listed.json["items"].as_array().unwrap();
    assert!(files.len() >= answered.len());
    for file in files {
        let name = file["name"].as_str().unwrap();
        let number: usize = name.strip_suffix(".txt").unwrap().parse().unwrap();
        let bytes = officer.get(file["url"].as_str().unwrap()).answer().await.expect(200).bytes;
        assert!(bytes == content(number), "{name}");
    }
    for number in (0..FILES).filter(|number| !answered.contains_key(number)) {
        upload(&officer, number).await.unwrap().expect(201);
    }
    let listed = officer.get("/api/v1/files?purpose=other&limit=100").answer().await.expect(200);
    assert_eq!(listed.json["items"].as_array().unwrap().len(), FILES, "none twice, none missing");
}

#[actix_web::test]
async fn clients_that_disconnect_in_the_middle_of_writes_leave_all_or_nothing_and_the_pool_intact() {
    const CLIENTS: usize = 100;
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let officer = program.sign_in("county-officer").await;
    let (address, token) = (program.address, officer.token());
    let rude = async |site: usize| {
        let body = new_site(site).to_string();
        let head = format!(
            "POST /api/v1/sites HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: site-{site}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        let mut stream = TcpStream::connect(address).await.unwrap();
        match site % 4 {
            // In the middle of the request.
            0 => stream.write_all(&request[..request.len() - 20]).await.unwrap(),
            // Right after it.
            1 | 2 => stream.write_all(&request).await.unwrap(),
            // In the middle of the answer.
            _ => {
                stream.write_all(&request).await.unwrap();
                _ = stream.read(&mut [0; 10]).await;
            }
        }
    };
    join_all((0..CLIENTS).map(rude)).await;

    let mut conn = database.superuser().await;
    within("end of all work", async || (number(&mut conn, BUSY).await == 0).then_some(())).await;
    let parallel = join_all((1000..1020).map(|site| create(&officer, site))).await;
    parallel.into_iter().for_each(|answer| drop(answer.unwrap().expect(201)));
    for site in 0..CLIENTS {
        // A write may be going on whose client has left long ago.
        within("site", async || Some(create(&officer, site).await.unwrap()).filter(|answer| answer.status != 409))
            .await
            .expect(201);
    }
    assert_eq!(count_whole_sites(&mut conn).await, 20 + CLIENTS as i64);
    let waiting = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(number(&mut conn, waiting).await, 0, "no connection is left in a transaction");
}
