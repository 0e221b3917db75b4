//! Distance kernels: dot product, squared L2, cosine and Hamming over f32, f16, i8 and bits.
//!
//! | file | what it is |
//! |---|---|
//! | [`scalar`] | the definition of every distance, one plain loop each |
//! | `loops` | the fast f32 and f16 loops, over a trait of registers |
//! | `avx2`, `avx512`, `neon` | one instruction set each: its registers, and its i8 and bit kernels |
//! | `dispatch` | which of them runs here, found out once |
//! | `panels` | a matrix of bytes laid out for many products with it |
//! | `api` | the functions below |
//!
//! NaN and infinities come through: a vector with a NaN has NaN for every distance. Of two vectors of different length the longer
//! one is cut (nothing is read out of bounds); callers check widths where they enter the program.

mod api;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod loops;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panels;
pub mod scalar;
#[cfg(test)]
mod tests;

pub use api::{
    cosine, cosine_f16, cosine_i8, cosine_rows, dot, dot_f16, dot_gather, dot_gather_f16, dot_i8, dot_rows,
    dot_rows_f16, hamming, instruction_set, l2_squared, l2_squared_f16, l2_squared_gather,
    l2_squared_gather_f16, l2_squared_i8, l2_squared_rows, l2_squared_rows_f16, nibble_sums_gather,
    normalize,
};
pub use panels::BytePanels;
