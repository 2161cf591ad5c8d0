//! Whom and which grants a caller has authority over (contract, section 2: delegated administration).

use std::collections::HashSet;

use diesel_async::AsyncPgConnection;

use crate::access::{self, HeldRole, Module, Permission, Role, Scope};
use crate::accounts::store;
use crate::db::scope::covered;
use crate::http::{ApiResult, Call};
use crate::ids::{AccountId, OrganizationId};

/// Where each of the caller's roles that may grant at all may do so.
struct Granters(Vec<(HeldRole, Vec<OrganizationId>)>);

impl Granters {
    /// Looks at these places only.
    async fn at(call: &Call, conn: &AsyncPgConnection, places: &[OrganizationId]) -> ApiResult<Self> {
        let today = call.today();
        let mut granters = Vec::new();
        for role in call.signed_in()?.roles.iter().filter(|role| role.gives(Permission::GrantWrite, today)) {
            let scope = Scope::of(std::slice::from_ref(role), Permission::GrantWrite, today);
            granters.push((role.clone(), covered(conn, &scope, places).await?));
        }
        Ok(Self(granters))
    }

    /// Whether one of them may give, or take, this: a role that hers may grant, inside her subtree, for modules that she has.
    fn may_give(&self, role: Role, place: OrganizationId, modules: &[Module]) -> bool {
        self.0.iter().any(|(granter, places)| {
            access::may_grant(granter.role, role)
                && places.contains(&place)
                && modules.iter().all(|module| granter.modules.contains(module))
        })
    }
}

/// Whether the caller may give a role to an account, or take it away: never to herself.
pub async fn may_give(
    call: &Call,
    conn: &AsyncPgConnection,
    to: AccountId,
    role: Role,
    place: OrganizationId,
    modules: &[Module],
) -> ApiResult<bool> {
    Ok(call.signed_in()?.account_id != to && Granters::at(call, conn, &[place]).await?.may_give(role, place, modules))
}

/// Those of the accounts that hold nothing, now or later, which the caller could not have granted: whoever resets a password
/// takes over all that the account may do.
pub async fn below_caller(call: &Call, conn: &AsyncPgConnection, accounts: &[AccountId]) -> ApiResult<HashSet<AccountId>> {
    let today = call.today();
    let mut grants = store::grants_of(conn, accounts).await?;
    grants.retain(|grant| grant.to_on.is_none_or(|last| last >= today));
    let places: Vec<_> = grants.iter().map(|grant| grant.organization_id).collect();
    let granters = Granters::at(call, conn, &places).await?;
    let above: HashSet<AccountId> = grants
        .iter()
        .filter(|grant| !granters.may_give(grant.role, grant.organization_id, &grant.modules()))
        .map(|grant| grant.account_id)
        .collect();
    Ok(accounts.iter().copied().filter(|account| !above.contains(account)).collect())
}
