//! Many accounts and grants at once: a statement per part of a file and none per row.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::accounts::rules::AccountStatus;
use crate::accounts::store::{AccountRow, GrantRow, NewAccountRow};
use crate::db::schema::{accounts, grants};
use crate::db::scope::below;
use crate::ids::{AccountId, OrganizationId};
use crate::imports::MOST_SHOWN;

/// The accounts with these names, wherever they are kept; locked until the transaction ends where something is to be written.
pub async fn by_username(conn: &mut AsyncPgConnection, names: &[&str], lock: bool) -> QueryResult<Vec<AccountRow>> {
    let rows = accounts::table.filter(accounts::username.eq_any(names)).order(accounts::id).select(AccountRow::as_select());
    if lock { rows.for_no_key_update().load(conn).await } else { rows.load(conn).await }
}

/// Accounts by id.
pub async fn by_id(mut conn: &AsyncPgConnection, ids: &[AccountId]) -> QueryResult<Vec<AccountRow>> {
    accounts::table.filter(accounts::id.eq_any(ids)).order(accounts::id).select(AccountRow::as_select()).load(&mut conn).await
}

/// The active accounts that organizations below a place keep, as far as a template shows.
pub async fn active_below(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<AccountRow>> {
    accounts::table
        .filter(accounts::organization_id.eq_any(below(&[place])))
        .filter(accounts::status.eq(AccountStatus::Active))
        .order(accounts::id)
        .limit(MOST_SHOWN)
        .select(AccountRow::as_select())
        .load(&mut conn)
        .await
}

/// Writes new accounts.
pub async fn insert_accounts(conn: &mut AsyncPgConnection, rows: &[NewAccountRow<'_>]) -> QueryResult<Vec<AccountRow>> {
    diesel::insert_into(accounts::table).values(rows).returning(AccountRow::as_returning()).get_results(conn).await
}

const UPDATE_ACCOUNTS: &str = "UPDATE accounts AS a SET display_name = x.display_name, organization_id = x.organization_id,
        person_id = x.person_id, version = a.version + 1, updated_at = $2
    FROM jsonb_to_recordset($1) AS x (id uuid, display_name text, organization_id uuid, person_id uuid)
    WHERE a.id = x.id";

/// Edits many accounts: who they belong to.
pub async fn update_accounts(conn: &mut AsyncPgConnection, rows: &[AccountRow], now: DateTime<Utc>) -> QueryResult<()> {
    let row = |row: &AccountRow| json!({ "id": row.id, "display_name": row.display_name, "organization_id": row.organization_id, "person_id": row.person_id });
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let update = diesel::sql_query(UPDATE_ACCOUNTS).bind::<Jsonb, _>(Value::from(rows)).bind::<Timestamptz, _>(now);
    update.execute(conn).await.map(drop)
}

/// Writes grants.
pub async fn insert_grants(conn: &mut AsyncPgConnection, rows: &[GrantRow]) -> QueryResult<()> {
    diesel::insert_into(grants::table).values(rows).execute(conn).await.map(drop)
}
