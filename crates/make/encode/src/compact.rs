//! A static model in one block of bytes, small enough to be part of the program: vocabulary, int8 rows, a scale for each row.
//!
//! Little-endian: magic `KOKSTAT1` · u32 dims · u32 rows · u32 bytes of vocabulary · tokens in the order of the rows, a line feed after
//! each · f32 scale for each row · i8 values `[rows, dims]` · u64 XXH3 checksum of all that comes before it. A value is code × scale.
//! The tokenizer is BERT's WordPiece, lower case, with the vocabulary above; `[UNK]` has a row of zeros.

use kokeshi_core::file::checksum;

const MAGIC: &[u8; 8] = b"KOKSTAT1";
const HEADER: usize = 20;
/// Codes go from -127 to 127, so that a row and its negative are stored alike.
const LARGEST_CODE: f32 = 127.0;

/// The parts of a compact static model, still in the bytes that it was read from.
pub(crate) struct Compact<'a> {
    pub(crate) dims: usize,
    /// `[rows]` tokens.
    pub(crate) tokens: Vec<&'a str>,
    /// `[rows]`
    pub(crate) scales: Vec<f32>,
    /// Where the codes begin; they are `[rows, dims]` bytes.
    pub(crate) codes: usize,
    /// The checksum at the end.
    pub(crate) checksum: u64,
}

impl<'a> Compact<'a> {
    /// Reads the block and checks lengths and checksum.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let number = |at: usize| {
            let field = bytes.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*field) as usize)
        };
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err("not a compact static model: expected it to begin with KOKSTAT1".into());
        }
        let (Some(dims), Some(rows), Some(text)) = (number(8), number(12), number(16)) else {
            return Err(format!("truncated: {} bytes", bytes.len()));
        };
        let scales = HEADER.checked_add(text);
        let codes = scales.and_then(|at| at.checked_add(rows.checked_mul(4)?));
        let end = codes.and_then(|at| at.checked_add(rows.checked_mul(dims)?));
        let (Some(scales), Some(codes), Some(end)) = (scales, codes, end) else {
            return Err("the header's lengths are too large".into());
        };
        if dims == 0 || end.checked_add(8) != Some(bytes.len()) {
            return Err(format!(
                "expected {rows} rows of {dims} dims and {text} bytes of vocabulary, found {} bytes",
                bytes.len()
            ));
        }
        let (body, trailer) = bytes.split_at(end);
        let found = checksum(body);
        let stored = trailer
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if stored != found {
            return Err(format!(
                "damaged: expected checksum {stored:016x}, found {found:016x}"
            ));
        }
        let vocabulary = std::str::from_utf8(&bytes[HEADER..scales])
            .map_err(|error| format!("the vocabulary is not UTF-8: {error}"))?;
        let tokens: Vec<&str> = vocabulary.split_terminator('\n').collect();
        if tokens.len() != rows {
            return Err(format!("expected {rows} tokens, found {}", tokens.len()));
        }
        let scales = bytes[scales..codes].as_chunks::<4>().0;
        Ok(Self {
            dims,
            tokens,
            scales: scales.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            codes,
            checksum: stored,
        })
    }
}

/// Writes a static model as the block of bytes that the compiled-in model is read from: `tokens` (without line feeds) with their
/// `rows` (`[tokens, dims]`), rounded to int8 with a scale for each row.
///
/// # Panics
/// If `rows` does not hold `dims` values for each token.
pub fn write_compact<T: AsRef<str>>(tokens: &[T], rows: &[f32], dims: usize) -> Vec<u8> {
    assert_eq!(rows.len(), tokens.len() * dims, "a row for each token");
    let mut vocabulary = String::new();
    for token in tokens {
        vocabulary.push_str(token.as_ref());
        vocabulary.push('\n');
    }
    let mut bytes = MAGIC.to_vec();
    for number in [dims, tokens.len(), vocabulary.len()] {
        bytes.extend_from_slice(&(number as u32).to_le_bytes());
    }
    bytes.extend_from_slice(vocabulary.as_bytes());
    let scales: Vec<f32> = rows.chunks_exact(dims.max(1)).map(scale).collect();
    bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
    for (row, scale) in rows.chunks_exact(dims.max(1)).zip(scales) {
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend(row.iter().map(|value| (value * inverse).round() as i8 as u8));
    }
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    bytes
}

/// The scale that lets the largest value of `row` have the largest code.
fn scale(row: &[f32]) -> f32 {
    row.iter().fold(0.0_f32, |most, value| most.max(value.abs())) / LARGEST_CODE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        write_compact(&["[UNK]", "a", "##b"], &[0.0, 0.0, 1.0, -0.5, 0.02, 0.04], 2)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = block();
        let read = Compact::parse(&bytes).unwrap();
        assert_eq!(
            (read.dims, read.tokens.as_slice()),
            (2, ["[UNK]", "a", "##b"].as_slice())
        );
        let codes: Vec<i8> = bytes[read.codes..read.codes + 6]
            .iter()
            .map(|byte| *byte as i8)
            .collect();
        assert_eq!(codes, [0, 0, 127, -64, 64, 127]);
        assert!((read.scales[1] * 127.0 - 1.0).abs() < 1e-6);
        assert_eq!(read.scales[0], 0.0);
    }

    #[test]
    fn any_changed_or_missing_byte_is_an_error() {
        let bytes = block();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Compact::parse(&damaged).is_err(), "byte {at}");
            assert!(Compact::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut huge = bytes;
        huge[8..20].fill(0xff);
        assert!(Compact::parse(&huge).is_err());
    }
}
