//! Two long pieces of work, one that waits and one that failed, and the job of the second, which gave up: to try their operations
//! on. The operation that failed stays so when its job is tried again.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::db::schema::{jobs, operations};

/// Loads the operations and the job.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let now = app.clock.wall();
    let waiting = fixed_id(0x8020, "1");
    let given_up = fixed_id(0x8020, "2");
    for (id, status, finished_at) in [(waiting, "queued", None), (given_up, "failed", Some(now))] {
        diesel::insert_into(operations::table)
            .values((
                operations::id.eq(id),
                operations::kind.eq("reseal"),
                operations::account_id.eq(fixed_id(0x8004, "1")),
                operations::organization_id.eq(organization_of("430600")),
                operations::status.eq(status),
                operations::created_at.eq(now),
                operations::finished_at.eq(finished_at),
            ))
            .on_conflict_do_nothing()
            .execute(conn)
            .await?;
    }
    let id = fixed_id(0x8021, "1");
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::kind.eq("reseal"),
            jobs::payload.eq(json!({ "operation_id": given_up })),
            jobs::state.eq("dead"),
            jobs::run_at.eq(now),
            jobs::attempts.eq(10),
            jobs::last_error.eq("the database was not reachable"),
            jobs::finished_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    // A demo of an earlier version has the job on the operation that waits.
    diesel::update(jobs::table.find(id).filter(jobs::state.eq("dead")))
        .set(jobs::payload.eq(json!({ "operation_id": given_up })))
        .execute(conn)
        .await?;
    Ok(())
}
