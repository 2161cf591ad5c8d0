//! The gate: every request passes here, in the contract's order of refusals: 401 · 404/405 · 429 · 406, 415, 413 · 400 (syntax,
//! then a missing Idempotency-Key) · 428. What passes reaches its handler as a [`Call`]. Errors leave here in the caller's
//! language, responses with the headers that all of them carry.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{HttpMessage, HttpResponse};
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use uuid::Uuid;

use super::address::client_address;
use super::call::{Call, Passed, Upload, pointer_of};
use super::document::{Operation, Route, Takes, document};
use super::form;
use super::json::Strict;
use super::problem::{ApiError, ApiResult, Code, FieldError, Language, Place};
use super::rate::{Allowance, Counted};
use crate::access::Need;
use crate::accounts;
use crate::app::App;
use crate::db::Reader;

/// How long a client may take to send its body; forms have [`super::arrivals`].
const BODY_DEADLINE: Duration = Duration::from_secs(15);
/// Nesting beyond this is refused before anything is parsed.
const MAX_DEPTH: usize = 32;
/// Longest path with query.
const MAX_TARGET: usize = 8192;
/// Most bytes of header names and values. Beyond 128 KiB or 96 headers the connection's parser answers 431 by itself, without a body.
const MAX_HEADERS: usize = 16 << 10;
/// Operations that somebody with an initial password may still call.
const OPEN_TO_INITIAL_PASSWORDS: &str = "change_password";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::VARY, HeaderValue::from_static("Accept-Language, Accept-Encoding, Origin")),
];
const EXPOSED: &str =
    "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotent-Replayed, Deprecation, Sunset";

/// Who asked for what: enough to render an error.
struct Asked {
    app: App,
    request_id: String,
    traceparent: Option<String>,
    language: Language,
    method: Method,
    path: String,
    origin: Option<String>,
    if_none_match: Option<String>,
    /// It brings a token: what it gets may be hers alone, also from public operations.
    with_token: bool,
    started: Instant,
}

/// The middleware.
pub async fn pass(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> actix_web::Result<ServiceResponse<BoxBody>> {
    let app = request.app_data::<Data<App>>().map(|app| App::clone(app)).ok_or_else(|| ApiError::internal("no App"))?;
    let asked = Asked::of(&request, app);
    if let Some(answer) = beside_the_document(&request, &asked) {
        return Ok(finish(request.into_response(answer), &asked, None, None));
    }
    // The handler of a HEAD is the handler of its GET; the connection drops the body by itself.
    if asked.method == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    if asked.path.starts_with("/swagger-ui") || asked.path.starts_with("/api-docs/") {
        let response = next.call(request).await?.map_into_boxed_body();
        let response = match response.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                let error = ApiError::from(Code::MethodNotAllowed).with_header(header::ALLOW, "GET, HEAD");
                response.into_response(asked.problem(&error))
            }
            status if status.is_client_error() => response.into_response(asked.problem(&Code::NotFound.into())),
            _ => response,
        };
        return Ok(finish(response, &asked, None, None));
    }
    let mut allowance = None;
    let (operation, admitted) = admit(&mut request, &asked, &mut allowance).await;
    let response = match admitted {
        Err(error) => request.into_response(asked.problem(&error)),
        Ok(call) => {
            request.extensions_mut().insert(call.clone());
            let limit = asked.app.config.request_timeout;
            match tokio::time::timeout(limit, AssertUnwindSafe(next.call(request)).catch_unwind()).await {
                Ok(Ok(Ok(response))) => {
                    if let Some(error) = response.response().error() {
                        call.record_refusal(as_api_error(error).code()).await;
                    }
                    asked.render_errors(response.map_into_boxed_body())
                }
                Ok(Ok(Err(error))) => return Err(without_request(&as_api_error(&error), &asked, operation, allowance)),
                Ok(Err(_)) => {
                    return Err(without_request(&ApiError::internal("a handler panicked"), &asked, operation, allowance));
                }
                Err(_) => return Err(without_request(&Code::Timeout.into(), &asked, operation, allowance)),
            }
        }
    };
    Ok(finish(response, &asked, operation, allowance))
}

/// A finished answer to a request that was lost on the way: it timed out or its handler panicked.
#[derive(Debug)]
struct Lost {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)
    }
}

impl actix_web::ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.set_body(BoxBody::new(self.body.clone()))
    }
}

fn without_request(
    error: &ApiError,
    asked: &Asked,
    operation: Option<&'static Operation>,
    allowance: Option<Allowance>,
) -> actix_web::Error {
    let (head, body) = asked.problem(error).into_parts();
    let (status, mut headers) = (head.status(), head.headers().clone());
    dress(&mut headers, status, asked, operation, allowance);
    let body = body.try_into_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    Lost { status, headers, body }.into()
}

/// What needs no operation: too long an address, too large headers, OPTIONS and CORS preflights.
fn beside_the_document(request: &ServiceRequest, asked: &Asked) -> Option<HttpResponse> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Some(asked.problem(&Code::UriTooLong.into()));
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADERS {
        return Some(asked.problem(&Code::HeadersTooLarge.into()));
    }
    if asked.method != Method::OPTIONS {
        return None;
    }
    let methods = document().methods(&asked.path)?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ALLOW, methods.clone()));
    if asked.allowed_origin().is_some() && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
        response.insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, Client-Nonce",
        ));
        response.insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"));
    }
    Some(response.finish())
}

/// Takes a request through the refusals, in order.
async fn admit(
    request: &mut ServiceRequest,
    asked: &Asked,
    allowance: &mut Option<Allowance>,
) -> (Option<&'static Operation>, ApiResult<Call>) {
    let route = document().route(&asked.method, &asked.path);
    let found = if let Route::Found(operation, _) = &route { Some(*operation) } else { None };
    (found, admit_route(request, asked, route, allowance).await)
}

async fn admit_route(
    request: &mut ServiceRequest,
    asked: &Asked,
    route: Route<'_>,
    allowance: &mut Option<Allowance>,
) -> ApiResult<Call> {
    let app = &asked.app;
    // 401
    let caller = match bearer(request.headers())? {
        Some(token) => {
            let public = matches!(&route, Route::Found(operation, _) if operation.need == Need::Public);
            match accounts::authenticate(app, token).await {
                Ok(caller) => Some(caller),
                // Signing in again must work while an old token is still attached.
                Err(_) if public => None,
                Err(error) => return Err(error),
            }
        }
        None => None,
    };
    // 404, 405
    let (operation, path) = match route {
        Route::Found(operation, path) => (operation, path),
        Route::OtherMethods(methods) => return Err(ApiError::from(Code::MethodNotAllowed).with_header(header::ALLOW, &methods)),
        Route::Unknown => return Err(Code::NotFound.into()),
    };
    if operation.need != Need::Public && caller.is_none() {
        return Err(Code::Unauthenticated.into());
    }
    // 429
    let address = client_address(request, &app.config.trusted_proxies);
    let (policy, who) = match &caller {
        Some(caller) if operation.policy == "principal" => ("principal", Counted::Account(caller.account_id.0)),
        _ if operation.policy == "principal" => ("address", Counted::address(address)),
        _ => (operation.policy, Counted::address(address)),
    };
    *allowance = Some(app.limits.count(policy, &who)?);
    // 406, 415, 413
    check_media(request.headers(), operation)?;
    let limit = if operation.takes == Takes::Form { form::LARGEST } else { app.config.body_limit };
    if content_length(request.headers()) > Some(limit) {
        return Err(Code::PayloadTooLarge.into());
    }
    // 403 for an initial password stands before everything that concerns the operation itself
    if operation.id != OPEN_TO_INITIAL_PASSWORDS
        && caller.as_ref().is_some_and(|caller| caller.must_change_password)
        && operation.need != Need::Public
    {
        return Err(Code::PasswordChangeRequired.into());
    }
    // 400: syntax of parameters and body
    let read = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let parameters = document().read_parameters(operation, &path, request.query_string(), read)?;
    let user_agent = read("User-Agent").map(|agent| agent.chars().take(200).collect());
    let [range, if_range] = ["Range", "If-Range"].map(|name| read(name).map(str::to_owned));
    let body = match operation.takes {
        Takes::Nothing => Body::default(),
        Takes::Json => json_body(operation, read_body(request, app.config.body_limit).await?)?,
        Takes::Form => {
            let arrived = app.arrivals.receive(&who, request.take_payload(), form::LARGEST).await?;
            let room = app.objects.room().await?;
            form::read(operation, request.headers(), arrived.whole().await?, room).await?
        }
    };
    // 400: a missing key
    if operation.needs_key && !parameters.contains_key("Idempotency-Key") {
        return Err(missing_header(Code::IdempotencyKeyRequired, "Idempotency-Key"));
    }
    // 428
    if operation.needs_version && !parameters.contains_key("If-Match") {
        return Err(missing_header(Code::PreconditionRequired, "If-Match"));
    }
    let reader =
        request.app_data::<Data<Rc<Reader>>>().map(|reader| Rc::clone(reader)).ok_or_else(|| ApiError::internal("no Reader"))?;
    Ok(Call::new(Passed {
        app: app.clone(),
        operation,
        caller,
        parameters,
        body: body.bytes,
        json: body.json,
        faults: body.faults,
        upload: body.upload,
        range,
        if_range,
        target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        language: asked.language,
        request_id: asked.request_id.clone(),
        user_agent,
        address,
        reader,
    }))
}

/// The bearer token. Two Authorization headers or another scheme are refused.
fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let mut values = headers.get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    let refused = || ApiError::from(Code::TokenInvalid).with_header(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
    if values.next().is_some() {
        return Err(refused());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.len() > 4096 {
        return Err(refused());
    }
    Ok(Some(token.trim()))
}

fn check_media(headers: &HeaderMap, operation: &Operation) -> ApiResult<()> {
    if let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) {
        let acceptable = accept.split(',').any(|part| {
            let media = part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            matches!(media.as_str(), "" | "*/*" | "application/*" | "application/json" | "application/problem+json")
        });
        if !acceptable && !operation.answers_bytes {
            return Err(Code::NotAcceptable.into());
        }
    }
    let wanted = operation.takes.media_type();
    if !wanted.is_empty() {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (media, parameters) = media.split_once(';').unwrap_or((media, ""));
        let parameters = parameters.trim().replace('"', "");
        let utf8 = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
        if !media.trim().eq_ignore_ascii_case(wanted) || !(utf8 || operation.takes == Takes::Form) {
            return Err(ApiError::from(Code::UnsupportedMediaType).with_header(HeaderName::from_static("accept-post"), wanted));
        }
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body, at most `limit` bytes, from a client that does not dawdle.
async fn read_body(request: &mut ServiceRequest, limit: usize) -> ApiResult<Bytes> {
    let mut payload = request.take_payload();
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|fault| ApiError::from(Code::MalformedRequest).caused_by(fault))?;
            if body.len() + chunk.len() > limit {
                return Err(ApiError::from(Code::PayloadTooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_DEADLINE, read).await.map_err(|_| ApiError::from(Code::RequestTimeout))?
}

/// A body that was read; the broken rules are told at their own moment.
#[derive(Default)]
pub struct Body {
    /// As [`Passed::body`].
    pub bytes: Bytes,
    /// As [`Passed::json`].
    pub json: Value,
    /// As [`Passed::faults`].
    pub faults: Vec<FieldError>,
    /// As [`Passed::upload`].
    pub upload: Option<Upload>,
}

/// Reads JSON and checks its syntax, depth and shape.
fn json_body(operation: &Operation, bytes: Bytes) -> ApiResult<Body> {
    let refused = |code: Code, pointer: String, rule: &'static str, text: String| {
        ApiError::from(code).at(FieldError::at(pointer, rule, format!("不是有效的 JSON：{text}"), text))
    };
    if depth(&bytes) > MAX_DEPTH {
        let text = format!("nested deeper than {MAX_DEPTH}");
        return Err(refused(Code::MalformedJson, String::new(), "malformed_json", text));
    }
    let mut reading = serde_json::Deserializer::from_slice(&bytes);
    let Strict(json) = serde_path_to_error::deserialize(&mut reading).map_err(|fault| match fault.inner().is_data() {
        true => refused(Code::InvalidBody, pointer_of(fault.path()), "repeated_name", fault.inner().to_string()),
        false => refused(Code::MalformedJson, String::new(), "malformed_json", fault.inner().to_string()),
    })?;
    reading.end().map_err(|fault| refused(Code::MalformedJson, String::new(), "malformed_json", fault.to_string()))?;
    let faults = check_body(operation, &json)?;
    Ok(Body { bytes, json, faults, upload: None })
}

/// Checks the shape of a body; the broken rules are returned.
pub fn check_body(operation: &Operation, json: &Value) -> ApiResult<Vec<FieldError>> {
    let mut faults = document().check_body(operation, json)?;
    find_nul(json, "", &mut faults);
    Ok(faults)
}

/// Greatest nesting of brackets outside strings.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut text, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match (text, *byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// PostgreSQL's text cannot hold U+0000.
fn find_nul(value: &Value, pointer: &str, faults: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            faults.push(FieldError::at(
                pointer,
                "nul",
                "含有不允许的字符 U+0000",
                "holds the character U+0000, which is not allowed",
            ));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| find_nul(item, &format!("{pointer}/{index}"), faults));
        }
        Value::Object(members) => members.iter().for_each(|(name, item)| find_nul(item, &format!("{pointer}/{name}"), faults)),
        _ => {}
    }
}

fn missing_header(code: Code, name: &str) -> ApiError {
    let fault = FieldError::at("", "required", format!("请求头 {name} 必填"), format!("the header {name} is required"));
    ApiError::from(code).at(FieldError { place: Place::Header(name.to_owned()), ..fault })
}

fn as_api_error(error: &actix_web::Error) -> ApiError {
    error.as_error::<ApiError>().cloned().unwrap_or_else(|| {
        let status = error.as_response_error().status_code();
        let code = Code::ALL.iter().copied().find(|code| code.status() == status && status.is_client_error());
        ApiError::from(code.unwrap_or(Code::Internal)).caused_by(error)
    })
}

impl Asked {
    fn of(request: &ServiceRequest, app: App) -> Self {
        let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let usable = |id: &&str| {
            (8..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        Self {
            app,
            request_id: header(&REQUEST_ID).filter(usable).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            traceparent: header(&HeaderName::from_static("traceparent"))
                .filter(|parent| is_traceparent(parent))
                .map(str::to_owned),
            language: Language::accepted(header(&header::ACCEPT_LANGUAGE)),
            method: request.method().clone(),
            path: request.path().to_owned(),
            origin: header(&header::ORIGIN).map(str::to_owned),
            if_none_match: header(&header::IF_NONE_MATCH).map(str::to_owned),
            with_token: request.headers().contains_key(header::AUTHORIZATION),
            started: Instant::now(),
        }
    }

    fn allowed_origin(&self) -> Option<&str> {
        let origin = self.origin.as_deref()?;
        self.app.config.cors_origins.iter().any(|allowed| allowed == origin).then_some(origin)
    }

    /// Renders an error and logs its cause, once.
    fn problem(&self, error: &ApiError) -> HttpResponse {
        if error.code().status().is_server_error() {
            log::error!(code = error.code().as_str(), request_id = self.request_id.as_str(), cause = error.cause().unwrap_or("-"); "request failed");
        } else if let Some(cause) = error.cause() {
            log::debug!(code = error.code().as_str(), request_id = self.request_id.as_str(), cause = cause; "request refused");
        }
        error.respond(self.language, &self.path, &self.request_id)
    }

    /// Errors that handlers return have been rendered without language and request id; this does it again with them.
    fn render_errors(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        match response.response().error().map(as_api_error) {
            Some(error) => response.into_response(self.problem(&error)),
            None => response,
        }
    }
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex =
        |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    matches!(parts.as_slice(), [version, trace, parent, flags]
        if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && *version != "ff")
}

/// What every response carries, the conditional read, the log line and the figures.
fn finish(
    mut response: ServiceResponse<BoxBody>,
    asked: &Asked,
    operation: Option<&'static Operation>,
    allowance: Option<Allowance>,
) -> ServiceResponse<BoxBody> {
    let fresh = is_fresh(&response, asked);
    if fresh {
        let etag = response.headers().get(header::ETAG).cloned();
        let mut not_modified = HttpResponse::NotModified();
        not_modified.insert_header((header::ETAG, etag.unwrap_or(HeaderValue::from_static(""))));
        response = response.into_response(not_modified.finish());
    }
    let status = response.status();
    dress(response.headers_mut(), status, asked, operation, allowance);
    response
}

/// Sets the headers that every response carries, writes the log line, counts.
fn dress(
    headers: &mut HeaderMap,
    status: StatusCode,
    asked: &Asked,
    operation: Option<&'static Operation>,
    allowance: Option<Allowance>,
) {
    let private = asked.with_token || operation.is_some_and(|operation| operation.need != Need::Public);
    let mut set = |name: HeaderName, value: HeaderValue| {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    };
    let text = |value: &str| HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
    set(REQUEST_ID, text(&asked.request_id));
    if let Some(parent) = &asked.traceparent {
        set(HeaderName::from_static("traceparent"), text(parent));
    }
    set(header::CONTENT_LANGUAGE, HeaderValue::from_static(asked.language.tag()));
    if status == StatusCode::UNAUTHORIZED {
        set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    SECURITY_HEADERS.into_iter().for_each(|(name, value)| set(name, value));
    set(header::CACHE_CONTROL, HeaderValue::from_static(if private { "private, no-cache" } else { "no-cache" }));
    if let Some(origin) = asked.allowed_origin() {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, text(origin));
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    if let Some(allowance) = allowance {
        allowance.headers().into_iter().for_each(|(name, value)| set(name, text(&value)));
    }
    let name = operation.map_or("-", |operation| operation.id.as_str());
    let took = asked.started.elapsed();
    asked.app.metrics.request(name, status, took);
    if name != "get_liveness" {
        log::info!(
            request_id = asked.request_id.as_str(), trace = asked.traceparent.as_deref().unwrap_or("-"), operation = name,
            method = asked.method.as_str(), status = status.as_u16(), ms = took.as_millis() as u64; "request"
        );
    }
}

fn is_fresh(response: &ServiceResponse<BoxBody>, asked: &Asked) -> bool {
    let Some(wanted) = &asked.if_none_match else { return false };
    let read = asked.method == Method::GET || asked.method == Method::HEAD;
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    read && response.status() == StatusCode::OK
        && etag.is_some_and(|etag| wanted.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag))
}
