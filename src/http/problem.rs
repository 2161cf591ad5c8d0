//! Every error this service answers, in one table: code, status, Chinese and English title. On the wire they are RFC 9457
//! problems; `code` is the contract and never changes, titles follow `Accept-Language`. Causes are logged once, at the edge,
//! and never sent.

use std::borrow::Cow;
use std::fmt;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Result of everything that answers a request.
pub type ApiResult<T> = Result<T, ApiError>;

/// Language of messages, chosen by `Accept-Language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// zh-CN, the default.
    #[default]
    Chinese,
    /// en.
    English,
}

impl Language {
    /// Value of `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// The language of the highest quality in an `Accept-Language` header; Chinese where it names neither.
    pub fn accepted(header: Option<&str>) -> Self {
        let mut best = (Self::Chinese, 0.0);
        for part in header.unwrap_or_default().split(',') {
            let (tag, parameters) = part.trim().split_once(';').unwrap_or((part.trim(), ""));
            let quality = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let language = match tag.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "zh" => Self::Chinese,
                "en" => Self::English,
                _ => continue,
            };
            if quality > best.1 {
                best = (language, quality);
            }
        }
        best.0
    }
}

/// One message in both languages.
#[derive(Debug, Clone, PartialEq)]
pub struct Bilingual {
    /// Chinese text.
    pub zh: Cow<'static, str>,
    /// English text.
    pub en: Cow<'static, str>,
}

impl Bilingual {
    /// Both texts.
    pub fn new(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The text in one language.
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.zh,
            Language::English => &self.en,
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $status:literal $code:literal $zh:literal $en:literal)*) => {
        /// Machine-readable reason of a problem; the catalogue at `/problems`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $en] $variant),* }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// HTTP status.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Self::$variant => $status),* };
                StatusCode::from_u16(status).expect("the table holds valid statuses")
            }

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The title in both languages.
            pub fn title(self) -> Bilingual {
                match self { $(Self::$variant => Bilingual::new($zh, $en)),* }
            }
        }
    };
}

codes! {
    MalformedRequest = 400 "malformed_request" "请求格式不正确" "The request is malformed"
    MalformedJson = 400 "malformed_json" "请求体不是有效的 JSON" "The body is not valid JSON"
    InvalidBody = 400 "invalid_body" "请求体的结构不符合接口要求" "The body does not have the documented shape"
    UnknownField = 400 "unknown_field" "请求体含有接口没有的字段" "The body has a field that the operation does not know"
    InvalidParameter = 400 "invalid_parameter" "参数不正确" "A parameter is not valid"
    UnknownParameter = 400 "unknown_parameter" "接口没有这个参数" "The operation does not know this parameter"
    CursorInvalid = 400 "cursor_invalid" "游标无效，请从第一页重新读取" "The cursor is not valid; start again from the first page"
    CursorMismatch = 400 "cursor_mismatch" "游标与筛选或排序条件不一致" "The cursor belongs to other filters or another order"
    IdempotencyKeyRequired = 400 "idempotency_key_required" "缺少 Idempotency-Key 请求头" "The header Idempotency-Key is missing"
    Unauthenticated = 401 "unauthenticated" "请先登录" "Sign in first"
    TokenExpired = 401 "token_expired" "登录凭证已过期，请刷新" "The access token has expired; refresh it"
    TokenInvalid = 401 "token_invalid" "登录凭证无效" "The access token is not valid"
    TokenRevoked = 401 "token_revoked" "登录已被终止，请重新登录" "The session has been ended; sign in again"
    InvalidCredentials = 401 "invalid_credentials" "用户名或密码不正确" "The user name or password is not right"
    MfaRequired = 401 "mfa_required" "需要动态验证码" "A one-time code is required"
    StepUpRequired = 401 "step_up_required" "需要再次验证身份" "Confirm who you are first"
    PermissionDenied = 403 "permission_denied" "没有执行此操作的权限" "You may not do this"
    PasswordChangeRequired = 403 "password_change_required" "请先修改初始密码" "Change the initial password first"
    NotFound = 404 "not_found" "没有找到" "Not found"
    MethodNotAllowed = 405 "method_not_allowed" "此地址不支持该请求方法" "This address does not know the method"
    NotAcceptable = 406 "not_acceptable" "无法提供所要求的格式" "The requested media type cannot be given"
    RequestTimeout = 408 "request_timeout" "请求体发送过慢" "The body arrived too slowly"
    InvalidTransition = 409 "invalid_transition" "当前状态不允许此操作" "The current state does not allow this"
    Conflict = 409 "conflict" "与现有数据冲突" "This conflicts with what exists"
    AlreadyApplied = 409 "already_applied" "相同文件已导入过；如需再次写入请指明 again" "The same file has been applied already; say `again` to apply it once more"
    Duplicate = 409 "duplicate" "已存在相同的记录" "Such a record exists already"
    PersonExists = 409 "person_exists" "此人已在通讯录中" "She is in the address book already"
    PersonKeptElsewhere = 409 "person_kept_elsewhere" "此人的档案由您范围之外的组织保管" "An organization outside your scope keeps her record"
    IdempotencyInProgress = 409 "idempotency_in_progress" "相同 Idempotency-Key 的请求正在处理" "A request with this Idempotency-Key is being worked on"
    VersionConflict = 412 "version_conflict" "内容已被他人修改，请重新读取" "Somebody changed it meanwhile; read it again"
    PayloadTooLarge = 413 "payload_too_large" "请求体过大" "The body is too large"
    UriTooLong = 414 "uri_too_long" "请求地址过长" "The address is too long"
    UnsupportedMediaType = 415 "unsupported_media_type" "不支持该内容类型" "The media type of the body is not supported"
    RangeNotSatisfiable = 416 "range_not_satisfiable" "没有所要求的部分" "There is no such part of the file"
    ValidationFailed = 422 "validation_failed" "提交的内容有误" "What you sent breaks a rule"
    TooManyRows = 422 "too_many_rows" "行数超过单个文件的上限，请缩小筛选范围" "There are more rows than one file holds; narrow the filters"
    IdempotencyKeyReused = 422 "idempotency_key_reused" "Idempotency-Key 已用于不同的请求" "This Idempotency-Key was used for a different request"
    PreconditionRequired = 428 "precondition_required" "缺少 If-Match 请求头" "The header If-Match is missing"
    RateLimited = 429 "rate_limited" "请求过于频繁，请稍后再试" "Too many requests; try again later"
    HeadersTooLarge = 431 "headers_too_large" "请求头过大" "The headers are too large"
    Internal = 500 "internal" "服务器内部错误" "Something went wrong on our side"
    Unavailable = 503 "unavailable" "服务暂时不可用" "The service is not available for the moment"
    Overloaded = 503 "overloaded" "服务繁忙，请稍后再试" "The service is busy; try again shortly"
    Timeout = 504 "timeout" "处理超时" "The request took too long"
}

/// Where in the request a fault is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// RFC 6901 pointer into the body.
    Pointer(String),
    /// Name of a path or query parameter.
    Parameter(String),
    /// Name of a header.
    Header(String),
}

/// Most faults of one request that are told.
const MOST_FAULTS: usize = 1000;

/// One fault of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Where it is.
    pub place: Place,
    /// Stable code of the rule, e.g. `max_length`.
    pub code: Cow<'static, str>,
    /// What to change.
    pub message: Bilingual,
    /// Figures of the rule, e.g. `{"maximum": 100}`; null where there are none.
    pub params: Value,
}

impl FieldError {
    /// A fault of the body at an RFC 6901 pointer.
    pub fn at(
        pointer: impl Into<String>,
        code: &'static str,
        zh: impl Into<Cow<'static, str>>,
        en: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { place: Place::Pointer(pointer.into()), code: code.into(), message: Bilingual::new(zh, en), params: Value::Null }
    }

    /// A fault of a path or query parameter.
    pub fn parameter(name: &str, code: &'static str, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Parameter(name.to_owned()), ..Self::at("", code, zh, en) }
    }

    /// A reference in the body to something that does not exist or that the caller may not see.
    pub fn unknown_reference(pointer: &str) -> Self {
        Self::at(pointer, "unknown_reference", "引用的对象不存在或不在您的范围内", "does not exist, or is outside your scope")
    }

    /// The same fault in a part of the body.
    pub fn below(self, prefix: &str) -> Self {
        match self.place {
            Place::Pointer(pointer) => Self { place: Place::Pointer(format!("{prefix}{pointer}")), ..self },
            _ => self,
        }
    }

    /// The same fault with the figures or the object of the rule.
    pub fn with_params(self, params: Value) -> Self {
        Self { params, ..self }
    }

    fn to_json(&self, language: Language) -> Value {
        // Names of the client's own making are shown, not echoed: without control characters, and cut.
        let shown = |name: &str, longest: usize| -> String {
            name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).take(longest).collect()
        };
        let (key, place) = match &self.place {
            Place::Pointer(pointer) => ("pointer", shown(pointer, 1000)),
            Place::Parameter(name) => ("parameter", shown(name, 100)),
            Place::Header(name) => ("header", shown(name, 100)),
        };
        json!({ key: place, "code": self.code, "message": self.message.in_language(language), "params": self.params })
    }
}

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: Option<Bilingual>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self(Box::new(Inner { code, detail: None, errors: vec![], members: Map::new(), headers: vec![], cause: None }))
    }
}

impl ApiError {
    /// Faults of the body that break rules: 422 with all of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut error = Self::from(Code::ValidationFailed);
        error.0.errors = errors;
        error
    }

    /// An unexpected failure: the cause is logged, the client gets `internal` and the request id.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::from(Code::Internal).caused_by(cause)
    }

    /// The state of the object does not allow the step: 409 with what is possible now.
    pub fn not_now(current_status: &str, allowed_actions: &[&str]) -> Self {
        Self::from(Code::InvalidTransition)
            .with("current_status", json!(current_status))
            .with("allowed_actions", json!(allowed_actions))
    }

    /// Adds one fault.
    pub fn at(mut self, error: FieldError) -> Self {
        self.0.errors.push(error);
        self
    }

    /// Its faults are those of a part of the body.
    pub fn below(mut self, prefix: &str) -> Self {
        self.0.errors = std::mem::take(&mut self.0.errors).into_iter().map(|fault| fault.below(prefix)).collect();
        self
    }

    /// Adds what happened, in both languages.
    pub fn because(mut self, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(Bilingual::new(zh, en));
        self
    }

    /// Adds an extension member.
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.0.members.insert(member.to_owned(), value);
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Keeps the cause for the log.
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The faults it tells.
    pub fn faults(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The cause, for the log only.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Headers that belong to it.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The problem document, without `instance` and `request_id`, which [`Self::respond`] adds.
    pub fn to_json(&self, language: Language) -> Map<String, Value> {
        let mut problem = Map::new();
        problem.insert("type".into(), json!(format!("/api/v1/problems/{}", self.0.code.as_str())));
        problem.insert("title".into(), json!(self.0.code.title().in_language(language)));
        problem.insert("status".into(), json!(self.0.code.status().as_u16()));
        problem.insert("detail".into(), json!(self.0.detail.as_ref().map(|detail| detail.in_language(language))));
        problem.insert("code".into(), json!(self.0.code.as_str()));
        problem.insert(
            "errors".into(),
            Value::Array(self.0.errors.iter().take(MOST_FAULTS).map(|error| error.to_json(language)).collect()),
        );
        problem.extend(self.0.members.clone());
        problem
    }

    /// The HTTP response.
    pub fn respond(&self, language: Language, instance: &str, request_id: &str) -> HttpResponse {
        let mut problem = self.to_json(language);
        problem.insert("instance".into(), json!(instance));
        problem.insert("request_id".into(), json!(request_id));
        let mut response = HttpResponse::build(self.0.code.status());
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.content_type("application/problem+json; charset=utf-8").body(Value::Object(problem).to_string())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.code.as_str())?;
        self.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

impl actix_web::ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The gate renders errors in the caller's language; this is what is left where no gate stands.
    fn error_response(&self) -> HttpResponse {
        self.respond(Language::Chinese, "", "")
    }
}

/// What the database refuses becomes what the client can act on; anything unexpected is `internal`.
impl From<DieselError> for ApiError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::NotFound => Code::NotFound.into(),
            DieselError::DatabaseError(kind, information) => {
                let cause = format!("{kind:?}: {} ({})", information.message(), information.constraint_name().unwrap_or("-"));
                match kind {
                    DatabaseErrorKind::UniqueViolation => Self::from(Code::Duplicate).caused_by(cause),
                    DatabaseErrorKind::ExclusionViolation => Self::from(Code::Conflict).caused_by(cause),
                    DatabaseErrorKind::SerializationFailure | DatabaseErrorKind::ClosedConnection => {
                        Self::from(Code::Overloaded).caused_by(cause)
                    }
                    DatabaseErrorKind::Unknown
                        if ["timeout", "deadlock"].iter().any(|why| information.message().contains(why)) =>
                    {
                        Self::from(Code::Overloaded).caused_by(cause)
                    }
                    _ => Self::internal(cause),
                }
            }
            _ => Self::internal(error),
        }
    }
}

/// The body of every error (RFC 9457), for the document.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Page that explains the code.
    #[schema(examples("/api/v1/problems/not_found"), max_length = 200, format = "uri-reference")]
    pub r#type: String,
    /// Title in the caller's language.
    #[schema(examples("没有找到"), max_length = 200, pattern = "^[^\\u0000]*$")]
    pub title: String,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: i32,
    /// What happened this time; null where the title says it all.
    #[schema(required = true, max_length = 2000, pattern = "^[^\\u0000]*$")]
    pub detail: Option<String>,
    /// Path of the request.
    #[schema(max_length = 4096, format = "uri-reference")]
    pub instance: String,
    /// Stable code to branch on.
    #[schema(examples("not_found"), max_length = 64, pattern = "^[a-z_]+$")]
    pub code: String,
    /// Names this request in our logs.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9._-]*$")]
    pub request_id: String,
    /// Every fault of the request that was found; of more than a thousand the first.
    #[schema(max_items = 1000)]
    pub errors: Vec<ProblemFault>,
    /// Where the state forbids the step: the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, pattern = "^[a-z_]+$")]
    pub current_status: Option<String>,
    /// Where the state forbids the step: what is possible now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50)]
    pub allowed_actions: Option<Vec<String>>,
    /// Where If-Match was stale: the version now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483647)]
    pub current_version: Option<i32>,
    /// Where what is to be made exists already and the caller may read it: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_id: Option<uuid::Uuid>,
}

/// One fault of a request: exactly one of pointer, parameter and header says where it is.
#[derive(Serialize, ToSchema)]
pub struct ProblemFault {
    /// RFC 6901 pointer into the body.
    #[schema(examples("/name"), max_length = 1000, format = "json-pointer")]
    pub pointer: Option<String>,
    /// Name of a path or query parameter.
    #[schema(max_length = 100, pattern = "^[^\\u0000]*$")]
    pub parameter: Option<String>,
    /// Name of a header.
    #[schema(max_length = 100, pattern = "^[A-Za-z-]*$")]
    pub header: Option<String>,
    /// Stable code of the rule.
    #[schema(examples("max_length"), max_length = 64, pattern = "^[A-Za-z_]+$")]
    pub code: String,
    /// What to change, in the caller's language.
    #[schema(examples("不能超过 100 个字"), max_length = 1000, pattern = "^[^\\u0000]*$")]
    pub message: String,
    /// Figures of the rule, e.g. the maximum.
    #[schema(required = true, value_type = Option<Object>)]
    pub params: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_the_highest_quality_wins() {
        for (header, expected) in [
            (None, Language::Chinese),
            (Some("en"), Language::English),
            (Some("en-GB,zh;q=0.8"), Language::English),
            (Some("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese),
            (Some("fr, en;q=0.3"), Language::English),
            (Some("en;q=0.2, zh;q=0.4"), Language::Chinese),
            (Some("*"), Language::Chinese),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header:?}");
        }
    }

    #[test]
    fn every_code_is_spelled_once_and_has_both_titles() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?}");
            assert!(!code.title().zh.is_empty() && !code.title().en.is_empty());
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
