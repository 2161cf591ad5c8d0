//! Forms with one file, `multipart/form-data` (RFC 7578): each part once, texts in UTF-8, the file in the part `file`. The texts
//! are checked like a JSON body; a fingerprint of the parts stands for the body, so that a repeat may have another boundary.

use std::sync::Arc;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::call::Upload;
use super::document::Operation;
use super::gate::{Body, check_body};
use super::problem::{ApiError, ApiResult, Code, FieldError};
use crate::vault::sha256;

/// Largest form: a file of 10 MiB and what is around it.
pub const LARGEST: usize = (10 << 20) + (64 << 10);
/// The part that holds the file.
const FILE: &str = "file";
/// Most parts.
const PARTS: usize = 20;
/// Longest text of a part.
const LONGEST_TEXT: usize = 10_000;

/// Reads and checks a form, for which there is room in memory.
pub async fn read(operation: &Operation, headers: &HeaderMap, bytes: Bytes, room: OwnedSemaphorePermit) -> ApiResult<Body> {
    let room = Arc::new(room);
    let mut parts = Multipart::new(headers, stream::iter([Ok::<_, actix_web::error::PayloadError>(bytes)]));
    let (mut texts, mut upload, mut fingerprint) = (Map::new(), None, Vec::new());
    while let Some(part) = parts.next().await {
        let part = part.map_err(malformed)?;
        let name = part.name().unwrap_or_default().to_owned();
        if texts.contains_key(&name) || texts.len() == PARTS {
            return Err(broken(&name, "repeated_name", "部分重复或过多", "stands twice, or is one too many"));
        }
        let file_name = part.content_disposition().and_then(|about| about.get_filename()).map(str::to_owned);
        let content = whole(part).await?;
        fingerprint.push((name.clone(), file_name.clone(), sha256(&content)));
        if name == FILE {
            texts.insert(name, Value::String(String::new()));
            upload = Some(Upload { name: file_name.unwrap_or_default(), bytes: content, room: Arc::clone(&room) });
        } else {
            let text = String::from_utf8(content.to_vec()).ok().filter(|text| text.len() <= LONGEST_TEXT);
            let text = text.ok_or_else(|| broken(&name, "type", "应为文本", "must be a text in UTF-8"))?;
            texts.insert(name, Value::String(text));
        }
    }
    fingerprint.sort();
    let json = Value::Object(texts);
    let faults = check_body(operation, &json)?;
    let bytes = serde_json::to_vec(&fingerprint).map_err(ApiError::internal)?.into();
    Ok(Body { bytes, json, faults, upload })
}

async fn whole(mut part: Field) -> ApiResult<Bytes> {
    let mut content = BytesMut::new();
    while let Some(piece) = part.next().await {
        content.extend_from_slice(&piece.map_err(malformed)?);
    }
    Ok(content.freeze())
}

fn malformed(fault: MultipartError) -> ApiError {
    ApiError::from(Code::MalformedRequest).at(FieldError::at("", "malformed_form", "不是有效的表单", fault.to_string()))
}

fn broken(name: &str, code: &'static str, zh: &'static str, en: &'static str) -> ApiError {
    ApiError::from(Code::InvalidBody).at(FieldError::at(format!("/{name}"), code, zh, en))
}
