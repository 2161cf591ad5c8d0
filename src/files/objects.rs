//! The bytes of files and exports. An object is there whole or not at all; a local folder by default.

use std::fs::{DirEntry, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path as Folder, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::sealing::{ContentKey, FRAME, Part, Tampered};
use crate::http::{ApiError, ApiResult, Code, Room};
use crate::ids::FileId;

/// Uploads that are held in memory at a time.
const UPLOADS: usize = 4;

/// Where exports lie, so that a rule of the store can forget them too.
const EXPORTS: &str = "exports";

/// Which object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The bytes of a file.
    File(FileId),
    /// What an attempt at an export has written.
    Export(Uuid),
}

impl From<FileId> for Object {
    fn from(id: FileId) -> Self {
        Self::File(id)
    }
}

/// What was written of a file that is not in memory.
pub struct Written {
    /// Bytes.
    pub size: i64,
    /// SHA-256 of them.
    pub sha256: Vec<u8>,
}

/// A content as it is read.
pub type Reading = BoxStream<'static, object_store::Result<Bytes>>;

impl From<Tampered> for object_store::Error {
    fn from(fault: Tampered) -> Self {
        Self::Generic { store: "files", source: Box::new(fault) }
    }
}

/// Where the bytes are.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: PathBuf,
    uploads: Room,
}

impl Objects {
    /// A folder of this machine, made where it is missing.
    pub fn in_folder(folder: &Folder) -> Result<Self, String> {
        let fault = |fault: &dyn std::fmt::Display| format!("HALF_SKY_FILES: {}: {fault}", folder.display());
        std::fs::create_dir_all(folder).map_err(|e| fault(&e))?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| fault(&e))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: folder.to_owned(), uploads: Room::new(UPLOADS) })
    }

    /// Room for one upload in memory.
    pub async fn room(&self) -> ApiResult<OwnedSemaphorePermit> {
        self.uploads.enter().await
    }

    /// Where temporary files may lie that become objects: on the same disk, never in memory.
    pub fn scratch(&self) -> &Folder {
        &self.folder
    }

    /// Seals a content and writes it, whole or not at all.
    pub async fn put(&self, at: impl Into<Object>, key: &ContentKey, content: &[u8]) -> ApiResult<()> {
        self.store.put(&place(at.into()), key.seal(content).into()).await.map(drop).map_err(unavailable)
    }

    /// Seals the content of a file and writes it, a frame at a time. It reads the file where it runs: for threads of long work, not
    /// for those that answer requests.
    pub async fn put_file(&self, at: impl Into<Object>, key: &ContentKey, mut file: File) -> ApiResult<Written> {
        let size = file.metadata().map_err(ApiError::internal)?.len();
        let upload = self.store.put_multipart(&place(at.into())).await.map_err(unavailable)?;
        let mut upload = WriteMultipart::new(upload);
        let (mut digest, mut frame, last) = (Sha256::new(), vec![0; FRAME as usize], size.saturating_sub(1) / FRAME);
        for number in 0..=last {
            let length = FRAME.min(size - number * FRAME) as usize;
            if let Err(fault) = file.read_exact(&mut frame[..length]) {
                drop(upload.abort().await);
                return Err(ApiError::internal(fault));
            }
            digest.update(&frame[..length]);
            upload.wait_for_capacity(2).await.map_err(unavailable)?;
            upload.write(&key.seal_frame(number, number == last, &frame[..length]));
        }
        upload.finish().await.map_err(unavailable)?;
        Ok(Written { size: size as i64, sha256: digest.finalize().to_vec() })
    }

    /// Reads a part of a content of `size` bytes.
    pub async fn get(&self, at: impl Into<Object>, key: &ContentKey, wanted: &Range<u64>, size: u64) -> ApiResult<Reading> {
        let part = Part::of(wanted, size);
        let options = GetOptions { range: Some(GetRange::Bounded(part.in_object())), ..GetOptions::default() };
        let sealed = self.store.get_opts(&place(at.into()), options).await.map_err(unavailable)?.into_stream();
        Ok(key.open_part(part, sealed))
    }

    /// Removes an object; one that is gone already is no fault.
    pub async fn delete(&self, at: impl Into<Object>) -> ApiResult<()> {
        match self.store.delete(&place(at.into())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(fault) => Err(unavailable(fault)),
        }
    }

    /// The files whose objects were written before an instant.
    pub async fn files_older_than(&self, before: DateTime<Utc>) -> Result<Vec<FileId>, String> {
        let objects = self.older_than(None, before).await?;
        let files = objects.iter().filter(|object| !object.location.as_ref().starts_with(EXPORTS));
        Ok(files.filter_map(id_of).map(FileId).collect())
    }

    /// The objects of exports that were written before an instant.
    pub async fn exports_older_than(&self, before: DateTime<Utc>) -> Result<Vec<Uuid>, String> {
        let objects = self.older_than(Some(&Path::from(EXPORTS)), before).await?;
        Ok(objects.iter().filter_map(id_of).collect())
    }

    async fn older_than(&self, below: Option<&Path>, before: DateTime<Utc>) -> Result<Vec<ObjectMeta>, String> {
        let objects: Vec<_> = self.store.list(below).try_collect().await.map_err(|fault| fault.to_string())?;
        Ok(objects.into_iter().filter(|object| object.last_modified < before).collect())
    }

    /// Removes what uploads that were cut off left behind: files beside the objects, which the store writes before it names them.
    pub fn remove_leftovers(&self, before: DateTime<Utc>) -> std::io::Result<usize> {
        sweep(&self.folder, before)
    }
}

fn sweep(folder: &Folder, before: DateTime<Utc>) -> std::io::Result<usize> {
    removed(std::fs::read_dir(folder)?.flatten(), before)
}

fn removed(entries: impl IntoIterator<Item = DirEntry>, before: DateTime<Utc>) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in entries {
        removed += match swept(&entry, before) {
            // An upload under way has got its name meanwhile.
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => 0,
            other => other?,
        };
    }
    Ok(removed)
}

fn swept(entry: &DirEntry, before: DateTime<Utc>) -> std::io::Result<usize> {
    if entry.path().is_dir() {
        return sweep(&entry.path(), before);
    }
    let half = entry.file_name().to_string_lossy().contains('#');
    let modified: DateTime<Utc> = entry.metadata()?.modified()?.into();
    if !half || modified >= before {
        return Ok(0);
    }
    std::fs::remove_file(entry.path()).map(|()| 1)
}

/// Objects lie in 256 folders by the last two digits of their id, which are random.
fn place(at: Object) -> Path {
    let (folder, id) = match at {
        Object::File(id) => (String::new(), id.0),
        Object::Export(id) => (format!("{EXPORTS}/"), id),
    };
    let name = id.to_string();
    Path::from(format!("{folder}{}/{name}", &name[34..]))
}

fn id_of(object: &ObjectMeta) -> Option<Uuid> {
    object.location.filename()?.parse().ok()
}

fn unavailable(fault: object_store::Error) -> ApiError {
    ApiError::from(Code::Unavailable).caused_by(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_that_gets_its_name_meanwhile_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let now: DateTime<Utc> = std::time::SystemTime::now().into();
        let later = now + chrono::TimeDelta::hours(1);
        std::fs::write(folder.path().join("a#1"), b"half").unwrap();
        let seen: Vec<DirEntry> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        std::fs::rename(folder.path().join("a#1"), folder.path().join("a")).unwrap();
        assert_eq!(removed(seen, later).unwrap(), 0);
        std::fs::write(folder.path().join("b#1"), b"half").unwrap();
        assert_eq!(sweep(folder.path(), later).unwrap(), 1);
        assert!(folder.path().join("a").exists(), "what has its name stays");
    }
}
