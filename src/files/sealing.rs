//! How the bytes of a file rest: sealed in frames under a key of its own. The key lies sealed in the file's row, so that a
//! rotation seals keys again and no object, and a row that is forgotten takes its content with it. Frames open one by one: a part
//! of a file costs only its own frames.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use crate::vault::{Purpose, Vault, VaultError, random};

/// Place of a file's key in the database.
pub const CONTENT_KEY: &str = "files.content_key";
/// Plain bytes of a frame; the last may have fewer.
const FRAME: u64 = 64 << 10;
/// What sealing adds to a frame.
const TAG: u64 = 16;

/// The key of one file. It seals one content only: a frame's number is its nonce.
#[derive(Clone)]
pub struct ContentKey([u8; 32]);

impl ContentKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key, sealed for the file's row.
    pub fn sealed(&self, vault: &Vault) -> Vec<u8> {
        vault.seal(Purpose::Personal, CONTENT_KEY, &self.0)
    }

    /// The key of a file's row.
    pub fn open(vault: &Vault, sealed: &[u8]) -> Result<Self, VaultError> {
        vault.open(CONTENT_KEY, sealed)?.try_into().map(Self).map_err(|_| VaultError::Broken)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }

    /// Seals a whole content.
    pub fn seal(&self, plain: &[u8]) -> Bytes {
        let (cipher, frames) = (self.cipher(), plain.len().div_ceil(FRAME as usize).max(1));
        let mut sealed = BytesMut::with_capacity(plain.len() + frames * TAG as usize);
        for (number, frame) in plain.chunks(FRAME as usize).enumerate() {
            let last = number + 1 == frames;
            let frame = cipher.encrypt(&nonce(number as u64, last), frame).expect("sealing fails only beyond 256 GiB");
            sealed.extend_from_slice(&frame);
        }
        sealed.freeze()
    }

    /// Opens the frames of `part` as they arrive, and cuts them to it.
    pub fn open_part<E: From<Tampered> + Send + 'static>(
        &self,
        part: Part,
        sealed: BoxStream<'static, Result<Bytes, E>>,
    ) -> BoxStream<'static, Result<Bytes, E>> {
        let reading = Reading { cipher: self.cipher(), part, sealed, waiting: BytesMut::new(), number: part.first };
        try_unfold(reading, |mut reading| async move { Ok(reading.next().await?.map(|plain| (plain, reading))) }).boxed()
    }
}

/// The bytes of an object are not those that were written.
#[derive(Debug, thiserror::Error)]
#[error("the content of a file does not open")]
pub struct Tampered;

/// Which frames a part of a file lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of the first frame.
    first: u64,
    /// Number of the file's last frame.
    last: u64,
    /// Plain bytes to leave out at the beginning of the first frame.
    skip: u64,
    /// Plain bytes to give.
    length: u64,
    /// Plain bytes of the file.
    size: u64,
}

impl Part {
    /// A part of a file of `size` bytes.
    pub fn of(wanted: &Range<u64>, size: u64) -> Self {
        Self {
            first: wanted.start / FRAME,
            last: size.saturating_sub(1) / FRAME,
            skip: wanted.start % FRAME,
            length: wanted.end - wanted.start,
            size,
        }
    }

    /// Where its frames lie in the object.
    pub fn in_object(&self) -> Range<u64> {
        let end = (self.first * FRAME + self.skip + self.length).div_ceil(FRAME);
        self.first * (FRAME + TAG)..(end * (FRAME + TAG)).min(self.size + (self.last + 1) * TAG)
    }
}

struct Reading<E> {
    cipher: XChaCha20Poly1305,
    part: Part,
    sealed: BoxStream<'static, Result<Bytes, E>>,
    waiting: BytesMut,
    number: u64,
}

impl<E: From<Tampered>> Reading<E> {
    /// The next piece of the part; none: it has been given.
    async fn next(&mut self) -> Result<Option<Bytes>, E> {
        if self.part.length == 0 {
            return Ok(None);
        }
        let last = self.number == self.part.last;
        let plain_length = if last { self.part.size - self.number * FRAME } else { FRAME };
        let length = (plain_length + TAG) as usize;
        while self.waiting.len() < length {
            let more = self.sealed.try_next().await?.ok_or(Tampered)?;
            self.waiting.extend_from_slice(&more);
        }
        let frame = self.waiting.split_to(length);
        let plain = self.cipher.decrypt(&nonce(self.number, last), frame.as_ref()).map_err(|_| Tampered)?;
        let plain = Bytes::from(plain).slice(std::mem::take(&mut self.part.skip) as usize..);
        let plain = plain.slice(..plain.len().min(self.part.length as usize));
        self.part.length -= plain.len() as u64;
        self.number += 1;
        Ok(Some(plain))
    }
}

/// Says where a frame stands and whether it is the last, so that frames can neither be moved nor cut off.
fn nonce(number: u64, last: bool) -> XNonce {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8] = u8::from(last);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(key: &ContentKey, object: &Bytes, wanted: Range<u64>, size: u64) -> Result<Vec<u8>, Tampered> {
        let part = Part::of(&wanted, size);
        let place = part.in_object();
        let bytes = object.slice(place.start as usize..(place.end as usize).min(object.len()));
        // As a store may give them: in pieces that fit no frame.
        let pieces: Vec<_> = bytes.chunks(10_007).map(Bytes::copy_from_slice).map(Ok).collect();
        let plain: Vec<Bytes> = key.open_part(part, futures_util::stream::iter(pieces).boxed()).try_collect().await?;
        Ok(plain.concat())
    }

    #[tokio::test]
    async fn any_part_of_a_sealed_content_opens_as_it_was() {
        for size in [1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 5] {
            let plain: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let key = ContentKey::generate();
            let object = key.seal(&plain);
            let edges = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, size - 1, size].map(|edge| edge.min(size));
            for (start, end) in edges.iter().flat_map(|start| edges.map(|end| (*start, end))).filter(|(start, end)| start < end) {
                let part = read(&key, &object, start..end, size).await.unwrap();
                assert!(part == plain[start as usize..end as usize], "{start}..{end} of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_changed_moved_or_cut_content_does_not_open() {
        let (key, size) = (ContentKey::generate(), 2 * FRAME);
        let object = key.seal(&vec![7; size as usize]);
        let frame = (FRAME + TAG) as usize;
        let mut changed = object.to_vec();
        changed[frame + 9] ^= 1;
        let swapped = [&object[frame..], &object[..frame]].concat();
        let other = ContentKey::generate().seal(&vec![7; size as usize]);
        for (what, broken) in [("changed", changed), ("swapped", swapped), ("other key", other.to_vec())] {
            assert!(read(&key, &broken.into(), 0..size, size).await.is_err(), "{what}");
        }
        assert!(read(&key, &object.slice(..frame), 0..size, size).await.is_err(), "cut");
        // Even where the row, too, says that the content ends there: its last frame is not marked as the last.
        assert!(read(&key, &object.slice(..frame), 0..FRAME, FRAME).await.is_err(), "cut with its row");
    }
}
