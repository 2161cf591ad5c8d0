//! `half-sky keys …`: rotation of data keys and signing keys, made with the owner's address of the database. Running nodes hear
//! of it and read the keys again.

use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};

use super::{owner, runtime};
use crate::accounts::{SigningKeys, revocation};
use crate::audit::checkpoints::AuditKey;
use crate::audit::{self, Actor, Change};
use crate::clock::Clock;
use crate::config::Config;
use crate::system;
use crate::vault::{Vault, VaultError};
use uuid::Uuid;

/// Rotates data keys, signing keys, keys of checkpoints, or several of them.
pub fn rotate(config: &Config, data: bool, signing: bool, audit: bool) -> Result<(), String> {
    within(config, async |conn, vault, clock| {
        let now = clock.wall();
        if data {
            vault.rotate(conn).await?;
            let operation = system::start_reseal(conn, now).await?;
            audit::record(conn, now, &Actor::system(), Change::of("data_keys.rotated", "operation", operation, None)).await?;
            println!("New data keys; sealed columns are sealed again by operation {operation}.");
        }
        if signing {
            let keys = SigningKeys::load(conn, vault, clock).await?;
            keys.rotate(conn, vault, now).await?;
            audit::record(conn, now, &Actor::system(), Change::of("signing_keys.rotated", "signing_key", Uuid::nil(), None))
                .await?;
            println!("The next signing key signs from now on.");
        }
        if audit {
            AuditKey::make(conn, vault, now).await?;
            audit::record(conn, now, &Actor::system(), Change::of("audit_keys.rotated", "audit_key", Uuid::nil(), None)).await?;
            println!("A new key signs the checkpoints of the audit trail from now on.");
        }
        Ok(())
    })
}

/// Kills a signing key at once.
pub fn revoke(config: &Config, kid: &str) -> Result<(), String> {
    let kid = kid.to_owned();
    let mut found = false;
    within(config, async |conn, vault, clock| {
        let keys = SigningKeys::load(conn, vault, clock).await?;
        found = keys.revoke(conn, vault, &kid, clock.wall()).await?;
        audit::record(conn, clock.wall(), &Actor::system(), Change::of("signing_keys.revoked", "signing_key", Uuid::nil(), None))
            .await?;
        Ok(())
    })?;
    if found { Ok(()) } else { Err(format!("there is no signing key {kid}")) }
}

fn within(
    config: &Config,
    work: impl AsyncFnOnce(&mut AsyncPgConnection, &Vault, &Clock) -> Result<(), VaultError>,
) -> Result<(), String> {
    let owner = owner(config)?;
    let clock = Clock::system();
    runtime()?.block_on(async {
        let mut conn = owner.connect().await?;
        let vault = Vault::load(&mut conn, config.master_keys.clone()).await.map_err(|fault| fault.to_string())?;
        AnsiTransactionManager::begin_transaction(&mut conn).await.map_err(|fault| fault.to_string())?;
        work(&mut conn, &vault, &clock).await.map_err(|fault| fault.to_string())?;
        revocation::announce_keys(&mut conn).await.map_err(|fault| fault.to_string())?;
        AnsiTransactionManager::commit_transaction(&mut conn).await.map_err(|fault| fault.to_string())
    })
}
