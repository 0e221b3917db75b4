//! How a head is trained.

use super::Contrast;

/// How a head is trained by pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadConfig {
    /// Width of the hidden layers; 0 for none.
    pub hidden: usize,
    /// Passes over the pairs.
    pub epochs: usize,
    /// Pairs of a batch: each has all others as negatives.
    pub batch: usize,
    /// Step of the first epochs; the last two take a tenth.
    pub rate: f32,
    /// Cosines are divided by this.
    pub temperature: f32,
    /// Negatives that count for a query, hardest first.
    pub hardest: usize,
    /// Weight decay of matrices.
    pub decay: f32,
}

impl HeadConfig {
    /// For bits ([`crate::Rbe`]). The paper's rate of 0.08 makes narrow codes collapse.
    pub const RBE: Self = Self {
        hidden: 256,
        epochs: 5,
        batch: 128,
        rate: 0.02,
        temperature: 0.05,
        hardest: 5,
        decay: 1e-4,
    };
    /// For bridges ([`crate::Bridge`]).
    pub const BRIDGE: Self = Self {
        hidden: 1024,
        epochs: 10,
        batch: 256,
        rate: 0.02,
        temperature: 0.05,
        hardest: 256,
        decay: 1e-4,
    };

    pub(crate) fn contrast(&self) -> Contrast {
        Contrast {
            temperature: self.temperature,
            hardest: self.hardest,
        }
    }

    /// The step in this epoch, counted from 0; a single one has the whole step.
    pub(crate) fn rate_of(&self, epoch: usize) -> f32 {
        match self.epochs {
            2.. if epoch + 2 >= self.epochs => 0.1 * self.rate,
            _ => self.rate,
        }
    }
}
