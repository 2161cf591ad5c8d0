//! Keyset pages: `limit`, an opaque signed `cursor` tied to the filters, `{items, next_cursor, has_more, total}`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::call::Call;
use super::problem::{ApiError, ApiResult, Code};
use crate::vault::{Purpose, sha256};

/// Totals are counted up to here.
pub const TOTAL_CAP: i64 = 10_000;
/// Bytes of the signature in a cursor.
const SIGNATURE: usize = 16;

/// A list's filters, with the fields that every list has.
pub trait ListQuery: Serialize {
    /// `limit`, 20 where it is not given.
    fn limit(&self) -> Option<i64>;
    /// `cursor`
    fn cursor(&self) -> Option<&str>;
}

/// Marks a field of a list's query that is no filter, so that cursors do not depend on it. (utoipa leaves a field out of the
/// document that is `skip_serializing`.)
pub fn no_filter<T>(_: &Option<T>) -> bool {
    true
}

/// Declares the query type of a list: its own filters and what every list takes.
#[macro_export]
macro_rules! list_query {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(default)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Option<$kind>,)*
            /// Items per page, 20 unless told.
            #[param(minimum = 1, maximum = 100)]
            #[serde(skip_serializing_if = "crate::http::page::no_filter")]
            pub limit: Option<i64>,
            /// `next_cursor` of the page before.
            #[param(max_length = 512, pattern = "^[A-Za-z0-9_-]+$")]
            #[serde(skip_serializing_if = "crate::http::page::no_filter")]
            pub cursor: Option<String>,
        }

        impl $crate::http::page::ListQuery for $name {
            fn limit(&self) -> Option<i64> {
                self.limit
            }
            fn cursor(&self) -> Option<&str> {
                self.cursor.as_deref()
            }
        }
    };
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

    /// In an order by a unique code or number.
    pub fn code(code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..Self::id(Uuid::nil()) }
    }
}

/// A page that was asked for, checked.
pub struct PageRequest {
    /// Items per page.
    pub limit: i64,
    /// Where it starts; none: at the beginning.
    pub after: Option<Position>,
    filters: Vec<u8>,
}

impl PageRequest {
    /// Reads `limit` and `cursor`; a cursor of other filters is refused.
    pub fn of(call: &Call, query: &impl ListQuery) -> ApiResult<Self> {
        let filters = serde_json::to_vec(query).map_err(ApiError::internal)?;
        let filters = sha256(&[call.target.split('?').next().unwrap_or_default().as_bytes(), b"?", &filters].concat());
        let after = query.cursor().map(|cursor| open(call, cursor, &filters)).transpose()?;
        Ok(Self { limit: query.limit().unwrap_or(20), after, filters })
    }

    /// How many rows to read: one more than the page shows tells whether there is another.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Makes the page of the rows that were read.
    pub fn page<R, V>(
        &self,
        call: &Call,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> Position,
        view: impl FnMut(R) -> V,
    ) -> Page<V> {
        let has_more = rows.len() as i64 > self.limit;
        rows.truncate(self.limit as usize);
        let next_cursor = rows.last().filter(|_| has_more).map(|last| seal(call, &position(last), &self.filters));
        Page { items: rows.into_iter().map(view).collect(), next_cursor, has_more, total: None }
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct Page<V> {
    /// The items.
    pub items: Vec<V>,
    /// Cursor of the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
    /// How many there are in all, where `include_total=true` asked.
    pub total: Option<Total>,
}

impl<V> Page<V> {
    /// Adds the total, counted up to one beyond the cap.
    pub fn with_total(self, counted: Option<i64>) -> Self {
        let total = counted.map(|counted| Total {
            value: counted.min(TOTAL_CAP),
            relation: if counted > TOTAL_CAP { TotalRelation::Gte } else { TotalRelation::Eq },
        });
        Self { total, ..self }
    }
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
    /// Makes the answer of counted rows.
    pub fn of(by: &str, rows: Vec<(Option<String>, i64)>) -> Self {
        Self { by: by.to_owned(), counts: rows.into_iter().map(|(key, count)| Count { key, count }).collect() }
    }
}

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
