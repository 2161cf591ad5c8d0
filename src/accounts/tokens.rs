//! Access tokens: EdDSA-signed JWTs in the profile of RFC 9068, and the keys that sign them.

use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::store;
use crate::app::App;
use crate::clock::Clock;
use crate::db::schema::signing_keys;
use crate::http::{ApiError, ApiResult, Code};
use crate::vault::{Purpose, Vault, VaultError, random, sha256};

/// `typ` of an access token (RFC 9068).
const TOKEN_TYPE: &str = "at+jwt";
/// Clocks of nodes may differ by this.
pub const LEEWAY: i64 = 30;
/// Where private keys are sealed.
const KEY_PLACE: &str = "signing_keys.private_key";

/// What an access token says. No names, no phones.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: Uuid,
    pub sid: Uuid,
    pub jti: Uuid,
    pub iat: i64,
    pub exp: i64,
    pub auth_time: i64,
    pub acr: String,
}

/// The keys that sign and verify access tokens.
#[derive(Clone)]
pub struct SigningKeys(Arc<RwLock<Arc<KeySet>>>);

#[derive(Default)]
struct KeySet {
    signing: Option<(String, EncodingKey)>,
    verifying: Vec<(String, DecodingKey)>,
    published: Vec<Value>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys)]
struct KeyRow {
    kid: String,
    algorithm: String,
    public_key: Vec<u8>,
    private_key: Vec<u8>,
    state: String,
    state_changed_at: DateTime<Utc>,
}

impl SigningKeys {
    /// Loads the keys, making the first ones.
    pub async fn load(conn: &mut AsyncPgConnection, vault: &Vault, clock: &Clock) -> Result<Self, VaultError> {
        for state in ["active", "next"] {
            // Nodes that start together both insert; the unique index keeps one.
            let key = new_key(vault, state, clock.wall());
            let present = signing_keys::table.filter(signing_keys::state.eq(state)).count().get_result::<i64>(conn).await?;
            if present == 0 {
                diesel::insert_into(signing_keys::table).values(key).on_conflict_do_nothing().execute(conn).await?;
            }
        }
        let keys = Self(Arc::default());
        keys.reload(conn, vault).await?;
        Ok(keys)
    }

    /// Reads the keys again, after a rotation.
    pub async fn reload(&self, conn: &mut AsyncPgConnection, vault: &Vault) -> Result<(), VaultError> {
        let rows: Vec<KeyRow> =
            signing_keys::table.filter(signing_keys::state.ne("revoked")).select(KeyRow::as_select()).load(conn).await?;
        let mut set = KeySet::default();
        for row in rows {
            let x = BASE64_URL_SAFE_NO_PAD.encode(&row.public_key);
            set.published.push(json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": row.kid, "use": "sig", "alg": "EdDSA" }));
            set.verifying.push((row.kid.clone(), DecodingKey::from_ed_components(&x).map_err(|_| VaultError::Broken)?));
            if row.state == "active" {
                let seed: [u8; 32] = vault.open(KEY_PLACE, &row.private_key)?.try_into().map_err(|_| VaultError::Broken)?;
                let der = SigningKey::from_bytes(&seed).to_pkcs8_der().map_err(|_| VaultError::Broken)?;
                set.signing = Some((row.kid, EncodingKey::from_ed_der(der.as_bytes())));
            }
        }
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(set);
        Ok(())
    }

    /// The next key signs from now on, the active one only verifies, and a new one is published. Keys that have been retiring
    /// for longer than any token lives are revoked.
    pub async fn rotate(&self, conn: &mut AsyncPgConnection, vault: &Vault, now: DateTime<Utc>) -> Result<(), VaultError> {
        let turn = |from: &'static str, to: &'static str| {
            diesel::update(signing_keys::table.filter(signing_keys::state.eq(from)))
                .set((signing_keys::state.eq(to), signing_keys::state_changed_at.eq(now)))
        };
        let outlived = signing_keys::state.eq("retiring").and(signing_keys::state_changed_at.lt(now - TimeDelta::hours(3)));
        diesel::update(signing_keys::table.filter(outlived))
            .set((signing_keys::state.eq("revoked"), signing_keys::state_changed_at.eq(now)))
            .execute(conn)
            .await?;
        turn("active", "retiring").execute(conn).await?;
        turn("next", "active").execute(conn).await?;
        diesel::insert_into(signing_keys::table).values(new_key(vault, "next", now)).execute(conn).await?;
        self.reload(conn, vault).await
    }

    /// Kills a key at once: every token it signed is worthless. The active key is replaced first.
    pub async fn revoke(
        &self,
        conn: &mut AsyncPgConnection,
        vault: &Vault,
        kid: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, VaultError> {
        let state: Option<String> = signing_keys::table.find(kid).select(signing_keys::state).first(conn).await.optional()?;
        let Some(state) = state else { return Ok(false) };
        if state == "active" {
            self.rotate(conn, vault, now).await?;
        }
        diesel::update(signing_keys::table.find(kid))
            .set((signing_keys::state.eq("revoked"), signing_keys::state_changed_at.eq(now)))
            .execute(conn)
            .await?;
        if state == "next" {
            diesel::insert_into(signing_keys::table).values(new_key(vault, "next", now)).execute(conn).await?;
        }
        self.reload(conn, vault).await?;
        Ok(true)
    }

    /// The public keys (RFC 7517).
    pub fn published(&self) -> Vec<Value> {
        self.set().published.clone()
    }

    fn set(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

fn new_key(vault: &Vault, state: &str, now: DateTime<Utc>) -> KeyRow {
    let seed: [u8; 32] = random();
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes().to_vec();
    let x = BASE64_URL_SAFE_NO_PAD.encode(&public);
    // RFC 7638 with the members of RFC 8037, in lexical order.
    let thumbprint = sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
    KeyRow {
        kid: BASE64_URL_SAFE_NO_PAD.encode(thumbprint),
        algorithm: "EdDSA".to_owned(),
        public_key: public,
        private_key: vault.seal(Purpose::Secrets, KEY_PLACE, &seed),
        state: state.to_owned(),
        state_changed_at: now,
    }
}

/// Signs an access token for a session.
pub fn sign(app: &App, session: &store::SessionRow) -> ApiResult<String> {
    let now = app.clock.wall();
    let claims = Claims {
        iss: app.config.public_url.clone(),
        aud: app.config.public_url.clone(),
        sub: session.account_id.0,
        sid: session.id.0,
        jti: Uuid::now_v7(),
        iat: now.timestamp(),
        exp: now.timestamp() + app.config.access_token_life.as_secs() as i64,
        auth_time: session.authenticated_at.timestamp(),
        acr: if session.strong { "mfa" } else { "pwd" }.to_owned(),
    };
    let set = app.signing_keys.set();
    let (kid, key) = set.signing.as_ref().ok_or_else(|| ApiError::internal("no active signing key"))?;
    let header = Header { typ: Some(TOKEN_TYPE.to_owned()), kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &claims, key).map_err(ApiError::internal)
}

/// Checks a token's signature and claims (RFC 8725): one algorithm, a key of ours chosen by `kid`, explicit type.
pub fn verify(app: &App, token: &str) -> ApiResult<Claims> {
    let invalid = || refused(Code::TokenInvalid);
    let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
    if header.typ.as_deref() != Some(TOKEN_TYPE) || header.alg != Algorithm::EdDSA || header.crit.is_some() {
        return Err(invalid());
    }
    let set = app.signing_keys.set();
    let key = set.verifying.iter().find(|(kid, _)| Some(kid) == header.kid.as_ref()).map(|(_, key)| key).ok_or_else(invalid)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[&app.config.public_url]);
    validation.set_issuer(&[&app.config.public_url]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Times are compared below, with the clock of clock.rs.
    validation.validate_exp = false;
    let claims: Claims = jsonwebtoken::decode(token, key, &validation).map_err(|_| invalid())?.claims;
    let now = app.clock.wall().timestamp();
    if claims.exp + LEEWAY <= now {
        return Err(refused(Code::TokenExpired));
    }
    if claims.iat > now + LEEWAY || claims.exp - claims.iat > 3 * 3600 {
        return Err(invalid());
    }
    Ok(claims)
}

pub fn refused(code: Code) -> ApiError {
    ApiError::from(code).with_header(actix_web::http::header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
}
