//! Seals again, under the current data keys, what an older key has sealed. Runs as a job after a rotation, a few hundred rows at
//! a time; a row that somebody changes meanwhile is left alone, for it is sealed with the current key already.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde_json::{Value, json};

use super::operations::{self, GoOn, OperationStatus, StartedBy};
use super::store::{self, Resealed};
use crate::app::App;
use crate::files;
use crate::http::Code;
use crate::ids::OperationId;
use crate::jobs;
use crate::vault::{Purpose, Vault};

/// Rows of one transaction.
const BATCH: i64 = 500;

/// A column that holds sealed values.
pub struct SealedColumn {
    /// Its table.
    pub table: &'static str,
    /// The table's primary key.
    pub key: &'static str,
    /// SQL type of the key.
    pub key_type: &'static str,
    /// The column.
    pub column: &'static str,
    /// The place its values are sealed for.
    pub place: &'static str,
    /// The purpose of its data key.
    pub purpose: Purpose,
}

/// Every column whose sealed values stay. Stored replies and the staged rows of imports are not here: they are forgotten after a day
/// and after a week, and the data keys before a rotation open them until then.
const SEALED: &[SealedColumn] = &[
    SealedColumn {
        table: "people",
        key: "id",
        key_type: "uuid",
        column: "phone",
        place: "people.phone",
        purpose: Purpose::Personal,
    },
    SealedColumn {
        table: "people",
        key: "id",
        key_type: "uuid",
        column: "id_number",
        place: "people.id_number",
        purpose: Purpose::Personal,
    },
    SealedColumn {
        table: "files",
        key: "id",
        key_type: "uuid",
        column: "content_key",
        place: files::CONTENT_KEY,
        purpose: Purpose::Personal,
    },
    SealedColumn {
        table: "exports",
        key: "id",
        key_type: "uuid",
        column: "content_key",
        place: files::CONTENT_KEY,
        purpose: Purpose::Personal,
    },
    SealedColumn {
        table: "accounts",
        key: "id",
        key_type: "uuid",
        column: "totp_secret",
        place: "accounts.totp_secret",
        purpose: Purpose::Secrets,
    },
    SealedColumn {
        table: "signing_keys",
        key: "kid",
        key_type: "text",
        column: "private_key",
        place: "signing_keys.private_key",
        purpose: Purpose::Secrets,
    },
    SealedColumn {
        table: "audit_keys",
        key: "kid",
        key_type: "text",
        column: "private_key",
        place: "audit_keys.private_key",
        purpose: Purpose::Secrets,
    },
];

/// Creates the operation and enqueues its job, in the caller's transaction. `now` is wall time.
pub async fn start_reseal(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<OperationId> {
    let id = operations::create(conn, "reseal", StartedBy::default(), now).await?;
    jobs::enqueue(conn, "reseal", json!({ "operation_id": id }), now).await?;
    Ok(id)
}

/// The job. It can be run again after a failure: what is sealed with the current key is passed over. Values that do not open
/// stay as they are; the operation then ends as failed, and the log names their rows.
pub async fn reseal(app: &App, payload: Value) -> Result<(), String> {
    let id: OperationId = serde_json::from_value(payload["operation_id"].clone()).map_err(|fault| fault.to_string())?;
    let mut conn = app.db.dedicated_connection().await.map_err(|fault| fault.to_string())?;
    // The rotation was another process's: this one may know only the keys before it.
    app.vault.reload(&mut conn).await.map_err(|fault| fault.to_string())?;
    run(app, &mut conn, id).await.map_err(|fault| fault.to_string())
}

async fn run(app: &App, conn: &mut AsyncPgConnection, id: OperationId) -> QueryResult<()> {
    let mut total = 0;
    for column in SEALED {
        total += store::count_sealed(conn, column).await?;
    }
    let mut go_on = operations::begin(conn, id, Some(total), app.clock.wall()).await?;
    let (mut done, mut broken) = (0, 0);
    for column in SEALED {
        let mut after = None;
        while go_on == GoOn::Yes {
            let batch = conn.transaction(async |conn| batch(&app.vault, conn, column, after.as_deref(), id, done).await).await?;
            done += batch.rows;
            broken += batch.broken;
            go_on = batch.go_on;
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
    }
    let (status, error) = match (go_on, broken) {
        (GoOn::Stop, _) => (OperationStatus::Cancelled, None),
        (_, 0) => (OperationStatus::Succeeded, None),
        _ => (OperationStatus::Failed, Some(Code::Internal.as_str())),
    };
    operations::finish(conn, id, status, error, app.clock.wall()).await
}

/// What one transaction did.
struct Batch {
    rows: i64,
    broken: i64,
    /// Key of its last row; none: there were no more.
    last: Option<String>,
    go_on: GoOn,
}

async fn batch(
    vault: &Vault,
    conn: &mut AsyncPgConnection,
    column: &SealedColumn,
    after: Option<&str>,
    id: OperationId,
    done: i64,
) -> Result<Batch, DieselError> {
    let rows = store::sealed_after(conn, column, after, BATCH).await?;
    let mut resealed = Resealed::default();
    let mut broken = 0;
    for row in &rows {
        if vault.is_current(column.purpose, &row.sealed) {
            continue;
        }
        match vault.open(column.place, &row.sealed) {
            Ok(plain) => resealed.push(&row.key, &row.sealed, vault.seal(column.purpose, column.place, &plain)),
            Err(fault) => {
                broken += 1;
                log::error!(place = column.place, key = row.key.as_str(), cause = fault.to_string().as_str(); "a sealed value does not open");
            }
        }
    }
    store::put_resealed(conn, column, &resealed).await?;
    let count = rows.len() as i64;
    let go_on = operations::advance(conn, id, done + count).await?;
    Ok(Batch { rows: count, broken, last: rows.into_iter().last().map(|row| row.key), go_on })
}
