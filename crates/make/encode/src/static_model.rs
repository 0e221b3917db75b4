//! Static models: a table of token vectors and the mean of a text's rows (StaticEmbedding, model2vec, the compiled-in model).

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use kokeshi_tokens::{Encoding, Tokenizer, WordPieceOptions};

use crate::compact::Compact;
use crate::error::{Error, Result};
use crate::safetensors::{Dtype, Tensor, Weights};

/// The model that is part of the program; `assets/README.md` says how it was made.
static ASSET: &[u8] = include_bytes!("../assets/kokeshi-static.bin");

/// A table of token vectors with its tokenizer.
pub(crate) struct StaticModel {
    tokenizer: Tokenizer,
    table: Table,
    dims: usize,
    /// The row of each token id, where it is not the id itself (model2vec's quantised vocabulary).
    mapping: Option<Vec<u32>>,
    /// The weight of each token id; `None`: all 1.
    weights: Option<Vec<f32>>,
    /// A token that does not count, in model2vec's layout.
    ignored: Option<u32>,
    fingerprint: u64,
}

/// `[rows, dims]` values.
enum Table {
    F32(Vec<f32>),
    Int8 {
        bytes: Cow<'static, [u8]>,
        /// Where the codes begin.
        start: usize,
        /// `[rows]`: a value is code × scale. Empty: all 1.
        scales: Vec<f32>,
    },
}

impl StaticModel {
    /// Reads `tokenizer.json` and `model.safetensors` of a StaticEmbedding module's folder or a model2vec directory: a table
    /// `embedding.weight` or `embeddings` (f32, f16, bf16 or int8), with model2vec's `weights` and `mapping` if they are there.
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
        let &[rows, dims] = tensor.shape else {
            return Err(tensor.wrong(format!(
                "expected shape [vocabulary, dims], found {:?}",
                tensor.shape
            )));
        };
        if rows == 0 || dims == 0 {
            return Err(tensor.wrong(format!(
                "expected at least one row and dim, found {rows} x {dims}"
            )));
        }
        let path = folder.join("tokenizer.json");
        let tokenizer = Tokenizer::open(&path).map_err(|error| Error::model(&path, error.to_string()))?;
        let mapping = weights
            .tensor("mapping")
            .map(|tensor| mapping(&tensor, rows))
            .transpose()?;
        let ids = mapping.as_ref().map_or(rows, Vec::len);
        if ids < tokenizer.vocabulary() {
            return Err(tensor.wrong(format!(
                "expected a row for each of the tokenizer's {} tokens, found {ids}",
                tokenizer.vocabulary()
            )));
        }
        let token_weights = match weights.tensor("weights") {
            Some(tensor) if tensor.shape != [ids] => {
                return Err(tensor.wrong(format!("expected shape [{ids}], found {:?}", tensor.shape)));
            }
            Some(tensor) => Some(tensor.to_f32()?),
            None => None,
        };
        let ignored = (tensor.name == "embeddings")
            .then(|| {
                ["[UNK]", "<unk>"]
                    .into_iter()
                    .find_map(|token| tokenizer.id(token))
            })
            .flatten();
        let table = match tensor.dtype {
            Dtype::I8 => Table::Int8 {
                bytes: tensor.bytes.to_vec().into(),
                start: 0,
                scales: Vec::new(),
            },
            _ => Table::F32(tensor.to_f32()?),
        };
        Ok(Self {
            tokenizer,
            table,
            dims,
            mapping,
            weights: token_weights,
            ignored,
            fingerprint: kokeshi_core::file::checksum(tensor.bytes),
        })
    }

    /// Reads the block of bytes that [`crate::write_compact`] writes; `name` is for errors.
    pub(crate) fn from_compact(bytes: Cow<'static, [u8]>, name: &str) -> Result<Self> {
        let wrong = |problem: String| Error::model(Path::new(name), problem);
        let compact = Compact::parse(&bytes).map_err(wrong)?;
        let options = WordPieceOptions {
            before: Vec::new(),
            after: Vec::new(),
            ..WordPieceOptions::default()
        };
        let tokenizer = Tokenizer::from_wordpiece(compact.tokens.iter(), &options)
            .map_err(|error| wrong(error.to_string()))?;
        let (dims, scales, start, fingerprint) =
            (compact.dims, compact.scales, compact.codes, compact.checksum);
        Ok(Self {
            tokenizer,
            table: Table::Int8 { bytes, start, scales },
            dims,
            mapping: None,
            weights: None,
            ignored: None,
            fingerprint,
        })
    }

    /// The model that is part of the program: reading it takes a few milliseconds.
    ///
    /// # Panics
    /// If the program was built with a damaged asset; a test loads it.
    pub(crate) fn compiled_in() -> Self {
        match Self::from_compact(Cow::Borrowed(ASSET), "kokeshi-static") {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// A checksum over the table.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The width of its vectors.
    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    /// Byte ranges of the tokens of `text`.
    pub(crate) fn token_ranges(&self, text: &str) -> Vec<Range<usize>> {
        let mut encoding = Encoding::default();
        self.tokenizer.encode(text, false, None, &mut encoding);
        let ranges = encoding.ranges.iter();
        ranges
            .map(|(start, end)| *start as usize..*end as usize)
            .collect()
    }

    /// Writes the mean of the text's token vectors to `out` (`[dims]`), not normalised; zeros if it has no token. Every token is read,
    /// however long the text is.
    pub(crate) fn encode(&self, text: &str, encoding: &mut Encoding, out: &mut [f32]) {
        out.fill(0.0);
        self.tokenizer.encode(text, false, None, encoding);
        let count = match &self.table {
            Table::F32(values) => self.sum(&encoding.ids, out, |row, weight, out| {
                if let Some(row) = values.get(row * self.dims..(row + 1) * self.dims) {
                    add_f32(row, weight, out);
                }
            }),
            Table::Int8 { bytes, start, scales } => {
                let codes = &bytes[*start..];
                self.sum(&encoding.ids, out, |row, weight, out| {
                    if let Some(codes) = codes.get(row * self.dims..(row + 1) * self.dims) {
                        add_int8(codes, weight * scales.get(row).copied().unwrap_or(1.0), out);
                    }
                })
            }
        };
        let scale = 1.0 / count.max(1) as f32;
        out.iter_mut().for_each(|value| *value *= scale);
    }

    /// Calls `add` with row and weight of each token that counts; returns how many do.
    fn sum(&self, ids: &[u32], out: &mut [f32], add: impl Fn(usize, f32, &mut [f32])) -> usize {
        let mut count = 0;
        for id in ids.iter().filter(|id| Some(**id) != self.ignored) {
            let at = *id as usize;
            let row = match &self.mapping {
                Some(mapping) => mapping.get(at).map_or(at, |row| *row as usize),
                None => at,
            };
            let weight = self.weights.as_ref().and_then(|weights| weights.get(at)).copied();
            add(row, weight.unwrap_or(1.0), out);
            count += 1;
        }
        count
    }
}

/// model2vec's `mapping`: the row of each token id.
fn mapping(tensor: &Tensor<'_>, rows: usize) -> Result<Vec<u32>> {
    let in_range = |(id, row): (usize, i64)| match u32::try_from(row) {
        Ok(row) if (row as usize) < rows => Ok(row),
        _ => Err(tensor.wrong(format!("token {id} has row {row}, expected less than {rows}"))),
    };
    tensor.to_i64()?.into_iter().enumerate().map(in_range).collect()
}

#[inline(always)]
fn add_f32(row: &[f32], weight: f32, out: &mut [f32]) {
    out.iter_mut()
        .zip(row)
        .for_each(|(sum, value)| *sum += weight * value);
}

/// Adds `weight` × the codes of a row to `out`, with the widest registers there are.
#[inline(always)]
fn add_int8(codes: &[u8], weight: f32, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { add_int8_avx2(codes, weight, out) };
    }
    add_int8_any(codes, weight, out);
}

/// The same loop, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_int8_avx2(codes: &[u8], weight: f32, out: &mut [f32]) {
    add_int8_any(codes, weight, out);
}

#[inline(always)]
fn add_int8_any(codes: &[u8], weight: f32, out: &mut [f32]) {
    out.iter_mut()
        .zip(codes)
        .for_each(|(sum, code)| *sum += weight * f32::from(*code as i8));
}
