//! The table of exports, beside the operations that tell how far they are.

use chrono::{DateTime, Utc};
use diesel::dsl::{Eq, InnerJoinQuerySource};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::api::ExportFilter;
use super::rules::{CellValues, ExportStatus};
use crate::db::page::{Condition, all_of};
use crate::db::schema::{accounts, exports, operations};
use crate::http::PageRequest;
use crate::http::page::Listed;
use crate::ids::{AccountId, ExportId, OperationId, OrganizationId, SessionId};
use crate::sheets::SheetFormat;
use crate::system::OperationStatus;
use crate::{load_page, when};

/// An export and how far its operation is.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = exports)]
#[allow(missing_docs)]
pub struct ExportRow {
    pub id: ExportId,
    pub operation_id: OperationId,
    pub account_id: AccountId,
    pub session_id: SessionId,
    pub organization_id: OrganizationId,
    pub source: String,
    pub parameters: Value,
    pub filters: Value,
    pub column_names: Vec<String>,
    pub format: SheetFormat,
    pub cell_values: CellValues,
    pub english: bool,
    pub personal: bool,
    pub reason: Option<String>,
    pub file_name: String,
    pub row_count: Option<i64>,
    pub object_id: Option<Uuid>,
    pub size: Option<i64>,
    pub sha256: Option<Vec<u8>>,
    pub content_key: Option<Vec<u8>>,
    pub places: Vec<OrganizationId>,
    pub expires_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    #[diesel(select_expression = operations::status)]
    pub operation_status: OperationStatus,
    #[diesel(select_expression = operations::done)]
    pub done: i64,
    #[diesel(select_expression = operations::total)]
    pub total: Option<i64>,
    #[diesel(select_expression = operations::error)]
    pub error: Option<String>,
    #[diesel(select_expression = operations::cancel_requested)]
    pub cancel_requested: bool,
    #[diesel(select_expression = operations::version)]
    pub version: i32,
    #[diesel(select_expression = operations::started_at)]
    pub started_at: Option<DateTime<Utc>>,
    #[diesel(select_expression = operations::finished_at)]
    pub finished_at: Option<DateTime<Utc>>,
}

impl ExportRow {
    /// Where it is in its life, at an instant (wall time).
    pub fn status(&self, now: DateTime<Utc>) -> ExportStatus {
        let gone = self.removed_at.is_some() || self.expires_at.is_some_and(|end| end <= now);
        ExportStatus::of(self.operation_status, gone)
    }
}

/// What is wanted.
#[derive(Debug, Insertable)]
#[diesel(table_name = exports)]
#[allow(missing_docs)]
pub struct NewExportRow {
    pub id: ExportId,
    pub operation_id: OperationId,
    pub account_id: AccountId,
    pub session_id: SessionId,
    pub organization_id: OrganizationId,
    pub source: String,
    pub parameters: Value,
    pub filters: Value,
    pub column_names: Vec<String>,
    pub format: SheetFormat,
    pub cell_values: CellValues,
    pub english: bool,
    pub personal: bool,
    pub reason: Option<String>,
    pub file_name: String,
    pub created_at: DateTime<Utc>,
}

/// What came of it.
#[derive(AsChangeset)]
#[diesel(table_name = exports)]
#[allow(missing_docs)]
pub struct Produced {
    pub row_count: Option<i64>,
    pub object_id: Option<Uuid>,
    pub size: Option<i64>,
    pub sha256: Option<Vec<u8>>,
    pub content_key: Option<Vec<u8>>,
    pub places: Vec<OrganizationId>,
    pub expires_at: Option<DateTime<Utc>>,
}

type Source = InnerJoinQuerySource<exports::table, operations::table, Eq<exports::operation_id, operations::id>>;

#[diesel::dsl::auto_type(no_type_alias)]
fn all() -> _ {
    exports::table.inner_join(operations::table.on(exports::operation_id.eq(operations::id)))
}

/// Those in one of some states, at an instant.
fn in_states<'a>(states: &[ExportStatus], now: DateTime<Utc>) -> Condition<'a, Source> {
    let is = |status: OperationStatus| operations::status.eq(status);
    let gone = || exports::removed_at.is_not_null().or(exports::expires_at.le(now).assume_not_null());
    let none: Condition<'a, Source> = Box::new(Some(false).into_sql::<diesel::sql_types::Nullable<diesel::sql_types::Bool>>());
    states.iter().fold(none, |any, state| match state {
        ExportStatus::Queued => Box::new(any.or(is(OperationStatus::Queued).nullable())),
        ExportStatus::Running => Box::new(any.or(is(OperationStatus::Running).nullable())),
        ExportStatus::Failed => Box::new(any.or(is(OperationStatus::Failed).nullable())),
        ExportStatus::Cancelled => Box::new(any.or(is(OperationStatus::Cancelled).nullable())),
        ExportStatus::Done => Box::new(any.or(is(OperationStatus::Succeeded).and(diesel::dsl::not(gone())).nullable())),
        ExportStatus::Expired => Box::new(any.or(is(OperationStatus::Succeeded).and(gone()).nullable())),
    })
}

/// One page of an account's exports, the newest first.
pub async fn list(
    conn: &AsyncPgConnection,
    account: AccountId,
    filter: &ExportFilter,
    now: DateTime<Utc>,
    page: &PageRequest,
) -> QueryResult<Listed<ExportRow>> {
    let rows = || {
        let mut wanted: Vec<Condition<'_, Source>> = vec![Box::new(exports::account_id.eq(account).nullable())];
        if let Some(states) = &filter.status {
            wanted.push(in_states(states, now));
        }
        when!(wanted,
            filter.source, |source| exports::source.eq(&source.0);
            filter.created_at_gte, |from| exports::created_at.ge(from);
            filter.created_at_lt, |before| exports::created_at.lt(before);
        );
        all().filter(all_of(wanted))
    };
    load_page!(conn, page, rows(), ExportRow::as_select(), by before < page.start().1, exports::id)
}

/// One export of an account.
pub async fn find(mut conn: &AsyncPgConnection, account: AccountId, id: ExportId) -> QueryResult<ExportRow> {
    all().filter(exports::id.eq(id)).filter(exports::account_id.eq(account)).select(ExportRow::as_select()).first(&mut conn).await
}

/// Locks one export of an account until the transaction ends, with its operation.
pub async fn lock(conn: &mut AsyncPgConnection, account: AccountId, id: ExportId) -> QueryResult<ExportRow> {
    all()
        .filter(exports::id.eq(id))
        .filter(exports::account_id.eq(account))
        .select(ExportRow::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Locks one export until the transaction ends, for the job.
pub async fn hold(conn: &mut AsyncPgConnection, id: ExportId) -> QueryResult<()> {
    exports::table.find(id).select(exports::id).for_no_key_update().get_result::<ExportId>(conn).await.map(drop)
}

/// One export, for the job.
pub async fn find_any(mut conn: &AsyncPgConnection, id: ExportId) -> QueryResult<Option<ExportRow>> {
    all().filter(exports::id.eq(id)).select(ExportRow::as_select()).first(&mut conn).await.optional()
}

/// How many of an account's exports wait or are under way. Whoever asks holds the account until the transaction ends, so that two
/// who ask at once are counted one after the other.
pub async fn under_way(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<i64> {
    accounts::table.find(account).select(accounts::id).for_no_key_update().get_result::<AccountId>(conn).await?;
    let open = operations::status.eq_any([OperationStatus::Queued, OperationStatus::Running]);
    all().filter(exports::account_id.eq(account)).filter(open).count().get_result(conn).await
}

/// Writes what is wanted.
pub async fn insert(conn: &mut AsyncPgConnection, export: &NewExportRow) -> QueryResult<()> {
    diesel::insert_into(exports::table).values(export).on_conflict_do_nothing().execute(conn).await.map(drop)
}

/// A worker begins. Returns which attempt it is.
pub async fn count_attempt(conn: &mut AsyncPgConnection, id: ExportId) -> QueryResult<i32> {
    diesel::update(exports::table.find(id))
        .set(exports::attempts.eq(exports::attempts + 1))
        .returning(exports::attempts)
        .get_result(conn)
        .await
}

/// Writes what came of it.
pub async fn put_produced(conn: &mut AsyncPgConnection, id: ExportId, produced: &Produced) -> QueryResult<()> {
    diesel::update(exports::table.find(id)).set(produced).execute(conn).await.map(drop)
}

/// An export whose time is over: what the audit trail is told, and its file.
#[derive(Queryable, Selectable)]
#[diesel(table_name = exports)]
#[allow(missing_docs)]
pub struct ExpiredRow {
    pub id: ExportId,
    pub organization_id: OrganizationId,
    pub object_id: Option<Uuid>,
}

/// Marks the files removed whose time is over.
pub async fn expire(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<Vec<ExpiredRow>> {
    diesel::update(exports::table.filter(exports::expires_at.le(now)).filter(exports::removed_at.is_null()))
        .set(exports::removed_at.eq(now))
        .returning(ExpiredRow::as_returning())
        .get_results(conn)
        .await
}

/// Which of these objects are files that are still given out.
pub async fn kept(conn: &mut AsyncPgConnection, objects: &[Uuid]) -> QueryResult<Vec<Uuid>> {
    exports::table
        .filter(exports::object_id.eq_any(objects))
        .filter(exports::removed_at.is_null())
        .select(exports::object_id.assume_not_null())
        .load(conn)
        .await
}
