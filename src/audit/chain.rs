//! The chain: `hash = SHA-256(hash before ‖ RFC 8785 JSON of the entry with its seq)`. Anybody can compute it again from what the
//! database holds.

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::schema::audit_entries;
use crate::vault::hex;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What stands before the first entry.
pub const BEGINNING: Hash = [0; 32];

/// An entry as the database holds it.
#[derive(Debug, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = audit_entries)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// Wall time.
    pub at: DateTime<Utc>,
    actor_kind: String,
    actor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    role: Option<String>,
    organization_id: Option<Uuid>,
    action: String,
    object_type: String,
    object_id: Option<Uuid>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    outcome: String,
    request_id: Option<String>,
}

/// An entry as it is hashed: every member present, in the names of the API.
#[derive(Serialize)]
struct Sealed<'a> {
    seq: i64,
    id: Uuid,
    at: String,
    actor_kind: &'a str,
    actor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    role: Option<&'a str>,
    organization_id: Option<Uuid>,
    action: &'a str,
    object_type: &'a str,
    object_id: Option<Uuid>,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    reason: Option<&'a str>,
    outcome: &'a str,
    request_id: Option<&'a str>,
}

/// The hash of an entry at a place in the chain. It fails on a number that JSON cannot hold, which the database never returns.
pub fn link(before: &Hash, seq: i64, entry: &Entry) -> Result<Hash, serde_json::Error> {
    let sealed = Sealed {
        seq,
        id: entry.id,
        at: instant(entry.at),
        actor_kind: &entry.actor_kind,
        actor_id: entry.actor_id,
        session_id: entry.session_id,
        role: entry.role.as_deref(),
        organization_id: entry.organization_id,
        action: &entry.action,
        object_type: &entry.object_type,
        object_id: entry.object_id,
        before: entry.before.as_ref(),
        after: entry.after.as_ref(),
        reason: entry.reason.as_deref(),
        outcome: &entry.outcome,
        request_id: entry.request_id.as_deref(),
    };
    let json = serde_json_canonicalizer::to_vec(&sealed)?;
    Ok(Sha256::new().chain_update(before).chain_update(json).finalize().into())
}

/// SHA-256 over the RFC 8785 JSON of a value, in hexadecimal digits: for summary entries.
pub fn digest(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(hex(&Sha256::digest(serde_json_canonicalizer::to_vec(value)?)))
}

/// An instant as it is hashed and signed: RFC 3339 with the six digits that the database keeps.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry() -> Entry {
        Entry {
            id: Uuid::from_u128(1),
            at: "2019-04-10T01:00:00Z".parse().unwrap(),
            actor_kind: "system".to_owned(),
            actor_id: None,
            session_id: None,
            role: None,
            organization_id: None,
            action: "test.done".to_owned(),
            object_type: "test".to_owned(),
            object_id: Some(Uuid::from_u128(2)),
            before: None,
            after: Some(json!({ "名": "李梅", "b": 1.50, "a": [null, 15_000_000] })),
            reason: None,
            outcome: "done".to_owned(),
            request_id: None,
        }
    }

    /// Computed outside this program, with Python's hashlib over the JSON written out by hand.
    #[test]
    fn the_hash_is_that_of_the_canonical_json_behind_the_hash_before() {
        let json = concat!(
            r#"{"action":"test.done","actor_id":null,"actor_kind":"system","after":{"a":[null,15000000],"b":1.5,"名":"李梅"},"#,
            r#""at":"2019-04-10T01:00:00.000000Z","before":null,"id":"00000000-0000-0000-0000-000000000001","#,
            r#""object_id":"00000000-0000-0000-0000-000000000002","object_type":"test","organization_id":null,"outcome":"done","#,
            r#""reason":null,"request_id":null,"role":null,"seq":7,"session_id":null}"#
        );
        let expected: Hash = Sha256::new().chain_update([9; 32]).chain_update(json).finalize().into();
        assert_eq!(link(&[9; 32], 7, &entry()).unwrap(), expected);
        assert_eq!(hex(&expected), "b03f72e4bc0e6de8b431749045c184684ed67ddcd037a0020670129ea986d9dd");
    }

    #[test]
    fn every_part_of_an_entry_and_its_place_count() {
        let original = link(&BEGINNING, 1, &entry()).unwrap();
        let changes: &[fn(&mut Entry)] = &[
            |entry| entry.id = Uuid::from_u128(3),
            |entry| entry.at += chrono::TimeDelta::microseconds(1),
            |entry| entry.actor_kind.push('x'),
            |entry| entry.actor_id = Some(Uuid::nil()),
            |entry| entry.session_id = Some(Uuid::nil()),
            |entry| entry.role = Some(String::new()),
            |entry| entry.organization_id = Some(Uuid::nil()),
            |entry| entry.action.push('x'),
            |entry| entry.object_type.push('x'),
            |entry| entry.object_id = None,
            |entry| entry.before = Some(json!({})),
            |entry| entry.after = Some(json!({ "名": "李霉", "b": 1.50, "a": [null, 15_000_000] })),
            |entry| entry.reason = Some(String::new()),
            |entry| entry.outcome.push('x'),
            |entry| entry.request_id = Some(String::new()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(link(&BEGINNING, 1, &changed).unwrap(), original, "change {number}");
        }
        assert_ne!(link(&BEGINNING, 2, &entry()).unwrap(), original);
        assert_ne!(link(&[1; 32], 1, &entry()).unwrap(), original);
    }
}
