//! One account per staff role, and officers of a county, a township and a village.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join_all;

use super::{Fault, Place, SignIn, federations, fixed_id, organization_of};
use crate::access::{Module, Role};
use crate::accounts::store::{self, GrantRow, NewAccountRow};
use crate::accounts::{AccountStatus, initial_password};
use crate::app::App;
use crate::db::schema::{accounts, organizations};
use crate::ids::{AccountId, OrganizationId};

/// Number of the fixed id, user name, display name, role, division of the place.
const ACCOUNTS: &[(&str, &str, &str, Role, &str)] = &[
    ("1", "platform", "平台管理员", Role::PlatformAdmin, "430600"),
    ("2", "city-admin", "市妇联组织管理员", Role::OrgAdmin, "430600"),
    ("3", "city-manager", "市妇联负责人", Role::Manager, "430600"),
    ("4", "city-officer", "市妇联经办人", Role::Officer, "430600"),
    ("5", "city-reviewer", "市妇联评审", Role::Reviewer, "430600"),
    ("6", "city-auditor", "市妇联审计员", Role::Auditor, "430600"),
    ("7", "city-viewer", "市妇联查看者", Role::Viewer, "430600"),
    ("8", "county-admin", "岳阳楼区妇联管理员", Role::OrgAdmin, "430602"),
    ("9", "county-officer", "岳阳楼区妇联经办人", Role::Officer, "430602"),
    ("10", "neighbour-officer", "云溪区妇联经办人", Role::Officer, "430603"),
    ("11", "township-officer", "岳阳楼街道妇联经办人", Role::Officer, "430602001"),
    ("12", "village-officer", "郭亮社区妇联经办人", Role::Officer, "430602001001"),
    ("13", "former-officer", "已停用的经办人", Role::Viewer, "430602"),
];

/// The account that is disabled, so that it can be enabled.
const DISABLED: &str = "former-officer";

fn account_id(number: &str) -> AccountId {
    fixed_id(0x8004, number).into()
}

/// Loads the accounts and their grants. Their passwords are set by [`sign_ins`]; until then no password fits.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let now = app.clock.wall();
    for (number, username, display_name, role, division) in ACCOUNTS {
        let place = organization_of(division);
        let status = if *username == DISABLED { AccountStatus::Disabled } else { AccountStatus::Active };
        let account = NewAccountRow {
            id: account_id(number),
            username,
            display_name,
            organization_id: place,
            person_id: None,
            status,
            password_hash: "!",
            password_is_initial: false,
            password_changed_at: now,
            created_at: now,
            updated_at: now,
        };
        if diesel::insert_into(accounts::table).values(account).on_conflict_do_nothing().execute(conn).await? == 0 {
            continue;
        }
        let grant = GrantRow {
            id: fixed_id(0x8005, number).into(),
            account_id: account_id(number),
            role: *role,
            organization_id: place,
            modules: Module::ALL.iter().map(ToString::to_string).collect(),
            from_on: federations::founded(),
            to_on: None,
            granted_by: None,
            created_at: now,
        };
        store::insert_grant(conn, &grant).await?;
    }
    Ok(())
}

/// The sign-ins: those that are known and still fit, and new passwords for the others, so that what is printed works. The file
/// they are kept in may be older than the database, or that of another one.
pub async fn sign_ins(app: &App, conn: &mut AsyncPgConnection, known: Vec<SignIn>) -> Result<Vec<SignIn>, String> {
    let known = fitting(app, conn, known).await?;
    let mut sign_ins = Vec::new();
    for (number, username, _, role, division) in ACCOUNTS {
        if *username == DISABLED {
            continue;
        }
        if let Some(known) = known.iter().find(|known| known.username == *username) {
            sign_ins.push(known.clone());
            continue;
        }
        let password = initial_password();
        let hash = app.passwords.hash(&password).await.map_err(|fault| fault.to_string())?;
        let (now, id) = (app.clock.wall(), organization_of(division));
        diesel::update(accounts::table.find(account_id(number)))
            .set((
                accounts::password_hash.eq(hash),
                accounts::password_is_initial.eq(false),
                accounts::password_changed_at.eq(now),
            ))
            .execute(conn)
            .await
            .map_err(|fault| fault.to_string())?;
        let organization = Place { id, name: name_of(conn, id).await? };
        sign_ins.push(SignIn { username: (*username).to_owned(), password, role: role.to_string(), organization });
    }
    Ok(sign_ins)
}

/// Those of the sign-ins whose passwords are right.
async fn fitting(app: &App, conn: &mut AsyncPgConnection, known: Vec<SignIn>) -> Result<Vec<SignIn>, String> {
    let names = known.iter().map(|known| known.username.as_str());
    let hashes: HashMap<String, String> = accounts::table
        .filter(accounts::username.eq_any(names))
        .select((accounts::username, accounts::password_hash))
        .load(conn)
        .await
        .map_err(|fault| fault.to_string())?
        .into_iter()
        .collect();
    let checks = known.iter().map(|known| app.passwords.verify(&known.password, hashes.get(&known.username).map(String::as_str)));
    let right = try_join_all(checks).await.map_err(|fault| fault.to_string())?;
    Ok(known.into_iter().zip(right).filter(|(_, right)| *right).map(|(known, _)| known).collect())
}

async fn name_of(conn: &mut AsyncPgConnection, id: OrganizationId) -> Result<String, String> {
    organizations::table.find(id).select(organizations::name).first(conn).await.map_err(|fault| fault.to_string())
}
