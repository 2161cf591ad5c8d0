//! Room for work that takes memory: so much of it at a time, and whoever comes beyond waits a little.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{ApiError, ApiResult, Code};

/// How long somebody waits for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many places.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// A room with so many places.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// A place, given back when it is dropped; who finds none within five seconds is told to come again.
    pub async fn enter(&self) -> ApiResult<OwnedSemaphorePermit> {
        let waited = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        waited.map_err(|_| ApiError::from(Code::Overloaded).caused_by("no room"))?.map_err(ApiError::internal)
    }
}
