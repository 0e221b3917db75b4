//! What learnt codecs share: a small head with its gradient, the loss over pairs, and descent.
//!
//! Gradients are written out by hand: three products a layer, where a tape would be most of the code.

mod config;
mod contrast;
mod head;
mod locality;
mod optimiser;

pub use config::HeadConfig;
pub(crate) use contrast::{Contrast, unit_gradient, units};
pub(crate) use head::{Head, Pass};
pub use locality::{LocalBatches, Walk};
pub(crate) use optimiser::{Adam, Momentum};
