//! Who signs in and what she may do: accounts, passwords, second factors, sessions, tokens, grants. Other slices use
//! [`require_step_up`], when an organization ends [`disable_kept`] and [`move_kept`], when records of a person merge
//! [`link_person`]; jobs that work for somebody ask [`on_behalf_of`]; imports ask [`ACCOUNTS`]; the gate asks [`authenticate`]; `App` holds the caches.

mod api;
mod bulk;
mod on_behalf;
pub mod passwords;
pub mod revocation;
mod rules;
pub mod store;
mod token_cache;
mod tokens;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::db::text_enum::Dictionary;

pub use api::session::require_step_up;
pub use api::succession::{disable_kept, link_person, move_kept};
pub use bulk::ACCOUNTS;
pub use on_behalf::on_behalf_of;
pub use passwords::Passwords;
pub use rules::{AccountStatus, initial_password};
pub use token_cache::{TokenCache, authenticate};
pub use tokens::SigningKeys;

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] = &[("account_status", AccountStatus::LABELS)];

/// What an account may do, whether it is signed in or not: for work that it has asked for.
pub async fn roles_of(
    conn: &diesel_async::AsyncPgConnection,
    id: crate::ids::AccountId,
) -> diesel::QueryResult<Vec<crate::access::HeldRole>> {
    store::roles_of(conn, id).await
}

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::session::login)
        .service(api::session::refresh)
        .service(api::session::logout)
        .service(api::session::step_up)
        .service(api::session::list_sessions)
        .service(api::session::end_session)
        .service(api::session::get_jwks)
        .service(api::me::get_me)
        .service(api::me::update_me)
        .service(api::me::change_password)
        .service(api::me::start_totp)
        .service(api::me::confirm_totp)
        .service(api::me::remove_totp)
        .service(api::admin::list_accounts)
        .service(api::admin::count_accounts)
        .service(api::admin::create_account)
        .service(api::admin::get_account)
        .service(api::admin::update_account)
        .service(api::admin::disable_account)
        .service(api::admin::enable_account)
        .service(api::admin::unlock_account)
        .service(api::admin::reset_account_password)
        .service(api::grants::list_grants)
        .service(api::grants::create_grant)
        .service(api::grants::revoke_grant);
}
