//! One long piece of work and one job that gave up, to try their operations on. Running the job again seals everything again,
//! which changes nothing that anybody sees.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use super::{Fault, fixed_id, organization_of};
use crate::app::App;
use crate::db::schema::{jobs, operations};

/// Loads the operation and the job.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let operation = fixed_id(0x8020, "1");
    diesel::insert_into(operations::table)
        .values((
            operations::id.eq(operation),
            operations::kind.eq("reseal"),
            operations::account_id.eq(fixed_id(0x8004, "1")),
            operations::organization_id.eq(organization_of("430600")),
            operations::status.eq("queued"),
            operations::created_at.eq(app.clock.wall()),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(fixed_id(0x8021, "1")),
            jobs::kind.eq("reseal"),
            jobs::payload.eq(json!({ "operation_id": operation })),
            jobs::state.eq("dead"),
            jobs::run_at.eq(app.clock.wall()),
            jobs::attempts.eq(10),
            jobs::last_error.eq("the database was not reachable"),
            jobs::finished_at.eq(app.clock.wall()),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}
