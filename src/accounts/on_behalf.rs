//! Who an account is while nobody is there: for jobs that work on somebody's behalf, with what she may do at that moment.

use chrono::DateTime;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use super::rules::AccountStatus;
use super::store::{self, GrantRow};
use crate::http::Caller;
use crate::ids::{AccountId, SessionId};

/// The caller that an account would be now, and its name; none: it may do nothing, for it is disabled or gone. Nothing that needs
/// a step-up can be done this way.
pub async fn on_behalf_of(
    conn: &AsyncPgConnection,
    account: AccountId,
    session: SessionId,
) -> QueryResult<Option<(Caller, String)>> {
    let Some(found) = store::find_own(conn, account).await.optional()? else { return Ok(None) };
    if found.status != AccountStatus::Active {
        return Ok(None);
    }
    let roles = store::grants_of(conn, &[account]).await?.iter().map(GrantRow::held).collect();
    let caller = Caller {
        account_id: account,
        session_id: session,
        organization_id: found.organization_id,
        roles,
        authenticated_at: DateTime::UNIX_EPOCH,
        strong: false,
        must_change_password: found.password_is_initial,
        expires_at: DateTime::UNIX_EPOCH,
    };
    Ok(Some((caller, found.display_name)))
}
