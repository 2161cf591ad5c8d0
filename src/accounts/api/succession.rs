//! What becomes of accounts and grants when an organization merges or is dissolved: part of that command, with its own rights.

use super::admin::{check_below, write_view};
use super::authority::may_give;
use super::grants::{GrantView, changed};
use super::session::require_step_up;
use crate::access::Permission;
use crate::accounts::rules::AccountStatus;
use crate::accounts::store::{self, AccountChange};
use crate::db::scope::covers;
use crate::http::{ApiError, ApiResult, Code, Tx};
use crate::ids::{OrganizationId, PersonId};

/// Disables the active accounts that an organization keeps: none of them the caller's own, none that outranks her. Returns how
/// many.
pub async fn disable_kept(tx: &mut Tx, organization: OrganizationId) -> ApiResult<i64> {
    let mut disabled = 0;
    for account in store::lock_kept(tx.conn(), organization).await? {
        if account.status != AccountStatus::Active {
            continue;
        }
        administers(tx, organization).await?;
        check_below(tx, account.id).await?;
        if account.id == tx.caller()?.account_id {
            return Err(refused("不能停用自己的账号", "you cannot disable yourself"));
        }
        let now = tx.call.app.clock.wall();
        store::end_sessions(tx.conn(), account.id, None, None, "disabled", now).await?;
        let change = AccountChange { status: Some(AccountStatus::Disabled), ..AccountChange::default() };
        write_view(tx, account, "account.disabled", &change).await?;
        disabled += 1;
    }
    Ok(disabled)
}

/// Lets another organization keep the accounts of one, and lets the grants at it that have not ended hold at the other. Every
/// grant is one that the caller could give at both; that needs a step-up, as giving does. Returns how many of each.
pub async fn move_kept(tx: &mut Tx, from: OrganizationId, to: OrganizationId) -> ApiResult<(i64, i64)> {
    let (mut accounts, mut grants) = (0, 0);
    for account in store::lock_kept(tx.conn(), from).await? {
        administers(tx, from).await?;
        administers(tx, to).await?;
        let change = AccountChange { organization_id: Some(to), ..AccountChange::default() };
        write_view(tx, account, "account.moved", &change).await?;
        accounts += 1;
    }
    let (today, call) = (tx.today(), tx.call.clone());
    for grant in store::lock_grants_at(tx.conn(), from, today).await? {
        require_step_up(&tx.call)?;
        for place in [from, to] {
            if !may_give(&call, tx.conn(), grant.account_id, grant.role, place, &grant.modules()).await? {
                return Err(refused(
                    "其中有您无权授予的授权，请先由有权者处理",
                    "there is a grant among them that you could not give; somebody who can has to deal with it first",
                ));
            }
        }
        let after = store::move_grant(tx.conn(), grant.id, to).await?;
        changed(tx, "grant.revoked", &GrantView::of(&grant), false).await?;
        changed(tx, "grant.created", &GrantView::of(&after), true).await?;
        grants += 1;
    }
    Ok((accounts, grants))
}

/// Links the accounts of a person to another record of hers, as part of a merger of the records: who they belong to and what they
/// may do stays as it is. Returns how many.
pub async fn link_person(tx: &mut Tx, from: PersonId, to: PersonId) -> ApiResult<i64> {
    let mut linked = 0;
    for account in store::lock_linked(tx.conn(), from).await? {
        let change = AccountChange { person_id: Some(Some(to)), ..AccountChange::default() };
        write_view(tx, account, "account.changed", &change).await?;
        linked += 1;
    }
    Ok(linked)
}

/// Who ends an organization does not administer its accounts for that alone.
async fn administers(tx: &mut Tx, place: OrganizationId) -> ApiResult<()> {
    let scope = tx.call.scope_for(Permission::AccountWrite);
    if covers(tx.conn(), &scope, place).await? {
        return Ok(());
    }
    Err(refused("没有处理其账号的权限", "you may not administer its accounts"))
}

fn refused(zh: &'static str, en: &'static str) -> ApiError {
    ApiError::from(Code::PermissionDenied).because(zh, en)
}
