//! Training and distillation of embedding models.
//!
//! [`distill`] makes a small static model out of a large one: a vector for each token of the teacher's vocabulary, trained so that the
//! mean of a text's token vectors is close to the teacher's vector of the text, and turned to axes whose prefixes work alone.
//!
//! [`tape`] differentiates, and [`losses`] compose what trains an encoder at several sizes; [`Learner`] makes a step of it. [`Masking`] draws the masks
//! of pre-training ([`Learner::masked_step`]).

mod adapter;
mod axes;
mod bags;
mod config;
mod distill;
pub mod encoder;
mod error;
mod learner;
mod loss;
pub mod losses;
mod masking;
mod optimizer;
mod output;
mod pca;
mod pooling;
mod sample;
mod slerp;
mod table;
pub mod tape;
mod words;

pub use adapter::{Adapter, AdapterConfig, Target};
pub use config::DistillConfig;
pub use distill::{Text, distill};
pub use error::{Error, Result};
pub use learner::{Batch, Found, Learner, MaskedBatch, StepConfig};
pub use masking::{MaskedText, Masking};
pub use optimizer::{AdamWConfig, Optimizer};
pub use output::Distilled;
pub use pooling::{CrossPooling, Leaves};
pub use slerp::slerp;
pub use words::ByteWords;
