//! The small byte-level decoders that papers about caches and positions are tried on, made by `scripts/train_byte_decoder.py`.

use std::path::PathBuf;

use kokeshi_cache::Decoder;

use crate::reproduction::{Context, Result, failed};

/// A trained decoder with its texts.
pub(crate) struct ByteDecoder {
    pub(crate) decoder: Decoder,
    pub(crate) folder: PathBuf,
    id: &'static str,
}

impl ByteDecoder {
    /// The decoder that was trained at `length`, for the reproduction of the paper `id`.
    pub(crate) fn load(context: &Context, id: &'static str, length: usize) -> Result<Self> {
        let folder = context.models.join(format!("byte-decoder-{length}"));
        if !folder.join("model.safetensors").is_file() {
            return Err(failed(
                id,
                format!(
                    "expected a trained decoder in {}, found none; make it with: python scripts/train_byte_decoder.py --length {length}",
                    folder.display()
                ),
            ));
        }
        let decoder = Decoder::load(&folder).map_err(|error| failed(id, error))?;
        Ok(Self { decoder, folder, id })
    }

    /// `count` texts of `len` bytes that were never trained on, evenly spaced over all of them.
    pub(crate) fn held_out(&self, count: usize, len: usize) -> Result<Vec<Vec<u32>>> {
        self.texts("heldout.txt", count, len)
    }

    /// `count` texts of `len` bytes of what it was trained on.
    pub(crate) fn calibration(&self, count: usize, len: usize) -> Result<Vec<Vec<u32>>> {
        self.texts("calibration.txt", count, len)
    }

    fn texts(&self, file: &str, count: usize, len: usize) -> Result<Vec<Vec<u32>>> {
        let path = self.folder.join(file);
        let bytes =
            std::fs::read(&path).map_err(|error| failed(self.id, format!("{}: {error}", path.display())))?;
        if bytes.len() < count * len || bytes.iter().any(|byte| *byte >= 128) {
            return Err(failed(
                self.id,
                format!(
                    "{}: expected at least {} bytes of ASCII, found {} bytes",
                    path.display(),
                    count * len,
                    bytes.len()
                ),
            ));
        }
        let apart = bytes.len() / count;
        let text = |at: usize| {
            bytes[at * apart..][..len]
                .iter()
                .map(|byte| u32::from(*byte))
                .collect()
        };
        Ok((0..count).map(text).collect())
    }
}

/// The mean of the entries `from..to` of all rows.
pub(crate) fn mean(rows: &[Vec<f64>], from: usize, to: usize) -> f64 {
    let sum: f64 = rows.iter().flat_map(|row| &row[from..to]).sum();
    sum / (rows.len() * (to - from)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_decoder_is_an_error_that_says_how_to_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            data: folder.path().into(),
            models: folder.path().into(),
            seed: 1,
        };
        for (id, length) in [("lm-infinite", 32), ("scissorhands", 128), ("a2ats", 128)] {
            let error = crate::reproduce(id, &context).unwrap_err().to_string();
            let command = format!("scripts/train_byte_decoder.py --length {length}");
            assert!(error.starts_with(id) && error.contains(&command), "{error}");
        }
    }
}
