//! The contract: what a codec, a prepared query and a transform can do.

use std::fmt::Debug;

use kokeshi_core::Metric;

use crate::blob::BlobWriter;
pub use crate::kernels::Tables;

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

    /// Writes what was learnt.
    fn write(&self, blob: &mut BlobWriter);
}

/// A query that is ready to be compared with codes.
pub trait Query: Send + Sync {
    /// The scores of all `codes` (`[out.len(), code_bytes]`).
    fn score_rows(&self, codes: &[u8], out: &mut [f32]);

    /// The scores of the codes `ids`, in their order.
    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]);

    /// How this query is compared together with others, if tables can do that.
    fn lookups(&self) -> Option<&dyn Lookups> {
        None
    }

    /// The standard error of the score of `code`, if the codec knows it: the true score is within 1.9 of them for 94 of 100 codes.
    fn standard_error(&self, code: &[u8]) -> Option<f32> {
        let _ = code;
        None
    }
}

/// Scores by look-ups: every nibble of the first bytes of a code has a table, and what the entries add up to gives the score that
/// [`Query::score_rows`] gives, to the bit. Several such queries read a code once ([`score_all`](crate::score_all)).
pub trait Lookups {
    /// The tables.
    fn tables(&self) -> &Tables;

    /// The scores of `codes` (`[out.len(), code_bytes]`), whose entries add up to `sums`.
    fn finish(&self, sums: &[i32], codes: &[u8], out: &mut [f32]);
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
