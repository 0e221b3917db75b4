//! The ground floor of Kokeshi: matrices of embeddings, distances, top-k, sizes, seeds, progress and file formats.
//!
//! Everything above imports this crate and this crate imports nothing of ours.
//!
//! | module | what it holds |
//! |---|---|
//! | [`embeddings`] | [`Embeddings`]: a row-major f32 matrix, owned or memory-mapped |
//! | [`distance`] | dot, squared L2, cosine and Hamming kernels (AVX2, AVX-512, NEON), each with a scalar twin |
//! | [`metric`] | [`Metric`]: which of them compares two vectors, and the "larger is better" score |
//! | [`topk`] | [`TopK`]: the best k of a stream without sorting all of it |
//! | [`bitmap`] | [`Bitmap`]: a set of row numbers |
//! | [`size`] | [`Size`]: layers x dims x bits |
//! | [`seed`] | [`Seed`]: every random choice starts from one |
//! | [`progress`] | [`Progress`]: how long work reports what it has done |
//! | [`mod@file`] | checksummed, atomically written files |
//! | [`memory`] | how much memory this process may have |
//! | [`lock`] | [`Lock`]: one at a time, released by the system |
//! | [`eigen`] | eigenvalues and eigenvectors of symmetric matrices |
//! | [`npy`] | NumPy arrays in and out, rows appended, memory-mapped |
//! | [`safetensors`] | matrices of a safetensors file, and the checked header behind every reader of one |
//! | [`vecs`] | `.fvecs` and `.bvecs`, in which benchmark data sets come |
//! | [`error`] | [`Error`]: what was expected, what was found, where |
//!
//! An exhaustive search over vectors in a NumPy file, with a filter:
//!
//! ```
//! use kokeshi_core::{Bitmap, Embeddings, Seed, TopK, distance, npy};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let folder = tempfile::tempdir()?;
//!     let path = folder.path().join("vectors.npy");
//!
//!     // A thousand random unit vectors, written row by row; `np.load` reads the file.
//!     let dims = 64;
//!     let mut seed = Seed(42);
//!     let mut writer = npy::Writer::create(&path, dims)?;
//!     for _ in 0..1000 {
//!         let mut row: Vec<f32> = (0..dims).map(|_| seed.normal() as f32).collect();
//!         distance::normalize(&mut row);
//!         writer.append(&row)?;
//!     }
//!     let (rows, checksum) = writer.finish()?;
//!
//!     // Mapped, not read; the checksum says that it is what was written.
//!     let vectors: Embeddings = npy::verify(&path, checksum)?;
//!     let query = vectors.row(7).to_vec();
//!
//!     // All rows: one call, then the best three of its scores.
//!     let mut scores = vec![0.0; rows];
//!     distance::dot_rows(&query, vectors.as_slice(), &mut scores);
//!     let mut best = TopK::new(3);
//!     for (id, &score) in scores.iter().enumerate() {
//!         best.push(id as u32, score);
//!     }
//!     assert_eq!(best.into_sorted()[0].id, 7);
//!
//!     // Only some rows: the even ones.
//!     let allowed = Bitmap::from_sorted(rows, (0..1000).step_by(2));
//!     let ids: Vec<u32> = allowed.iter().collect();
//!     let mut scores = vec![0.0; ids.len()];
//!     distance::dot_gather(&query, vectors.as_slice(), &ids, &mut scores);
//!     let mut best = TopK::new(3);
//!     for (&id, &score) in ids.iter().zip(&scores) {
//!         best.push(id, score);
//!     }
//!     assert!(best.into_sorted().iter().all(|hit| hit.id % 2 == 0));
//!     Ok(())
//! }
//! ```

#[cfg(target_endian = "big")]
compile_error!("Kokeshi maps little-endian files into memory and needs a little-endian machine");

pub mod bitmap;
pub mod distance;
pub mod eigen;
pub mod embeddings;
pub mod error;
pub mod file;
pub mod lock;
pub mod memory;
pub mod metric;
pub mod npy;
pub mod progress;
pub mod safetensors;
pub mod seed;
pub mod size;
pub mod topk;
pub mod vecs;

pub use bitmap::Bitmap;
pub use embeddings::{Embeddings, check_query};
pub use error::{Error, Result};
pub use lock::Lock;
pub use metric::Metric;
pub use progress::{Progress, Silent};
pub use seed::Seed;
pub use size::Size;
pub use topk::{Scored, Shortlist, TopK};
