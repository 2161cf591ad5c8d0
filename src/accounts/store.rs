//! Tables of accounts, grants and sessions.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::api::admin::{AccountFilter, AccountsBy};
use super::rules::{AccountStatus, Attempts, FAILURE_WINDOW};
use crate::access::{HeldRole, Module, Role, Scope};
use crate::db::contains;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{accounts, grants, organizations, recovery_codes, refresh_tokens, sessions, sign_in_attempts};
use crate::db::scope::below;
use crate::http::page::{Counted, Listed, PageRequest};
use crate::ids::{AccountId, GrantId, OrganizationId, PersonId, SessionId};
use crate::{count_by, load_page, when};

/// An account.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct AccountRow {
    pub id: AccountId,
    pub username: String,
    pub display_name: String,
    pub organization_id: OrganizationId,
    pub person_id: Option<PersonId>,
    pub status: AccountStatus,
    pub password_hash: String,
    pub password_is_initial: bool,
    pub totp_secret: Option<Vec<u8>>,
    pub totp_confirmed: bool,
    pub totp_last_step: Option<i64>,
    pub last_login_at: Option<DateTime<Utc>>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A new account.
#[derive(Insertable)]
#[diesel(table_name = accounts)]
pub struct NewAccountRow<'a> {
    pub id: AccountId,
    pub username: &'a str,
    pub display_name: &'a str,
    pub organization_id: OrganizationId,
    pub person_id: Option<PersonId>,
    pub status: AccountStatus,
    pub password_hash: &'a str,
    pub password_is_initial: bool,
    pub password_changed_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A session.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    pub id: SessionId,
    pub account_id: AccountId,
    pub authenticated_at: DateTime<Utc>,
    pub strong: bool,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// A grant.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = grants)]
pub struct GrantRow {
    pub id: GrantId,
    pub account_id: AccountId,
    pub role: Role,
    pub organization_id: OrganizationId,
    pub modules: Vec<String>,
    pub from_on: NaiveDate,
    pub to_on: Option<NaiveDate>,
    pub granted_by: Option<AccountId>,
    pub created_at: DateTime<Utc>,
}

impl GrantRow {
    /// What it gives.
    pub fn held(&self) -> HeldRole {
        HeldRole {
            role: self.role,
            organization_id: self.organization_id,
            modules: self.modules(),
            from_on: self.from_on,
            to_on: self.to_on,
        }
    }

    /// Its modules; a name that this program does not know gives nothing.
    pub fn modules(&self) -> Vec<Module> {
        self.modules.iter().filter_map(|name| name.parse().ok()).collect()
    }
}

/// The session, account and grants behind a token; none when any of them is no longer good.
pub async fn find_caller(
    mut conn: &AsyncPgConnection,
    session: SessionId,
    account: AccountId,
    now: DateTime<Utc>,
) -> QueryResult<Option<(SessionRow, AccountRow, Vec<HeldRole>)>> {
    let found: Option<(SessionRow, AccountRow)> = sessions::table
        .inner_join(accounts::table.on(accounts::id.eq(sessions::account_id)))
        .filter(sessions::id.eq(session))
        .filter(accounts::id.eq(account))
        .filter(sessions::ended_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .filter(accounts::status.eq(AccountStatus::Active))
        .select((SessionRow::as_select(), AccountRow::as_select()))
        .first(&mut conn)
        .await
        .optional()?;
    let Some((session, account)) = found else { return Ok(None) };
    let roles = grants_of(conn, &[account.id]).await?.iter().map(GrantRow::held).collect();
    Ok(Some((session, account, roles)))
}

/// What an account may do; a disabled one nothing.
pub async fn roles_of(mut conn: &AsyncPgConnection, id: AccountId) -> QueryResult<Vec<HeldRole>> {
    let active = accounts::table.find(id).filter(accounts::status.eq(AccountStatus::Active)).select(accounts::id);
    let active: Option<AccountId> = active.first(&mut conn).await.optional()?;
    let grants = grants_of(conn, active.as_slice()).await?;
    Ok(grants.iter().map(GrantRow::held).collect())
}

/// All grants of some accounts.
pub async fn grants_of(mut conn: &AsyncPgConnection, accounts: &[AccountId]) -> QueryResult<Vec<GrantRow>> {
    grants::table
        .filter(grants::account_id.eq_any(accounts))
        .order(grants::id)
        .select(GrantRow::as_select())
        .load(&mut conn)
        .await
}

/// One page of the grants of an account.
pub async fn list_grants(conn: &AsyncPgConnection, account: AccountId, page: &PageRequest) -> QueryResult<Listed<GrantRow>> {
    let rows = || grants::table.filter(grants::account_id.eq(account));
    load_page!(conn, page, rows(), GrantRow::as_select(), by id > page.start().1, grants::id)
}

/// The account with a name.
pub async fn find_by_username(mut conn: &AsyncPgConnection, username: &str) -> QueryResult<Option<AccountRow>> {
    accounts::table.filter(accounts::username.eq(username)).select(AccountRow::as_select()).first(&mut conn).await.optional()
}

/// An account. For operations on oneself, which have no scope.
pub async fn find_own(mut conn: &AsyncPgConnection, id: AccountId) -> QueryResult<AccountRow> {
    accounts::table.find(id).select(AccountRow::as_select()).first(&mut conn).await
}

/// An account, locked until the transaction ends. For operations on oneself, which have no scope.
pub async fn lock_own(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<AccountRow> {
    accounts::table.find(id).select(AccountRow::as_select()).for_no_key_update().first(conn).await
}

/// An account inside a scope, locked until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: AccountId) -> QueryResult<AccountRow> {
    accounts::table
        .find(id)
        .filter(accounts::organization_id.eq_any(below(scope.places())))
        .select(AccountRow::as_select())
        .for_no_key_update()
        .first(conn)
        .await
}

/// An account inside a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: AccountId) -> QueryResult<AccountRow> {
    accounts::table
        .find(id)
        .filter(accounts::organization_id.eq_any(below(scope.places())))
        .select(AccountRow::as_select())
        .first(&mut conn)
        .await
}

fn matching<'a>(scope: &'a Scope, filter: &'a AccountFilter) -> Condition<'a, accounts::table> {
    let mut all: Vec<Condition<'a, accounts::table>> =
        vec![Box::new(accounts::organization_id.eq_any(below(scope.places())).nullable())];
    when!(all,
        filter.status, |statuses| accounts::status.eq_any(statuses);
        filter.organization_id, |id| accounts::organization_id.eq(id);
        filter.within, |top| accounts::organization_id.eq_any(below(&[*top]));
        filter.q, |q| accounts::username.like(contains(&q.to_lowercase())).or(accounts::display_name.like(contains(q)));
        filter.created_at_gte, |from| accounts::created_at.ge(from);
        filter.created_at_lt, |before| accounts::created_at.lt(before);
        filter.updated_at_gte, |from| accounts::updated_at.ge(from);
        filter.updated_at_lt, |before| accounts::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of accounts inside a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &AccountFilter,
    page: &PageRequest,
) -> QueryResult<Listed<AccountRow>> {
    let rows = || accounts::table.filter(matching(scope, filter));
    load_page!(conn, page, rows(), AccountRow::as_select(), by(accounts::id, accounts::updated_at))
}

/// How many accounts of each status or organization inside a scope.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &AccountFilter,
    by: AccountsBy,
) -> QueryResult<Vec<Counted>> {
    let rows = accounts::table.filter(matching(scope, filter));
    match by {
        AccountsBy::Status => count_by!(conn, rows, accounts::status),
        AccountsBy::OrganizationId => count_by!(conn, rows, accounts::organization_id, OrganizationId),
    }
}

/// What is remembered of attempts from one network.
pub async fn attempts(
    mut conn: &AsyncPgConnection,
    account: AccountId,
    network: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<Attempts> {
    use sign_in_attempts as t;
    let own = t::table.find((account, network)).select((t::failures, t::last_failure_at, t::last_success_at));
    let own = own.first(&mut conn).await.optional()?;
    let account_failures: Option<i64> = t::table
        .filter(t::account_id.eq(account))
        .filter(t::last_failure_at.gt(now - FAILURE_WINDOW))
        .select(diesel::dsl::sum(t::failures))
        .first(&mut conn)
        .await?;
    let (failures, last_failure_at, last_success_at) = own.unwrap_or_default();
    Ok(Attempts { failures, last_failure_at, last_success_at, account_failures: account_failures.unwrap_or(0) })
}

/// Remembers a wrong password.
pub async fn count_failure(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    network: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use sign_in_attempts as t;
    diesel::insert_into(t::table)
        .values((t::account_id.eq(account), t::address_hash.eq(network), t::failures.eq(1), t::last_failure_at.eq(now)))
        .on_conflict((t::account_id, t::address_hash))
        .do_update()
        .set((t::failures.eq(t::failures + 1), t::last_failure_at.eq(now)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Remembers a sign-in.
pub async fn count_success(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    network: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use sign_in_attempts as t;
    diesel::insert_into(t::table)
        .values((t::account_id.eq(account), t::address_hash.eq(network), t::last_success_at.eq(now)))
        .on_conflict((t::account_id, t::address_hash))
        .do_update()
        .set((t::failures.eq(0), t::last_success_at.eq(now)))
        .execute(conn)
        .await?;
    diesel::update(accounts::table.find(account)).set(accounts::last_login_at.eq(now)).execute(conn).await?;
    Ok(())
}

/// Forgets the failures of an account.
pub async fn forget_failures(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<()> {
    use sign_in_attempts as t;
    diesel::update(t::table.filter(t::account_id.eq(account))).set(t::failures.eq(0)).execute(conn).await?;
    Ok(())
}

/// Accepts a one-time code's step; false when that step, or a later one, was used already.
pub async fn use_totp_step(conn: &mut AsyncPgConnection, account: AccountId, step: i64) -> QueryResult<bool> {
    let unused = accounts::totp_last_step.is_null().or(accounts::totp_last_step.lt(step));
    let used =
        diesel::update(accounts::table.find(account).filter(unused)).set(accounts::totp_last_step.eq(step)).execute(conn).await?;
    Ok(used == 1)
}

/// Uses a recovery code; false when there is no such unused code.
pub async fn use_recovery_code(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    hash: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let used = diesel::update(recovery_codes::table.find((account, hash)).filter(recovery_codes::used_at.is_null()))
        .set(recovery_codes::used_at.eq(now))
        .execute(conn)
        .await?;
    Ok(used == 1)
}

/// Replaces the recovery codes of an account.
pub async fn put_recovery_codes(conn: &mut AsyncPgConnection, account: AccountId, hashes: &[Vec<u8>]) -> QueryResult<()> {
    diesel::delete(recovery_codes::table.filter(recovery_codes::account_id.eq(account))).execute(conn).await?;
    let rows: Vec<_> =
        hashes.iter().map(|hash| (recovery_codes::account_id.eq(account), recovery_codes::code_hash.eq(hash))).collect();
    diesel::insert_into(recovery_codes::table).values(rows).execute(conn).await?;
    Ok(())
}

/// Ends sessions of an account: all, one, or all but one.
pub async fn end_sessions(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    only: Option<SessionId>,
    except: Option<SessionId>,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let mut rows = diesel::update(sessions::table)
        .filter(sessions::account_id.eq(account))
        .filter(sessions::ended_at.is_null())
        .set((sessions::ended_at.eq(now), sessions::end_reason.eq(reason.to_owned())))
        .into_boxed();
    if let Some(only) = only {
        rows = rows.filter(sessions::id.eq(only));
    }
    if let Some(except) = except {
        rows = rows.filter(sessions::id.ne(except));
    }
    rows.execute(conn).await
}

/// One page of the open sessions of an account.
pub async fn open_sessions(
    conn: &AsyncPgConnection,
    account: AccountId,
    now: DateTime<Utc>,
    page: &PageRequest,
) -> QueryResult<Listed<SessionRow>> {
    let rows = || {
        let open = sessions::ended_at.is_null().and(sessions::expires_at.gt(now));
        sessions::table.filter(sessions::account_id.eq(account)).filter(open)
    };
    load_page!(conn, page, rows(), SessionRow::as_select(), by(sessions::id, sessions::last_used_at))
}

/// Writes a session.
pub async fn insert_session(conn: &mut AsyncPgConnection, session: &SessionRow) -> QueryResult<()> {
    diesel::insert_into(sessions::table).values(session).execute(conn).await?;
    Ok(())
}

/// The caller has shown again who she is.
pub async fn step_up(
    conn: &mut AsyncPgConnection,
    session: SessionId,
    strong: bool,
    now: DateTime<Utc>,
) -> QueryResult<SessionRow> {
    diesel::update(sessions::table.find(session))
        .set((sessions::authenticated_at.eq(now), sessions::strong.eq(strong)))
        .returning(SessionRow::as_returning())
        .get_result(conn)
        .await
}

/// Writes a refresh token.
pub async fn insert_refresh(
    conn: &mut AsyncPgConnection,
    hash: &[u8],
    session: SessionId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> QueryResult<()> {
    use refresh_tokens as t;
    diesel::insert_into(t::table)
        .values((t::hash.eq(hash), t::session_id.eq(session), t::created_at.eq(now), t::expires_at.eq(expires_at)))
        .execute(conn)
        .await?;
    Ok(())
}

/// A refresh token and its session, locked: two refreshes with one token take turns.
pub async fn lock_refresh(
    conn: &mut AsyncPgConnection,
    hash: &[u8],
) -> QueryResult<Option<(Option<DateTime<Utc>>, DateTime<Utc>, SessionRow)>> {
    use refresh_tokens as t;
    t::table
        .inner_join(sessions::table.on(sessions::id.eq(t::session_id)))
        .filter(t::hash.eq(hash))
        .select((t::used_at, t::expires_at, SessionRow::as_select()))
        .for_no_key_update()
        .first(conn)
        .await
        .optional()
}

/// Marks a refresh token used and its session alive.
pub async fn use_refresh(conn: &mut AsyncPgConnection, hash: &[u8], session: SessionId, now: DateTime<Utc>) -> QueryResult<()> {
    use refresh_tokens as t;
    diesel::update(t::table.find(hash)).set(t::used_at.eq(now)).execute(conn).await?;
    diesel::update(sessions::table.find(session)).set(sessions::last_used_at.eq(now)).execute(conn).await?;
    Ok(())
}

/// The accounts that an organization keeps, locked until the transaction ends.
pub async fn lock_kept(conn: &mut AsyncPgConnection, organization: OrganizationId) -> QueryResult<Vec<AccountRow>> {
    accounts::table
        .filter(accounts::organization_id.eq(organization))
        .order(accounts::id)
        .select(AccountRow::as_select())
        .for_no_key_update()
        .load(conn)
        .await
}

/// The accounts of a person, locked until the transaction ends.
pub async fn lock_linked(conn: &mut AsyncPgConnection, person: PersonId) -> QueryResult<Vec<AccountRow>> {
    accounts::table
        .filter(accounts::person_id.eq(person))
        .order(accounts::id)
        .select(AccountRow::as_select())
        .for_no_key_update()
        .load(conn)
        .await
}

/// The grants at an organization that hold on a day or will, locked until the transaction ends.
pub async fn lock_grants_at(
    conn: &mut AsyncPgConnection,
    organization: OrganizationId,
    today: NaiveDate,
) -> QueryResult<Vec<GrantRow>> {
    grants::table
        .filter(grants::organization_id.eq(organization))
        .filter(grants::to_on.is_null().or(grants::to_on.ge(today).assume_not_null()))
        .order(grants::id)
        .select(GrantRow::as_select())
        .for_no_key_update()
        .load(conn)
        .await
}

/// A grant holds at another organization from now on.
pub async fn move_grant(conn: &mut AsyncPgConnection, id: GrantId, to: OrganizationId) -> QueryResult<GrantRow> {
    diesel::update(grants::table.find(id))
        .set(grants::organization_id.eq(to))
        .returning(GrantRow::as_returning())
        .get_result(conn)
        .await
}

/// Writes an account.
pub async fn insert(conn: &mut AsyncPgConnection, account: &NewAccountRow<'_>) -> QueryResult<AccountRow> {
    diesel::insert_into(accounts::table).values(account).returning(AccountRow::as_returning()).get_result(conn).await
}

/// Fields of an account that a change sets.
#[derive(Default, AsChangeset)]
#[diesel(table_name = accounts)]
pub struct AccountChange<'a> {
    pub display_name: Option<&'a str>,
    pub organization_id: Option<OrganizationId>,
    pub person_id: Option<Option<PersonId>>,
    pub status: Option<AccountStatus>,
    pub password_hash: Option<&'a str>,
    pub password_is_initial: Option<bool>,
    pub password_changed_at: Option<DateTime<Utc>>,
    pub totp_secret: Option<Option<&'a [u8]>>,
    pub totp_confirmed: Option<bool>,
    pub totp_last_step: Option<Option<i64>>,
}

/// Changes an account and raises its version.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    change: &AccountChange<'_>,
    now: DateTime<Utc>,
) -> QueryResult<AccountRow> {
    diesel::update(accounts::table.find(id))
        .set((change, accounts::version.eq(accounts::version + 1), accounts::updated_at.eq(now)))
        .returning(AccountRow::as_returning())
        .get_result(conn)
        .await
}

/// Whether an organization exists inside a scope and is active.
pub async fn active_organization_in(mut conn: &AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<bool> {
    let inside = organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::status.eq("active"))
        .filter(organizations::id.eq_any(below(scope.places())));
    diesel::select(diesel::dsl::exists(inside)).get_result(&mut conn).await
}

/// Whether an organization is the top of the tree.
pub async fn is_top(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<bool> {
    let top = organizations::table.filter(organizations::id.eq(id)).filter(organizations::parent_id.is_null());
    diesel::select(diesel::dsl::exists(top)).get_result(&mut conn).await
}

/// Writes a grant.
pub async fn insert_grant(conn: &mut AsyncPgConnection, grant: &GrantRow) -> QueryResult<()> {
    diesel::insert_into(grants::table).values(grant).execute(conn).await?;
    Ok(())
}

/// Deletes a grant of an account; none: there is no such grant.
pub async fn delete_grant(conn: &mut AsyncPgConnection, account: AccountId, id: GrantId) -> QueryResult<Option<GrantRow>> {
    diesel::delete(grants::table.find(id).filter(grants::account_id.eq(account)))
        .returning(GrantRow::as_returning())
        .get_result(conn)
        .await
        .optional()
}
