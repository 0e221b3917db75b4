//! Decoders token by token over key-value cache policies: what is kept of a text's keys and values, and what each step looks at.
//!
//! An encoder has no such cache. It serves decoder embedders with a shared instruction, rerankers made of language models, and query rewriting.
//!
//! | module | what it holds |
//! |---|---|
//! | [`policy`] | [`KvPolicy`]: the trait that every policy implements |
//! | [`slab`] | what a key-value head keeps: keys before their rotation, values, positions |
//! | [`full`] | [`Full`]: everything |
//! | [`lambda`] | [`Lambda`]: the first tokens and a window, with a ceiling on distances (LM-Infinite) |
//! | [`scissorhands`] | [`Scissorhands`]: a budget, by what recent queries looked at |
//! | [`a2ats`], [`codebook`] | [`A2ats`]: everything is kept, few tokens are looked at, chosen by query-aware codes of keys |
//! | [`random`] | [`RandomEviction`]: the control |
//! | [`config`], [`decoder`] | [`Decoder`]: Llama, Qwen2 and Qwen3 from `config.json` and `model.safetensors` |
//! | [`rotary`] | [`Rotary`]: positions, as trained or stretched |
//! | [`clex`] | [`Clex`]: rotary frequencies for every length, from a differential equation |
//! | [`forward`] | [`Plan`]: a whole text at once, with positions and mask of one's choice |
//! | [`session`] | [`Session`]: token by token over a policy |
//! | [`measure`] | losses, generated text, errors of estimated scores |
//!
//! Reading a text over a cache gives what reading it at once gives:
//!
//! ```
//! use kokeshi_cache::{Config, Decoder, Full, Phase, Plan, Session, Shape};
//! use kokeshi_core::Seed;
//!
//! fn main() -> Result<(), kokeshi_cache::Error> {
//!     let shape = Shape { layers: 2, heads: 4, key_heads: 2, head_dims: 16 };
//!     let config = Config { vocabulary: 128, hidden: 64, inner: 96, shape, ..Config::default() };
//!     let decoder = Decoder::random(config, 0.2, Seed(1))?;
//!     let text: Vec<u32> = "small dolls of maple".bytes().map(u32::from).collect();
//!
//!     let at_once = decoder.forward(&text, &Plan::trained(&decoder))?;
//!     let mut session = Session::new(&decoder, Full::new(shape));
//!     for (token, expected) in text.iter().zip(at_once.chunks_exact(128)) {
//!         let logits = session.step(*token, Phase::Prefill)?;
//!         assert!(logits.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4));
//!     }
//!     Ok(())
//! }
//! ```

pub mod a2ats;
pub mod clex;
pub mod codebook;
pub mod config;
pub mod decoder;
mod error;
pub mod forward;
pub mod full;
pub mod lambda;
pub mod measure;
pub mod policy;
pub mod random;
pub mod rotary;
pub mod scissorhands;
pub mod session;
pub mod slab;
mod weights;

pub use a2ats::{A2ats, A2atsConfig};
pub use clex::Clex;
pub use codebook::{Codebook, Codebooks};
pub use config::Config;
pub use decoder::Decoder;
pub use error::{Error, Result};
pub use forward::{Distance, Plan, Projected};
pub use full::Full;
pub use lambda::{Lambda, LambdaConfig};
pub use policy::{KvPolicy, Phase, Query, Selection};
pub use random::RandomEviction;
pub use rotary::Rotary;
pub use scissorhands::{Scissorhands, ScissorhandsConfig, Threshold};
pub use session::Session;
pub use slab::{Shape, Slab, Slabs};
