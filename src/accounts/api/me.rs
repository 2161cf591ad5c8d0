//! The caller herself: who she is, her password, her second factor.

use actix_web::{delete, get, post, put};
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp};
use utoipa::ToSchema;

use super::session::{TOTP_PLACE, check_code, count_failure, may_try, refuse_proof, require_step_up};
use crate::access::{Module, Role};
use crate::accounts::revocation;
use crate::accounts::rules::{PasswordFault, SHORTEST, check_password};
use crate::accounts::store::{self, AccountChange, AccountRow};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Call, Code, Command, FieldError, Reply, Tx};
use crate::ids::{AccountId, GrantId, OrganizationId};
use crate::vault::{Purpose, random, sha256};

/// Steps of 30 seconds (RFC 6238).
const STEP: i64 = 30;

/// The caller.
#[derive(Serialize, ToSchema)]
pub struct MeView {
    /// Her account.
    pub id: AccountId,
    /// What kind of caller she is.
    #[schema(examples("staff"), max_length = 20, pattern = "^[a-z_]+$")]
    pub kind: String,
    /// Sign-in name.
    #[schema(examples("city-admin"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub username: String,
    /// Name shown to colleagues.
    #[schema(examples("市妇联管理员"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
    /// Organization that keeps the account.
    pub organization_id: OrganizationId,
    /// What she may do where.
    #[schema(max_items = 1000)]
    pub grants: Vec<MyGrantView>,
    /// The second factor is on.
    pub totp_enabled: bool,
    /// The initial password must be changed before anything else.
    pub password_change_required: bool,
    /// Raised by every change of the account.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// One of the caller's grants.
#[derive(Serialize, ToSchema)]
pub struct MyGrantView {
    /// Its id.
    pub id: GrantId,
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
}

impl MeView {
    /// Reads what belongs to an account.
    pub async fn load(conn: &AsyncPgConnection, account: &AccountRow) -> ApiResult<Self> {
        let grants = store::grants_of(conn, &[account.id]).await?;
        let grant = |grant: store::GrantRow| MyGrantView {
            modules: grant.modules(),
            id: grant.id,
            role: grant.role,
            organization_id: grant.organization_id,
            from_on: grant.from_on,
            to_on: grant.to_on,
        };
        Ok(Self {
            id: account.id,
            kind: "staff".to_owned(),
            username: account.username.clone(),
            display_name: account.display_name.clone(),
            organization_id: account.organization_id,
            grants: grants.into_iter().map(grant).collect(),
            totp_enabled: account.totp_confirmed,
            password_change_required: account.password_is_initial,
            version: account.version,
            created_at: account.created_at,
        })
    }
}

/// 我 · Who am I
///
/// The caller with her grants: what a client needs to know what to offer.
#[utoipa::path(tag = "me", responses((status = OK, body = MeView, description = "The caller.")))]
#[get("/api/v1/me")]
pub async fn get_me(call: Call) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let account = store::find_own(&conn, call.signed_in()?.account_id).await?;
    let view = MeView::load(&conn, &account).await?;
    Reply::item(&view, view.version)
}

/// What the caller may change of herself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMe {
    /// Name shown to colleagues.
    #[schema(examples("李梅"), min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
}

/// 修改本人资料 · Change my profile
///
/// Changes what colleagues see of the caller.
#[utoipa::path(tag = "me", request_body = EditMe, responses((status = OK, body = MeView, description = "The caller.")))]
#[put("/api/v1/me")]
pub async fn update_me(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            let account = own_account(tx).await?;
            let body: EditMe = tx.body()?;
            let change = AccountChange { display_name: Some(&body.display_name), ..AccountChange::default() };
            let account = change_own(tx, &account, "account.renamed", &change).await?;
            let view = MeView::load(tx.conn(), &account).await?;
            Reply::item(&view, view.version)
        })
        .await
}

async fn own_account(tx: &mut Tx) -> ApiResult<AccountRow> {
    tx.concerns_caller();
    let id = tx.caller()?.account_id;
    Ok(store::lock_own(tx.conn(), id).await?)
}

/// Writes a change of the caller's own account, records it and drops what is cached of her.
async fn change_own(
    tx: &mut Tx,
    account: &AccountRow,
    action: &'static str,
    change: &AccountChange<'_>,
) -> ApiResult<AccountRow> {
    let (id, now) = (account.id, tx.call.app.clock.wall());
    let account = store::update(tx.conn(), id, change, now).await?;
    revocation::announce(tx.conn(), id.0).await?;
    tx.after_commit(move |app| app.tokens.forget_account(id.0));
    tx.record(Change::of(action, "account", id, account.organization_id)).await?;
    Ok(account)
}

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The password until now.
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\x00]+$", format = "password")]
    pub old_password: String,
    /// The new one: at least 12 characters, not a common one, kept exactly as typed.
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\x00]+$", format = "password")]
    pub new_password: String,
}

/// 修改密码 · Change my password
///
/// Changes the password and ends the caller's other sessions. The only thing that an account with an initial password may do.
#[utoipa::path(
    tag = "me",
    request_body = PasswordBody,
    responses(
        (status = NO_CONTENT, description = "Changed."),
        (status = CONFLICT, description = "It was changed in the same moment from elsewhere.")
    )
)]
#[put("/api/v1/me/password")]
pub async fn change_password(command: Command) -> ApiResult<Reply> {
    let call = command.call.clone();
    let body: PasswordBody = call.body()?;
    let caller = call.signed_in()?.clone();
    let mut conn = call.app.db.transaction_connection().await?;
    let account = store::find_own(&conn, caller.account_id).await?;
    let admitted = may_try(&call, &conn, account.id).await?;
    // No connection is held while argon2 works.
    drop(conn);
    let right = call.app.passwords.verify(&body.old_password, Some(&account.password_hash)).await?;
    if !admitted || !right {
        conn = call.app.db.transaction_connection().await?;
        if admitted {
            count_failure(&call, &mut conn, account.id).await?;
        }
        refuse_proof(&call, &mut conn, &account, "account.password_refused").await;
        drop(conn);
        let wrong = FieldError::at("/old_password", "wrong_password", "原密码不正确", "is not the password until now");
        return Err(ApiError::invalid(vec![wrong]));
    }
    let checked = if body.old_password == body.new_password {
        Err(PasswordFault::Unchanged)
    } else {
        check_password(&body.new_password, &[&account.username, &account.display_name])
    };
    checked.map_err(|fault| ApiError::invalid(vec![password_error("/new_password", fault)]))?;
    let hash = call.app.passwords.hash(&body.new_password).await?;
    command
        .run(async move |tx| {
            let fresh = own_account(tx).await?;
            if fresh.password_hash != account.password_hash {
                return Err(Code::Conflict.into());
            }
            let now = tx.call.app.clock.wall();
            let change = AccountChange {
                password_hash: Some(&hash),
                password_is_initial: Some(false),
                password_changed_at: Some(now),
                ..AccountChange::default()
            };
            change_own(tx, &fresh, "account.password_changed", &change).await?;
            store::end_sessions(tx.conn(), fresh.id, None, Some(caller.session_id), "password", now).await?;
            Ok(Reply::nothing())
        })
        .await
}

/// A fault of a password for the client.
pub fn password_error(pointer: &str, fault: PasswordFault) -> FieldError {
    match fault {
        PasswordFault::TooShort => FieldError::at(
            pointer,
            "password_too_short",
            format!("密码至少 {SHORTEST} 个字符"),
            format!("must have at least {SHORTEST} characters"),
        ),
        PasswordFault::TooCommon => {
            FieldError::at(pointer, "password_too_common", "密码太常见或太容易猜到", "is too common or too easily guessed")
        }
        PasswordFault::Unchanged => {
            FieldError::at(pointer, "password_unchanged", "新密码不能与原密码相同", "must differ from the one until now")
        }
    }
}

/// A new second factor, to be confirmed.
#[derive(Serialize, ToSchema)]
pub struct TotpView {
    /// Secret, base32, to type into an authenticator app.
    #[schema(max_length = 64, pattern = "^[A-Z2-7]+$")]
    pub secret: String,
    /// The same as an address that the app reads from a QR code.
    #[schema(max_length = 500, format = "uri")]
    pub otpauth_url: String,
}

/// 启用动态验证码 · Start a second factor
///
/// Makes a secret for an authenticator app; it counts once `/me/totp/confirm` was sent a code of it.
#[utoipa::path(
    tag = "me",
    responses(
        (status = OK, body = TotpView, description = "The secret, shown once."),
        (status = CONFLICT, description = "The second factor is on already.")
    )
)]
#[post("/api/v1/me/totp")]
pub async fn start_totp(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            let account = own_account(tx).await?;
            require_step_up(&tx.call)?;
            if account.totp_confirmed {
                return Err(ApiError::not_now("enabled", &["remove"]));
            }
            let secret = random::<20>();
            let totp = totp(&account.username, secret.to_vec())?;
            let sealed = tx.call.app.vault.seal(Purpose::Secrets, TOTP_PLACE, &secret);
            let change =
                AccountChange { totp_secret: Some(Some(&sealed)), totp_last_step: Some(None), ..AccountChange::default() };
            change_own(tx, &account, "account.totp_started", &change).await?;
            let url = totp.to_url().map_err(|fault| ApiError::internal(format!("{fault:?}")))?;
            let text = url.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default().to_owned();
            Ok(Reply::plain(&TotpView { secret: text, otpauth_url: url })?.secret())
        })
        .await
}

/// A code of the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// Six digits.
    #[schema(examples("123456"), min_length = 6, max_length = 6, pattern = "^[0-9]+$")]
    pub code: String,
}

/// Codes for a lost telephone.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodesView {
    /// Each works once instead of a code of the app; shown only now.
    #[schema(max_items = 10)]
    pub recovery_codes: Vec<String>,
}

/// 确认动态验证码 · Confirm the second factor
///
/// Turns the second factor on and answers ten recovery codes, which are shown only this once.
#[utoipa::path(
    tag = "me",
    request_body = TotpCode,
    responses(
        (status = OK, body = RecoveryCodesView, description = "The second factor is on."),
        (status = CONFLICT, description = "There is nothing to confirm.")
    )
)]
#[post("/api/v1/me/totp/confirm")]
pub async fn confirm_totp(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            let account = own_account(tx).await?;
            if account.totp_confirmed {
                return Err(ApiError::not_now("enabled", &["remove"]));
            }
            if account.totp_secret.is_none() {
                return Err(ApiError::not_now("off", &["start"]));
            }
            let body: TotpCode = tx.body()?;
            let app = tx.call.app.clone();
            if !check_code(&app, tx.conn(), &account, &body.code, false).await? {
                let wrong = FieldError::at("/code", "wrong_code", "验证码不正确", "is not a code of this moment");
                return Err(ApiError::invalid(vec![wrong]));
            }
            // 80 random bits each (ASVS 5.0 6.5.4), in four groups of four.
            let codes: Vec<String> = (0..10).map(|_| recovery_code()).collect();
            let hashes: Vec<Vec<u8>> = codes.iter().map(|code| sha256(code.replace('-', "").as_bytes())).collect();
            store::put_recovery_codes(tx.conn(), account.id, &hashes).await?;
            let change = AccountChange { totp_confirmed: Some(true), ..AccountChange::default() };
            change_own(tx, &account, "account.totp_confirmed", &change).await?;
            Ok(Reply::plain(&RecoveryCodesView { recovery_codes: codes })?.secret())
        })
        .await
}

fn recovery_code() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters: Vec<char> = random::<16>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-")
}

/// 停用动态验证码 · Remove the second factor
///
/// Turns the second factor off, after stepping up.
#[utoipa::path(
    tag = "me",
    responses(
        (status = NO_CONTENT, description = "The second factor is off."),
        (status = CONFLICT, description = "It is off already.")
    )
)]
#[delete("/api/v1/me/totp")]
pub async fn remove_totp(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            let account = own_account(tx).await?;
            require_step_up(&tx.call)?;
            if account.totp_secret.is_none() {
                return Err(ApiError::not_now("off", &["start"]));
            }
            let change = AccountChange { totp_secret: Some(None), totp_confirmed: Some(false), ..AccountChange::default() };
            change_own(tx, &account, "account.totp_removed", &change).await?;
            Ok(Reply::nothing())
        })
        .await
}

/// The generator of an account's codes.
pub fn totp(username: &str, secret: Vec<u8>) -> ApiResult<Totp> {
    Builder::new()
        .with_secret(secret)
        .with_account_name(username)
        .with_issuer(Some("Half the Sky"))
        .build()
        .map_err(|fault| ApiError::internal(format!("{fault:?}")))
}

/// The 30-second step whose code this is: this one, the one before or the one after.
pub fn matching_step(totp: &Totp, code: &str, now: DateTime<Utc>) -> Option<i64> {
    let step = now.timestamp() / STEP;
    (step - 1..=step + 1).find(|step| {
        let expected = totp.generate((step * STEP) as u64).to_string();
        subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), code.as_bytes()).into()
    })
}
