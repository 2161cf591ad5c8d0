//! Requests and answers.

use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_http::{BoxedPayloadStream, Payload};
use actix_web::body::to_bytes;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use futures_util::{StreamExt, stream};
use half_sky::http::document::{Route, document};
use serde_json::Value;

use super::{Handle, peer};

/// Somebody who calls.
#[derive(Clone)]
pub struct Client {
    handle: Rc<Handle>,
    token: Option<String>,
}

impl Client {
    /// A caller with or without a token.
    pub fn new(handle: Rc<Handle>, token: Option<String>) -> Self {
        Self { handle, token }
    }

    /// The service it calls.
    pub fn handle(&self) -> Rc<Handle> {
        Rc::clone(&self.handle)
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// GET
    #[track_caller]
    pub fn get(&self, target: impl AsRef<str>) -> Sent {
        self.request(Method::GET, target.as_ref())
    }

    /// POST, with a fresh Idempotency-Key where the operation needs one.
    #[track_caller]
    pub fn post(&self, target: impl AsRef<str>) -> Sent {
        self.request(Method::POST, target.as_ref())
    }

    /// PUT
    #[track_caller]
    pub fn put(&self, target: impl AsRef<str>) -> Sent {
        self.request(Method::PUT, target.as_ref())
    }

    /// DELETE
    #[track_caller]
    pub fn delete(&self, target: impl AsRef<str>) -> Sent {
        self.request(Method::DELETE, target.as_ref())
    }

    /// Any request.
    #[track_caller]
    pub fn request(&self, method: Method, target: &str) -> Sent {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let mut headers = vec![];
        if let Some(token) = &self.token {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        let path = target.split('?').next().unwrap_or_default().to_owned();
        if let Route::Found(operation, _) = document().route(&method, &path)
            && operation.needs_key
        {
            headers.push(("Idempotency-Key".to_owned(), format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed))));
        }
        let (handle, target) = (Rc::clone(&self.handle), target.to_owned());
        Sent { handle, method, target, headers, body: None, stalls: false, at: Location::caller() }
    }
}

/// A request on its way; await it.
pub struct Sent {
    handle: Rc<Handle>,
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    stalls: bool,
    at: &'static Location<'static>,
}

impl Sent {
    /// Sets a header, replacing one of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the Idempotency-Key.
    pub fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// Sets If-Match.
    pub fn if_match(self, etag: &str) -> Self {
        self.header("If-Match", etag)
    }

    /// Sends JSON.
    pub fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string().as_bytes())
    }

    /// Sends a form: texts, and a file with its name.
    pub fn form(self, texts: &[(&str, &str)], name: &str, content: &[u8]) -> Self {
        const BOUNDARY: &str = "half-the-sky-test";
        let mut body = Vec::new();
        for (field, text) in texts {
            body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{text}\r\n").bytes());
        }
        let about = format!("form-data; name=\"file\"; filename=\"{name}\"");
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {about}\r\n\r\n").bytes());
        body.extend(content);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
        self.bytes(&format!("multipart/form-data; boundary={BOUNDARY}"), &body)
    }

    /// Sends bytes.
    pub fn bytes(mut self, media_type: &str, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self.header("Content-Type", media_type)
    }

    /// Half of the body comes, the rest never.
    pub fn stalled(self) -> Self {
        Self { stalls: true, ..self }
    }

    async fn send(self) -> Answer {
        let uri: Uri = self.target.parse().unwrap_or_else(|fault| panic!("{}: {fault}", self.target));
        let mut request = TestRequest::default().method(self.method.clone()).uri(&uri.to_string()).peer_addr(peer());
        for (name, value) in &self.headers {
            request = request.append_header((name.as_str(), value.as_str()));
        }
        let mut half: Option<BoxedPayloadStream> = None;
        if let Some(body) = self.body {
            if self.stalls {
                let begun = Bytes::copy_from_slice(&body[..body.len() / 2]);
                half = Some(Box::pin(stream::iter([Ok(begun)]).chain(stream::pending())));
            }
            request = request.set_payload(body);
        }
        let mut request = request.to_request();
        if let Some(payload) = half {
            request = request.replace_payload(Payload::Stream { payload }).0;
        }
        let response = (self.handle)(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("the body could not be read"));
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let answer = Answer {
            status,
            headers,
            json,
            bytes: body.to_vec(),
            at: self.at,
            asked: format!("{} {}", self.method, self.target),
        };
        answer.fits_the_document(&self.method, uri.path());
        answer
    }
}

impl IntoFuture for Sent {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What came back.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as JSON; null where it is none.
    pub json: Value,
    /// Body as it came.
    pub bytes: Vec<u8>,
    at: &'static Location<'static>,
    asked: String,
}

impl Answer {
    fn fits_the_document(&self, method: &Method, path: &str) {
        let Route::Found(operation, _) = document().route(method, path) else { return };
        if *method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED || self.status == StatusCode::METHOD_NOT_ALLOWED {
            return;
        }
        if let Err(fault) = document().check_response(operation, self.status.as_u16(), &self.json) {
            panic!(
                "{}: {} answered {} {}, which does not fit the document: {fault}",
                self.at, self.asked, self.status, self.json
            );
        }
    }

    /// The status is this one; otherwise the body is shown at the caller's line.
    pub fn expect(self, status: u16) -> Self {
        assert!(
            self.status.as_u16() == status,
            "{}: {} answered {} instead of {status}: {:#}",
            self.at,
            self.asked,
            self.status,
            self.json
        );
        self
    }

    /// The status and the problem's code are these.
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json["code"], code, "{}: {} answered {:#}", answer.at, answer.asked, answer.json);
        answer
    }

    /// The text at a pointer.
    pub fn text(&self, pointer: &str) -> String {
        let value = self.json.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{}: no text at {pointer} in {:#}", self.at, self.json)).to_owned()
    }

    /// The items of a page.
    pub fn items(&self) -> &Vec<Value> {
        self.json["items"].as_array().unwrap_or_else(|| panic!("{}: no items in {:#}", self.at, self.json))
    }

    /// A header, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The ETag.
    pub fn etag(&self) -> String {
        self.header("etag").to_owned()
    }

    /// Where a fault of a 400 or 422 is, with its code.
    pub fn faults(&self) -> Vec<(String, String)> {
        let place = |fault: &Value| {
            ["pointer", "parameter", "header"].iter().find_map(|key| fault[*key].as_str()).unwrap_or_default().to_owned()
        };
        let faults = self.json["errors"].as_array().cloned().unwrap_or_default();
        faults.iter().map(|fault| (place(fault), fault["code"].as_str().unwrap_or_default().to_owned())).collect()
    }
}
