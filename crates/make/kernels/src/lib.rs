//! Packed matrix products, attention, norms and activations for encoders.
//!
//! Every kernel is written once over the [`simd`] vocabulary and compiled for AVX-512, AVX2 with FMA, NEON, and plain Rust; which of them runs
//! is chosen when the program runs. [`scalar`] holds a plain twin of each, which the tests compare against.
//!
//! | module | what it holds |
//! |---|---|
//! | [`simd`] | [`Level`]: the instruction sets, and the vector operations that kernels are written in |
//! | [`buffer`] | [`Buffer`]: numbers on a cache line's boundary, for weights and scratch |
//! | [`adamw`](mod@adamw) | a fused step of AdamW |
//! | [`backward`] | backward halves of norms, activations and softmax, for training |
//! | [`activation`] | [`Activation`]: GELU, tanh, ... of vectors |
//! | [`linear`] | [`Linear`]: packed weights, f32 or int8, and the product with a fused epilogue |
//! | [`grouped`] | weights in eight or four bits for f32 activations |
//! | [`mod@matmul`] | the product of two matrices that both change, for training |
//! | [`quantize`] | [`QuantizedRows`]: activations as int8 layers read them |
//! | [`gate`](mod@gate) | GeGLU, SwiGLU |
//! | [`norm`] | LayerNorm and RMSNorm |
//! | [`rotary`] | rotary positions |
//! | [`attention`](mod@attention) | softmax(QK^T)V of one sequence, in memory proportional to its length |
//! | [`mask`] | what it may be told: a mask, a bias by distance, other queries and keys for tokens far apart |
//! | [`scalar`] | the twins |

pub mod activation;
pub mod adamw;
pub mod attention;
mod attention_int8;
mod attention_short;
mod attention_tiled;
pub mod backward;
pub mod buffer;
pub mod gate;
pub mod grouped;
pub mod linear;
pub mod mask;
pub mod matmul;
pub mod norm;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod product;
pub mod quantize;
pub mod rotary;
pub mod scalar;
pub mod simd;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use activation::Activation;
pub use adamw::{AdamW, adamw};
pub use attention::{Attention, Masked, Scratch, attention, masked_attention};
pub use buffer::Buffer;
pub use gate::gate;
pub use linear::{Epilogue, Linear, Precision};
pub use mask::{Bias, Far, Mask};
pub use matmul::{Factor, MatmulScratch, Store, matmul};
pub use norm::{layer_norm, rms_norm};
pub use quantize::QuantizedRows;
pub use rotary::{Turn, rotate};
pub use simd::Level;
