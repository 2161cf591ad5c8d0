//! Encryption at rest. `MASTER_KEYS` wrap one data key per purpose; data keys seal columns and make keyed hashes. A master
//! key never enters the database, a data key never leaves it unwrapped.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::schema::data_keys;

/// What a data key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Phones and identity numbers, keys of the contents of files, staged rows of imports.
    Personal,
    /// Stored idempotent replies.
    Replies,
    /// TOTP secrets and signing keys.
    Secrets,
    /// Keyed hashes of phones and identity numbers.
    Hash,
    /// Signatures of page cursors.
    Cursor,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Personal, Self::Replies, Self::Secrets, Self::Hash, Self::Cursor];

    /// Name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Replies => "replies",
            Self::Secrets => "secrets",
            Self::Hash => "hash",
            Self::Cursor => "cursor",
        }
    }

    /// Sealed values can be sealed again under a new key; hashes and signatures cannot.
    const fn rotates(self) -> bool {
        matches!(self, Self::Personal | Self::Replies | Self::Secrets)
    }
}

/// Why something could not be sealed or opened. Says nothing of the content.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// None of `MASTER_KEYS` is the one that wraps a data key.
    #[error("data key {0} is wrapped by master key {1:?}, which MASTER_KEYS does not hold")]
    MasterKeyMissing(Uuid, String),
    /// A data key does not open: the master key with this id has other bytes.
    #[error("data key {0} does not open with master key {1:?}: its bytes have changed")]
    MasterKeyWrong(Uuid, String),
    /// No master keys were given.
    #[error("MASTER_KEYS is empty")]
    NoMasterKey,
    /// A sealed value names a data key that does not exist.
    #[error("the value is sealed with a data key that does not exist")]
    UnknownKey,
    /// A sealed value was changed, or belongs to another column.
    #[error("the sealed value does not open")]
    Broken,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
}

impl From<VaultError> for crate::http::problem::ApiError {
    fn from(error: VaultError) -> Self {
        Self::internal(error)
    }
}

type MasterKeys = Vec<(String, [u8; 32])>;

/// The unwrapped data keys of this process.
#[derive(Clone)]
pub struct Vault {
    master: Arc<MasterKeys>,
    keys: Arc<RwLock<Arc<Keys>>>,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<Uuid, [u8; 32]>,
    current: HashMap<Purpose, Uuid>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = data_keys)]
struct DataKeyRow {
    id: Uuid,
    purpose: String,
    wrapped: Vec<u8>,
    master_key_id: String,
    is_current: bool,
}

impl Vault {
    /// Loads the data keys, making those that do not exist yet.
    pub async fn load(conn: &mut AsyncPgConnection, master: MasterKeys) -> Result<Self, VaultError> {
        let vault = Self { master: Arc::new(master), keys: Arc::default() };
        vault.reload(conn).await?;
        Ok(vault)
    }

    /// Reads the data keys again, after another node rotated them.
    pub async fn reload(&self, conn: &mut AsyncPgConnection) -> Result<(), VaultError> {
        let (first, first_key) = self.master.as_slice().first().ok_or(VaultError::NoMasterKey)?;
        let mut rows: Vec<DataKeyRow> = data_keys::table.select(DataKeyRow::as_select()).load(conn).await?;
        for purpose in Purpose::ALL {
            if !rows.iter().any(|row| row.is_current && row.purpose == purpose.as_str()) {
                // Two nodes may start on an empty database at once: the unique index keeps one key, both read it back.
                new_key(purpose, first, first_key).insert_into(data_keys::table).on_conflict_do_nothing().execute(conn).await?;
                rows = data_keys::table.select(DataKeyRow::as_select()).load(conn).await?;
            }
        }
        let mut keys = Keys::default();
        for row in rows {
            keys.by_id.insert(row.id, self.unwrap(&row)?);
            if row.is_current
                && let Some(purpose) = Purpose::ALL.into_iter().find(|purpose| purpose.as_str() == row.purpose)
            {
                keys.current.insert(purpose, row.id);
            }
        }
        *self.keys.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(keys);
        Ok(())
    }

    /// Wraps every data key with the first master key and makes a new data key for each purpose that can be sealed again.
    /// Run it as the owner of the tables; the sealed columns are then sealed again by a job.
    pub async fn rotate(&self, conn: &mut AsyncPgConnection) -> Result<(), VaultError> {
        let (first, first_key) = self.master.as_slice().first().ok_or(VaultError::NoMasterKey)?;
        let rows: Vec<DataKeyRow> = data_keys::table.select(DataKeyRow::as_select()).for_update().load(conn).await?;
        for row in &rows {
            let key = self.unwrap(row)?;
            diesel::update(data_keys::table.find(row.id))
                .set((data_keys::wrapped.eq(wrap(row.id, first_key, &key)), data_keys::master_key_id.eq(first)))
                .execute(conn)
                .await?;
        }
        for purpose in Purpose::ALL.into_iter().filter(|purpose| purpose.rotates()) {
            diesel::update(data_keys::table.filter(data_keys::purpose.eq(purpose.as_str())))
                .set(data_keys::is_current.eq(false))
                .execute(conn)
                .await?;
            new_key(purpose, first, first_key).insert_into(data_keys::table).execute(conn).await?;
        }
        self.reload(conn).await
    }

    /// Whether every current data key is known here: another node may have rotated them while this one could not hear of it.
    pub async fn is_up_to_date(&self, conn: &mut AsyncPgConnection) -> QueryResult<bool> {
        let known: Vec<Uuid> = self.keys().by_id.keys().copied().collect();
        let unknown = data_keys::table.filter(data_keys::is_current).filter(data_keys::id.ne_all(known));
        diesel::select(diesel::dsl::not(diesel::dsl::exists(unknown))).get_result(conn).await
    }

    fn unwrap(&self, row: &DataKeyRow) -> Result<[u8; 32], VaultError> {
        let (_, master) = self
            .master
            .iter()
            .find(|(id, _)| *id == row.master_key_id)
            .ok_or_else(|| VaultError::MasterKeyMissing(row.id, row.master_key_id.clone()))?;
        let wrong = || VaultError::MasterKeyWrong(row.id, row.master_key_id.clone());
        open_with(master, row.id.as_bytes(), &row.wrapped).and_then(|key| key.try_into().ok()).ok_or_else(wrong)
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Seals a value for a place such as `people.phone`; it opens only there.
    pub fn seal(&self, purpose: Purpose, place: &str, plain: &[u8]) -> Vec<u8> {
        let keys = self.keys();
        let id = keys.current[&purpose];
        let mut sealed = id.as_bytes().to_vec();
        sealed.extend(seal_with(&keys.by_id[&id], place.as_bytes(), plain));
        sealed
    }

    /// Opens a value sealed for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (id, rest) = sealed.split_at_checked(16).ok_or(VaultError::Broken)?;
        let id = Uuid::from_slice(id).map_err(|_| VaultError::Broken)?;
        let keys = self.keys();
        let key = keys.by_id.get(&id).ok_or(VaultError::UnknownKey)?;
        open_with(key, place.as_bytes(), rest).ok_or(VaultError::Broken)
    }

    /// Opens a sealed text.
    pub fn open_text(&self, place: &str, sealed: &[u8]) -> Result<String, VaultError> {
        String::from_utf8(self.open(place, sealed)?).map_err(|_| VaultError::Broken)
    }

    /// Whether a value is sealed with the current key of the purpose.
    pub fn is_current(&self, purpose: Purpose, sealed: &[u8]) -> bool {
        sealed.starts_with(self.keys().current[&purpose].as_bytes())
    }

    /// Keyed hash of a value: finds equal values without showing them.
    pub fn hash(&self, place: &str, value: &str) -> Vec<u8> {
        self.mac(Purpose::Hash, &[place.as_bytes(), b"\0", value.as_bytes()])
    }

    /// Keyed signature over bytes.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        let keys = self.keys();
        let key = keys.by_id[&keys.current[&purpose]];
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

fn new_key(purpose: Purpose, master_id: &str, master: &[u8; 32]) -> DataKeyRow {
    let id = Uuid::now_v7();
    let key: [u8; 32] = random();
    DataKeyRow {
        id,
        purpose: purpose.as_str().to_owned(),
        wrapped: wrap(id, master, &key),
        master_key_id: master_id.to_owned(),
        is_current: true,
    }
}

fn wrap(id: Uuid, master: &[u8; 32], key: &[u8; 32]) -> Vec<u8> {
    seal_with(master, id.as_bytes(), key)
}

fn seal_with(key: &[u8; 32], place: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; 24] = random();
    let sealed = XChaCha20Poly1305::new(&(*key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place })
        .expect("sealing fails only beyond 256 GiB");
    [nonce.as_slice(), &sealed].concat()
}

fn open_with(key: &[u8; 32], place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(24)?;
    let nonce: [u8; 24] = nonce.try_into().ok()?;
    XChaCha20Poly1305::new(&(*key).into()).decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: place }).ok()
}

/// Bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        let mut keys = Keys::default();
        for (number, purpose) in (1..).zip(Purpose::ALL) {
            let id = Uuid::from_u128(number);
            keys.by_id.insert(id, [number as u8; 32]);
            keys.current.insert(purpose, id);
        }
        Vault { master: Arc::default(), keys: Arc::new(RwLock::new(Arc::new(keys))) }
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_unchanged() {
        let vault = vault();
        let sealed = vault.seal(Purpose::Personal, "people.phone", b"13800005678");
        assert_eq!(vault.open("people.phone", &sealed).unwrap(), b"13800005678");
        assert!(vault.open("people.id_number", &sealed).is_err());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(vault.open("people.phone", &changed).is_err(), "byte {position}");
        }
        assert!(vault.open("people.phone", &sealed[..10]).is_err());
    }

    #[test]
    fn equal_values_have_equal_hashes_only_in_the_same_place() {
        let vault = vault();
        assert_eq!(vault.hash("people.phone", "1"), vault.hash("people.phone", "1"));
        assert_ne!(vault.hash("people.phone", "1"), vault.hash("people.id_number", "1"));
    }
}
