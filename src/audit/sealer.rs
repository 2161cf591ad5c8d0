//! The sealer: one node at a time, the holder of an advisory lock on a connection of its own, numbers the entries that have
//! committed and chains them by hash. Everything it writes goes over the connection that holds the lock, so a node that has
//! lost the lock cannot write. Writers never wait for it.
//!
//! Ids are made before the commit, so the entries to seal cannot be "those after the last". They are found by the transactions
//! that wrote them: [`Snapshot`] says which transactions were over at the last look; what has ended since is either one that was
//! running then, or one that began later. Both are ranges of the index `audit_entries_transaction`, and an entry is sealed as
//! soon as its transaction commits, however long another one runs.

use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::watch;
use uuid::Uuid;

use super::chain::{self, BEGINNING, Entry, Hash};
use super::checkpoints::{self, AuditKey};
use crate::app::App;
use crate::db::schema::{audit_checkpoints, audit_seals};
use crate::vault::VaultError;

/// Entries that are read, hashed and written together.
const BATCH: i64 = 1000;
/// Time between two looks at what has committed.
const LOOK: Duration = Duration::from_millis(300);
/// How often a node that does not lead asks whether it may, and how often the backlog is measured.
const ASK: Duration = Duration::from_secs(2);
/// What the backlog counts up to.
pub const BACKLOG_CAP: i64 = 10_000;

/// The lock of the leader, within its database.
const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('half-sky audit sealer', 0)) AS mine";

/// Which transactions were over at a moment: those before `end`, except the ones that were still running.
#[derive(Debug, Clone, PartialEq)]
struct Snapshot {
    text: String,
    end: i64,
    running: Vec<i64>,
}

impl FromStr for Snapshot {
    type Err = String;

    /// PostgreSQL's own form, `xmin:xmax:running,running`.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no snapshot");
        let mut parts = text.split(':').skip(1);
        let end = parts.next().and_then(|end| end.parse().ok()).ok_or_else(malformed)?;
        let running = parts.next().ok_or_else(malformed)?.split(',').filter(|number| !number.is_empty());
        let running = running.map(|number| number.parse().map_err(|_| malformed())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), end, running })
    }
}

impl Snapshot {
    /// Transactions that were running then and are over now.
    fn ended_since(&self, now: &Self) -> Vec<i64> {
        self.running.iter().copied().filter(|transaction| !now.running.contains(transaction)).collect()
    }
}

/// Which transactions' entries to look at; `$1` is the list or the two ends.
const THESE: &str = "transaction_id = ANY ($1)";
const BETWEEN: &str = "transaction_id >= ($1)[1] AND transaction_id < ($1)[2]";

/// The next entries of some transactions, after a position, and which of them have a seal already: after a crash, or in another
/// cluster, the sealer looks again at what it had sealed.
fn next(transactions: &str) -> String {
    format!(
        "SELECT entry.*, seal.entry_id IS NOT NULL AS sealed FROM (
            SELECT * FROM audit_entries WHERE {transactions} AND (transaction_id, id) > ($2, $3)
            ORDER BY transaction_id, id LIMIT $4
         ) AS entry LEFT JOIN audit_seals AS seal ON seal.entry_id = entry.id ORDER BY entry.transaction_id, entry.id"
    )
}

/// How the next batch is found, for `EXPLAIN`: entries of transactions that were running, and of those that began later.
pub fn searches() -> [String; 2] {
    [next(THESE), next(BETWEEN)]
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(embed)]
    entry: Entry,
    #[diesel(sql_type = BigInt)]
    transaction_id: i64,
    #[diesel(sql_type = Bool)]
    sealed: bool,
}

/// The one that seals.
pub struct Sealer {
    conn: AsyncPgConnection,
    cluster: i64,
    /// The last seal.
    head: (i64, Hash),
    /// Every entry that this snapshot sees has its seal; none: nobody knows.
    seen: Option<Snapshot>,
    /// The last checkpoint: how far, when.
    signed: (i64, DateTime<Utc>),
    /// After a fault the next checkpoint waits until then.
    next_try: DateTime<Utc>,
}

impl Sealer {
    /// Begins to lead on this connection. Where another node leads the connection is handed back.
    pub async fn lead(mut conn: AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<Result<Self, AsyncPgConnection>> {
        #[derive(QueryableByName)]
        struct Mine {
            #[diesel(sql_type = Bool)]
            mine: bool,
        }
        #[derive(QueryableByName)]
        struct Position {
            #[diesel(sql_type = BigInt)]
            cluster: i64,
            #[diesel(sql_type = Nullable<Text>)]
            sealed_up_to: Option<String>,
        }
        if !diesel::sql_query(LOCK).get_result::<Mine>(&mut conn).await?.mine {
            return Ok(Err(conn));
        }
        let position: Position = diesel::sql_query(
            "SELECT system_identifier AS cluster, (SELECT sealed_up_to FROM audit_sealer WHERE cluster = system_identifier)
             FROM pg_control_system()",
        )
        .get_result(&mut conn)
        .await?;
        let head = head(&mut conn).await?;
        // What cannot be read is as good as nothing: every entry is looked at.
        let seen = position.sealed_up_to.and_then(|text| text.parse().ok());
        let signed = last_checkpoint(&mut conn).await?.unwrap_or((0, now));
        Ok(Ok(Self { conn, cluster: position.cluster, head, seen, signed, next_try: now }))
    }

    /// Seals everything that has committed. Returns how many entries. After a fault the sealer is of no use any more.
    pub async fn seal(&mut self) -> QueryResult<u64> {
        let now = self.snapshot().await?;
        // Fewer transactions than before: the database was restored over itself.
        let seen = self.seen.take().filter(|seen| seen.end <= now.end);
        let sealed = match &seen {
            Some(seen) if *seen == now => 0,
            Some(seen) => {
                let ended = seen.ended_since(&now);
                let late = if ended.is_empty() { 0 } else { self.seal_of(THESE, ended).await? };
                late + self.seal_of(BETWEEN, vec![seen.end, now.end]).await?
            }
            None => self.seal_of(BETWEEN, vec![0, i64::MAX]).await?,
        };
        if sealed > 0 || seen.is_none() {
            self.remember(&now).await?;
        }
        self.seen = Some(now);
        Ok(sealed)
    }

    async fn snapshot(&mut self) -> QueryResult<Snapshot> {
        #[derive(QueryableByName)]
        struct Now {
            #[diesel(sql_type = Text)]
            now: String,
        }
        let Now { now } = diesel::sql_query("SELECT pg_current_snapshot()::text AS now").get_result(&mut self.conn).await?;
        now.parse().map_err(|fault: String| DieselError::DeserializationError(fault.into()))
    }

    async fn seal_of(&mut self, which: &str, transactions: Vec<i64>) -> QueryResult<u64> {
        let (search, mut position, mut sealed) = (next(which), (-1, Uuid::nil()), 0);
        loop {
            let found: Vec<Found> = diesel::sql_query(&search)
                .bind::<Array<BigInt>, _>(&transactions)
                .bind::<BigInt, _>(position.0)
                .bind::<SqlUuid, _>(position.1)
                .bind::<BigInt, _>(BATCH)
                .load(&mut self.conn)
                .await?;
            let Some(last) = found.last() else { return Ok(sealed) };
            position = (last.transaction_id, last.entry.id);
            let is_last = found.len() < BATCH as usize;
            let unsealed: Vec<Entry> = found.into_iter().filter(|found| !found.sealed).map(|found| found.entry).collect();
            sealed += self.append(&unsealed).await?;
            if is_last {
                return Ok(sealed);
            }
        }
    }

    /// Appends seals to the chain, in one statement.
    async fn append(&mut self, entries: &[Entry]) -> QueryResult<u64> {
        if entries.is_empty() {
            return Ok(0);
        }
        let (mut seq, mut hash) = self.head;
        let (mut seqs, mut ids, mut hashes) = (vec![], vec![], vec![]);
        for entry in entries {
            seq += 1;
            hash = chain::link(&hash, seq, entry).map_err(|fault| DieselError::SerializationError(Box::new(fault)))?;
            seqs.push(seq);
            ids.push(entry.id);
            hashes.push(hash.to_vec());
        }
        diesel::sql_query("INSERT INTO audit_seals (seq, entry_id, hash) SELECT * FROM unnest($1, $2, $3)")
            .bind::<Array<BigInt>, _>(seqs)
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Bytea>, _>(hashes)
            .execute(&mut self.conn)
            .await?;
        self.head = (seq, hash);
        Ok(entries.len() as u64)
    }

    async fn remember(&mut self, seen: &Snapshot) -> QueryResult<()> {
        diesel::sql_query(
            "INSERT INTO audit_sealer (one, cluster, sealed_up_to) VALUES (true, $1, $2)
             ON CONFLICT (one) DO UPDATE SET cluster = excluded.cluster, sealed_up_to = excluded.sealed_up_to",
        )
        .bind::<BigInt, _>(self.cluster)
        .bind::<Text, _>(&seen.text)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Signs where the chain stands, outside the database first. Nothing, where the last checkpoint says the same.
    pub async fn checkpoint(&mut self, app: &App) -> Result<(), String> {
        let (seq, hash) = self.head;
        if seq <= self.signed.0 {
            return Ok(());
        }
        let text = |fault: VaultError| fault.to_string();
        let now = app.clock.wall();
        let key = AuditKey::load(&mut self.conn, &app.vault, now).await.map_err(text)?;
        let checkpoint = key.sign(seq, &hash, now, seq - self.signed.0);
        let (file, line) = (app.config.checkpoint_file(), checkpoint.clone());
        let written = tokio::task::spawn_blocking(move || {
            checkpoints::append(&file, &line).map_err(|fault| format!("{}: {fault}", file.display()))
        });
        written.await.map_err(|fault| fault.to_string())??;
        checkpoints::insert(&mut self.conn, &checkpoint, &hash).await.map_err(|fault| fault.to_string())?;
        self.signed = (seq, now);
        Ok(())
    }

    /// Signs where that is due: some time or so many entries after the last checkpoint.
    async fn checkpoint_where_due(&mut self, app: &App) {
        let (now, (seq, at)) = (app.clock.wall(), self.signed);
        let due = now >= at + checkpoints::LIFE || self.head.0 - seq >= checkpoints::ENTRIES;
        if !due || now < self.next_try {
            return;
        }
        if let Err(fault) = self.checkpoint(app).await {
            log::error!(cause = fault.as_str(); "a checkpoint of the audit trail could not be written");
            self.next_try = now + checkpoints::PAUSE_AFTER_FAULT;
        }
    }
}

/// The last seal; before the first, place 0 and 32 zero bytes.
async fn head(conn: &mut AsyncPgConnection) -> QueryResult<(i64, Hash)> {
    let last: Option<(i64, Vec<u8>)> = audit_seals::table
        .select((audit_seals::seq, audit_seals::hash))
        .order(audit_seals::seq.desc())
        .first(conn)
        .await
        .optional()?;
    // A CHECK holds the length.
    Ok(last.map_or((0, BEGINNING), |(seq, hash)| (seq, hash.try_into().unwrap_or(BEGINNING))))
}

async fn last_checkpoint(conn: &mut AsyncPgConnection) -> QueryResult<Option<(i64, DateTime<Utc>)>> {
    let last = audit_checkpoints::table.select((audit_checkpoints::seq, audit_checkpoints::at));
    last.order(audit_checkpoints::seq.desc()).first(conn).await.optional()
}

/// Entries that have committed and have no seal yet.
#[derive(Debug, Clone, Copy, PartialEq, QueryableByName)]
pub struct Backlog {
    /// How many, counted up to [`BACKLOG_CAP`].
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    /// When the oldest of those counted was written (wall time).
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Measures the backlog: what the sealer has not looked at, without what has its seal.
pub async fn backlog(mut conn: &AsyncPgConnection) -> QueryResult<Backlog> {
    #[derive(QueryableByName)]
    struct Position {
        #[diesel(sql_type = Text)]
        sealed_up_to: String,
    }
    let position: Option<Position> =
        diesel::sql_query("SELECT sealed_up_to FROM audit_sealer").get_result(&mut conn).await.optional()?;
    let seen = position.and_then(|position| position.sealed_up_to.parse::<Snapshot>().ok());
    let (running, end) = seen.map_or((vec![], 0), |seen| (seen.running, seen.end));
    diesel::sql_query(
        "SELECT count(*) AS count, min(at) AS oldest_at FROM (
            SELECT at FROM audit_entries AS entry WHERE (transaction_id = ANY ($1) OR transaction_id >= $2)
            AND NOT EXISTS (SELECT FROM audit_seals WHERE entry_id = entry.id) LIMIT $3
         ) AS unsealed",
    )
    .bind::<Array<BigInt>, _>(running)
    .bind::<BigInt, _>(end)
    .bind::<BigInt, _>(BACKLOG_CAP)
    .get_result(&mut conn)
    .await
}

/// Seals until told to stop; then once more, and signs where the chain stands. While the database is away it waits.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    while let Err(fault) = lead(&app, &mut stop).await {
        log::warn!(cause = fault.as_str(); "the audit trail is not sealed for the moment");
        if *stop.borrow() {
            return;
        }
        pause(ASK, &mut stop).await;
    }
}

async fn pause(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.changed() => {}
    }
}

/// Waits for its turn, then leads. Ends well when told to stop, with a fault when the connection is lost.
async fn lead(app: &App, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
    let text = |fault: DieselError| fault.to_string();
    let mut conn = app.db.dedicated_connection().await.map_err(|fault| fault.to_string())?;
    let mut sealer = loop {
        match Sealer::lead(conn, app.clock.wall()).await.map_err(text)? {
            Ok(sealer) => break sealer,
            Err(mine) => conn = mine,
        }
        measure(app, &conn).await.map_err(text)?;
        pause(ASK, stop).await;
        if *stop.borrow() {
            return Ok(());
        }
    };
    log::info!(seq = sealer.head.0; "sealing the audit trail");
    checkpoints::tell_of_a_cut(app, sealer.head.0).await;
    let mut measured = Instant::now();
    loop {
        let stopping = *stop.borrow();
        app.metrics.sealed(sealer.seal().await.map_err(text)?);
        if stopping {
            return sealer.checkpoint(app).await.map_err(|fault| format!("no last checkpoint: {fault}"));
        }
        sealer.checkpoint_where_due(app).await;
        if measured.elapsed() >= ASK {
            measure(app, &sealer.conn).await.map_err(text)?;
            measured = Instant::now();
        }
        pause(LOOK, stop).await;
    }
}

/// Tells the metrics how far sealing is behind.
async fn measure(app: &App, conn: &AsyncPgConnection) -> QueryResult<()> {
    let backlog = backlog(conn).await?;
    let lag = backlog.oldest_at.map_or(0, |oldest| (app.clock.wall() - oldest).num_seconds().max(0));
    app.metrics.audit_backlog(backlog.count, lag);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_tells_which_transactions_have_ended_since() {
        let before: Snapshot = "100:110:100,104,109".parse().unwrap();
        let now: Snapshot = "104:120:104,115".parse().unwrap();
        assert_eq!((before.end, before.ended_since(&now)), (110, vec![100, 109]));
        assert_eq!("7:7:".parse::<Snapshot>().unwrap().running, Vec::<i64>::new());
        for malformed in ["", "7", "7:7", "a:b:", "7:7:x"] {
            assert!(malformed.parse::<Snapshot>().is_err(), "{malformed}");
        }
    }
}
