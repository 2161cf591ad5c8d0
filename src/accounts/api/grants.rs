//! Giving and taking away roles (contract, section 2: delegated administration).

use actix_web::{delete, get, post};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::admin::AccountPath;
use super::authority::may_give;
use crate::access::{Module, Role};
use crate::accounts::store::{self, GrantRow};
use crate::accounts::{require_step_up, revocation};
use crate::audit::Change;
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, Code, Command, FieldError, KeyHeader, PageRequest, Path, Reply, Tx};
use crate::ids::{AccountId, GrantId, OrganizationId};
use crate::page_schema;

/// A grant: a role at a place for some modules.
#[derive(Serialize, ToSchema)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// To whom.
    pub account_id: AccountId,
    /// The role.
    pub role: Role,
    /// The place; the grant covers its subtree.
    pub organization_id: OrganizationId,
    /// For these modules.
    #[schema(max_items = 20)]
    pub modules: Vec<Module>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
    /// Who granted it; null: the command line.
    #[schema(required = true)]
    pub granted_by: Option<AccountId>,
    /// When it was granted.
    pub created_at: DateTime<Utc>,
}

impl GrantView {
    /// The view of a row.
    pub fn of(row: &GrantRow) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            role: row.role,
            organization_id: row.organization_id,
            modules: row.modules(),
            from_on: row.from_on,
            to_on: row.to_on,
            granted_by: row.granted_by,
            created_at: row.created_at,
        }
    }
}

page_schema!(GrantPage, GrantView);

/// 授权列表 · List grants
///
/// Everything an account may do and where, past and future grants included.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, Paging),
    responses((status = OK, body = GrantPage, description = "One page of grants, oldest first."))
)]
#[get("/api/v1/accounts/{id}/grants")]
pub async fn list_grants(call: Call, path: Path<AccountPath>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let account = store::find(&conn, &call.scope(), path.id).await?;
    let listed = store::list_grants(&conn, account.id, &page).await?;
    page.reply(listed, |row| Position::id(row.id), |row| GrantView::of(&row))
}

/// A new grant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "role": "officer",
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "modules": ["organizations", "plans"],
    "from_on": "2019-01-01",
    "to_on": null
})))]
pub struct NewGrant {
    /// The role.
    pub role: Role,
    /// The place; the grant covers its subtree.
    pub organization_id: OrganizationId,
    /// For these modules.
    #[schema(min_items = 1, max_items = 20)]
    pub modules: Vec<Module>,
    /// First day.
    #[schema(examples("2019-01-01"))]
    pub from_on: NaiveDate,
    /// Last day; null: open.
    pub to_on: Option<NaiveDate>,
}

/// 授权 · Grant a role
///
/// Gives an account a role at a place. Nobody grants to herself, nobody grants more than the contract lets her role grant. Needs a step-up.
#[utoipa::path(
    tag = "accounts",
    params(AccountPath, KeyHeader),
    request_body = NewGrant,
    responses((status = CREATED, body = GrantView, description = "The grant."))
)]
#[post("/api/v1/accounts/{id}/grants")]
pub async fn create_grant(command: Command, path: Path<AccountPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let account = store::lock(tx.conn(), &scope, id).await?;
            tx.require(account.organization_id).await?;
            require_step_up(&tx.call)?;
            let body: NewGrant = tx.body()?;
            if !store::active_organization_in(tx.conn(), &scope, body.organization_id).await? {
                return Err(ApiError::invalid(vec![FieldError::unknown_reference("/organization_id")]));
            }
            let call = tx.call.clone();
            if !may_give(&call, tx.conn(), id, body.role, body.organization_id, &body.modules).await? {
                return Err(Code::PermissionDenied.into());
            }
            check_body(tx, &body).await?;
            let row = GrantRow {
                id: GrantId::generate(),
                account_id: id,
                role: body.role,
                organization_id: body.organization_id,
                modules: body.modules.iter().map(ToString::to_string).collect(),
                from_on: body.from_on,
                to_on: body.to_on,
                granted_by: Some(tx.caller()?.account_id),
                created_at: tx.call.app.clock.wall(),
            };
            store::insert_grant(tx.conn(), &row).await?;
            let view = GrantView::of(&row);
            changed(tx, "grant.created", &view, true).await?;
            Reply::created(format!("/api/v1/accounts/{id}/grants/{}", view.id), &view, 1)
        })
        .await
}

async fn check_body(tx: &mut Tx, body: &NewGrant) -> ApiResult<()> {
    let is_top = body.role == Role::PlatformAdmin && store::is_top(tx.conn(), body.organization_id).await?;
    let faults = grant_faults(body.role, is_top, body.from_on, body.to_on);
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

/// What is wrong with a grant, wherever it comes from; `is_top`: its place is the top of the tree.
pub fn grant_faults(role: Role, is_top: bool, from_on: NaiveDate, to_on: Option<NaiveDate>) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if role == Role::PlatformAdmin && !is_top {
        let top = FieldError::at(
            "/organization_id",
            "not_the_top",
            "平台管理员只能授予最上级组织",
            "a platform administrator has the whole tree: only its top",
        );
        faults.push(top);
    }
    if to_on.is_some_and(|last| last < from_on) {
        faults.push(FieldError::at("/to_on", "before_start", "不能早于开始日期", "must not be before from_on"));
    }
    faults
}

/// Tells every node and the audit trail of a grant that was given or taken.
pub async fn changed(tx: &mut Tx, action: &'static str, view: &GrantView, given: bool) -> ApiResult<()> {
    let account = view.account_id.0;
    revocation::announce(tx.conn(), account).await?;
    tx.after_commit(move |app| app.tokens.forget_account(account));
    let change = Change::of(action, "grant", view.id, view.organization_id);
    tx.record(if given { change.after(view) } else { change.before(view) }).await
}

/// Path of a grant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct GrantPath {
    /// The account.
    #[param(example = "0168028c-2f00-7000-8004-000000000009")]
    pub id: AccountId,
    /// The grant.
    #[param(example = "0168028c-2f00-7000-8005-000000000009")]
    pub grant_id: GrantId,
}

/// 撤销授权 · Revoke a grant
///
/// Takes a role away; it takes effect at once on every node.
#[utoipa::path(
    tag = "accounts",
    params(GrantPath),
    responses((status = NO_CONTENT, description = "Revoked."))
)]
#[delete("/api/v1/accounts/{id}/grants/{grant_id}")]
pub async fn revoke_grant(command: Command, path: Path<GrantPath>) -> ApiResult<Reply> {
    let (id, grant_id) = (path.id, path.grant_id);
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let account = store::lock(tx.conn(), &scope, id).await?;
            let grant = store::delete_grant(tx.conn(), id, grant_id).await?.ok_or(Code::NotFound)?;
            tx.require(account.organization_id).await?;
            let call = tx.call.clone();
            if !may_give(&call, tx.conn(), id, grant.role, grant.organization_id, &grant.modules()).await? {
                return Err(Code::PermissionDenied.into());
            }
            changed(tx, "grant.revoked", &GrantView::of(&grant), false).await?;
            Ok(Reply::nothing())
        })
        .await
}
