//! Requests over a socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// Somebody who calls, over connections of her own.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Somebody without a token.
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{address}"), token: None }
    }

    pub fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    pub fn token(&self) -> String {
        self.token.clone().unwrap()
    }

    pub fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// POST with a fresh Idempotency-Key.
    pub fn post(&self, target: &str) -> RequestBuilder {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        self.post_with_key(target, &format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn post_with_key(&self, target: &str, key: &str) -> RequestBuilder {
        self.request(Method::POST, target).header("Idempotency-Key", key)
    }

    /// Any request.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{target}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Sends what was built.
pub trait Ask: Sized {
    /// The answer, or why there was none.
    async fn attempt(self) -> reqwest::Result<Answer>;

    /// The answer, which must come.
    async fn answer(self) -> Answer {
        self.attempt().await.unwrap_or_else(|fault| panic!("no answer: {fault:?}"))
    }
}

impl Ask for RequestBuilder {
    async fn attempt(self) -> reqwest::Result<Answer> {
        let response = self.send().await?;
        let (asked, status) = (response.url().to_string(), response.status().as_u16());
        let headers = response.headers().clone();
        let bytes = response.bytes().await?.to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { asked, status, headers, bytes, json })
    }
}

/// What came back.
pub struct Answer {
    asked: String,
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
    /// The body as JSON; null where it is none.
    pub json: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "{} answered {} instead of {status}: {:#}", self.asked, self.status, self.json);
        self
    }

    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{}", answer.header("content-type"));
        assert_eq!(answer.json["code"], code, "{}", answer.asked);
        answer
    }

    /// The text at a pointer.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let value = self.json.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text at {pointer} of {}: {:#}", self.asked, self.json)).to_owned()
    }

    /// A header, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
