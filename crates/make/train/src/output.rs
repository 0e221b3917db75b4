//! The student on disk: a sentence-transformers directory, or one block of bytes that can be compiled in.

use std::path::Path;

use kokeshi_core::{Error as CoreError, file::write_atomic};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A distilled static model.
#[derive(Debug, Clone)]
pub struct Distilled {
    pub(crate) dims: usize,
    pub(crate) prefixes: Vec<usize>,
    /// `[vocabulary, dims]`; special tokens have zeros.
    pub(crate) vectors: Vec<f32>,
    /// Tokens by id; empty for an id that no token has.
    pub(crate) tokens: Vec<String>,
    /// The teacher's `tokenizer.json`, without truncation and padding.
    pub(crate) tokenizer: Value,
    pub(crate) teacher: String,
}

impl Distilled {
    /// The width of its vectors.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The token vectors, `[vocabulary, dims]`.
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// Writes a directory that sentence-transformers and [`kokeshi_encode::Model::load`] read: `modules.json` (StaticEmbedding,
    /// Normalize), `0_StaticEmbedding/` with `model.safetensors` and `tokenizer.json`, and `kokeshi.json` with the sizes that were
    /// trained and `quality`, if something was measured.
    ///
    /// # Errors
    /// [`Error::Core`] if a file can't be written.
    pub fn save(&self, folder: &Path, quality: Option<&Value>) -> Result<()> {
        let table = folder.join("0_StaticEmbedding");
        for part in [&table, &folder.join("1_Normalize")] {
            std::fs::create_dir_all(part).map_err(CoreError::io(part))?;
        }
        let modules = json!([
            {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]);
        let sizes: Vec<String> = self.prefixes.iter().map(|dims| format!("0x{dims}x32")).collect();
        let mut about = json!({
            "format": 1,
            "kind": "static",
            "teacher": self.teacher,
            "dims": self.dims,
            "prefixes": self.prefixes,
            "sizes": sizes,
        });
        if let Some(quality) = quality {
            about["quality"] = quality.clone();
        }
        let settings = json!({"prompts": {}, "default_prompt_name": null, "similarity_fn_name": "cosine"});
        write_atomic(&table.join("model.safetensors"), &self.safetensors())?;
        write_json(&table.join("tokenizer.json"), &self.tokenizer)?;
        write_json(&folder.join("config_sentence_transformers.json"), &settings)?;
        write_json(&folder.join("kokeshi.json"), &about)?;
        // Last, since a directory with modules.json is a model.
        write_json(&folder.join("modules.json"), &modules)
    }

    /// The block of bytes that is compiled in: int8, without the tokens of the vocabulary called `[unused…]`.
    ///
    /// # Errors
    /// [`Error::Config`] unless the tokenizer is BERT's, uncased.
    pub fn compact(&self) -> Result<Vec<u8>> {
        let field = |path: &str| self.tokenizer.pointer(path);
        let uncased = field("/model/type").and_then(Value::as_str) == Some("WordPiece")
            && field("/normalizer/type").and_then(Value::as_str) == Some("BertNormalizer")
            && field("/normalizer/lowercase").and_then(Value::as_bool) == Some(true);
        if !uncased {
            return Err(Error::Config(
                "the compact format needs a teacher with BERT's uncased WordPiece tokenizer".into(),
            ));
        }
        let kept = |token: &str| !token.is_empty() && !token.starts_with("[unused") && !token.contains('\n');
        let (mut tokens, mut rows) = (Vec::new(), Vec::new());
        for (token, row) in self.tokens.iter().zip(self.vectors.chunks_exact(self.dims)) {
            if kept(token) {
                tokens.push(token.as_str());
                rows.extend_from_slice(row);
            }
        }
        Ok(kokeshi_encode::write_compact(&tokens, &rows, self.dims))
    }

    /// One tensor, `embedding.weight`, f32.
    fn safetensors(&self) -> Vec<u8> {
        let length = self.vectors.len() * 4;
        let shape = [self.tokens.len(), self.dims];
        let header = json!({
            "__metadata__": {"format": "pt"},
            "embedding.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, length]},
        });
        let mut header = header.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::with_capacity(8 + header.len() + length);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend(self.vectors.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    Ok(write_atomic(path, text.as_bytes())?)
}
