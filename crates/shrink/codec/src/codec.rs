//! The contract: what a codec, a prepared query and a transform can do.

use std::fmt::Debug;

use kokeshi_core::Metric;

use crate::blob::BlobWriter;

/// Writes vectors in few bytes and compares queries with what was written.
///
/// A codec is trained ([`crate::Spec::train`]) for one width and one metric. Rows under [`Metric::Cosine`] have unit length when they
/// come here ([`crate::Chain`] sees to that). Scores are "larger is better": inner products, or negative squared distances.
///
/// Lengths are the caller's duty here: slices that don't fit panic. [`crate::Chain`] has the checked forms.
pub trait Codec: Debug + Send + Sync {
    /// The factory string that makes such a codec.
    fn spec(&self) -> String;

    /// The width of the vectors.
    fn dims(&self) -> usize;

    /// What scores estimate.
    fn metric(&self) -> Metric;

    /// Bytes of one code.
    fn code_bytes(&self) -> usize;

    /// Encodes `rows` (`[n, dims]`) into `codes` (`[n, code_bytes]`).
    fn encode(&self, rows: &[f32], codes: &mut [u8]);

    /// The vectors that `codes` (`[n, code_bytes]`) stand for: `[n, dims]`.
    fn decode(&self, codes: &[u8], rows: &mut [f32]);

    /// Does once what scoring needs of `query` (`[dims]`).
    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a>;

    /// `codes` in the layout in which [`Query::score_packed`] scans all of them fastest, if there is one: blocks of
    /// [`PACKED_ROWS`](crate::PACKED_ROWS) rows and as many bytes each, the last one filled up, so that a run of blocks can be scanned by itself.
    fn pack(&self, codes: &[u8]) -> Option<Vec<u8>> {
        let _ = codes;
        None
    }

    /// Writes what was learnt.
    fn write(&self, blob: &mut BlobWriter);
}

/// A query that is ready to be compared with codes.
pub trait Query: Send + Sync {
    /// The scores of all `codes` (`[out.len(), code_bytes]`).
    fn score_rows(&self, codes: &[u8], out: &mut [f32]);

    /// The scores of the codes `ids`, in their order.
    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]);

    /// The scores of codes in the layout of [`Codec::pack`]; `false` if this codec has none. Tables of one byte an entry make these
    /// scores a little coarser than those of [`Query::score_rows`].
    fn score_packed(&self, packed: &[u8], out: &mut [f32]) -> bool {
        let _ = (packed, out);
        false
    }

    /// The standard error of the score of `code`, if the codec knows it: the true score is within 1.9 of them for 94 of 100 codes.
    fn standard_error(&self, code: &[u8]) -> Option<f32> {
        let _ = code;
        None
    }
}

/// Turns vectors into other vectors before they are encoded.
///
/// It is a trait of its own because a chain is many of these and one [`Codec`]: what a transform makes is not yet bytes.
pub trait Transform: Debug + Send + Sync {
    /// The factory string that makes such a transform.
    fn spec(&self) -> String;

    /// The width that goes in.
    fn dims(&self) -> usize;

    /// The width that comes out.
    fn width(&self) -> usize;

    /// Transforms `rows` (`[n, dims]`) into `[n, width]`.
    fn apply(&self, rows: &[f32]) -> Vec<f32>;

    /// The nearest that can be said about the input: `[n, width]` into `[n, dims]`.
    fn invert(&self, rows: &[f32]) -> Vec<f32>;

    /// Writes what was learnt.
    fn write(&self, blob: &mut BlobWriter);
}
