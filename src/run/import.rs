//! `half-sky import …`: documents into the database.

use std::path::Path;

use diesel_async::AsyncConnection;

use super::{owner, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::OrganizationId;
use crate::plans::import::{Ids, ImportError, WorkPlan, import_plan};

/// Imports a work plan for an organization.
pub fn plan(config: &Config, file: &Path, organization: OrganizationId) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|fault| format!("{}: {fault}", file.display()))?;
    let document = WorkPlan::parse(&text).map_err(|fault| format!("{}: {fault}", file.display()))?;
    let owner = owner(config)?;
    let clock = Clock::system();
    let id = runtime()?.block_on(async {
        let mut conn = owner.connect().await?;
        conn.transaction(async |conn| import_plan(conn, &document, organization, Ids::Generated, &clock).await)
            .await
            .map_err(|fault: ImportError| fault.to_string())
    })?;
    println!("plan {id}");
    Ok(())
}
