//! What the server needs of a collection.

use std::sync::Arc;

use kokeshi_collection::{Info, SearchRequest, SearchResponse};
use kokeshi_core::Size;
use kokeshi_encode::Model;
use kokeshi_sources::Document;

use crate::Problem;

/// A collection that can be searched by many threads. Every method may block.
pub trait Backend: Send + Sync + 'static {
    /// Its model, if embeddings can be asked of it.
    fn model(&self) -> Option<Model>;
    /// The size at which the collection uses it.
    fn size(&self) -> Size {
        Size::FULL
    }
    /// Schema, counts, sizes.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn info(&self) -> Result<Info, Problem>;
    /// Searches.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, Problem>;
    /// Documents like document `id`; `None` if there is no such document.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn similar(&self, id: &str, k: usize, filter: Option<&str>) -> Result<Option<SearchResponse>, Problem>;
    /// Document `id`; `None` if there is no such document.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn document(&self, id: &str) -> Result<Option<Document>, Problem>;
    /// Looks whether there is a newer commit and turns to it.
    ///
    /// # Errors
    /// A [`Problem`] that is logged.
    fn refresh(&self) -> Result<(), Problem>;
    /// Takes the write lock.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client: busy, if another program writes.
    fn writer(self: Arc<Self>) -> Result<Box<dyn Write>, Problem>;
}

/// The one writer of a collection. Dropping it drops what was not committed and gives the lock back.
pub trait Write: Send {
    /// Adds or replaces all of `documents`, or none.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn upsert(&mut self, documents: Vec<Document>) -> Result<(), Problem>;
    /// Deletes by id; returns how many there were.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn delete_ids(&mut self, ids: &[String]) -> Result<u64, Problem>;
    /// Deletes what matches; returns how many there were.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to the client.
    fn delete_filter(&mut self, filter: &str) -> Result<u64, Problem>;
    /// Makes everything since the last commit durable and visible; returns the generation.
    ///
    /// # Errors
    /// A [`Problem`] that is sent to every client whose write was in the group.
    fn commit(&mut self) -> Result<u64, Problem>;
    /// Makes searches faster and files fewer where that is worth the time, after a commit and while nothing is to be written. `stop` says
    /// when something is again; what was not finished then is left for the next time.
    ///
    /// # Errors
    /// A [`Problem`] for the server's log; the collection is as it was.
    fn tidy(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Problem>;
}
