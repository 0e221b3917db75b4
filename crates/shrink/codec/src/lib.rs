//! Vectors in fewer bytes, and scores straight from them.
//!
//! | file | what it is |
//! |---|---|
//! | [`codec`] | the contract: [`Codec`], [`Query`], [`Transform`] |
//! | [`spec`] | factory strings: [`Spec`] |
//! | [`chain`] | a trained chain: [`Chain`] |
//! | `identity`, `prefix`, `pca`, `rotate`, `scalar`, `rabitq`, `sign`, `pq`, `opq`, `contras_pq`, `rbe` | one method each |
//! | `batch` | codes compared with several queries at once: [`score_all`] |
//! | [`mod@file`] | trained chains and codes in files |
//! | [`mod@funnel`] | search in steps |
//! | [`mod@bridge`] | queries of a new model on the vectors of an old one |
//! | [`mod@trial`] | chains tried on a sample |
//! | [`mod@front`] | what smaller codes lose, and which to take |
//! | `kernels` | the inner loops, each with a scalar twin |
//!
//! A thousand vectors at 26 bytes each instead of 512, searched, and the best re-ordered by the vectors themselves:
//!
//! ```
//! use kokeshi_codec::{Codec, Spec, Stage, funnel};
//! use kokeshi_core::{Embeddings, Metric, Seed};
//!
//! fn main() -> kokeshi_core::Result<()> {
//!     let mut seed = Seed(1);
//!     let values = (0..1000 * 128).map(|_| seed.normal() as f32).collect();
//!     let vectors = Embeddings::from_vec(values, 128)?;
//!
//!     let short = "rabitq:1".parse::<Spec>()?.train(&vectors, Metric::Cosine, Seed(42))?;
//!     let codes = short.encode_all(&vectors)?;
//!     assert_eq!(codes.len(), 1000 * 26);
//!
//!     let exact = "f32".parse::<Spec>()?.train(&vectors, Metric::Cosine, Seed(42))?;
//!     let full = exact.encode_all(&vectors)?;
//!     let stages = [
//!         Stage { chain: &short, codes: &codes, keep: 100 },
//!         Stage { chain: &exact, codes: &full, keep: 10 },
//!     ];
//!     let hits = funnel(&stages, vectors.row(7), None)?;
//!     assert_eq!(hits[0].id, 7);
//!     Ok(())
//! }
//! ```

mod batch;
pub mod blob;
pub mod bridge;
pub mod chain;
pub mod codec;
mod contras_pq;
pub mod file;
pub mod front;
pub mod funnel;
mod identity;
mod ints;
mod kernels;
mod kmeans;
mod learn;
mod opq;
mod pca;
mod polar;
mod pq;
mod prefix;
mod product;
mod rabitq;
mod rbe;
mod rotate;
mod scalar;
mod sign;
pub mod spec;
pub mod trial;

pub use batch::score_all;
pub use bridge::Bridge;
pub use chain::Chain;
pub use codec::{Codec, Lookups, Query, Transform};
pub use contras_pq::{ContrasPq, ContrasPqConfig};
pub use file::{Codes, CodesWriter};
pub use funnel::{Stage, funnel, funnel_all, two_tiers, within_error};
pub use identity::{Float16, Float32};
pub use learn::{HeadConfig, LocalBatches, Walk};
pub use opq::Opq;
pub use pca::{Moments, Pca};
pub use pq::Pq;
pub use prefix::Prefix;
pub use rabitq::RaBitQ;
pub use rbe::Rbe;
pub use rotate::Rotation;
pub use scalar::Scalar;
pub use sign::Sign;
pub use spec::{Spec, Step};
pub use trial::Trial;

/// Rows of unit length in random directions.
#[cfg(test)]
fn random(rows: usize, dims: usize, seed: &mut kokeshi_core::Seed) -> kokeshi_core::Embeddings {
    let values = (0..rows * dims).map(|_| seed.normal() as f32).collect();
    let mut rows = kokeshi_core::Embeddings::from_vec(values, dims).expect("rows of this width");
    rows.normalize();
    rows
}
