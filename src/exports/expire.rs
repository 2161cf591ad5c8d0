//! Files do not outlive their day: what is over is marked and removed, and so is what no export names. The timetable enqueues a job
//! each hour, because the object store is not asked inside a transaction.

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde_json::{Value, json};

use super::store;
use crate::app::App;
use crate::audit::{self, Actor, Change};
use crate::files::Object;
use crate::jobs;

/// How long an object may be without an export: longer than it takes to write it down.
const UNKNOWN: TimeDelta = TimeDelta::days(1);

/// Enqueues the job, in the caller's transaction.
pub async fn schedule_expiry(app: &App, conn: &mut AsyncPgConnection) -> Result<(), String> {
    jobs::enqueue(conn, "expire_exports", json!({}), app.clock.wall()).await.map(drop).map_err(|fault| fault.to_string())
}

/// The job.
pub async fn expire(app: &App, _: Value) -> Result<(), String> {
    let wall = app.clock.wall();
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    let expired = conn
        .transaction(async |conn| {
            let expired = store::expire(conn, wall).await?;
            for row in &expired {
                let change = Change::of("export.expired", "export", row.id, row.organization_id);
                audit::record(conn, wall, &Actor::system(), change).await?;
            }
            Ok::<_, diesel::result::Error>(expired)
        })
        .await
        .map_err(|fault| fault.to_string())?;
    // Should the work end here, they are without an export tomorrow.
    for object in expired.iter().filter_map(|row| row.object_id) {
        app.objects.delete(Object::Export(object)).await.map_err(|fault| fault.to_string())?;
    }
    let mut removed = 0;
    for part in app.objects.exports_older_than(wall - UNKNOWN).await?.chunks(1000) {
        let kept = store::kept(&mut conn, part).await.map_err(|fault| fault.to_string())?;
        for object in part.iter().filter(|object| !kept.contains(object)) {
            app.objects.delete(Object::Export(*object)).await.map_err(|fault| fault.to_string())?;
            removed += 1;
        }
    }
    log::info!(expired = expired.len(), objects = removed; "exports expired");
    Ok(())
}
