//! What all requests share: settings, collections, models, gates, counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kokeshi_encode::{Model, Reranker, SparseModel};
use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::body::MEMORY_UNIT;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::writes::Writes;
use crate::{Error, Models, Problem, Result, ServerConfig};

/// A collection that is served.
pub struct Served {
    /// For reading.
    pub backend: Arc<dyn Backend>,
    /// For writing.
    pub writes: Writes,
}

/// The state of the server.
pub struct App {
    /// Settings.
    pub config: ServerConfig,
    /// By name.
    pub collections: BTreeMap<String, Served>,
    /// Models for embeddings, by id.
    pub models: BTreeMap<String, Model>,
    /// What compares queries with texts.
    pub reranker: Option<Reranker>,
    /// What makes sparse vectors.
    pub sparse: Option<SparseModel>,
    /// Searches and embeddings: they take a core for a while.
    pub heavy: Gate,
    /// Look-ups: they take a moment, and should not wait behind the others.
    pub light: Gate,
    /// Memory for request bodies, in units of `MEMORY_UNIT` bytes.
    pub bodies: Arc<Semaphore>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    stopping: AtomicBool,
}

impl App {
    /// Starts the writer threads. Models are the collections' own and `models`.
    ///
    /// # Errors
    /// [`Error::Config`] for bad settings, no or equal names; [`Error::Io`] if threads can't be started.
    pub fn new(
        config: ServerConfig,
        collections: Vec<(String, Arc<dyn Backend>)>,
        models: Models,
    ) -> Result<Arc<Self>> {
        config.check()?;
        let metrics = Arc::new(Metrics::default());
        let mut by_id: BTreeMap<String, Model> = BTreeMap::new();
        let mut served = BTreeMap::new();
        for (name, backend) in collections {
            if let Some(model) = backend.model() {
                by_id.entry(model.id().into()).or_insert(model);
            }
            let writes = Writes::start(
                name.clone(),
                backend.clone(),
                metrics.clone(),
                config.write_queue,
                config.writer_idle,
            )
            .map_err(Error::Io)?;
            if served.insert(name.clone(), Served { backend, writes }).is_some() {
                return Err(Error::Config(format!(
                    "two collections are called {name:?}: rename one directory"
                )));
            }
        }
        for model in models.embedders {
            by_id.entry(model.id().into()).or_insert(model);
        }
        let light = config.concurrency * 4;
        Ok(Arc::new(Self {
            heavy: Gate::new(
                config.concurrency,
                config.queue,
                config.queue_timeout,
                config.timeout,
            ),
            light: Gate::new(light, config.queue, config.queue_timeout, config.timeout),
            bodies: Arc::new(Semaphore::new(
                config.max_bodies.max(config.max_body).div_ceil(MEMORY_UNIT),
            )),
            collections: served,
            models: by_id,
            reranker: models.reranker,
            sparse: models.sparse,
            metrics,
            stopping: AtomicBool::new(false),
            config,
        }))
    }

    /// The collection called `name`.
    ///
    /// # Errors
    /// 404 that lists what there is.
    pub fn collection(&self, name: &str) -> Result<&Served, Problem> {
        self.collections.get(name).ok_or_else(|| {
            let names: Vec<_> = self.collections.keys().map(String::as_str).collect();
            Problem::missing("unknown_collection", format!("There is no collection {name:?}."))
                .param("name")
                .hint(format!("Collections here: {}.", names.join(", ")))
        })
    }

    /// The reranker.
    ///
    /// # Errors
    /// 404 if the server was started without one.
    pub fn reranker(&self) -> Result<&Reranker, Problem> {
        self.reranker.as_ref().ok_or_else(|| {
            Problem::missing("model_not_found", "This server has no reranker.")
                .hint("Start it with --reranker MODEL.")
        })
    }

    /// The server no longer counts as ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server was told to stop.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Takes no more writes, commits those that were handed in. Blocks.
    pub fn close(&self) {
        for served in self.collections.values() {
            served.writes.close();
        }
    }
}
