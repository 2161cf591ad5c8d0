//! Sending the bytes of an object, whole or in part (RFC 9110, 14): files and whatever else lies in the store.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, Charset, ContentDisposition, DispositionParam, DispositionType, ETAG,
    ExtendedValue,
};

use super::objects::Object;
use super::sealing::ContentKey;
use crate::http::{ApiError, ApiResult, Call, Code};
use crate::vault::hex;

/// What is sent.
pub struct Content {
    /// Which object.
    pub at: Object,
    /// Its key.
    pub key: ContentKey,
    /// Its name.
    pub name: String,
    /// Its type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: i64,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
}

/// Sends it, or the part that the call's `Range` names, as an attachment. What the caller may see was decided before.
pub async fn send(call: &Call, content: Content) -> ApiResult<HttpResponse> {
    let size = content.size as u64;
    let etag = format!("\"{}\"", hex(&content.sha256));
    // A part of another version is of no use: then the whole is sent (RFC 9110, 13.1.5).
    let fits = call.if_range.as_deref().is_none_or(|wanted| wanted == etag);
    let part = call.range.as_deref().filter(|_| fits).map_or(Ok(None), |range| asked(range, size))?;
    let stream = call.app.objects.get(content.at, &content.key, part.as_ref().unwrap_or(&(0..size)), size).await?;
    let mut response = HttpResponse::build(if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    if let Some(part) = &part {
        response.insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", part.start, part.end - 1)));
    }
    response
        .insert_header((ETAG, etag))
        .insert_header((ACCEPT_RANGES, "bytes"))
        // A compressed body has other bytes than the range that was asked for.
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header(disposition(&content.name))
        .content_type(content.media_type)
        .no_chunking(part.map_or(size, |part| part.end - part.start));
    Ok(response.streaming(stream))
}

/// The part that a `Range` header asks for; none: the whole, also for several parts at once, which nobody needs.
fn asked(range: &str, size: u64) -> ApiResult<Option<std::ops::Range<u64>>> {
    let Some(spec) = range.strip_prefix("bytes=").filter(|spec| !spec.contains(',')) else { return Ok(None) };
    let Some((first, last)) = spec.trim().split_once('-') else { return Ok(None) };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Ok(None),
    };
    if part.start >= part.end {
        return Err(ApiError::from(Code::RangeNotSatisfiable).with_header(CONTENT_RANGE, &format!("bytes */{size}")));
    }
    Ok(Some(part))
}

/// Always an attachment; the name in ASCII for old clients, and as it is (RFC 6266, RFC 8187).
fn disposition(name: &str) -> ContentDisposition {
    let plain: String = name
        .chars()
        .map(|letter| if letter.is_ascii_graphic() && !matches!(letter, '"' | '\\') { letter } else { '_' })
        .collect();
    let extended =
        ExtendedValue { charset: Charset::Ext("UTF-8".to_owned()), language_tag: None, value: name.as_bytes().to_vec() };
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(plain), DispositionParam::FilenameExt(extended)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_one_part_or_the_whole() {
        for (range, expected) in [
            ("bytes=0-3", Some(0..4)),
            ("bytes=6-", Some(6..10)),
            ("bytes=-4", Some(6..10)),
            ("bytes=-40", Some(0..10)),
            ("bytes=2-400", Some(2..10)),
            ("bytes=3-1", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=x", None),
        ] {
            assert_eq!(asked(range, 10).unwrap(), expected, "{range}");
        }
        for beyond in ["bytes=10-", "bytes=-0"] {
            assert_eq!(asked(beyond, 10).unwrap_err().code(), Code::RangeNotSatisfiable, "{beyond}");
        }
    }
}
