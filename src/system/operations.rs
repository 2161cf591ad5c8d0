//! Long work and its progress, for the slices: a command creates the operation and enqueues a job in its transaction; the job
//! begins it, tells how far it is, stops where it was told to, and finishes it. All times are wall time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use super::rules::Cancelled;
pub use super::rules::OperationStatus;
use super::store;
use crate::ids::{AccountId, OperationId, OrganizationId};

/// Who started it and for whom; the command line is nobody, for the whole service.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartedBy {
    /// The account; it may follow and stop the work.
    pub account_id: Option<AccountId>,
    /// The organization it is done for.
    pub organization_id: Option<OrganizationId>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoOn {
    /// Do the next part.
    Yes,
    /// Somebody asked to stop, or the work is over already.
    Stop,
}

/// Creates an operation that waits for its job.
pub async fn create(
    conn: &mut AsyncPgConnection,
    kind: &'static str,
    by: StartedBy,
    now: DateTime<Utc>,
) -> QueryResult<OperationId> {
    store::insert_operation(conn, kind, by, now).await
}

/// The job begins, or begins again after an attempt that failed.
pub async fn begin(conn: &mut AsyncPgConnection, id: OperationId, total: Option<i64>, now: DateTime<Utc>) -> QueryResult<GoOn> {
    store::begin_operation(conn, id, total, now).await.map(go_on)
}

/// So much is done; call it in the transaction of that part.
pub async fn advance(conn: &mut AsyncPgConnection, id: OperationId, done: i64) -> QueryResult<GoOn> {
    store::advance_operation(conn, id, done).await.map(go_on)
}

/// It is over. `error` is a code of the problem catalogue.
pub async fn finish(
    conn: &mut AsyncPgConnection,
    id: OperationId,
    status: OperationStatus,
    error: Option<&'static str>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    store::finish_operation(conn, id, status, error, now).await
}

/// A person stops it: at once where it waits, at its next safe point where it is under way. False: it is over, or was told to stop
/// already.
pub async fn cancel(conn: &mut AsyncPgConnection, id: OperationId, now: DateTime<Utc>) -> QueryResult<bool> {
    let row = store::lock_operation(conn, store::Sees::All, id).await?;
    let Some(cancelled) = row.status.cancel(row.cancel_requested) else { return Ok(false) };
    store::cancel_operation(conn, id, (cancelled == Cancelled::AtOnce).then_some(now)).await?;
    Ok(true)
}

/// Rows tell whether a stop was asked for; no row: it is over.
fn go_on(cancel_requested: Option<bool>) -> GoOn {
    if cancel_requested == Some(false) { GoOn::Yes } else { GoOn::Stop }
}
