//! The header of a safetensors file, checked against the file's length before anything is allocated: name, type, shape and place of
//! every tensor. Whoever loads tensors reads them through this, so that a damaged or hostile file is refused in one place.

use std::ops::Range;

use half::{bf16, f16};
use serde_json::{Map, Value};

/// The longest header that is believed: ten times that of a 10,000-tensor model.
const LIMIT: u64 = 25 << 20;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// 16-bit IEEE floating point.
    F16,
    /// The upper half of a 32-bit floating-point number.
    Bf16,
    /// Signed 64-bit integers.
    I64,
    /// Signed 32-bit integers.
    I32,
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
}

impl Dtype {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "I64" => Self::I64,
            "I32" => Self::I32,
            "I8" => Self::I8,
            "U8" => Self::U8,
            _ => return None,
        })
    }

    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// The values as f32, whatever type they are stored in; integers are converted too. Bytes that are no whole value are left out.
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => values(bytes, f32::from_le_bytes),
            Self::F16 => values(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => values(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F64 => values(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::I8 => values(bytes, |[byte]: [u8; 1]| f32::from(byte as i8)),
            Self::U8 => values(bytes, |[byte]: [u8; 1]| f32::from(byte)),
            Self::I32 => values(bytes, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::I64 => values(bytes, |bytes| i64::from_le_bytes(bytes) as f32),
        }
    }

    /// The values as signed integers; `None` if they are not stored as integers.
    pub fn to_i64(self, bytes: &[u8]) -> Option<Vec<i64>> {
        Some(match self {
            Self::I64 => values(bytes, i64::from_le_bytes),
            Self::I32 => values(bytes, |bytes| i64::from(i32::from_le_bytes(bytes))),
            Self::I8 => values(bytes, |[byte]: [u8; 1]| i64::from(byte as i8)),
            Self::U8 => values(bytes, |[byte]: [u8; 1]| i64::from(byte)),
            Self::F64 | Self::F32 | Self::F16 | Self::Bf16 => return None,
        })
    }
}

fn values<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| convert(*bytes))
        .collect()
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// How its values are stored.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its values are, counted from the start of the file: inside the file, and as many as type and shape need.
    pub bytes: Range<usize>,
}

/// The tensors of a safetensors file, of which `bytes` is the whole content.
///
/// # Errors
/// What was expected and found, without the file's name.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or("truncated: no header length")?;
    let length = u64::from_le_bytes(*length);
    if length > LIMIT || length > rest.len() as u64 {
        return Err(format!(
            "the header says it is {length} bytes long, expected at most {} (the file's length) and at most {LIMIT}",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length as usize);
    let start = 8 + header.len();
    let header: Map<String, Value> = serde_json::from_slice(header)
        .map_err(|error| format!("the header is not a JSON object: {error}"))?;
    let mut entries = Vec::with_capacity(header.len());
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let wrong = |problem: String| format!("tensor {name}: {problem}");
        let numbers = |field: &str| -> Option<Vec<usize>> {
            let list = value.get(field)?.as_array()?;
            list.iter()
                .map(|number| usize::try_from(number.as_u64()?).ok())
                .collect()
        };
        let kind = value.get("dtype").and_then(Value::as_str).unwrap_or("no dtype");
        let dtype = Dtype::parse(kind).ok_or_else(|| {
            wrong(format!(
                "expected dtype F64, F32, F16, BF16, I64, I32, I8 or U8, found {kind}"
            ))
        })?;
        let shape = numbers("shape").ok_or_else(|| wrong("expected a shape of whole numbers".into()))?;
        let offsets = numbers("data_offsets").unwrap_or_default();
        let [begin, end] = offsets[..] else {
            return Err(wrong("expected data_offsets [begin, end]".into()));
        };
        if begin > end || end > data.len() {
            return Err(wrong(format!(
                "truncated or damaged: data_offsets {begin}..{end} lie outside the {} bytes of data",
                data.len()
            )));
        }
        let needed = shape
            .iter()
            .try_fold(dtype.bytes(), |bytes, side| bytes.checked_mul(*side));
        if needed != Some(end - begin) {
            return Err(wrong(format!(
                "shape {shape:?} of {kind} needs {} bytes, found {}",
                needed.map_or("too many".into(), |needed| needed.to_string()),
                end - begin
            )));
        }
        entries.push(Entry {
            name,
            dtype,
            shape,
            bytes: start + begin..start + end,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn file(header: &str, values: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(vec![0; values]);
        bytes
    }

    #[test]
    fn every_type_is_read_as_what_it_holds() {
        let all = [
            (Dtype::F64, 1.5f64.to_le_bytes().to_vec(), 1.5),
            (Dtype::F32, 1.5f32.to_le_bytes().to_vec(), 1.5),
            (Dtype::F16, f16::from_f32(1.5).to_le_bytes().to_vec(), 1.5),
            (Dtype::Bf16, bf16::from_f32(1.5).to_le_bytes().to_vec(), 1.5),
            (Dtype::I64, (-3i64).to_le_bytes().to_vec(), -3.0),
            (Dtype::I32, (-3i32).to_le_bytes().to_vec(), -3.0),
            (Dtype::I8, vec![253], -3.0),
            (Dtype::U8, vec![253], 253.0),
        ];
        for (dtype, bytes, value) in all {
            assert_eq!(bytes.len(), dtype.bytes());
            assert_eq!(dtype.to_f32(&bytes), [value], "{dtype:?}");
            let whole = dtype.to_i64(&bytes);
            assert_eq!(
                whole,
                (value.fract() == 0.0).then(|| vec![value as i64]),
                "{dtype:?}"
            );
        }
    }

    #[test]
    fn what_is_read_lies_inside_the_file_whatever_the_bytes_are() {
        let good = file(
            r#"{"__metadata__":{"a":"b"},"t":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}"#,
            8,
        );
        let entries = parse(&good).unwrap();
        assert_eq!((entries.len(), entries[0].bytes.len()), (1, 4));
        let mut seed = Seed(11);
        for _ in 0..20_000 {
            let mut bad = good.clone();
            for _ in 0..=seed.below(3) {
                let at = seed.below(bad.len());
                bad[at] = seed.next_u64() as u8;
            }
            bad.truncate(seed.below(bad.len() + 20));
            for entry in parse(&bad).unwrap_or_default() {
                assert!(entry.bytes.end <= bad.len());
            }
        }
    }

    #[test]
    fn damaged_headers_are_refused_with_a_reason() {
        let refused = |text: &str| parse(&file(&format!(r#"{{"t":{text}}}"#), 8)).unwrap_err();
        assert!(parse(b"abc").unwrap_err().contains("truncated"));
        assert!(parse(&[255; 40]).unwrap_err().contains("at most 32"));
        assert!(parse(&file("[]", 0)).unwrap_err().contains("JSON object"));
        assert!(refused("{}").contains("found no dtype"));
        assert!(refused(r#"{"dtype":"F32","shape":[-1]}"#).contains("whole numbers"));
        assert!(refused(r#"{"dtype":"F32","shape":[2],"data_offsets":[0]}"#).contains("[begin, end]"));
        assert!(refused(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#).contains("outside the 8"));
        assert!(refused(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#).contains("needs 12 bytes"));
        let huge = r#"{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}"#;
        assert!(refused(huge).contains("needs too many bytes"));
    }
}
