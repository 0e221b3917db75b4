//! Static models: a table of token vectors and the mean of a text's rows (StaticEmbedding, model2vec).

use std::path::Path;

use kokeshi_tokens::{Encoding, Tokenizer};

use crate::error::{Error, Result};
use crate::safetensors::Weights;

/// A table of token vectors with its tokenizer.
pub(crate) struct StaticModel {
    tokenizer: Tokenizer,
    /// `[vocabulary, dims]`
    table: Vec<f32>,
    dims: usize,
}

impl StaticModel {
    /// Reads `tokenizer.json` and `model.safetensors` of a StaticEmbedding module's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let weights = Weights::open_folder(folder)?;
        let tensor = ["embedding.weight", "embeddings"]
            .into_iter()
            .find_map(|name| weights.tensor(name));
        let Some(tensor) = tensor else {
            return Err(Error::model(
                weights.path(),
                format!(
                    "expected a tensor embedding.weight or embeddings, found {:?}",
                    weights.names().collect::<Vec<_>>()
                ),
            ));
        };
        let &[_, dims] = tensor.shape else {
            return Err(tensor.wrong(format!(
                "expected shape [vocabulary, dims], found {:?}",
                tensor.shape
            )));
        };
        let path = folder.join("tokenizer.json");
        Ok(Self {
            tokenizer: Tokenizer::open(&path).map_err(|error| Error::model(&path, error.to_string()))?,
            table: tensor.to_f32()?,
            dims,
        })
    }

    /// The width of its vectors.
    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    /// What cuts texts into tokens.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Writes the mean of the text's token vectors to `out` (`[dims]`), not normalised; zeros if it has no token.
    pub(crate) fn encode(&self, text: &str, encoding: &mut Encoding, out: &mut [f32]) {
        out.fill(0.0);
        self.tokenizer.encode(text, false, None, encoding);
        let mut count = 0_usize;
        for id in &encoding.ids {
            let start = *id as usize * self.dims;
            if let Some(row) = self.table.get(start..start + self.dims) {
                count += 1;
                out.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
        let scale = 1.0 / count.max(1) as f32;
        out.iter_mut().for_each(|value| *value *= scale);
    }
}
