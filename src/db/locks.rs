//! Advisory locks that end with the transaction. Whoever takes one by a name takes the number that the name's SHA-256 begins with.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::vault::sha256;

/// The number of a name.
pub fn number(name: &[u8]) -> i64 {
    first_eight(&sha256(name))
}

/// The number that a hash begins with.
pub fn first_eight(hash: &[u8]) -> i64 {
    hash.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// Waits for a lock that nobody shares.
pub async fn take(conn: &mut AsyncPgConnection, number: i64) -> QueryResult<()> {
    diesel::select(pg_advisory_xact_lock(number)).execute(conn).await.map(drop)
}

/// Waits for a lock that others may share.
pub async fn share(conn: &mut AsyncPgConnection, number: i64) -> QueryResult<()> {
    diesel::select(pg_advisory_xact_lock_shared(number)).execute(conn).await.map(drop)
}

/// Takes a lock that nobody shares, if nobody has it. False: somebody has.
pub async fn try_take(conn: &mut AsyncPgConnection, number: i64) -> QueryResult<bool> {
    diesel::select(pg_try_advisory_xact_lock(number)).get_result(conn).await
}

diesel::define_sql_function! {
    /// Waits.
    fn pg_advisory_xact_lock(number: BigInt);
}

diesel::define_sql_function! {
    /// Waits, beside others who share.
    fn pg_advisory_xact_lock_shared(number: BigInt);
}

diesel::define_sql_function! {
    /// Does not wait.
    fn pg_try_advisory_xact_lock(number: BigInt) -> Bool;
}
