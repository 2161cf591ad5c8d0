//! Clients that dawdle, exaggerate or talk nonsense: each gets a short answer or none, and nobody else notices.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Ask;
use super::process::{Installation, PATIENCE};
use crate::support::Database;

/// Sends bytes and reads until the server closes. It may close before it has read everything; the answer may then be lost.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    let said = async {
        let sent = write.write_all(bytes).await;
        // Held open: the server is to close, not we.
        sent.map(|()| write)
    };
    let talked = async { futures_util::join!(said, read.read_to_end(&mut answer)) };
    let talked = tokio::time::timeout(PATIENCE, talked).await;
    drop(talked.unwrap_or_else(|_| panic!("{:?} is never closed", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]))));
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[track_caller]
fn expect_problem(answer: &str, expected: u16, code: &str) {
    assert_eq!(status(answer), Some(expected), "{answer}");
    assert!(answer.to_lowercase().contains("\r\ncontent-type: application/problem+json"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["code"], code, "{answer}");
}

#[actix_web::test]
async fn slow_clients_are_cut_off_while_others_are_served() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let address = program.address;
    let start = Instant::now();

    let slow_headers = async {
        let answer = say(address, b"GET /api/v1/divisions HTTP/1.1\r\nHost: localhost\r\n").await;
        assert!(matches!(status(&answer), None | Some(408)), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
    };
    let slow_body = async {
        let head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
            Content-Length: 100\r\nConnection: close\r\n\r\n{\"username\":";
        expect_problem(&say(address, head).await, 408, "request_timeout");
    };
    let dripping_body = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let drip = async {
            let mut pause = tokio::time::interval(Duration::from_millis(500));
            while write.write_all(b"1\r\n \r\n").await.is_ok() {
                pause.tick().await;
            }
        };
        let mut answer = [0; 12];
        tokio::select! {
            () = drip => {}
            read = read.read_exact(&mut answer) => assert_eq!((read.unwrap(), &answer), (12, b"HTTP/1.1 408")),
        }
        assert!((14..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    };
    let rude = async { futures_util::join!(slow_headers, slow_body, dripping_body) };
    let client = program.anonymous();
    let normal = async {
        let mut pause = tokio::time::interval(Duration::from_millis(100));
        loop {
            let asked = Instant::now();
            client.get("/api/v1/divisions/430602").answer().await.expect(200);
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
            pause.tick().await;
        }
    };
    tokio::select! {
        _ = rude => {}
        () = normal => {}
    }
}

#[actix_web::test]
async fn what_is_too_long_is_refused() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let ask =
        async |head: String| say(program.address, format!("{head}Host: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;

    let long = "x".repeat(10 << 10);
    expect_problem(&ask(format!("GET /api/v1/divisions?q={long} HTTP/1.1\r\n")).await, 414, "uri_too_long");
    expect_problem(&ask(format!("GET /{long} HTTP/1.1\r\n")).await, 414, "uri_too_long");
    let large = "x".repeat(20 << 10);
    expect_problem(&ask(format!("GET /api/v1/divisions HTTP/1.1\r\nX-Large: {large}\r\n")).await, 431, "headers_too_large");
    // The parser of the connection answers these, before there is a request that could be answered with a problem.
    let longer = "x".repeat(200 << 10);
    let one = ask(format!("GET /api/v1/divisions HTTP/1.1\r\nX-Long: {longer}\r\n")).await;
    assert!(matches!(status(&one), None | Some(431)), "{one}");
    let address = ask(format!("GET /{longer} HTTP/1.1\r\n")).await;
    assert!(matches!(status(&address), None | Some(431)), "{address}");
    let many: String = (0..2000).map(|number| format!("X-Header-{number}: {}\r\n", "y".repeat(80))).collect();
    let many = ask(format!("GET /api/v1/divisions HTTP/1.1\r\n{many}")).await;
    assert!(matches!(status(&many), None | Some(431)), "{many}");
    let many: String = (0..100).map(|number| format!("X-Header-{number}: y\r\n")).collect();
    assert_eq!(status(&ask(format!("GET /api/v1/divisions HTTP/1.1\r\n{many}")).await), Some(431));
    program.anonymous().get("/api/v1/divisions/430602").answer().await.expect(200);
}

#[actix_web::test]
async fn nonsense_is_refused_and_kills_nothing() {
    let database = Database::create().await;
    let installation = Installation::on(&database);
    let program = installation.serve().await;
    let post = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let nonsense: Vec<Vec<u8>> = [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        "GET /%zz?%=%&&=== HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /api/v1/divisions/%FF%FE HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET //../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "CONNECT localhost:5432 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET http://elsewhere.example/api/v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "FROBNICATE /api/v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &format!("{post}Content-Length: -1\r\n\r\n{{}}"),
        &format!("{post}Content-Length: 99999999999999999999999\r\n\r\n{{}}"),
        &format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        &format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        &format!("{post}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n{{}}\r\n"),
        &format!("{post}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n"),
        &format!("{post}Transfer-Encoding: gzip, chunked, identity\r\nConnection: close\r\n\r\n"),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        // A TLS client, and noise.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        (0..=255).cycle().take(4096).collect(),
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n".to_vec(),
    ])
    .collect();
    let answers = join_all(nonsense.iter().map(|bytes| say(program.address, bytes))).await;
    for (bytes, answer) in nonsense.iter().zip(&answers) {
        let refused = status(answer).is_none_or(|status| (400..500).contains(&status) || status == 204);
        assert!(refused, "{:?}: {answer}", String::from_utf8_lossy(bytes));
    }
    program.anonymous().get("/api/v1/divisions/430602").answer().await.expect(200);
    assert!(!program.said().contains("panicked"), "{}", program.said());
}
