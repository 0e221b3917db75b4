//! A bag of words made of their bytes. A module of this type (`kokeshi.BytesToWords`) stands first, as a StaticEmbedding does: a text is the mean of
//! its words.

use std::path::Path;

use crate::directory::Fields;
use crate::error::Result;
use crate::safetensors::Weights;
use crate::word_layer::{AT_ONCE, ByteWordsShape, WordLayer};
use crate::words::{WordBytes, word_bytes, words};

/// The module.
pub(crate) struct BytesToWords {
    layer: WordLayer,
    /// Whether texts are read in lower case.
    lower_case: bool,
}

/// The sizes of the layer as `config` says them: heads divide `dims`.
pub(crate) fn shape(config: &Fields, dims: usize, field: &str) -> Result<ByteWordsShape> {
    let heads = config.size(field, 1 << 12)?;
    match dims.is_multiple_of(heads) {
        true => Ok(ByteWordsShape { dims, heads }),
        false => Err(config.wrong(
            field,
            format!("expected heads that divide {dims} dims, found {heads}"),
        )),
    }
}

impl BytesToWords {
    /// Reads `config.json` (`dims`, `heads`, `lower_case`) and `model.safetensors` in the module's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let config = Fields::read(&folder.join("config.json"))?;
        let shape = shape(&config, config.size("dims", 1 << 16)?, "heads")?;
        let lower_case = config.flag("lower_case")?.unwrap_or(false);
        Ok(Self {
            layer: WordLayer::load(shape, &Weights::open_folder(folder)?, "")?,
            lower_case,
        })
    }

    /// The width of its vectors.
    pub(crate) fn dims(&self) -> usize {
        self.layer.dims()
    }

    /// Writes the mean of the text's word vectors to `out` (`[dims]`), not normalised; zeros if it has no word.
    pub(crate) fn encode(&self, text: &str, out: &mut [f32]) {
        out.fill(0.0);
        let lower = self.lower_case.then(|| text.to_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        let places = words(text);
        let mut vectors = Vec::new();
        for places in places.chunks(AT_ONCE) {
            let some = places
                .iter()
                .map(|word| word_bytes(&text.as_bytes()[word.clone()]));
            let some: Vec<WordBytes> = some.collect();
            vectors.resize(some.len() * out.len(), 0.0);
            self.layer.vectors(&some, &mut vectors);
            for vector in vectors.chunks_exact(out.len()) {
                out.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            }
        }
        let share = 1.0 / places.len().max(1) as f32;
        out.iter_mut().for_each(|value| *value *= share);
    }
}
