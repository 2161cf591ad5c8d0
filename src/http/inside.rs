//! Calls from inside the process: the same handlers as for everybody, on behalf of an account that is not there. An export reads
//! the pages of a list this way, so that it shows exactly what the list would show her, by the same scope and the same rules.
//!
//! There is no gate here, and no way in from outside: the caller is put beside the request, where only this process can put
//! anything, and no address or header leads here. The service lives in the thread that made it and reads on connections of its own.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::{HttpMessage, Request};
use actix_service::boxed::{self, BoxService};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::Uri;
use actix_web::web::{Bytes, Data};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use utoipa_actix_web::AppExt;

use super::call::{Call, Caller, Passed};
use super::document::{Operation, document};
use super::problem::{ApiError, ApiResult, Code, Language};
use crate::app::App;
use crate::db::Reader;
use crate::routes;

/// All but the unreserved characters of RFC 3986.
const ENCODED_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a query the comma of lists may stand too.
const ENCODED: &AsciiSet = &ENCODED_PART.remove(b',');

/// A read of a list, as its handler takes it.
pub struct Question {
    /// Which operation, a GET.
    pub operation: &'static Operation,
    /// Its path, with what stands for its parameters.
    path: String,
    /// Its path parameters.
    path_parameters: Vec<(String, String)>,
    /// Its query parameters, encoded.
    query: String,
}

impl Question {
    /// A read with parameters of its path and query parameters as they stand in JSON: lists become comma lists.
    pub fn new(operation: &'static Operation, path_parameters: &Map<String, Value>, query: &Map<String, Value>) -> Self {
        let mut path = operation.path.clone();
        let mut encoded = Vec::new();
        for (name, value) in path_parameters {
            let text = utf8_percent_encode(&text_of(value), ENCODED_PART).to_string();
            path = path.replace(&format!("{{{name}}}"), &text);
            encoded.push((name.clone(), text));
        }
        let pair = |(name, value): (&String, &Value)| {
            format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(&text_of(value), ENCODED))
        };
        Self { operation, path, path_parameters: encoded, query: query.iter().map(pair).collect::<Vec<_>>().join("&") }
    }

    /// The same with another query parameter.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let more = format!("{name}={}", utf8_percent_encode(value, ENCODED));
        let query = if self.query.is_empty() { more } else { format!("{}&{more}", self.query) };
        let Self { operation, path, path_parameters, .. } = self;
        Self { operation, path: path.clone(), path_parameters: path_parameters.clone(), query }
    }

    /// Its parameters, checked as the gate checks them.
    pub fn parameters(&self) -> ApiResult<Map<String, Value>> {
        let path: Vec<(&str, &str)> = self.path_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        document().read_parameters(self.operation, &path, &self.query, |_| None)
    }
}

/// How a value of JSON stands in an address.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The handlers, mounted in this thread.
pub struct Inside {
    app: App,
    reader: Rc<Reader>,
    service: BoxService<Request, ServiceResponse<BoxBody>, actix_web::Error>,
}

impl Inside {
    /// Mounts them. Their reads go over connections of their own, which wait longer for a statement than those of requests.
    pub async fn new(app: &App) -> ApiResult<Self> {
        let mounted = actix_web::App::new().into_utoipa_app().configure(routes::mount).into_app();
        let mounted = mounted.app_data(Data::new(app.clone())).into_factory();
        let service = mounted.new_service(AppConfig::default()).await;
        let service = service.map_err(|()| ApiError::internal("the handlers could not be mounted"))?;
        let reader = Rc::new(app.db.patient_reader());
        Ok(Self { app: app.clone(), reader, service: boxed::service(service) })
    }

    /// Asks on behalf of a caller. The answer is JSON; a refusal is that of the handler.
    pub async fn ask(&self, question: &Question, caller: Arc<Caller>, language: Language, request_id: &str) -> ApiResult<Value> {
        let target = match question.query.as_str() {
            "" => question.path.clone(),
            query => format!("{}?{query}", question.path),
        };
        let uri: Uri = target.parse().map_err(ApiError::internal)?;
        let call = Call::new(Passed {
            app: self.app.clone(),
            operation: question.operation,
            caller: Some(caller),
            parameters: question.parameters()?,
            body: Bytes::new(),
            json: Value::Null,
            faults: vec![],
            upload: None,
            range: None,
            if_range: None,
            target,
            language,
            request_id: request_id.to_owned(),
            user_agent: None,
            address: None,
            reader: Rc::clone(&self.reader),
        });
        let mut request = Request::new();
        *request.uri_mut() = uri;
        request.extensions_mut().insert(call);
        let answered = tokio::time::timeout(self.app.config.request_timeout * 2, self.service.call(request)).await;
        let response = answered.map_err(|_| ApiError::from(Code::Timeout))?.map_err(|fault| told(&fault))?;
        if let Some(fault) = response.response().error() {
            return Err(told(fault));
        }
        let body = to_bytes(response.into_body()).await.map_err(ApiError::internal)?;
        serde_json::from_slice(&body).map_err(ApiError::internal)
    }
}

fn told(fault: &actix_web::Error) -> ApiError {
    fault.as_error::<ApiError>().cloned().unwrap_or_else(|| ApiError::internal(fault))
}
