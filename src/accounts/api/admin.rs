//! Administering accounts inside one's subtree.

use std::collections::HashSet;

use actix_web::{get, post, put};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::authority::below_caller;
use crate::access::Scope;
use crate::accounts::rules::{AccountStatus, initial_password};
use crate::accounts::store::{self, AccountChange, AccountRow, NewAccountRow};
use crate::accounts::{require_step_up, revocation};
use crate::audit::Change;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{
    ApiError, ApiResult, Call, Code, Command, CommandHeaders, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx,
    VersionHeader,
};
use crate::ids::{AccountId, OrganizationId, PersonId};
use crate::{filters, page_schema, text_enum};

filters! {
    /// Filters of accounts.
    AccountFilter {
        /// Part of the user name or display name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "officer")]
        q: String,
        /// Only these states.
        status: Vec<AccountStatus>,
        /// Only accounts that this organization keeps.
        organization_id: OrganizationId,
        /// Only accounts kept in the subtree of this organization.
        within: OrganizationId,
        /// Made at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Made before this instant.
        created_at_lt: DateTime<Utc>,
        /// Changed at or after this instant.
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        updated_at_lt: DateTime<Utc>,
    }
}

/// An account as its administrators see it.
#[derive(Serialize, ToSchema)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// Sign-in name.
    #[schema(examples("county-officer"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub username: String,
    /// Name shown to colleagues.
    #[schema(examples("岳阳楼区妇联经办人"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
    /// Organization that keeps it.
    pub organization_id: OrganizationId,
    /// Her record in the address book.
    #[schema(required = true)]
    pub person_id: Option<PersonId>,
    /// Whether it may sign in.
    pub status: AccountStatus,
    /// The second factor is on.
    pub totp_enabled: bool,
    /// It has not changed its initial password yet.
    pub password_change_required: bool,
    /// Last sign-in.
    #[schema(required = true)]
    pub last_login_at: Option<DateTime<Utc>>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(AccountPage, AccountView);

impl AccountView {
    async fn load(call: &Call, conn: &AsyncPgConnection, row: AccountRow) -> ApiResult<Self> {
        let below = below_caller(call, conn, &[row.id]).await?;
        Ok(Self::of(call, row, &below))
    }

    /// `below`: whom the caller may administer. Nobody disables herself.
    fn of(call: &Call, row: AccountRow, below: &HashSet<AccountId>) -> Self {
        let herself = call.caller.as_ref().is_some_and(|caller| caller.account_id == row.id);
        let mut allowed_actions: Vec<_> = row.status.actions().iter().map(|action| (*action).to_owned()).collect();
        allowed_actions.retain(|action| below.contains(&row.id) && !(herself && action == "disable"));
        Self { allowed_actions, ..Self::bare(row) }
    }

    /// A row, without what anybody may do with it.
    pub fn bare(row: AccountRow) -> Self {
        Self {
            allowed_actions: vec![],
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            organization_id: row.organization_id,
            person_id: row.person_id,
            status: row.status,
            totp_enabled: row.totp_confirmed,
            password_change_required: row.password_is_initial,
            last_login_at: row.last_login_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Path of an account.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AccountPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8004-000000000009")]
    pub id: AccountId,
}

/// 账号列表 · List accounts
///
/// Accounts that organizations of the caller's subtree keep.
#[utoipa::path(
    tag = "accounts",
    params(AccountFilter, Sorting, Paging),
    responses((status = OK, body = AccountPage, description = "One page of accounts."))
)]
#[get("/api/v1/accounts")]
pub async fn list_accounts(call: Call, filter: Query<AccountFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, &page).await?;
    let below = below_caller(&call, &conn, &listed.rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| AccountView::of(&call, row, &below))
}

text_enum! {
    /// By what accounts are counted.
    AccountsBy {
        /// By status.
        Status = "status", "状态", "Status";
        /// By the organization that keeps them.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count accounts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountCounts {
    /// By what.
    #[param(inline)]
    by: AccountsBy,
}

/// 账号计数 · Count accounts
///
/// How many accounts there are of each status or organization.
#[utoipa::path(
    tag = "accounts",
    params(AccountCounts, AccountFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/accounts/counts")]
pub async fn count_accounts(call: Call, counts: Query<AccountCounts>, filter: Query<AccountFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, counts.by).await?)
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "username": "li.mei",
    "display_name": "李梅",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "person_id": null
})))]
pub struct NewAccount {
    /// Sign-in name: small letters, digits, dots, dashes, underscores.
    #[schema(examples("li.mei"), min_length = 3, max_length = 64, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    pub username: String,
    /// Name shown to colleagues.
    #[schema(examples("李梅"), min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
    /// Organization that keeps the account.
    pub organization_id: OrganizationId,
    /// Her record in the address book.
    pub person_id: Option<PersonId>,
}

/// An account with the password to hand over.
#[derive(Serialize, ToSchema)]
pub struct InitialPasswordView {
    /// The account.
    pub account: AccountView,
    /// Shown only now; must be changed at the first sign-in.
    #[schema(max_length = 64, pattern = "^[a-z0-9]+$", format = "password")]
    pub initial_password: String,
}

/// 新建账号 · Create an account
///
/// Makes an account with an initial password, which is shown only now and must be changed at the first sign-in. Access comes with its grants.
#[utoipa::path(
    tag = "accounts",
    params(KeyHeader),
    request_body = NewAccount,
    responses((status = CREATED, body = InitialPasswordView, description = "The account."))
)]
#[post("/api/v1/accounts")]
pub async fn create_account(command: Command) -> ApiResult<Reply> {
    let password = initial_password();
    let hash = hash_for(&command.call, &password).await?;
    command
        .run(async move |tx| {
            tx.require_at("organization_id").await?;
            let body: NewAccount = tx.body()?;
            let scope = tx.scope();
            check_references(tx, &scope, body.organization_id, body.person_id).await?;
            let now = tx.call.app.clock.wall();
            let row = NewAccountRow {
                id: AccountId::generate(),
                username: &body.username,
                display_name: &body.display_name,
                organization_id: body.organization_id,
                person_id: body.person_id,
                status: AccountStatus::Active,
                password_hash: &hash,
                password_is_initial: true,
                password_changed_at: now,
                created_at: now,
                updated_at: now,
            };
            let account = store::insert(tx.conn(), &row).await.map_err(taken)?;
            let call = tx.call.clone();
            let view = AccountView::load(&call, tx.conn(), account).await?;
            tx.record(Change::of("account.created", "account", view.id, view.organization_id).after(&view)).await?;
            let (path, version) = (format!("/api/v1/accounts/{}", view.id), view.version);
            Ok(Reply::created(path, &InitialPasswordView { account: view, initial_password: password }, version)?.secret())
        })
        .await
}

/// Hashes a password for a caller who may set one somewhere; for anybody else argon2 does not work, and the command refuses.
async fn hash_for(call: &Call, password: &str) -> ApiResult<String> {
    if call.scope().is_empty() { Ok(String::new()) } else { call.app.passwords.hash(password).await }
}

fn taken(error: diesel::result::Error) -> ApiError {
    let error = ApiError::from(error);
    if error.code() == Code::Duplicate {
        return error.at(FieldError::at("/username", "taken", "用户名已被使用", "is taken"));
    }
    error
}

async fn check_references(tx: &mut Tx, scope: &Scope, organization: OrganizationId, person: Option<PersonId>) -> ApiResult<()> {
    let (mut faults, today) = (Vec::new(), tx.today());
    if !store::active_organization_in(tx.conn(), scope, organization).await? {
        faults.push(FieldError::unknown_reference("/organization_id"));
    }
    if let Some(person) = person
        && !crate::organizations::hold_person(tx.conn(), scope, person, today).await?
    {
        faults.push(FieldError::unknown_reference("/person_id"));
    }
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

/// 账号详情 · Get an account
///
/// One account of the caller's subtree.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath),
    responses((status = OK, body = AccountView, description = "The account."))
)]
#[get("/api/v1/accounts/{id}")]
pub async fn get_account(call: Call, path: Path<AccountPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let view = AccountView::load(&call, &conn, row).await?;
    Reply::item(&view, view.version)
}

/// The editable fields of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "display_name": "岳阳楼区妇联经办人",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "person_id": null
})))]
pub struct EditAccount {
    /// Name shown to colleagues.
    #[schema(examples("李梅"), min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
    /// Organization that keeps the account.
    pub organization_id: OrganizationId,
    /// Her record in the address book; null clears it.
    #[schema(required = true)]
    pub person_id: Option<PersonId>,
}

/// 修改账号 · Change an account
///
/// Changes who the account belongs to. What it may do is in its grants.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, VersionHeader),
    request_body = EditAccount,
    responses((status = OK, body = AccountView, description = "The account."))
)]
#[put("/api/v1/accounts/{id}")]
pub async fn update_account(command: Command, path: Path<AccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = administered(tx, id).await?;
            let body: EditAccount = tx.body()?;
            let scope = tx.scope();
            // What was read can be sent back, though she may have left the caller's subtree since.
            let another = body.person_id.filter(|_| body.person_id != before.person_id);
            check_references(tx, &scope, body.organization_id, another).await?;
            let change = AccountChange {
                display_name: Some(&body.display_name),
                organization_id: Some(body.organization_id),
                person_id: Some(body.person_id),
                ..AccountChange::default()
            };
            write(tx, before, "account.changed", &change).await
        })
        .await
}

/// Loads an account for administration: in scope, permitted, of the version read, and holding nothing that the caller could not
/// have granted — who resets a password takes over what the account may do.
async fn administered(tx: &mut Tx, id: AccountId) -> ApiResult<AccountRow> {
    let scope = tx.scope();
    let account = store::lock(tx.conn(), &scope, id).await?;
    tx.require(account.organization_id).await?;
    check_below(tx, id).await?;
    tx.check_version(account.version)?;
    Ok(account)
}

/// The account holds nothing that the caller could not have granted.
pub async fn check_below(tx: &mut Tx, id: AccountId) -> ApiResult<()> {
    let call = tx.call.clone();
    if below_caller(&call, tx.conn(), &[id]).await?.is_empty() {
        return Err(ApiError::from(Code::PermissionDenied)
            .because("该账号拥有您无权授予的角色", "the account holds a role that you could not grant"));
    }
    Ok(())
}

async fn write(tx: &mut Tx, before: AccountRow, action: &'static str, change: &AccountChange<'_>) -> ApiResult<Reply> {
    let view = write_view(tx, before, action, change).await?;
    Reply::item(&view, view.version)
}

pub async fn write_view(
    tx: &mut Tx,
    before: AccountRow,
    action: &'static str,
    change: &AccountChange<'_>,
) -> ApiResult<AccountView> {
    let (id, now) = (before.id, tx.call.app.clock.wall());
    let account = store::update(tx.conn(), id, change, now).await?;
    revocation::announce(tx.conn(), id.0).await?;
    tx.after_commit(move |app| app.tokens.forget_account(id.0));
    let (call, below) = (tx.call.clone(), HashSet::from([id]));
    let view = AccountView::of(&call, account, &below);
    let change = Change::of(action, "account", id, view.organization_id);
    let change = change.before(&AccountView::of(&call, before, &below)).after(&view);
    tx.record(change).await?;
    Ok(view)
}

/// 停用账号 · Disable an account
///
/// The account can no longer sign in and its sessions end at once.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, CommandHeaders),
    responses((status = OK, body = AccountView, description = "The account."))
)]
#[post("/api/v1/accounts/{id}/disable")]
pub async fn disable_account(command: Command, path: Path<AccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = administered(tx, id).await?;
            if before.id == tx.caller()?.account_id {
                return Err(ApiError::from(Code::PermissionDenied).because("不能停用自己的账号", "you cannot disable yourself"));
            }
            in_status(&before, AccountStatus::Active)?;
            let now = tx.call.app.clock.wall();
            store::end_sessions(tx.conn(), id, None, None, "disabled", now).await?;
            let change = AccountChange { status: Some(AccountStatus::Disabled), ..AccountChange::default() };
            write(tx, before, "account.disabled", &change).await
        })
        .await
}

fn in_status(account: &AccountRow, status: AccountStatus) -> ApiResult<()> {
    if account.status == status { Ok(()) } else { Err(ApiError::not_now(account.status.as_str(), account.status.actions())) }
}

/// Path of an account that is disabled.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DisabledAccountPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8004-000000000013")]
    pub id: AccountId,
}

/// 启用账号 · Enable an account
///
/// The account may sign in again.
#[utoipa::path(
    tag = "accounts",
    params(DisabledAccountPath, CommandHeaders),
    responses((status = OK, body = AccountView, description = "The account."))
)]
#[post("/api/v1/accounts/{id}/enable")]
pub async fn enable_account(command: Command, path: Path<DisabledAccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = administered(tx, id).await?;
            in_status(&before, AccountStatus::Disabled)?;
            let change = AccountChange { status: Some(AccountStatus::Active), ..AccountChange::default() };
            write(tx, before, "account.enabled", &change).await
        })
        .await
}

/// 解除登录限制 · Unlock an account
///
/// Forgets wrong passwords, so that sign-ins are looked at again at once.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, CommandHeaders),
    responses((status = OK, body = AccountView, description = "The account."))
)]
#[post("/api/v1/accounts/{id}/unlock")]
pub async fn unlock_account(command: Command, path: Path<AccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = administered(tx, id).await?;
            in_status(&before, AccountStatus::Active)?;
            store::forget_failures(tx.conn(), id).await?;
            write(tx, before, "account.unlocked", &AccountChange::default()).await
        })
        .await
}

/// 重置密码 · Reset a password
///
/// Sets an initial password, ends every session and leaves the second factor as it is. Needs a step-up.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, CommandHeaders),
    responses((status = OK, body = InitialPasswordView, description = "The account and its initial password."))
)]
#[post("/api/v1/accounts/{id}/reset-password")]
pub async fn reset_account_password(command: Command, path: Path<AccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    let password = initial_password();
    let hash = hash_for(&command.call, &password).await?;
    command
        .run(async move |tx| {
            let before = administered(tx, id).await?;
            require_step_up(&tx.call)?;
            in_status(&before, AccountStatus::Active)?;
            let now = tx.call.app.clock.wall();
            store::end_sessions(tx.conn(), id, None, None, "password", now).await?;
            let change = AccountChange {
                password_hash: Some(&hash),
                password_is_initial: Some(true),
                password_changed_at: Some(now),
                ..AccountChange::default()
            };
            let view = write_view(tx, before, "account.password_reset", &change).await?;
            let version = view.version;
            Ok(Reply::item(&InitialPasswordView { account: view, initial_password: password }, version)?.secret())
        })
        .await
}
