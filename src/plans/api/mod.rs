//! HTTP in, HTTP out: plans, tasks and indicators, as they are read.

mod indicators;
mod plans;
mod tasks;

use serde::Serialize;
use utoipa::ToSchema;

use super::store::OrganizationRow;
use crate::organizations::OrganizationReference;

pub use indicators::*;
pub use plans::*;
pub use tasks::*;

impl From<OrganizationRow> for OrganizationReference {
    fn from(row: OrganizationRow) -> Self {
        Self { id: row.id, name: row.name, kind: row.kind, level: row.level }
    }
}

/// Name of an action, as it stands in the path after the object's id.
#[derive(Serialize, ToSchema)]
#[schema(examples("issue"), max_length = 64, pattern = "^[a-z][a-z_-]*$")]
pub struct ActionName(pub String);
