//! `half-sky audit verify`: the whole chain, with any user that may read the database.

use std::path::PathBuf;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use super::runtime;
use crate::audit::checkpoints::{self, Checkpoint};
use crate::audit::verify::{Checked, Part, count_unsealed, verify as verify_part};
use crate::config::Config;
use crate::db::Address;

/// Entries between two lines of progress.
const PART: i64 = 100_000;

/// Prints what it finds; a fault where anything is not as it was sealed.
pub fn verify(config: &Config, files: Vec<PathBuf>) -> Result<(), String> {
    let url = config.database_url.as_deref().ok_or("DATABASE_URL is needed: a user who may read")?;
    let database = Address::new(url, config.database_ca.as_deref())?;
    let files = if files.is_empty() { vec![config.checkpoint_file()] } else { files };
    let (mut in_files, mut unreadable) = (vec![], 0);
    for file in files {
        let held = checkpoints::read(&file).map_err(|fault| format!("{}: {fault}", file.display()))?;
        println!("{}: {} checkpoints", file.display(), held.checkpoints.len());
        unreadable += held.unreadable;
        in_files.extend(held.checkpoints);
    }
    let broken = runtime()?.block_on(async {
        let mut conn = database.connect().await?;
        conn.batch_execute("SET default_transaction_read_only = on").await.map_err(|fault| fault.to_string())?;
        whole(&conn, in_files, unreadable).await.map_err(|fault| fault.to_string())
    })?;
    if broken.is_empty() { Ok(()) } else { Err(broken.join("; ")) }
}

async fn whole(conn: &AsyncPgConnection, in_files: Vec<Checkpoint>, unreadable: usize) -> diesel::QueryResult<Vec<String>> {
    let keys = checkpoints::public_keys(conn).await?;
    let mut known = checkpoints::between(conn, 0, i64::MAX).await?;
    println!("database: {} checkpoints", known.len());
    let in_database = known.clone();
    known.extend(in_files.into_iter().filter(|checkpoint| !in_database.contains(checkpoint)));
    let (mut from, mut checked, mut broken) = (1, Checked::default(), vec![]);
    loop {
        let found = verify_part(conn, Part { from, to: None, limit: PART }, &known, &keys).await?;
        checked.good += found.checkpoints.good;
        checked.missing += found.checkpoints.missing;
        checked.broken += found.checkpoints.broken;
        println!("verified through {}", found.verified_through);
        if let Some(first) = &found.first_broken {
            let entry = first.entry_id.map(|id| format!(" (entry {id})")).unwrap_or_default();
            broken.push(format!("the audit trail is broken at {}{entry}: {}", first.seq, first.reason));
        }
        match found.next {
            Some(next) => from = next,
            None => break,
        }
    }
    println!("checkpoints: {} right, {} without a seal, {} wrong", checked.good, checked.missing, checked.broken + unreadable);
    if checked.broken + unreadable > 0 {
        broken.push(format!("{} checkpoints are wrong or cannot be read", checked.broken + unreadable));
    }
    let unsealed = count_unsealed(conn).await?;
    println!("waiting for a seal: {}", unsealed.waiting);
    if unsealed.passed > 0 {
        broken.push(format!("{} entries have no seal although they had one", unsealed.passed));
    }
    Ok(broken)
}
