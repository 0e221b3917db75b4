//! A [`Collection`] behind the server: its errors become answers, and it is read anew only when its files changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::http::StatusCode;
use kokeshi_collection::{Collection, Error, Info, SearchRequest, SearchResponse, Writer};
use kokeshi_core::{Progress, Size};
use kokeshi_encode::Model;
use kokeshi_sources::Document;

use crate::Problem;
use crate::backend::{Backend, Write};

/// An open collection.
pub struct Opened {
    collection: Collection,
    /// When the file that every commit replaces was last changed.
    changed: Mutex<Option<SystemTime>>,
}

impl Opened {
    /// Wraps a collection.
    pub fn new(collection: Collection) -> Arc<Self> {
        Arc::new(Self {
            collection,
            changed: Mutex::new(None),
        })
    }
}

impl Backend for Opened {
    fn model(&self) -> Option<Model> {
        self.collection.embedder().model().cloned()
    }

    fn size(&self) -> Size {
        self.collection.embedder().size()
    }

    fn info(&self) -> Result<Info, Problem> {
        Ok(self.collection.info())
    }

    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, Problem> {
        self.collection.search(request).map_err(problem)
    }

    fn similar(&self, id: &str, k: usize, filter: Option<&str>) -> Result<Option<SearchResponse>, Problem> {
        self.collection.similar(id, k, filter).map_err(problem)
    }

    fn document(&self, id: &str) -> Result<Option<Document>, Problem> {
        self.collection.document(id).map_err(problem)
    }

    fn refresh(&self) -> Result<(), Problem> {
        let commit = self.collection.directory().join("text/meta.json");
        let now = std::fs::metadata(commit).and_then(|meta| meta.modified()).ok();
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none() || *changed != now {
            self.collection.refresh().map_err(problem)?;
            *changed = now;
        }
        Ok(())
    }

    fn writer(self: Arc<Self>) -> Result<Box<dyn Write>, Problem> {
        Ok(Box::new(self.collection.writer().map_err(problem)?))
    }
}

impl Write for Writer {
    fn upsert(&mut self, documents: Vec<Document>) -> Result<(), Problem> {
        Writer::upsert(self, &documents).map(drop).map_err(problem)
    }

    fn delete_ids(&mut self, ids: &[String]) -> Result<u64, Problem> {
        Writer::delete_ids(self, ids).map_err(problem)
    }

    fn delete_filter(&mut self, filter: &str) -> Result<u64, Problem> {
        Writer::delete_filter(self, filter).map_err(problem)
    }

    fn commit(&mut self) -> Result<u64, Problem> {
        Writer::commit(self).map_err(problem)
    }

    fn tidy(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Problem> {
        if self.needs_optimizing() {
            self.optimize(&Until(stop)).map_err(problem)?;
        }
        Ok(())
    }
}

/// Work that nobody watches and that ends early when something more urgent comes.
struct Until<'a>(&'a (dyn Fn() -> bool + Sync));

impl Progress for Until<'_> {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.0()
    }
}

/// The answer for an error. What is wrong inside the server goes to its log, since it names files.
fn problem(error: Error) -> Problem {
    let text = format!("{error}.");
    match error {
        Error::Filter { .. } => Problem::bad("bad_filter", text).param("filter"),
        Error::Schema(_) => Problem::bad("bad_attribute", text).param("attributes"),
        Error::Document { .. } => Problem::bad("bad_document", text),
        Error::Request(_) | Error::Model(kokeshi_encode::Error::Request(_)) => {
            Problem::bad("bad_request", text)
        }
        Error::Busy { holder, .. } => Problem::busy(
            "in_use",
            format!("The collection is being written by {holder}."),
            5,
        )
        .hint("Try again when it is done."),
        Error::Core(kokeshi_core::Error::Io { source, .. })
            if source.kind() == std::io::ErrorKind::StorageFull =>
        {
            tracing::error!("{text}");
            Problem::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "The server's disk is full; nothing of this write was kept.",
            )
        }
        _ => {
            tracing::error!("{text}");
            Problem::internal("The collection can't be read or written.").hint("The server's log says why.")
        }
    }
}
