//! Signing in, staying signed in, showing again who one is, signing out.

use actix_web::{delete, get, post};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::me::MeView;
use crate::accounts::rules::AccountStatus;
use crate::accounts::store::{self, AccountRow, SessionRow};
use crate::accounts::{revocation, tokens};
use crate::app::App;
use crate::audit::refusals::{Principal, refuse};
use crate::audit::{self, Actor, Change};
use crate::http::page::{Paging, Position};
use crate::http::{ApiError, ApiResult, Call, Code, Command, PageRequest, Path, Reply};
use crate::ids::{AccountId, SessionId};
use crate::page_schema;
use crate::vault::{hex, random, sha256};

/// How long a sign-in or step-up counts as fresh (ASVS 5.0 7.5).
const FRESH: TimeDelta = TimeDelta::minutes(5);
/// Where TOTP secrets are sealed.
pub const TOTP_PLACE: &str = "accounts.totp_secret";

/// What a person signs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "username": "city-admin", "password": "the one that was printed at the start" })))]
pub struct LoginBody {
    /// Sign-in name; letters in any case.
    #[schema(examples("city-admin"), min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub username: String,
    /// Password, exactly as it was set.
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\x00]+$", format = "password")]
    pub password: String,
    /// Code of the authenticator app, or a recovery code, where the second factor is on.
    #[serde(default)]
    #[schema(examples("123456"), min_length = 6, max_length = 20, pattern = "^[0-9a-zA-Z-]+$")]
    pub totp_code: Option<String>,
}

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
pub struct TokensView {
    /// Send it as `Authorization: Bearer …`.
    #[schema(max_length = 4096, pattern = "^[A-Za-z0-9._-]+$")]
    pub access_token: String,
    /// Always Bearer.
    #[schema(examples("Bearer"), max_length = 10, pattern = "^Bearer$")]
    pub token_type: String,
    /// Seconds until the access token ends.
    #[schema(minimum = 1, maximum = 7200)]
    pub expires_in: i64,
    /// Exchange it once at `/auth/refresh`; null in a step-up, where the one you hold stays good.
    #[schema(required = true, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub refresh_token: Option<String>,
    /// Who signed in.
    pub account: MeView,
}

/// 登录 · Sign in
///
/// Signs in with user name and password, and a one-time code where the second factor is on. Unknown, wrong, held back and
/// disabled all look the same; a right password without a required code answers `mfa_required`.
#[utoipa::path(
    tag = "auth",
    request_body = LoginBody,
    responses((status = OK, body = TokensView, description = "Signed in."))
)]
#[post("/api/v1/auth/login")]
pub async fn login(call: Call) -> ApiResult<Reply> {
    let body: LoginBody = call.body()?;
    let app = &call.app;
    let now = app.clock.wall();
    let conn = app.db.transaction_connection().await?;
    let account = store::find_by_username(&conn, &body.username.to_lowercase()).await?;
    let admitted = match &account {
        Some(account) => may_try(&call, &conn, account.id).await?,
        None => true,
    };
    // No connection is held while argon2 works.
    drop(conn);
    let right = app.passwords.verify(&body.password, account.as_ref().map(|account| account.password_hash.as_str())).await?;
    let mut conn = app.db.transaction_connection().await?;
    let refusal = match &account {
        None => Some(Refusal::UnknownName),
        Some(account) if account.status != AccountStatus::Active => Some(Refusal::Disabled),
        Some(_) if !admitted => Some(Refusal::HeldBack),
        Some(account) if !right => {
            count_failure(&call, &mut conn, account.id).await?;
            Some(Refusal::WrongPassword)
        }
        Some(account) if account.totp_confirmed => match &body.totp_code {
            None => Some(Refusal::CodeMissing),
            Some(code) if check_code(app, &mut conn, account, code, true).await? => None,
            Some(_) => {
                count_failure(&call, &mut conn, account.id).await?;
                Some(Refusal::WrongCode)
            }
        },
        Some(_) => None,
    };
    if let Some(refusal) = refusal {
        return Err(refuse_sign_in(&call, &mut conn, &body.username, account.as_ref(), refusal).await);
    }
    let account = account.ok_or(Code::InvalidCredentials)?;
    let strong = account.totp_confirmed;
    AnsiTransactionManager::begin_transaction(&mut *conn).await?;
    // Whoever reset the password or disabled the account while argon2 worked has ended all sessions: none may come after.
    let fresh = store::lock_own(&mut conn, account.id).await?;
    if (&fresh.password_hash, fresh.status, fresh.totp_confirmed) != (&account.password_hash, account.status, strong) {
        AnsiTransactionManager::rollback_transaction(&mut *conn).await?;
        return Err(refuse_sign_in(&call, &mut conn, &body.username, Some(&account), Refusal::ChangedMeanwhile).await);
    }
    store::count_success(&mut conn, account.id, &network_hash(&call), now).await?;
    let (session, refresh_token) = open_session(&call, &mut conn, account.id, strong).await?;
    let actor = Actor {
        account_id: Some(account.id.0),
        session_id: Some(session.id.0),
        request_id: Some(call.request_id.clone()),
        ..Actor::default()
    };
    let change = Change::of("session.opened", "session", session.id, account.organization_id);
    audit::record(&mut conn, now, &actor, change).await?;
    let reply = tokens_reply(app, &mut conn, &session, Some(refresh_token), &account).await?;
    AnsiTransactionManager::commit_transaction(&mut *conn).await?;
    Ok(reply)
}

/// Why a sign-in is refused. The audit trail says which; the answer is the same for all but [`Refusal::CodeMissing`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    UnknownName,
    Disabled,
    HeldBack,
    WrongPassword,
    CodeMissing,
    WrongCode,
    ChangedMeanwhile,
}

/// Records a refused sign-in. Names that belong to nobody are kept as a keyed hash only: people type passwords there. All kinds
/// are counted by the network they come from, so that none can be told from another by the time they take.
async fn refuse_sign_in(
    call: &Call,
    conn: &mut AsyncPgConnection,
    username: &str,
    account: Option<&AccountRow>,
    refusal: Refusal,
) -> ApiError {
    let network = network_hash(call);
    let name = match account {
        Some(_) => None,
        None => Some(hex(&call.app.vault.hash("audit_entries.username", &username.to_lowercase()))),
    };
    let what = serde_json::json!({ "reason": refusal, "network": hex(&network), "username_hash": name });
    let place = account.map(|account| account.organization_id);
    let change = Change::refused("session.refused", "account", account.map(|account| account.id.0), place).after(&what);
    // A token that is still attached says nothing about who tries.
    let nobody = Actor { request_id: Some(call.request_id.clone()), ..Actor::default() };
    refuse(&call.app, conn, &Principal::Network(network), None, &nobody, change).await;
    let code = if refusal == Refusal::CodeMissing { Code::MfaRequired } else { Code::InvalidCredentials };
    code.into()
}

/// Records that a signed-in account did not show again who it is.
pub async fn refuse_proof(call: &Call, conn: &mut AsyncPgConnection, account: &AccountRow, action: &'static str) {
    let change = Change::refused(action, "account", Some(account.id.0), Some(account.organization_id));
    let who = Principal::Account(account.id.0);
    refuse(&call.app, conn, &who, Some(account.organization_id), &call.actor(), change).await;
}

/// The network an attempt comes from: /24 of IPv4, /48 of IPv6.
fn network_of(call: &Call) -> String {
    match call.address {
        Some(std::net::IpAddr::V4(ip)) => ip.octets()[..3].iter().map(|part| format!("{part}.")).collect(),
        Some(std::net::IpAddr::V6(ip)) => ip.segments()[..3].iter().map(|part| format!("{part:x}:")).collect(),
        None => String::new(),
    }
}

fn network_hash(call: &Call) -> Vec<u8> {
    call.app.vault.hash("sign_in_attempts.address", &network_of(call))
}

/// Whether a password or code for this account is looked at, from where the call comes.
pub async fn may_try(call: &Call, conn: &AsyncPgConnection, account: AccountId) -> ApiResult<bool> {
    let now = call.app.clock.wall();
    Ok(store::attempts(conn, account, &network_hash(call), now).await?.admits(now))
}

/// Remembers a wrong password or code.
pub async fn count_failure(call: &Call, conn: &mut AsyncPgConnection, account: AccountId) -> ApiResult<()> {
    Ok(store::count_failure(conn, account, &network_hash(call), call.app.clock.wall()).await?)
}

/// Whether a one-time code, or where allowed a recovery code, is right and unused.
pub async fn check_code(
    app: &App,
    conn: &mut AsyncPgConnection,
    account: &AccountRow,
    code: &str,
    recovery: bool,
) -> ApiResult<bool> {
    let now = app.clock.wall();
    let Some(sealed) = &account.totp_secret else { return Ok(false) };
    let totp = super::me::totp(&account.username, app.vault.open(TOTP_PLACE, sealed)?)?;
    if let Some(step) = super::me::matching_step(&totp, code, now) {
        return Ok(store::use_totp_step(conn, account.id, step).await?);
    }
    let hash = sha256(code.replace('-', "").to_lowercase().as_bytes());
    Ok(recovery && store::use_recovery_code(conn, account.id, &hash, now).await?)
}

async fn open_session(
    call: &Call,
    conn: &mut AsyncPgConnection,
    account: AccountId,
    strong: bool,
) -> ApiResult<(SessionRow, String)> {
    let now = call.app.clock.wall();
    let life = TimeDelta::from_std(call.app.config.session_life).map_err(ApiError::internal)?;
    let session = SessionRow {
        id: SessionId::generate(),
        account_id: account,
        authenticated_at: now,
        strong,
        user_agent: call.user_agent.clone(),
        created_at: now,
        last_used_at: now,
        expires_at: now + life,
        ended_at: None,
    };
    store::insert_session(conn, &session).await?;
    let token = new_refresh(&call.app, conn, &session).await?;
    Ok((session, token))
}

async fn new_refresh(app: &App, conn: &mut AsyncPgConnection, session: &SessionRow) -> ApiResult<String> {
    let now = app.clock.wall();
    let idle = TimeDelta::from_std(app.config.session_idle).map_err(ApiError::internal)?;
    let token = BASE64_URL_SAFE_NO_PAD.encode(random::<32>());
    store::insert_refresh(conn, &sha256(token.as_bytes()), session.id, now, (now + idle).min(session.expires_at)).await?;
    Ok(token)
}

async fn tokens_reply(
    app: &App,
    conn: &mut AsyncPgConnection,
    session: &SessionRow,
    refresh_token: Option<String>,
    account: &AccountRow,
) -> ApiResult<Reply> {
    let view = TokensView {
        access_token: tokens::sign(app, session)?,
        token_type: "Bearer".to_owned(),
        expires_in: app.config.access_token_life.as_secs() as i64,
        refresh_token,
        account: MeView::load(conn, account).await?,
    };
    Ok(Reply::plain(&view)?.secret())
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// The token of the last login or refresh.
    #[schema(
        examples("q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0x1c"),
        min_length = 20,
        max_length = 64,
        pattern = "^[A-Za-z0-9_-]+$"
    )]
    pub refresh_token: String,
}

/// 刷新登录 · Refresh
///
/// Exchanges a refresh token for new tokens. Each works once: a second use ends the session, because one of the two users is a thief.
#[utoipa::path(
    tag = "auth",
    request_body = RefreshBody,
    responses((status = OK, body = TokensView, description = "New tokens."))
)]
#[post("/api/v1/auth/refresh")]
pub async fn refresh(call: Call) -> ApiResult<Reply> {
    let body: RefreshBody = call.body()?;
    let (app, now) = (&call.app, call.app.clock.wall());
    let hash = sha256(body.refresh_token.as_bytes());
    let mut conn = app.db.transaction_connection().await?;
    AnsiTransactionManager::begin_transaction(&mut *conn).await?;
    let answer = exchange(app, &mut conn, &hash, now).await;
    match &answer {
        // The end of a session after reuse must stand although the answer is an error.
        Ok(_) => AnsiTransactionManager::commit_transaction(&mut *conn).await?,
        Err(error) if error.code() == Code::TokenRevoked => AnsiTransactionManager::commit_transaction(&mut *conn).await?,
        Err(_) => AnsiTransactionManager::rollback_transaction(&mut *conn).await?,
    }
    answer
}

async fn exchange(app: &App, conn: &mut AsyncPgConnection, hash: &[u8], now: DateTime<Utc>) -> ApiResult<Reply> {
    let Some((used_at, expires_at, session)) = store::lock_refresh(conn, hash).await? else {
        return Err(Code::TokenInvalid.into());
    };
    if used_at.is_some() && session.ended_at.is_none() {
        log::warn!(session = session.id.to_string().as_str(); "a refresh token was used twice");
        store::end_sessions(conn, session.account_id, Some(session.id), None, "reuse", now).await?;
        revocation::announce(conn, session.account_id.0).await?;
        let change = Change::of("session.ended_after_reuse", "session", session.id, None);
        audit::record(conn, now, &Actor { account_id: Some(session.account_id.0), ..Actor::default() }, change).await?;
        app.tokens.forget_account(session.account_id.0);
    }
    if used_at.is_some() || session.ended_at.is_some() {
        return Err(Code::TokenRevoked.into());
    }
    if expires_at <= now || session.expires_at <= now {
        return Err(Code::TokenExpired.into());
    }
    let account = store::lock_own(conn, session.account_id).await?;
    if account.status != AccountStatus::Active {
        return Err(Code::TokenRevoked.into());
    }
    store::use_refresh(conn, hash, session.id, now).await?;
    let token = new_refresh(app, conn, &session).await?;
    tokens_reply(app, conn, &session, Some(token), &account).await
}

/// 退出登录 · Sign out
///
/// Ends this session at once on every node; its access token is worthless from now on.
#[utoipa::path(tag = "auth", responses((status = NO_CONTENT, description = "Signed out.")))]
#[post("/api/v1/auth/logout")]
pub async fn logout(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            let session = tx.caller()?.session_id;
            end_own_session(tx, session, "logout").await
        })
        .await
}

async fn end_own_session(tx: &mut crate::http::Tx, session: SessionId, reason: &'static str) -> ApiResult<Reply> {
    tx.concerns_caller();
    let (account, organization) = (tx.caller()?.account_id, tx.caller()?.organization_id);
    let now = tx.call.app.clock.wall();
    if store::end_sessions(tx.conn(), account, Some(session), None, reason, now).await? == 0 {
        return Err(Code::NotFound.into());
    }
    revocation::announce(tx.conn(), account.0).await?;
    tx.after_commit(move |app| app.tokens.forget_account(account.0));
    tx.record(Change::of("session.ended", "session", session, organization)).await?;
    Ok(Reply::nothing())
}

/// What shows again who the caller is: a password, or a code where the second factor is on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpBody {
    /// Password.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\x00]+$", format = "password")]
    pub password: Option<String>,
    /// Code of the authenticator app; needed where the second factor is on.
    #[serde(default)]
    #[schema(examples("123456"), min_length = 6, max_length = 6, pattern = "^[0-9]+$")]
    pub totp_code: Option<String>,
}

/// 再次验证身份 · Step up
///
/// Shows again who the caller is, before personal data is revealed or access is granted. Answers a fresh access token that is good for such things during five minutes.
#[utoipa::path(
    tag = "auth",
    request_body = StepUpBody,
    responses((status = OK, body = TokensView, description = "A fresh access token."))
)]
#[post("/api/v1/auth/step-up")]
pub async fn step_up(call: Call) -> ApiResult<Reply> {
    let body: StepUpBody = call.body()?;
    let (app, now, caller) = (&call.app, call.app.clock.wall(), call.signed_in()?.clone());
    let mut conn = app.db.transaction_connection().await?;
    let account = store::find_own(&conn, caller.account_id).await?;
    let admitted = may_try(&call, &conn, account.id).await?;
    let right = match (account.totp_confirmed, &body.totp_code, &body.password) {
        (true, Some(code), _) => admitted && check_code(app, &mut conn, &account, code, false).await?,
        (true, None, _) => return Err(Code::MfaRequired.into()),
        (false, _, Some(password)) => {
            // No connection is held while argon2 works.
            drop(conn);
            let right = app.passwords.verify(password, Some(&account.password_hash)).await?;
            conn = app.db.transaction_connection().await?;
            right
        }
        (false, _, None) => false,
    };
    if admitted && !right {
        count_failure(&call, &mut conn, account.id).await?;
    }
    if !admitted || !right {
        refuse_proof(&call, &mut conn, &account, "session.step_up_refused").await;
        return Err(Code::InvalidCredentials.into());
    }
    AnsiTransactionManager::begin_transaction(&mut *conn).await?;
    store::count_success(&mut conn, account.id, &network_hash(&call), now).await?;
    let session = store::step_up(&mut conn, caller.session_id, account.totp_confirmed, now).await?;
    revocation::announce(&mut conn, account.id.0).await?;
    let actor = Actor {
        account_id: Some(account.id.0),
        session_id: Some(session.id.0),
        request_id: Some(call.request_id.clone()),
        ..Actor::default()
    };
    let change = Change::of("session.stepped_up", "session", session.id, account.organization_id);
    audit::record(&mut conn, now, &actor, change).await?;
    let reply = tokens_reply(app, &mut conn, &session, None, &account).await?;
    AnsiTransactionManager::commit_transaction(&mut *conn).await?;
    app.tokens.forget_account(account.id.0);
    Ok(reply)
}

/// The caller has shown who she is within the last five minutes, or 401 `step_up_required` (RFC 9470).
pub fn require_step_up(call: &Call) -> ApiResult<()> {
    if call.app.clock.wall() - call.signed_in()?.authenticated_at <= FRESH {
        return Ok(());
    }
    let challenge = format!("Bearer error=\"insufficient_user_authentication\", max_age={}", FRESH.num_seconds());
    Err(ApiError::from(Code::StepUpRequired)
        .because("请先调用 POST /api/v1/auth/step-up", "call POST /api/v1/auth/step-up first")
        .with_header(actix_web::http::header::WWW_AUTHENTICATE, &challenge))
}

/// A signed-in device.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// This is the session that asks.
    pub current: bool,
    /// What the device calls itself.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]*$")]
    pub user_agent: Option<String>,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it last refreshed its token.
    pub last_used_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
}

page_schema!(SessionPage, SessionView);

/// 我的会话 · List my sessions
///
/// The devices on which the caller is signed in, the newest first.
#[utoipa::path(tag = "auth", params(Paging), responses((status = OK, body = SessionPage, description = "The open sessions.")))]
#[get("/api/v1/auth/sessions")]
pub async fn list_sessions(call: Call, page: PageRequest) -> ApiResult<Reply> {
    let (page, caller) = (page.newest_first(), call.signed_in()?);
    let conn = call.connection().await?;
    let listed = store::open_sessions(&conn, caller.account_id, call.app.clock.wall(), &page).await?;
    let view = |row: SessionRow| SessionView {
        current: row.id == caller.session_id,
        id: row.id,
        user_agent: row.user_agent,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    };
    page.reply(listed, |row| Position::id(row.id), view)
}

/// Path of a session.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SessionPath {
    /// Its id, from the list of sessions.
    #[param(example = "0168028c-2f00-7000-8022-000000000001")]
    pub id: SessionId,
}

/// 终止会话 · End a session
///
/// Ends one of the caller's sessions, such as that of a lost telephone.
#[utoipa::path(tag = "auth", params(SessionPath), responses((status = NO_CONTENT, description = "Ended.")))]
#[delete("/api/v1/auth/sessions/{id}")]
pub async fn end_session(command: Command, path: Path<SessionPath>) -> ApiResult<Reply> {
    let id = path.id;
    command.run(async move |tx| end_own_session(tx, id, "ended").await).await
}

/// Public keys (RFC 7517).
#[derive(Serialize, ToSchema)]
pub struct JwksView {
    /// The keys.
    #[schema(max_items = 100)]
    pub keys: Vec<JwkView>,
}

/// A public key.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct JwkView {
    /// Key type.
    #[schema(examples("OKP"), max_length = 10, pattern = "^[A-Za-z]+$")]
    pub kty: String,
    /// Curve.
    #[schema(examples("Ed25519"), max_length = 20, pattern = "^[A-Za-z0-9-]+$")]
    pub crv: String,
    /// Public key, base64url.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub x: String,
    /// RFC 7638 thumbprint.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub kid: String,
    /// Always sig.
    #[serde(rename = "use")]
    #[schema(examples("sig"), max_length = 10, pattern = "^[a-z]+$")]
    pub usage: String,
    /// Always EdDSA.
    #[schema(examples("EdDSA"), max_length = 10, pattern = "^[A-Za-z0-9]+$")]
    pub alg: String,
}

/// 公钥 · Public keys
///
/// Keys that verify access tokens: the active one, the next one, and those that are retiring.
#[utoipa::path(tag = "auth", responses((status = OK, body = JwksView, description = "The key set.")))]
#[get("/.well-known/jwks.json")]
pub async fn get_jwks(call: Call) -> ApiResult<Reply> {
    let keys = call.app.signing_keys.published().into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
    Reply::plain(&JwksView { keys: keys.map_err(ApiError::internal)? })
}
