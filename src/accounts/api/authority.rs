//! Whom and which grants a caller has authority over (contract, section 2: delegated administration).

use std::collections::HashSet;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use crate::access::{self, HeldRole, Module, Permission, Role, Scope};
use crate::accounts::store::{self, GrantRow};
use crate::db::scope::covered;
use crate::http::{ApiResult, Call};
use crate::ids::{AccountId, OrganizationId};

/// Where each of somebody's roles that may grant at all may do so.
pub struct Granters(Vec<(HeldRole, Vec<OrganizationId>)>);

impl Granters {
    /// Of these roles; looks at these places only.
    pub async fn at(
        conn: &AsyncPgConnection,
        roles: &[HeldRole],
        today: NaiveDate,
        places: &[OrganizationId],
    ) -> QueryResult<Self> {
        let mut granters = Vec::new();
        for role in roles.iter().filter(|role| role.gives(Permission::GrantWrite, today)) {
            let scope = Scope::of(std::slice::from_ref(role), Permission::GrantWrite, today);
            granters.push((role.clone(), covered(conn, &scope, places).await?));
        }
        Ok(Self(granters))
    }

    /// Whether one of them may give, or take, this: a role that hers may grant, inside her subtree, for modules that she has.
    pub fn may_give(&self, role: Role, place: OrganizationId, modules: &[Module]) -> bool {
        self.givers(role, place).any(|granter| modules.iter().all(|module| granter.modules.contains(module)))
    }

    /// The modules that a role is for unless somebody says so: those in which it may do anything, as far as they can be given.
    pub fn usual(&self, role: Role, place: OrganizationId) -> Vec<Module> {
        let all = |granter: &HeldRole| -> Vec<Module> {
            role.modules().into_iter().filter(|module| granter.modules.contains(module)).collect()
        };
        self.givers(role, place).map(all).max_by_key(Vec::len).unwrap_or_default()
    }

    fn givers(&self, role: Role, place: OrganizationId) -> impl Iterator<Item = &HeldRole> {
        let fitting =
            self.0.iter().filter(move |(granter, places)| access::may_grant(granter.role, role) && places.contains(&place));
        fitting.map(|(granter, _)| granter)
    }

    /// Those accounts to which one of these grants gives something, now or later, that could not be given here.
    pub fn above(&self, grants: &[GrantRow], today: NaiveDate) -> HashSet<AccountId> {
        let lasting = grants.iter().filter(|grant| grant.to_on.is_none_or(|last| last >= today));
        let above = lasting.filter(|grant| !self.may_give(grant.role, grant.organization_id, &grant.modules()));
        above.map(|grant| grant.account_id).collect()
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
    let caller = call.signed_in()?;
    let granters = Granters::at(conn, &caller.roles, call.today(), &[place]).await?;
    Ok(caller.account_id != to && granters.may_give(role, place, modules))
}

/// Those of the accounts that hold nothing, now or later, which the caller could not have granted: whoever resets a password
/// takes over all that the account may do.
pub async fn below_caller(call: &Call, conn: &AsyncPgConnection, accounts: &[AccountId]) -> ApiResult<HashSet<AccountId>> {
    let grants = store::grants_of(conn, accounts).await?;
    let places: Vec<_> = grants.iter().map(|grant| grant.organization_id).collect();
    let granters = Granters::at(conn, &call.signed_in()?.roles, call.today(), &places).await?;
    let above = granters.above(&grants, call.today());
    Ok(accounts.iter().copied().filter(|account| !above.contains(account)).collect())
}
