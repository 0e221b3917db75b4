//! A loaded model: the modules of a directory, run in order.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use kokeshi_core::{Embeddings, Metric};
use rayon::prelude::*;

use crate::directory::{self, Kind};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::static_model::StaticModel;

/// A loaded model. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Model {
    id: String,
    input: Arc<Input>,
}

/// The first module: what turns texts into vectors.
enum Input {
    Static(StaticModel),
}

impl Model {
    /// Loads a directory, or a hub id such as `sentence-transformers/all-MiniLM-L6-v2` through the hub's offline cache and, if it isn't there, the hub.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and what is wrong with it.
    pub fn load(path_or_id: &str) -> Result<Self> {
        let root = Path::new(path_or_id);
        let modules = directory::modules(root)?;
        match modules.first() {
            Some(first) if first.kind == Kind::StaticEmbedding => Ok(Self {
                id: path_or_id.into(),
                input: Arc::new(Input::Static(StaticModel::load(&first.folder)?)),
            }),
            _ => Err(Error::model(root, "transformers are not supported yet")),
        }
    }

    /// The small static model that is part of the program.
    pub fn compiled_in() -> Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        let model = MODEL.get_or_init(|| Self {
            id: "kokeshi-static".into(),
            input: Arc::new(Input::Static(StaticModel::compiled_in())),
        });
        model.clone()
    }

    /// What it was loaded from, or `kokeshi-static`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A checksum over weights, tokenizer and configuration: two models with the same fingerprint give the same vectors.
    pub fn fingerprint(&self) -> String {
        let Input::Static(model) = self.input.as_ref();
        format!("{:016x}", model.fingerprint())
    }

    /// The width of its vectors at full size.
    pub fn dims(&self) -> usize {
        let Input::Static(model) = self.input.as_ref();
        model.dims()
    }

    /// How many layers can be run; 0 for a static model.
    pub fn layers(&self) -> usize {
        0
    }

    /// The most tokens of a text it reads, special tokens included; `None`: no limit.
    pub fn max_tokens(&self) -> Option<usize> {
        None
    }

    /// How its vectors are meant to be compared.
    pub fn metric(&self) -> Metric {
        Metric::Cosine
    }

    /// Encodes texts, in order: `[texts, dims]`. Works in parallel over the texts.
    ///
    /// # Errors
    /// [`Error::Request`] if the model has no such prompt or size.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T], options: &Options) -> Result<Embeddings> {
        let Input::Static(model) = self.input.as_ref();
        let width = model.dims();
        let dims = match options.size.dims {
            Some(dims) if dims == 0 || dims > width => {
                return Err(Error::Request(format!(
                    "the model {} has {width} dims, asked for {dims}",
                    self.id
                )));
            }
            dims => dims.unwrap_or(width),
        };
        let mut values = vec![0.0; texts.len() * dims];
        texts
            .par_iter()
            .zip(values.par_chunks_exact_mut(dims))
            .for_each_init(
                || (kokeshi_tokens::Encoding::default(), vec![0.0; width]),
                |(encoding, pooled), (text, out)| {
                    model.encode(text.as_ref(), encoding, pooled);
                    out.copy_from_slice(&pooled[..dims]);
                    if options.normalize != Some(false) {
                        kokeshi_core::distance::normalize(out);
                    }
                },
            );
        Ok(Embeddings::from_vec(values, dims)?)
    }

    /// Byte ranges of the tokens of `text`, in order, special tokens left out, not cut at `max_tokens`.
    pub fn token_ranges(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let Input::Static(model) = self.input.as_ref();
        model.token_ranges(text)
    }
}
