//! Demo data: the real federation tree of Yueyang, its 2019 plan, and accounts to try everything with. A set of its own,
//! versioned per slice; a later start adds what is missing. Every id is a fixed literal; only passwords are random.

mod accounts;
mod coverage;
mod exports;
mod federations;
mod files;
mod imports;
mod people;
mod system;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::db::Address;
use crate::db::schema::{data_versions, markers};
use crate::ids::OrganizationId;
use crate::plans::import::{Ids, WORK_PLAN_2019, WorkPlan, import_plan};

/// Version of each slice's demo data, in the order of loading; raise it when something is added.
const VERSIONS: &[(&str, i32)] = &[
    ("federations", 2),
    ("people", 2),
    ("coverage", 1),
    ("plans", 1),
    ("accounts", 1),
    ("files", 1),
    ("exports", 1),
    ("imports", 1),
    ("system", 2),
];

/// An account to try things with, as it stands in the sign-ins file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Role.
    pub role: String,
    /// Place.
    pub organization: Place,
}

/// An organization with its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
}

/// A fixed id: a group and a number in decimal digits.
pub fn fixed_id(group: u16, number: &str) -> Uuid {
    format!("0168028c-2f00-7000-{group:x}-{number:0>12}").parse().expect("group and number make a UUID")
}

/// The organization of a division.
pub fn organization_of(division: &str) -> OrganizationId {
    fixed_id(0x8000, &format!("{division:0<12}")).into()
}

/// Loads what is missing, as the owner, and marks the database as demo. Returns the sign-ins; `known` are those of the last start.
pub async fn load(app: &App, owner: &Address, known: Vec<SignIn>, progress: &ProgressBar) -> Result<Vec<SignIn>, String> {
    let mut conn = owner.connect().await?;
    progress.set_length(VERSIONS.len() as u64);
    progress.set_position(0);
    for (slice, version) in VERSIONS {
        progress.set_message(*slice);
        conn.transaction(async |conn| load_slice(app, conn, slice, *version).await)
            .await
            .map_err(|Fault(fault)| format!("demo data, {slice}: {fault}"))?;
        progress.inc(1);
    }
    accounts::sign_ins(app, &mut conn, known).await
}

/// A fault inside a transaction, as text.
struct Fault(String);

impl From<diesel::result::Error> for Fault {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.to_string())
    }
}

async fn load_slice(app: &App, conn: &mut AsyncPgConnection, slice: &str, version: i32) -> Result<(), Fault> {
    let have: Option<i32> =
        data_versions::table.find(("demo", slice)).select(data_versions::version).first(conn).await.optional()?;
    if have.is_some_and(|have| have >= version) {
        return Ok(());
    }
    diesel::insert_into(markers::table)
        .values((markers::name.eq("demo"), markers::value.eq("yes")))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    match slice {
        "federations" => federations::load(conn, app.clock.now()).await?,
        "people" => people::load(app, conn).await?,
        "coverage" => coverage::load(app, conn).await?,
        "plans" => {
            let document = WorkPlan::parse(WORK_PLAN_2019).map_err(|fault| Fault(fault.to_string()))?;
            import_plan(conn, &document, organization_of("430600"), Ids::Demo, &app.clock)
                .await
                .map_err(|fault| Fault(fault.to_string()))?;
        }
        "accounts" => accounts::load(app, conn).await?,
        "files" => files::load(app, conn).await?,
        "exports" => exports::load(app, conn).await?,
        "imports" => imports::load(app, conn).await?,
        _ => system::load(app, conn).await?,
    }
    crate::reference::set_loaded_version(conn, "demo", slice, version).await?;
    Ok(())
}
