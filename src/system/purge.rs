//! Forgets what is no longer needed; the timetable calls it each hour.

use chrono::TimeDelta;
use diesel_async::AsyncPgConnection;

use super::store;
use crate::app::App;
use crate::http::command::purge_replies;

/// Jobs that are done.
const JOBS: TimeDelta = TimeDelta::days(7);
/// Long work that is finished.
const OPERATIONS: TimeDelta = TimeDelta::days(30);
/// Sessions that are over, with their refresh tokens: until then a stolen token that comes back is recognised.
const SESSIONS: TimeDelta = TimeDelta::days(90);
/// Work items that are done: a year and a little, so that last year's are there when this year's are compared.
const WORK_ITEMS: TimeDelta = TimeDelta::days(400);

/// Forgets expired replies, old jobs, operations, sessions and work items, in the caller's transaction.
pub async fn purge(app: &App, conn: &mut AsyncPgConnection) -> Result<(), String> {
    let wall = app.clock.wall();
    let work = async {
        let replies = purge_replies(conn, wall).await?;
        let jobs = store::forget_jobs(conn, wall - JOBS).await?;
        let operations = store::forget_operations(conn, wall - OPERATIONS).await?;
        let sessions = store::forget_sessions(conn, wall - SESSIONS).await?;
        let work_items = store::forget_work_items(conn, app.clock.now() - WORK_ITEMS).await?;
        log::info!(replies = replies, jobs = jobs, operations = operations, sessions = sessions, work_items = work_items; "purged");
        Ok(())
    };
    work.await.map_err(|fault: diesel::result::Error| fault.to_string())
}
