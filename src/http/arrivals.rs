//! Forms on their way. A form comes at the pace of its client and waits in an unnamed file, so that a slow one takes no memory and
//! nobody's turn; only what is there as a whole is given room ([`crate::files::Objects::room`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::problem::{ApiError, ApiResult, Code};
use super::rate::Counted;
use super::room::Room;

/// Forms that are on their way at a time, and so many files of the largest size beside one another.
const ALL: usize = 64;
/// Forms of one caller that are on their way at a time.
const MINE: usize = 8;
/// How long a client may take for each piece.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes in a second that a client sends at least, on the whole: 0.5 Mbit.
const LEAST_RATE: f64 = (64 << 10) as f64;
/// So much of a form is in memory while it comes.
const PIECE: usize = 128 << 10;

/// The forms that are on their way to this node.
pub struct Arrivals {
    all: Room,
    by_caller: Arc<Mutex<HashMap<Counted, usize>>>,
    folder: PathBuf,
}

/// One of a caller's forms, counted until it is dropped.
struct Mine {
    caller: Counted,
    by_caller: Arc<Mutex<HashMap<Counted, usize>>>,
}

impl Arrivals {
    /// Forms wait in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { all: Room::new(ALL), by_caller: Arc::default(), folder: folder.to_owned() }
    }

    /// Receives a body of at most `limit` bytes. It comes to an end, or the client is told that it is too slow.
    pub async fn receive(&self, caller: &Counted, mut payload: Payload, limit: usize) -> ApiResult<Arrived> {
        let _mine = self.count(caller)?;
        let _place = self.all.enter().await?;
        let mut arrived = Arrived::default();
        let start = Instant::now();
        let mut last = start;
        loop {
            let next = timeout_at(due(start, last, arrived.length), payload.next()).await;
            let Some(chunk) = next.map_err(|_| ApiError::from(Code::RequestTimeout))? else { return Ok(arrived) };
            let chunk = chunk.map_err(|fault| ApiError::from(Code::MalformedRequest).caused_by(fault))?;
            last = Instant::now();
            if arrived.length + chunk.len() > limit {
                return Err(Code::PayloadTooLarge.into());
            }
            arrived.take(&chunk, &self.folder).await?;
        }
    }

    fn count(&self, caller: &Counted) -> ApiResult<Mine> {
        let mut by_caller = lock(&self.by_caller);
        let mine = by_caller.entry(caller.clone()).or_default();
        if *mine == MINE {
            let (zh, en) =
                ("您同时上传的文件过多，请等待其中一个完成", "too many of your uploads are under way; wait for one to end");
            return Err(ApiError::from(Code::RateLimited).because(zh, en).with_header(RETRY_AFTER, "5"));
        }
        *mine += 1;
        Ok(Mine { caller: caller.clone(), by_caller: Arc::clone(&self.by_caller) })
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let mut by_caller = lock(&self.by_caller);
        if let Some(mine) = by_caller.get_mut(&self.caller) {
            *mine -= 1;
            if *mine == 0 {
                by_caller.remove(&self.caller);
            }
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// By when the next piece has to be there: soon after the one before, and all so far at the least rate.
fn due(start: Instant, last: Instant, received: usize) -> Instant {
    (last + PATIENCE).min(start + PATIENCE + Duration::from_secs_f64(received as f64 / LEAST_RATE))
}

/// A form that is there.
#[derive(Default)]
pub struct Arrived {
    length: usize,
    /// What came before [`Self::end`], where that is too much for memory.
    file: Option<File>,
    end: BytesMut,
}

impl Arrived {
    async fn take(&mut self, chunk: &[u8], folder: &Path) -> ApiResult<()> {
        self.length += chunk.len();
        self.end.extend_from_slice(chunk);
        if self.end.len() < PIECE {
            return Ok(());
        }
        let (end, file, folder) = (std::mem::take(&mut self.end), self.file.take(), folder.to_owned());
        let file = beside(move || {
            let mut file = file.map_or_else(|| tempfile::tempfile_in(folder), Ok)?;
            file.write_all(&end)?;
            Ok(file)
        });
        self.file = Some(file.await?);
        Ok(())
    }

    /// All of it, in memory.
    pub async fn whole(self) -> ApiResult<Bytes> {
        let Self { length, file, end } = self;
        let Some(mut file) = file else { return Ok(end.freeze()) };
        beside(move || {
            let mut whole = Vec::with_capacity(length);
            file.rewind()?;
            file.read_to_end(&mut whole)?;
            whole.extend_from_slice(&end);
            Ok(whole.into())
        })
        .await
    }
}

/// Work on the disk, beside the requests.
async fn beside<R: Send + 'static>(work: impl FnOnce() -> io::Result<R> + Send + 'static) -> ApiResult<R> {
    let done = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    done.map_err(|fault| ApiError::from(Code::Unavailable).caused_by(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_fifteen_seconds_for_a_piece_and_a_second_more_for_each_64_kib() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        for (last, received, expected) in [
            (0, 0, 15),
            // A byte every ten seconds: the whole is due before the piece.
            (10, 1, 15),
            (10, 640 << 10, 25),
            // Ten MiB at half a Mbit take 160 seconds.
            (159, 10 << 20, 174),
            // A fast client that falls asleep.
            (2, 10 << 20, 17),
        ] {
            let due = due(start, after(last), received).duration_since(start).as_secs();
            assert_eq!(due, expected, "{received} bytes after {last} s");
        }
    }

    #[actix_web::test]
    async fn what_arrives_in_pieces_is_whole_and_leaves_no_name_behind() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        for size in [0, 100, PIECE - 1, PIECE, 300_000, 1_000_000] {
            let mut arrived = Arrived::default();
            for chunk in content[..size].chunks(50_000) {
                arrived.take(chunk, folder.path()).await.unwrap();
                assert!(arrived.end.len() < PIECE);
            }
            assert_eq!(arrived.whole().await.unwrap(), content[..size], "{size} bytes");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
