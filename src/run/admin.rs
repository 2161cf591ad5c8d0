//! `half-sky admin create`: the first account of an installation, made with the owner's address of the database.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::{owner, runtime};
use crate::access::{Module, Role};
use crate::accounts::store::{self, GrantRow, NewAccountRow};
use crate::accounts::{AccountStatus, Passwords, initial_password};
use crate::audit::{self, Actor, Change};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::schema::organizations;
use crate::ids::{AccountId, GrantId, OrganizationId};

/// Creates the account and prints its initial password.
pub fn create(config: &Config, username: &str, organization: &str) -> Result<(), String> {
    let owner = owner(config)?;
    let password = initial_password();
    let clock = Clock::system();
    runtime()?.block_on(async {
        let hash = Passwords::new(false).hash(&password).await.map_err(|fault| fault.to_string())?;
        let mut conn = owner.connect().await?;
        conn.transaction(async |conn| insert(conn, &clock, username, organization, &hash).await)
            .await
            .map_err(|fault| fault.to_string())
    })?;
    println!("{username} may sign in with the initial password {password} and has to change it at once.");
    Ok(())
}

async fn insert(conn: &mut AsyncPgConnection, clock: &Clock, username: &str, organization: &str, hash: &str) -> QueryResult<()> {
    let top: Option<OrganizationId> =
        organizations::table.filter(organizations::parent_id.is_null()).select(organizations::id).first(conn).await.optional()?;
    let top = match top {
        Some(top) => top,
        None => crate::organizations::create_top(conn, organization, clock).await?,
    };
    let (now, id) = (clock.wall(), AccountId::generate());
    let account = NewAccountRow {
        id,
        username: &username.to_lowercase(),
        display_name: username,
        organization_id: top,
        person_id: None,
        status: AccountStatus::Active,
        password_hash: hash,
        password_is_initial: true,
        password_changed_at: now,
        created_at: now,
        updated_at: now,
    };
    store::insert(conn, &account).await?;
    let grant = GrantRow {
        id: GrantId::generate(),
        account_id: id,
        role: Role::PlatformAdmin,
        organization_id: top,
        modules: Module::ALL.iter().map(ToString::to_string).collect(),
        from_on: clock.today(),
        to_on: None,
        granted_by: None,
        created_at: now,
    };
    store::insert_grant(conn, &grant).await?;
    audit::record(conn, now, &Actor::system(), Change::of("account.created", "account", id, top)).await
}
