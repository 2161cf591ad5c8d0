//! What a handler answers: a view with its status, ETag and Location.

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, Responder};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;

use super::problem::{ApiError, ApiResult};
use crate::vault::sha256;

/// An answer, serialized already, so that a command can store exactly what it sends.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON body; empty for 204.
    pub body: Vec<u8>,
    /// ETag.
    pub etag: Option<String>,
    /// Path of what was created.
    pub location: Option<String>,
    /// Must not be kept anywhere: tokens and revealed data.
    pub secret: bool,
    /// It answers a repeated key.
    pub replayed: bool,
}

impl Reply {
    /// 200 with a body that has no version.
    pub fn plain(view: &impl Serialize) -> ApiResult<Self> {
        Self::new(StatusCode::OK, view)
    }

    /// 200 with one object that has no version: its ETag is the hash alone.
    pub fn unversioned(view: &impl Serialize) -> ApiResult<Self> {
        let reply = Self::plain(view)?;
        let etag = format!("\"{}\"", hash_of(&reply.body));
        Ok(Self { etag: Some(etag), ..reply })
    }

    /// 200 with one object and its ETag.
    pub fn item(view: &impl Serialize, version: i32) -> ApiResult<Self> {
        Ok(Self::new(StatusCode::OK, view)?.versioned(version))
    }

    /// 201 with the new object, its ETag and Location.
    pub fn created(path: String, view: &impl Serialize, version: i32) -> ApiResult<Self> {
        Ok(Self { location: Some(path), ..Self::new(StatusCode::CREATED, view)?.versioned(version) })
    }

    /// 207 with one result per item.
    pub fn multi_status(view: &impl Serialize) -> ApiResult<Self> {
        Self::new(StatusCode::MULTI_STATUS, view)
    }

    /// 204.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: vec![], etag: None, location: None, secret: false, replayed: false }
    }

    /// Marks a reply that must not be stored: `no-store`.
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    fn new(status: StatusCode, view: &impl Serialize) -> ApiResult<Self> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self { status, body, ..Self::nothing() })
    }

    /// `"<version>.<hash of the body>"`: computed fields change the hash, never the version.
    fn versioned(self, version: i32) -> Self {
        Self { etag: Some(format!("\"{version}.{}\"", hash_of(&self.body))), ..self }
    }
}

fn hash_of(body: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&sha256(body)[..9])
}

impl Responder for Reply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(etag) = &self.etag {
            response.insert_header((header::ETAG, etag.as_str()));
        }
        if let Some(location) = &self.location {
            response.insert_header((header::LOCATION, location.as_str()));
        }
        if self.secret {
            response.insert_header((header::CACHE_CONTROL, "no-store"));
        }
        if self.replayed {
            response.insert_header(("Idempotent-Replayed", "true"));
        }
        if self.status == StatusCode::NO_CONTENT {
            return response.finish();
        }
        response.content_type("application/json; charset=utf-8").body(self.body)
    }
}
