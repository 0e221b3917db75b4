//! What a collection needs of a model, and the models of `kokeshi-encode` as such.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_codec::Bridge;
use kokeshi_core::{Embeddings, Metric, Size};
use kokeshi_encode::{Model, Options, Task};

use crate::{Error, Result};

/// Texts to vectors, as a collection needs it. Shared between threads.
pub trait Embedder: Send + Sync {
    /// What a user calls the model: what [`ModelEmbedder::load`] takes to load it again.
    fn id(&self) -> String;
    /// Two embedders with the same fingerprint give the same vectors.
    fn fingerprint(&self) -> String;
    /// The width of the vectors.
    fn dims(&self) -> usize;
    /// How the vectors are meant to be compared.
    fn metric(&self) -> Metric;
    /// The most tokens of a text that are read; `None`: no limit.
    fn max_tokens(&self) -> Option<usize>;
    /// Vectors of passages, `[texts, dims]`.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn encode_documents(&self, texts: &[String]) -> Result<Embeddings>;
    /// The vector of a query, `[dims]`.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn encode_query(&self, text: &str) -> Result<Vec<f32>>;
    /// Byte ranges of the tokens of `text`, special tokens left out, not cut.
    fn token_ranges(&self, text: &str) -> Vec<Range<usize>>;
    /// The size at which the model inside is used.
    fn size(&self) -> Size {
        Size::FULL
    }
    /// The model inside, if it is one that can be used for other things too.
    fn model(&self) -> Option<&Model> {
        None
    }
}

/// A [`Model`] at a size.
#[derive(Clone)]
pub struct ModelEmbedder {
    model: Model,
    size: Size,
    dims: usize,
}

impl ModelEmbedder {
    /// The id of the model that is part of the program.
    pub const COMPILED_IN: &'static str = "kokeshi-static";

    /// Wraps a loaded model.
    ///
    /// # Errors
    /// [`Error::Request`] if the model is smaller than `size`, or `size` asks for fewer bits than the collection stores (32).
    pub fn new(model: Model, size: Size) -> Result<Self> {
        let dims = size.dims.unwrap_or_else(|| model.dims());
        if dims == 0 || dims > model.dims() {
            return Err(Error::Request(format!(
                "size {size}: expected 1 to {} dimensions, the width of model {}, found {dims}",
                model.dims(),
                model.id()
            )));
        }
        if size.layers.is_some_and(|layers| layers > model.layers()) {
            return Err(Error::Request(format!(
                "size {size}: model {} has {} layers",
                model.id(),
                model.layers()
            )));
        }
        if size.bits.is_some_and(|bits| bits != 32) {
            return Err(Error::Request(format!(
                "size {size}: a collection stores 32 bits a dimension; leave the bits out"
            )));
        }
        Ok(Self { model, size, dims })
    }

    /// Loads the model `id`: a directory, a hub id, or [`Self::COMPILED_IN`].
    ///
    /// # Errors
    /// What the loader reports, or as [`Self::new`].
    pub fn load(id: &str, size: Size) -> Result<Self> {
        let model = if id == Self::COMPILED_IN {
            Model::compiled_in()
        } else {
            Model::load(id)?
        };
        Self::new(model, size)
    }

    /// The model inside.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn options(&self, task: Task) -> Options {
        Options {
            task,
            size: self.size,
            ..Options::default()
        }
    }
}

impl Embedder for ModelEmbedder {
    fn id(&self) -> String {
        self.model.id().to_string()
    }

    fn fingerprint(&self) -> String {
        self.model.fingerprint()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.model.metric()
    }

    fn max_tokens(&self) -> Option<usize> {
        self.model.max_tokens()
    }

    fn encode_documents(&self, texts: &[String]) -> Result<Embeddings> {
        Ok(self.model.encode(texts, &self.options(Task::Document))?)
    }

    fn encode_query(&self, text: &str) -> Result<Vec<f32>> {
        let vectors = self.model.encode(&[text], &self.options(Task::Query))?;
        Ok(vectors.into_vec())
    }

    fn token_ranges(&self, text: &str) -> Vec<Range<usize>> {
        self.model.token_ranges(text)
    }

    fn size(&self) -> Size {
        self.size
    }

    fn model(&self) -> Option<&Model> {
        Some(&self.model)
    }
}

/// A model whose vectors become those of another one over a [`Bridge`].
pub struct BridgedEmbedder {
    model: Arc<dyn Embedder>,
    bridge: Arc<Bridge>,
    fingerprint: String,
}

impl BridgedEmbedder {
    /// `model` behind `bridge`.
    pub(crate) fn shared(
        model: Arc<dyn Embedder>,
        bridge: Arc<Bridge>,
        fingerprint: String,
    ) -> Arc<dyn Embedder> {
        Arc::new(Self {
            model,
            bridge,
            fingerprint,
        })
    }
}

impl Embedder for BridgedEmbedder {
    fn id(&self) -> String {
        self.model.id()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn dims(&self) -> usize {
        self.bridge.old_dims()
    }

    fn metric(&self) -> Metric {
        self.bridge.metric()
    }

    fn max_tokens(&self) -> Option<usize> {
        self.model.max_tokens()
    }

    fn encode_documents(&self, texts: &[String]) -> Result<Embeddings> {
        Ok(self.bridge.apply(&self.model.encode_documents(texts)?)?)
    }

    fn encode_query(&self, text: &str) -> Result<Vec<f32>> {
        let query = self.model.encode_query(text)?;
        let dims = query.len();
        Ok(self.bridge.apply(&Embeddings::from_vec(query, dims)?)?.into_vec())
    }

    fn token_ranges(&self, text: &str) -> Vec<Range<usize>> {
        self.model.token_ranges(text)
    }

    fn size(&self) -> Size {
        self.model.size()
    }
}
