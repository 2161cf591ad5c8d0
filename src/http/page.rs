//! Keyset pages: `limit`, an opaque signed `cursor` tied to the filters, `{items, next_cursor, has_more, total}`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::call::Call;
use super::problem::{ApiError, ApiResult, Code};
use super::reply::Reply;
use crate::vault::{Purpose, sha256};

/// Totals are counted up to here.
pub const TOTAL_CAP: i64 = 10_000;
/// Bytes of the signature in a cursor.
const SIGNATURE: usize = 16;

/// Declares the filters of a list: query parameters of which none is required. Its counts take the same.
#[macro_export]
macro_rules! filters {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(default)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Option<$kind>,)*
        }
    };
}

/// What every list takes beside its filters.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct Paging {
    /// Items per page, 20 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 512, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// Also count how many there are in all.
    include_total: Option<bool>,
}

/// What lists take whose items have an id and an instant of their last change.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct Sorting {
    /// Order of the list.
    #[param(inline)]
    sort: Option<Sort>,
}

/// Order of a list. Ids are made in the order of time: a list of instants that never change is ordered by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum Sort {
    /// By id, which is by creation.
    #[default]
    #[serde(rename = "id", alias = "at")]
    Id,
    /// By id, newest first.
    #[serde(rename = "-id", alias = "-at")]
    IdDescending,
    /// By last change, oldest first: for clients that follow changes.
    #[serde(rename = "updated_at")]
    UpdatedAt,
    /// By last change, newest first.
    #[serde(rename = "-updated_at")]
    UpdatedAtDescending,
}

/// Where a page starts: after the last item of the page before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Its instant, in lists ordered by one.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none", default)]
    pub at: Option<DateTime<Utc>>,
    /// Its id; nil in lists ordered by a code.
    #[serde(rename = "i")]
    pub id: Uuid,
    /// Its code or number, in lists ordered by one.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
}

impl Position {
    /// In the default order, by id.
    pub fn id(id: impl Into<Uuid>) -> Self {
        Self { at: None, id: id.into(), code: None }
    }

    /// In an order by instant, then id.
    pub fn at(at: DateTime<Utc>, id: impl Into<Uuid>) -> Self {
        Self { at: Some(at), ..Self::id(id) }
    }

    /// In an order by a unique code.
    pub fn code(code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..Self::id(Uuid::nil()) }
    }

    /// In an order by a unique number.
    pub fn number(number: i32) -> Self {
        Self::code(number.to_string())
    }
}

/// A page that was asked for, checked. Handlers of lists take it as an argument.
pub struct PageRequest {
    /// Items per page.
    pub limit: i64,
    /// Where it starts; none: at the beginning.
    pub after: Option<Position>,
    /// Its order, in lists that have [`Sorting`].
    pub sort: Sort,
    /// Whether the total was asked for.
    pub with_total: bool,
    call: Call,
    filters: Vec<u8>,
}

/// What a store has read of a list: the rows of a page, one more where there is another page, and the total.
pub struct Listed<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// How many there are in all, counted up to one beyond the cap; none: nobody asked.
    pub total: Option<i64>,
}

impl FromRequest for PageRequest {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Call::from_request(request, payload).into_inner().and_then(Self::of))
    }
}

impl PageRequest {
    /// A cursor of another list, of other filters or of another order is refused.
    fn of(call: Call) -> ApiResult<Self> {
        let mut filters = call.parameters.clone();
        let mut taken = |name: &str| filters.shift_remove(name).unwrap_or_default();
        let (limit, cursor, with_total) = (taken("limit"), taken("cursor"), taken("include_total"));
        let sort = filters.get("sort").cloned().and_then(|sort| serde_json::from_value(sort).ok()).unwrap_or_default();
        filters.sort_keys();
        let filters = serde_json::to_vec(&filters).map_err(ApiError::internal)?;
        let filters = sha256(&[call.target.split('?').next().unwrap_or_default().as_bytes(), b"?", &filters].concat());
        let after = cursor.as_str().map(|cursor| open(&call, cursor, &filters)).transpose()?;
        Ok(Self {
            limit: limit.as_i64().unwrap_or(20),
            after,
            sort,
            with_total: with_total.as_bool().unwrap_or(false),
            call,
            filters,
        })
    }

    /// The newest first, in lists of which that is the order unless another was asked for.
    pub fn newest_first(self) -> Self {
        let asked = self.call.parameters.contains_key("sort");
        Self { sort: if asked { self.sort } else { Sort::IdDescending }, ..self }
    }

    /// How many rows to read: one more than the page shows tells whether there is another.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// The key after which the page starts: an instant and an id. The first page starts before everything, so that all pages
    /// are one prepared statement.
    pub fn start(&self) -> (DateTime<Utc>, Uuid) {
        let end_of_time = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
        let descending = matches!(self.sort, Sort::IdDescending | Sort::UpdatedAtDescending);
        let first = if descending { (end_of_time, Uuid::max()) } else { (DateTime::UNIX_EPOCH, Uuid::nil()) };
        self.after.as_ref().map_or(first, |after| (after.at.unwrap_or(first.0), after.id))
    }

    /// The code after which the page starts, in lists ordered by a code.
    pub fn after_code(&self) -> String {
        self.after.as_ref().and_then(|after| after.code.clone()).unwrap_or_default()
    }

    /// The number after which the page starts, in lists ordered by a number.
    pub fn after_number(&self) -> i32 {
        self.after_code().parse().unwrap_or(i32::MIN)
    }

    /// The number before which the page starts, in lists ordered by a large number, the highest first.
    pub fn before_number(&self) -> i64 {
        self.after_code().parse().unwrap_or(i64::MAX)
    }

    /// Where an item stands in the order of the page.
    pub fn position(&self, id: impl Into<Uuid>, updated_at: DateTime<Utc>) -> Position {
        match self.sort {
            Sort::Id | Sort::IdDescending => Position::id(id),
            Sort::UpdatedAt | Sort::UpdatedAtDescending => Position::at(updated_at, id),
        }
    }

    /// The answer: the page of what was read.
    pub fn reply<R, V: Serialize>(
        &self,
        listed: Listed<R>,
        position: impl Fn(&R) -> Position,
        view: impl FnMut(R) -> V,
    ) -> ApiResult<Reply> {
        let Listed { mut rows, total } = listed;
        let has_more = rows.len() as i64 > self.limit;
        rows.truncate(self.limit as usize);
        let next_cursor = rows.last().filter(|_| has_more).map(|last| seal(&self.call, &position(last), &self.filters));
        let total = total.map(|counted| Total {
            value: counted.min(TOTAL_CAP),
            relation: if counted > TOTAL_CAP { TotalRelation::Gte } else { TotalRelation::Eq },
        });
        Reply::plain(&Page { items: rows.into_iter().map(view).collect(), next_cursor, has_more, total })
    }
}

#[derive(Serialize)]
struct Page<V> {
    items: Vec<V>,
    next_cursor: Option<String>,
    has_more: bool,
    total: Option<Total>,
}

/// How many there are in all.
#[derive(Debug, Serialize, ToSchema)]
pub struct Total {
    /// The number, at most 10,000.
    #[schema(minimum = 0, maximum = 10000)]
    pub value: i64,
    /// eq: exactly; gte: at least.
    pub relation: TotalRelation,
}

/// Whether a total is exact.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TotalRelation {
    /// Exactly.
    Eq,
    /// At least.
    Gte,
}

/// Declares the document's schema of a page: a generic page would be inlined everywhere.
#[macro_export]
macro_rules! page_schema {
    ($name:ident, $item:ty) => {
        #[doc = concat!("One page of ", stringify!($item), ".")]
        #[derive(serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            /// The items of this page.
            #[schema(max_items = 100)]
            pub items: Vec<$item>,
            /// Cursor of the next page; null at the end.
            #[schema(required = true, max_length = 512, pattern = "^[A-Za-z0-9_-]+$")]
            pub next_cursor: Option<String>,
            /// Whether there is another page.
            pub has_more: bool,
            /// How many there are in all, where `include_total=true` asked.
            #[schema(required = true)]
            pub total: Option<$crate::http::page::Total>,
        }
    };
}

/// How many items there are of each kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counts {
    /// By what was counted.
    #[schema(examples("status"), max_length = 64, pattern = "^[a-z_]+$")]
    pub by: String,
    /// One entry per value that occurs.
    #[schema(max_items = 10000)]
    pub counts: Vec<Count>,
}

/// How many items have a value.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// The value; null where it is not set.
    #[schema(required = true, examples("active"), max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub key: Option<String>,
    /// How many items have it.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub count: i64,
}

impl Counts {
    /// The answer of counted rows.
    pub fn reply(by: impl std::fmt::Display, rows: Vec<Counted>) -> ApiResult<Reply> {
        let counts = rows.into_iter().map(|(key, count)| Count { key, count }).collect();
        Reply::plain(&Self { by: by.to_string(), counts })
    }
}

/// A value, none where it is not set, and how many items have it.
pub type Counted = (Option<String>, i64);

fn seal(call: &Call, position: &Position, filters: &[u8]) -> String {
    let payload = serde_json::to_vec(position).unwrap_or_default();
    let signature = sign(call, &payload, filters);
    BASE64_URL_SAFE_NO_PAD.encode([signature.as_slice(), &filters[..8], &payload].concat())
}

fn open(call: &Call, cursor: &str, filters: &[u8]) -> ApiResult<Position> {
    let invalid = || ApiError::from(Code::CursorInvalid);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let (signature, rest) = bytes.split_at_checked(SIGNATURE).ok_or_else(invalid)?;
    let (tied_to, payload) = rest.split_at_checked(8).ok_or_else(invalid)?;
    if tied_to != &filters[..8] {
        return Err(Code::CursorMismatch.into());
    }
    if !bool::from(subtle::ConstantTimeEq::ct_eq(signature, sign(call, payload, filters).as_slice())) {
        return Err(invalid());
    }
    serde_json::from_slice(payload).map_err(|_| invalid())
}

fn sign(call: &Call, payload: &[u8], filters: &[u8]) -> Vec<u8> {
    let mut signature = call.app.vault.mac(Purpose::Cursor, &[filters, payload]);
    signature.truncate(SIGNATURE);
    signature
}
