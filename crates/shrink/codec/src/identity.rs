//! Vectors as they are: four bytes a value, or two.

use half::f16;
use kokeshi_core::{Metric, Result, distance};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query};

/// `f32`: nothing is lost.
#[derive(Debug, Clone, Copy)]
pub struct Float32 {
    /// The width.
    pub(crate) dims: usize,
    /// What scores are.
    pub(crate) metric: Metric,
}

/// `f16`: half the bytes; three decimal digits are left of each value.
#[derive(Debug, Clone, Copy)]
pub struct Float16 {
    /// The width.
    pub(crate) dims: usize,
    /// What scores are.
    pub(crate) metric: Metric,
}

impl Float32 {
    pub(crate) fn read(dims: usize, metric: Metric, _: &mut BlobReader<'_>) -> Result<Self> {
        Ok(Self { dims, metric })
    }
}

impl Float16 {
    pub(crate) fn read(dims: usize, metric: Metric, _: &mut BlobReader<'_>) -> Result<Self> {
        Ok(Self { dims, metric })
    }
}

/// Bytes as values: a borrow if they are aligned, as maps and vectors of ours are, a copy otherwise.
fn values<T: Copy, const SIZE: usize>(bytes: &[u8], read: fn([u8; SIZE]) -> T) -> std::borrow::Cow<'_, [T]>
where
    [T]: ToOwned<Owned = Vec<T>>,
{
    // SAFETY: this is only called for f32 and f16, for which every bit pattern is a value.
    let (before, middle, after) = unsafe { bytes.align_to::<T>() };
    if before.is_empty() && after.is_empty() {
        std::borrow::Cow::Borrowed(middle)
    } else {
        let parts = bytes.as_chunks::<SIZE>().0;
        std::borrow::Cow::Owned(parts.iter().map(|&part| read(part)).collect())
    }
}

impl Codec for Float32 {
    fn spec(&self) -> String {
        "f32".into()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        4 * self.dims
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        codes.copy_from_slice(kokeshi_core::npy::as_bytes(rows));
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        rows.copy_from_slice(&values(codes, f32::from_le_bytes));
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        Box::new(Prepared {
            query: query.to_vec(),
            metric: self.metric,
        })
    }

    fn write(&self, _: &mut BlobWriter) {}
}

struct Prepared {
    query: Vec<f32>,
    metric: Metric,
}

impl Query for Prepared {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        let rows = values(codes, f32::from_le_bytes);
        match self.metric {
            Metric::L2 => {
                distance::l2_squared_rows(&self.query, &rows, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            _ => distance::dot_rows(&self.query, &rows, out),
        }
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        let rows = values(codes, f32::from_le_bytes);
        match self.metric {
            Metric::L2 => {
                distance::l2_squared_gather(&self.query, &rows, ids, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            _ => distance::dot_gather(&self.query, &rows, ids, out),
        }
    }
}

impl Codec for Float16 {
    fn spec(&self) -> String {
        "f16".into()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        2 * self.dims
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        for (value, code) in rows.iter().zip(codes.as_chunks_mut::<2>().0) {
            // What is too large for f16 becomes its largest value, not infinity.
            let value = value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32());
            *code = f16::from_f32(value).to_le_bytes();
        }
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        for (row, &code) in rows.iter_mut().zip(codes.as_chunks::<2>().0) {
            *row = f16::from_le_bytes(code).to_f32();
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        Box::new(PreparedHalf {
            query: query.to_vec(),
            metric: self.metric,
        })
    }

    fn write(&self, _: &mut BlobWriter) {}
}

struct PreparedHalf {
    query: Vec<f32>,
    metric: Metric,
}

impl Query for PreparedHalf {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        let rows = values(codes, f16::from_le_bytes);
        match self.metric {
            Metric::L2 => {
                distance::l2_squared_rows_f16(&self.query, &rows, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            _ => distance::dot_rows_f16(&self.query, &rows, out),
        }
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        let rows = values(codes, f16::from_le_bytes);
        match self.metric {
            Metric::L2 => {
                distance::l2_squared_gather_f16(&self.query, &rows, ids, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            _ => distance::dot_gather_f16(&self.query, &rows, ids, out),
        }
    }
}
