//! Verification: computes the chain again from the entries and holds it against the seals and the checkpoints. Reads only.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::chain::{self, BEGINNING, Entry, Hash};
use super::checkpoints::{Checkpoint, PublicKey};
use crate::db::schema::{audit_entries, audit_seals};
use crate::text_enum;
use crate::vault::hex;

/// Entries that are read at a time.
const BATCH: i64 = 500;

text_enum! {
    /// Why the audit trail is not as it was sealed.
    Break {
        /// The entry or its seal is not what was hashed: changed, or in another's place.
        Changed = "changed", "条目已被改动或调换", "The entry was changed or swapped";
        /// The entry of this seal does not exist.
        EntryMissing = "entry_missing", "条目缺失", "The entry is missing";
        /// There is no seal of this number, but one of a later number.
        SealMissing = "seal_missing", "封存记录缺失", "The seal is missing";
        /// The chain ends, but a checkpoint says that it was longer.
        TailMissing = "tail_missing", "末尾被截断", "The end of the trail was cut off";
        /// The chain fits in itself, but not to a checkpoint: everything since the checkpoint before may have been rewritten.
        CheckpointMismatch = "checkpoint_mismatch", "与检查点不符", "The trail does not fit the checkpoint";
    }
}

/// The first thing that is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// Place in the chain.
    pub seq: i64,
    /// The entry, where one is known.
    pub entry_id: Option<Uuid>,
    /// Why.
    pub reason: Break,
}

/// Checkpoints that were looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Checked {
    /// Those whose signature and hash are right.
    pub good: usize,
    /// Those for whose place there is no seal.
    pub missing: usize,
    /// Those with another hash than the seal, or without a right signature.
    pub broken: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Everything from the first place that was asked for up to here is as it was sealed.
    pub verified_through: i64,
    /// What is not; nothing is looked at after it.
    pub first_broken: Option<Broken>,
    /// Where to go on; none: the end was reached, or something is broken.
    pub next: Option<i64>,
    /// Checkpoints between the places looked at, and beyond the end of the chain where that was reached.
    pub checkpoints: Checked,
}

/// Which part of the chain to verify.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// First place.
    pub from: i64,
    /// Last place; none: to the end.
    pub to: Option<i64>,
    /// The most entries to look at.
    pub limit: i64,
}

/// A seal with its entry: place, the entry's id, hash.
type Sealed = (i64, Uuid, Vec<u8>, Option<Entry>);

/// Verifies a part of the chain. The hash before its first place is taken as it stands. `checkpoints` may hold more than belong to
/// the part.
pub async fn verify(
    mut conn: &AsyncPgConnection,
    part: Part,
    checkpoints: &[Checkpoint],
    keys: &[PublicKey],
) -> QueryResult<Findings> {
    let head: Option<i64> = audit_seals::table.select(diesel::dsl::max(audit_seals::seq)).first(&mut conn).await?;
    let head = head.unwrap_or(0);
    let last = part.to.unwrap_or(i64::MAX).min(head).min(part.from.saturating_add(part.limit - 1));
    let mut walk = Walk { before: BEGINNING, seq: part.from - 1, checked: Checked::default(), by_seq: HashMap::new(), keys };
    for checkpoint in checkpoints {
        walk.by_seq.entry(checkpoint.seq).or_default().push(checkpoint);
    }
    let mut first_broken = None;
    if part.from > 1 && part.from <= head {
        let before: Option<Vec<u8>> =
            audit_seals::table.find(part.from - 1).select(audit_seals::hash).first(&mut conn).await.optional()?;
        match before.and_then(|hash| hash.try_into().ok()) {
            Some(hash) => walk.before = hash,
            None => first_broken = Some(Broken { seq: part.from - 1, entry_id: None, reason: Break::SealMissing }),
        }
    }
    while first_broken.is_none() && walk.seq < last {
        let rows: Vec<Sealed> = audit_seals::table
            .left_join(audit_entries::table.on(audit_entries::id.eq(audit_seals::entry_id)))
            .filter(audit_seals::seq.gt(walk.seq).and(audit_seals::seq.le(last)))
            .select((audit_seals::seq, audit_seals::entry_id, audit_seals::hash, Option::<Entry>::as_select()))
            .order(audit_seals::seq)
            .limit(BATCH)
            .load(&mut conn)
            .await?;
        if rows.is_empty() {
            first_broken = Some(Broken { seq: walk.seq + 1, entry_id: None, reason: Break::SealMissing });
        }
        first_broken = first_broken.or(rows.iter().find_map(|row| walk.step(row)));
    }
    let reached_the_end = walk.seq >= head && part.to.is_none_or(|to| to > head);
    if first_broken.is_none() && reached_the_end {
        first_broken = walk.beyond(head);
    }
    let next = (first_broken.is_none() && walk.seq < part.to.unwrap_or(i64::MAX).min(head)).then_some(walk.seq + 1);
    Ok(Findings { verified_through: walk.seq.min(head), first_broken, next, checkpoints: walk.checked })
}

/// Goes along the chain.
struct Walk<'a> {
    before: Hash,
    /// The last place that is right.
    seq: i64,
    checked: Checked,
    by_seq: HashMap<i64, Vec<&'a Checkpoint>>,
    keys: &'a [PublicKey],
}

impl Walk<'_> {
    fn step(&mut self, (seq, entry_id, hash, entry): &Sealed) -> Option<Broken> {
        let expected = self.seq + 1;
        if *seq != expected {
            return Some(Broken { seq: expected, entry_id: None, reason: Break::SealMissing });
        }
        let broken = |reason| Some(Broken { seq: *seq, entry_id: Some(*entry_id), reason });
        let Some(entry) = entry else { return broken(Break::EntryMissing) };
        match chain::link(&self.before, *seq, entry) {
            Ok(computed) if computed.as_slice() == hash => self.before = computed,
            _ => return broken(Break::Changed),
        }
        for checkpoint in self.by_seq.remove(seq).unwrap_or_default() {
            if !checkpoint.is_genuine(self.keys) {
                self.checked.broken += 1;
            } else if checkpoint.hash == hex(hash) {
                self.checked.good += 1;
            } else {
                self.checked.broken += 1;
                return broken(Break::CheckpointMismatch);
            }
        }
        self.seq = *seq;
        None
    }

    /// Checkpoints beyond the end. Only a genuine one proves that the chain was longer.
    fn beyond(&mut self, head: i64) -> Option<Broken> {
        let beyond = self.by_seq.iter().filter(|(seq, _)| **seq > head).flat_map(|(_, checkpoints)| checkpoints);
        let (genuine, others): (Vec<&&Checkpoint>, _) = beyond.partition(|checkpoint| checkpoint.is_genuine(self.keys));
        self.checked.missing += genuine.len();
        self.checked.broken += others.len();
        (!genuine.is_empty()).then_some(Broken { seq: head + 1, entry_id: None, reason: Break::TailMissing })
    }
}

/// Entries without a seal, counted over the whole table.
#[derive(Debug, PartialEq, QueryableByName)]
pub struct Unsealed {
    /// Those that the sealer has not come to.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// Those that it has passed: somebody has taken their seals away.
    #[diesel(sql_type = BigInt)]
    pub passed: i64,
}

/// Counts the entries without a seal. Reads all there are.
pub async fn count_unsealed(mut conn: &AsyncPgConnection) -> QueryResult<Unsealed> {
    diesel::sql_query(
        "SELECT count(*) FILTER (WHERE NOT passed) AS waiting, count(*) FILTER (WHERE passed) AS passed FROM (
            SELECT coalesce(pg_visible_in_snapshot(transaction_id::text::xid8,
                (SELECT sealed_up_to::pg_snapshot FROM audit_sealer)), false) AS passed
            FROM audit_entries AS entry WHERE NOT EXISTS (SELECT FROM audit_seals WHERE entry_id = entry.id)
         ) AS unsealed",
    )
    .get_result(&mut conn)
    .await
}
