//! The bytes of files. An object is there whole or not at all; a local folder by default.

use std::ops::Range;
use std::path::{Path as Folder, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::sealing::{ContentKey, Part, Tampered};
use crate::http::{ApiError, ApiResult, Code};
use crate::ids::FileId;

/// Uploads that are held in memory at a time.
const UPLOADS: usize = 4;

/// A content as it is read.
pub type Content = BoxStream<'static, object_store::Result<Bytes>>;

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
    uploads: Arc<Semaphore>,
}

impl Objects {
    /// A folder of this machine, made where it is missing.
    pub fn in_folder(folder: &Folder) -> Result<Self, String> {
        let fault = |fault: &dyn std::fmt::Display| format!("HALF_SKY_FILES: {}: {fault}", folder.display());
        std::fs::create_dir_all(folder).map_err(|e| fault(&e))?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| fault(&e))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: folder.to_owned(), uploads: Arc::new(Semaphore::new(UPLOADS)) })
    }

    /// Room for one upload in memory; an upload that finds none within five seconds is told to come again.
    pub async fn room(&self) -> ApiResult<OwnedSemaphorePermit> {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(5), Arc::clone(&self.uploads).acquire_owned()).await;
        waited.map_err(|_| ApiError::from(Code::Overloaded).caused_by("too many uploads"))?.map_err(ApiError::internal)
    }

    /// Seals a content and writes it, whole or not at all.
    pub async fn put(&self, id: FileId, key: &ContentKey, content: &[u8]) -> ApiResult<()> {
        self.store.put(&place(id), key.seal(content).into()).await.map(drop).map_err(unavailable)
    }

    /// Reads a part of a content of `size` bytes.
    pub async fn get(&self, id: FileId, key: &ContentKey, wanted: &Range<u64>, size: u64) -> ApiResult<Content> {
        let part = Part::of(wanted, size);
        let options = GetOptions { range: Some(GetRange::Bounded(part.in_object())), ..GetOptions::default() };
        let sealed = self.store.get_opts(&place(id), options).await.map_err(unavailable)?.into_stream();
        Ok(key.open_part(part, sealed))
    }

    /// Removes an object; one that is gone already is no fault.
    pub async fn delete(&self, id: FileId) -> ApiResult<()> {
        match self.store.delete(&place(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(fault) => Err(unavailable(fault)),
        }
    }

    /// The objects that were written before an instant.
    pub async fn older_than(&self, before: DateTime<Utc>) -> Result<Vec<FileId>, String> {
        let objects: Vec<_> = self.store.list(None).try_collect().await.map_err(|fault| fault.to_string())?;
        let old = objects.into_iter().filter(|object| object.last_modified < before);
        Ok(old.filter_map(|object| object.location.filename()?.parse::<Uuid>().ok().map(FileId)).collect())
    }

    /// Removes what uploads that were cut off left behind: files beside the objects, which the store writes before it names them.
    pub fn remove_leftovers(&self, before: DateTime<Utc>) -> std::io::Result<usize> {
        let mut removed = 0;
        for folder in std::fs::read_dir(&self.folder)?.flatten().filter(|entry| entry.path().is_dir()) {
            for entry in std::fs::read_dir(folder.path())?.flatten() {
                let half = entry.file_name().to_string_lossy().contains('#');
                let modified: DateTime<Utc> = entry.metadata()?.modified()?.into();
                if half && modified < before {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Objects lie in 256 folders by the last two digits of their id, which are random.
fn place(id: FileId) -> Path {
    let name = id.to_string();
    Path::from(format!("{}/{name}", &name[34..]))
}

fn unavailable(fault: object_store::Error) -> ApiError {
    ApiError::from(Code::Unavailable).caused_by(fault)
}
