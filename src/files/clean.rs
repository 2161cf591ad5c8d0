//! Cleans away what nobody needs: loose files after a week, objects without a row after a day, halves of uploads that were cut
//! off. The timetable enqueues a job each day, because the object store is not asked inside a transaction.

use chrono::TimeDelta;
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use super::store;
use crate::app::App;
use crate::jobs;

/// How long a file may stay loose.
const LOOSE: TimeDelta = TimeDelta::days(7);
/// How long an object may be without a row: longer than any upload takes.
const UNKNOWN: TimeDelta = TimeDelta::days(1);

/// Enqueues the job, in the caller's transaction.
pub async fn schedule_clean(app: &App, conn: &mut AsyncPgConnection) -> Result<(), String> {
    jobs::enqueue(conn, "clean_files", json!({}), app.clock.wall()).await.map(drop).map_err(|fault| fault.to_string())
}

/// The job. Rows go first, then the objects that no row names.
pub async fn clean(app: &App, _: Value) -> Result<(), String> {
    let wall = app.clock.wall();
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    let loose = store::forget_loose(&mut conn, wall - LOOSE).await.map_err(|fault| fault.to_string())?;
    let mut removed = 0;
    for part in app.objects.files_older_than(wall - UNKNOWN).await?.chunks(1000) {
        let known = store::known(&mut conn, part).await.map_err(|fault| fault.to_string())?;
        for id in part.iter().filter(|id| !known.contains(id)) {
            app.objects.delete(*id).await.map_err(|fault| fault.to_string())?;
            removed += 1;
        }
    }
    let leftovers = app.objects.remove_leftovers(wall - UNKNOWN).map_err(|fault| fault.to_string())?;
    log::info!(loose = loose, objects = removed, leftovers = leftovers; "files cleaned");
    Ok(())
}
