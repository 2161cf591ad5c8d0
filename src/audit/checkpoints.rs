//! Checkpoints: signed statements of how far the chain had come. Each is a line of a file outside the database and a row of a
//! table: whoever changes the database cannot change the file, and whoever cuts the end of the chain is found by the last line.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::chain::{Hash, instant};
use crate::app::App;
use crate::db::schema::{audit_checkpoints, audit_keys};
use crate::vault::{Purpose, Vault, VaultError, hex, random, sha256};

/// The longest time between two checkpoints while something is written.
pub const LIFE: TimeDelta = TimeDelta::hours(1);
/// The most entries between two checkpoints.
pub const ENTRIES: i64 = 10_000;
/// How long a checkpoint that could not be written waits.
pub const PAUSE_AFTER_FAULT: TimeDelta = TimeDelta::minutes(1);
/// Where private keys are sealed.
const KEY_PLACE: &str = "audit_keys.private_key";

/// A checkpoint, as a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last seal.
    pub seq: i64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// When it was made (wall time), with six digits of the second.
    pub at: String,
    /// Entries sealed since the checkpoint before.
    pub count: i64,
    /// Key that signed it.
    pub kid: String,
    /// Ed25519 over the RFC 8785 JSON of the other members, base64url.
    pub signature: String,
}

/// What is signed.
#[derive(Serialize)]
struct Signed<'a> {
    seq: i64,
    hash: &'a str,
    at: &'a str,
    count: i64,
    kid: &'a str,
}

impl Checkpoint {
    fn signed(&self) -> Vec<u8> {
        let Self { seq, hash, at, count, kid, .. } = self;
        let signed = Signed { seq: *seq, hash, at, count: *count, kid };
        serde_json_canonicalizer::to_vec(&signed).expect("numbers and texts are JSON")
    }

    /// Whether one of these keys signed exactly this.
    pub fn is_genuine(&self, keys: &[PublicKey]) -> bool {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(&self.signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        let key = keys.iter().find(|key| key.kid == self.kid).and_then(PublicKey::verifying);
        signature.zip(key).is_some_and(|(signature, key)| key.verify_strict(&self.signed(), &signature).is_ok())
    }
}

/// A public key of checkpoints.
#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_keys)]
pub struct PublicKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// 32 bytes.
    pub public_key: Vec<u8>,
}

impl PublicKey {
    fn verifying(&self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(self.public_key.as_slice().try_into().ok()?).ok()
    }

    /// The member `x` of the key as a JWK.
    pub fn x(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.public_key)
    }
}

/// Every key that has signed checkpoints.
pub async fn public_keys(mut conn: &AsyncPgConnection) -> QueryResult<Vec<PublicKey>> {
    audit_keys::table.select(PublicKey::as_select()).order(audit_keys::created_at).load(&mut conn).await
}

/// The key that signs.
pub struct AuditKey {
    kid: String,
    key: SigningKey,
}

impl AuditKey {
    /// Loads the newest key, making the first one.
    pub async fn load(conn: &mut AsyncPgConnection, vault: &Vault, now: DateTime<Utc>) -> Result<Self, VaultError> {
        let newest: Option<(String, Vec<u8>)> = audit_keys::table
            .select((audit_keys::kid, audit_keys::private_key))
            .order(audit_keys::created_at.desc())
            .first(conn)
            .await
            .optional()?;
        let Some((kid, sealed)) = newest else { return Self::make(conn, vault, now).await };
        let seed: [u8; 32] = vault.open(KEY_PLACE, &sealed)?.try_into().map_err(|_| VaultError::Broken)?;
        Ok(Self { kid, key: SigningKey::from_bytes(&seed) })
    }

    /// Makes a new key, which signs from now on. The older ones verify what they have signed.
    pub async fn make(conn: &mut AsyncPgConnection, vault: &Vault, now: DateTime<Utc>) -> Result<Self, VaultError> {
        let seed = random::<32>();
        let key = SigningKey::from_bytes(&seed);
        let public = key.verifying_key().to_bytes();
        // RFC 7638 with the members of RFC 8037, in lexical order.
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64_URL_SAFE_NO_PAD.encode(public));
        let kid = BASE64_URL_SAFE_NO_PAD.encode(sha256(thumbprint.as_bytes()));
        diesel::insert_into(audit_keys::table)
            .values((
                audit_keys::kid.eq(&kid),
                audit_keys::public_key.eq(public.as_slice()),
                audit_keys::private_key.eq(vault.seal(Purpose::Secrets, KEY_PLACE, &seed)),
                audit_keys::created_at.eq(now),
            ))
            .execute(conn)
            .await?;
        Ok(Self { kid, key })
    }

    /// Signs where the chain stands.
    pub fn sign(&self, seq: i64, hash: &Hash, at: DateTime<Utc>, count: i64) -> Checkpoint {
        let unsigned =
            Checkpoint { seq, hash: hex(hash), at: instant(at), count, kid: self.kid.clone(), signature: String::new() };
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(&unsigned.signed()).to_bytes());
        Checkpoint { signature, ..unsigned }
    }
}

/// A checkpoint, as a row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_checkpoints)]
pub struct CheckpointRow {
    /// The last seal.
    pub seq: i64,
    hash: Vec<u8>,
    /// When it was made (wall time).
    pub at: DateTime<Utc>,
    count: i64,
    kid: String,
    signature: Vec<u8>,
}

impl From<CheckpointRow> for Checkpoint {
    fn from(row: CheckpointRow) -> Self {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(row.signature);
        Self { seq: row.seq, hash: hex(&row.hash), at: instant(row.at), count: row.count, kid: row.kid, signature }
    }
}

/// Writes the row of a checkpoint.
pub async fn insert(conn: &mut AsyncPgConnection, checkpoint: &Checkpoint, hash: &Hash) -> Result<(), String> {
    let at: DateTime<Utc> = checkpoint.at.parse().map_err(|fault| format!("{fault}"))?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(&checkpoint.signature).map_err(|fault| fault.to_string())?;
    diesel::insert_into(audit_checkpoints::table)
        .values((
            audit_checkpoints::seq.eq(checkpoint.seq),
            audit_checkpoints::hash.eq(hash.as_slice()),
            audit_checkpoints::at.eq(at),
            audit_checkpoints::count.eq(checkpoint.count),
            audit_checkpoints::kid.eq(&checkpoint.kid),
            audit_checkpoints::signature.eq(signature),
        ))
        .execute(conn)
        .await
        .map_err(|fault| fault.to_string())?;
    Ok(())
}

/// The checkpoints of the table between two places of the chain, both included.
pub async fn between(mut conn: &AsyncPgConnection, from: i64, to: i64) -> QueryResult<Vec<Checkpoint>> {
    let rows: Vec<CheckpointRow> = audit_checkpoints::table
        .filter(audit_checkpoints::seq.between(from, to))
        .select(CheckpointRow::as_select())
        .order(audit_checkpoints::seq)
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(Checkpoint::from).collect())
}

/// The last checkpoint of the table: a chain that ends before it was cut.
pub async fn newest(mut conn: &AsyncPgConnection) -> QueryResult<Option<Checkpoint>> {
    let last = audit_checkpoints::table.select(CheckpointRow::as_select()).order(audit_checkpoints::seq.desc());
    Ok(last.first(&mut conn).await.optional()?.map(Checkpoint::from))
}

/// Appends a line to the file of checkpoints, making it where there is none; the line is on the disk when this returns.
pub fn append(file: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    // A line that a power cut left unfinished stays alone.
    let mut last = [b'\n'];
    if out.seek(SeekFrom::End(-1)).is_ok() {
        out.read_exact(&mut last)?;
    }
    let line = serde_json::to_string(checkpoint).map_err(io::Error::other)?;
    let line = if last == [b'\n'] { format!("{line}\n") } else { format!("\n{line}\n") };
    out.write_all(line.as_bytes())?;
    out.sync_data()
}

/// What a file of checkpoints holds.
#[derive(Debug, Default)]
pub struct File {
    /// Its checkpoints, in the order of the file.
    pub checkpoints: Vec<Checkpoint>,
    /// Lines that are none.
    pub unreadable: usize,
}

/// Reads a file of checkpoints; one that does not exist holds nothing.
pub fn read(file: &Path) -> io::Result<File> {
    let text = match fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        Err(fault) => return Err(fault),
    };
    let mut read = File::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str(line) {
            Ok(checkpoint) => read.checkpoints.push(checkpoint),
            Err(_) => read.unreadable += 1,
        }
    }
    Ok(read)
}

/// Reads this node's file without holding up others.
pub async fn read_own(app: &App) -> io::Result<File> {
    let file = app.config.checkpoint_file();
    tokio::task::spawn_blocking(move || read(&file)).await.map_err(io::Error::other)?
}

/// A chain that is shorter than this node's file says was cut, or the database was restored from a backup: says so in the log.
pub async fn tell_of_a_cut(app: &App, head: i64) {
    let last = read_own(app).await.unwrap_or_default().checkpoints.iter().map(|checkpoint| checkpoint.seq).max();
    if let Some(last) = last.filter(|last| *last > head) {
        log::error!(checkpoint = last, seq = head; "the audit trail ends before its last checkpoint: run `half-sky audit verify`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (AuditKey, Vec<PublicKey>) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey { kid: "k".to_owned(), public_key: key.verifying_key().to_bytes().to_vec() };
        (AuditKey { kid: "k".to_owned(), key }, vec![public])
    }

    #[test]
    fn a_checkpoint_is_genuine_only_as_it_was_signed() {
        let (key, keys) = key();
        let signed = key.sign(10, &[1; 32], "2019-04-10T01:00:00Z".parse().unwrap(), 3);
        assert!(signed.is_genuine(&keys) && !signed.is_genuine(&[]));
        let changes: &[fn(&mut Checkpoint)] = &[
            |checkpoint| checkpoint.seq += 1,
            |checkpoint| checkpoint.hash.replace_range(0..1, "f"),
            |checkpoint| checkpoint.at.replace_range(0..4, "2020"),
            |checkpoint| checkpoint.count += 1,
            |checkpoint| checkpoint.kid.push('x'),
            |checkpoint| checkpoint.signature.replace_range(0..1, "_"),
            |checkpoint| checkpoint.signature.clear(),
        ];
        for change in changes {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!changed.is_genuine(&keys), "{changed:?}");
        }
    }

    #[test]
    fn a_file_is_only_added_to_and_a_line_that_was_cut_off_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/checkpoints.jsonl");
        assert!(read(&file).unwrap().checkpoints.is_empty());
        let (key, _) = key();
        let [first, second] = [1, 2].map(|seq| key.sign(seq, &[1; 32], DateTime::UNIX_EPOCH, 1));
        append(&file, &first).unwrap();
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"seq\":2,\"ha").unwrap();
        append(&file, &second).unwrap();
        let held = read(&file).unwrap();
        assert_eq!((held.checkpoints, held.unreadable), (vec![first, second], 1));
    }
}
