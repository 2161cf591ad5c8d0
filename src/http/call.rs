//! A request that has passed the gate: who calls which operation, with checked parameters and body.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::future::{Ready, ready};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::document::Operation;
use super::problem::{ApiError, ApiResult, Code, FieldError, Language};
use crate::access::{HeldRole, Need, Permission, Role, Scope};
use crate::app::App;
use crate::audit::refusals::{Principal, refuse};
use crate::audit::{Actor, Change};
use crate::db::Reader;
use crate::ids::{AccountId, OrganizationId, SessionId};

/// Who is signed in, as it stood when the token was last looked up; a change of it drops the cached copy at once.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account.
    pub account_id: AccountId,
    /// The session its token names.
    pub session_id: SessionId,
    /// Organization that keeps the account.
    pub organization_id: OrganizationId,
    /// What it may do where.
    pub roles: Vec<HeldRole>,
    /// When a password or code was last shown (wall time).
    pub authenticated_at: DateTime<Utc>,
    /// A second factor was shown.
    pub strong: bool,
    /// The password was set by somebody else.
    pub must_change_password: bool,
    /// When the token ends (wall time).
    pub expires_at: DateTime<Utc>,
}

impl Caller {
    /// The places at which she holds a permission.
    pub fn scope(&self, permission: Permission, today: NaiveDate) -> Scope {
        Scope::of(&self.roles, permission, today)
    }

    /// The role that gives a permission, for the audit trail.
    pub fn role_for(&self, permission: Permission, today: NaiveDate) -> Option<Role> {
        self.roles.iter().find(|role| role.gives(permission, today)).map(|role| role.role)
    }
}

/// The call itself. Handlers of reads take it as their first argument; commands wrap it.
#[derive(Clone)]
pub struct Call(Rc<Passed>);

/// A file as it arrived in a form.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Name that the client gave it.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its room in memory, given back with the last copy.
    pub room: Arc<OwnedSemaphorePermit>,
}

/// What the gate found out.
pub struct Passed {
    /// The service.
    pub app: App,
    /// Which operation.
    pub operation: &'static Operation,
    /// Who calls; none on public operations without a token.
    pub caller: Option<Arc<Caller>>,
    /// Checked parameters by name.
    pub parameters: Map<String, Value>,
    /// The body as it came, for the idempotency fingerprint; of a form the names of its parts and the digests of their contents.
    pub body: Bytes,
    /// The same, read; null where the operation takes none.
    pub json: Value,
    /// Rules that the body breaks.
    pub faults: Vec<FieldError>,
    /// The file of a form.
    pub upload: Option<Upload>,
    /// `Range`
    pub range: Option<String>,
    /// `If-Range`
    pub if_range: Option<String>,
    /// Path and query as they came, for the idempotency fingerprint.
    pub target: String,
    /// Language of messages.
    pub language: Language,
    /// X-Request-Id.
    pub request_id: String,
    /// User-Agent, shortened.
    pub user_agent: Option<String>,
    /// Client address.
    pub address: Option<std::net::IpAddr>,
    /// The worker's shared connections.
    pub reader: Rc<Reader>,
}

impl std::ops::Deref for Call {
    type Target = Passed;
    fn deref(&self) -> &Passed {
        &self.0
    }
}

impl Call {
    /// Wraps what the gate found out.
    pub fn new(passed: Passed) -> Self {
        Self(Rc::new(passed))
    }

    /// A pipelined connection; use it as `&connection`.
    pub async fn connection(&self) -> ApiResult<Rc<AsyncPgConnection>> {
        self.reader.connection().await
    }

    /// Today in Asia/Shanghai, by domain time.
    pub fn today(&self) -> NaiveDate {
        self.app.clock.today()
    }

    /// The caller of an operation that needs one.
    pub fn signed_in(&self) -> ApiResult<&Arc<Caller>> {
        self.caller.as_ref().ok_or_else(|| Code::Unauthenticated.into())
    }

    /// Scope of a read of one object: outside it there is nothing (404).
    pub fn scope(&self) -> Scope {
        match (self.operation.need, &self.caller) {
            (Need::Holds(permission), Some(caller)) => caller.scope(permission, self.today()),
            _ => Scope::of(&[], Permission::OrganizationRead, self.today()),
        }
    }

    /// Scope of a list: who holds the permission nowhere may not ask (403).
    pub fn list_scope(&self) -> ApiResult<Scope> {
        let scope = self.scope();
        if scope.is_empty() { Err(Code::PermissionDenied.into()) } else { Ok(scope) }
    }

    /// The scope of another permission, for `allowed_actions` and related data.
    pub fn scope_for(&self, permission: Permission) -> Scope {
        Scope::of(self.caller.as_ref().map_or(&[], |caller| &caller.roles), permission, self.today())
    }

    /// Records that a signed-in caller was not allowed what she asked for: 403, and 404 of a command, which hides what lies
    /// outside of her scope.
    pub async fn record_refusal(&self, code: Code) {
        let denied = code == Code::PermissionDenied || (code == Code::NotFound && self.operation.method != Method::GET);
        let object = self.parameters.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        if denied && !self.app.rehearsal {
            self.record_refusals(&[(code, object)]).await;
        }
    }

    /// The same for parts of a batch: code and object of each.
    pub async fn record_refusals(&self, refused: &[(Code, Option<Uuid>)]) {
        let Some(caller) = self.caller.as_ref().filter(|_| !refused.is_empty()) else { return };
        let Ok(mut conn) = self.app.db.transaction_connection().await else {
            return log::error!(request_id = self.request_id.as_str(); "a refusal could not be recorded");
        };
        let (who, place) = (Principal::Account(caller.account_id.0), Some(caller.organization_id));
        let actor = self.actor();
        for (code, object) in refused {
            let what = json!({ "operation": self.operation.id, "status": code.status().as_u16(), "code": code.as_str() });
            let change = Change::refused("request.refused", "request", *object, place).after(&what);
            refuse(&self.app, &mut conn, &who, place, &actor, change).await;
        }
    }

    /// Who calls, for the audit trail; commands add the role that allows what they do.
    pub fn actor(&self) -> Actor {
        Actor {
            account_id: self.caller.as_ref().map(|caller| caller.account_id.0),
            session_id: self.caller.as_ref().map(|caller| caller.session_id.0),
            role: None,
            request_id: Some(self.request_id.clone()),
            system: false,
        }
    }

    /// The body, after its rules were checked: every fault at once (422).
    pub fn body<T: DeserializeOwned>(&self) -> ApiResult<T> {
        if !self.faults.is_empty() {
            return Err(ApiError::invalid(self.faults.clone()));
        }
        serde_path_to_error::deserialize(&self.json).map_err(|fault| {
            let pointer = pointer_of(fault.path());
            let text = fault.inner().to_string();
            ApiError::from(Code::InvalidBody).at(FieldError::at(pointer, "invalid", format!("无法读取：{text}"), text))
        })
    }

    /// One field of the body, before its rules are checked; none where it is absent or has another shape.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.json.get(name)?).ok()
    }

    fn parameter_set<T: DeserializeOwned>(&self) -> ApiResult<T> {
        T::deserialize(&self.parameters)
            .map_err(|fault| ApiError::from(Code::InvalidParameter).because(fault.to_string(), fault.to_string()))
    }
}

/// An RFC 6901 pointer.
pub fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &serde_path_to_error::Segment| match segment {
        serde_path_to_error::Segment::Seq { index } => format!("/{index}"),
        other => format!("/{}", other.to_string().replace('~', "~0").replace('/', "~1")),
    };
    path.iter().map(step).collect()
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Call>().cloned().ok_or_else(|| ApiError::internal("a handler outside the gate")))
    }
}

/// Checked path parameters.
pub struct Path<T>(pub T);

/// Checked query parameters.
pub struct Query<T>(pub T);

macro_rules! parameters {
    ($name:ident) => {
        impl<T: DeserializeOwned> FromRequest for $name<T> {
            type Error = ApiError;
            type Future = Ready<ApiResult<Self>>;

            fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
                ready(Call::from_request(request, payload).into_inner().and_then(|call| call.parameter_set()).map($name))
            }
        }

        impl<T> std::ops::Deref for $name<T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.0
            }
        }
    };
}

parameters!(Path);
parameters!(Query);
