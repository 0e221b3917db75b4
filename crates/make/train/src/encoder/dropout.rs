//! Dropout (Srivastava et al., 2014): values are left out at random and the others raised, so that the mean stays.
//!
//! What is left out depends on the step's seed, the place in the network, the text and the token, and on nothing else: a chunk that is run
//! again, or another division into chunks, leaves out the same.

use kokeshi_core::Seed;

/// Where values are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Embeddings,
    /// The weights of a head.
    Weights {
        block: usize,
        head: usize,
    },
    /// What attention adds.
    Attention(usize),
    /// What the feed-forward network adds.
    Network(usize),
    /// What goes into an adapter's target.
    Adapter(usize),
}

impl Site {
    fn number(self) -> u64 {
        match self {
            Self::Embeddings => 0,
            Self::Attention(block) => 1 + 4 * block as u64,
            Self::Network(block) => 2 + 4 * block as u64,
            Self::Adapter(target) => 4 + 4 * target as u64,
            Self::Weights { block, head } => 3 + 4 * block as u64 + ((head as u64) << 32),
        }
    }
}

/// How much is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The share that is left out, of hidden states and of attention's weights.
    pub rate: f32,
    /// The share of an adapter's input.
    pub adapter: f32,
    /// Another one each step.
    pub seed: u64,
}

impl Dropout {
    /// Nothing is left out.
    pub const OFF: Self = Self {
        rate: 0.0,
        adapter: 0.0,
        seed: 0,
    };

    /// Whether hidden states or attention's weights are.
    pub(super) fn is_on(self) -> bool {
        self.rate > 0.0
    }

    /// Leaves values out of a row that belongs to the token at `place` of text `number`.
    pub(super) fn apply(self, site: Site, number: usize, place: usize, row: &mut [f32]) {
        let least = (self.rate * 65536.0) as u32;
        let raise = 65536.0 / (65536 - least) as f32;
        let mut seed = Seed(self.seed)
            .fork(site.number())
            .fork(number as u64 + 1)
            .fork(place as u64 + 1);
        for four in row.chunks_mut(4) {
            let bits = seed.next_u64();
            for (at, value) in four.iter_mut().enumerate() {
                let drawn = (bits >> (16 * at)) as u32 & 0xffff;
                *value *= if drawn < least { 0.0 } else { raise };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_mean_are_right_and_places_differ() {
        let dropout = Dropout {
            rate: 0.1,
            adapter: 0.0,
            seed: 7,
        };
        let row = |place| {
            let mut row = vec![1.0; 40_000];
            dropout.apply(Site::Attention(1), 3, place, &mut row);
            row
        };
        let (one, other) = (row(0), row(1));
        let out = one.iter().filter(|value| **value == 0.0).count();
        assert!((3_700..4_300).contains(&out), "{out} of 40,000");
        let mean = one.iter().sum::<f32>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert_ne!(one, other);
        assert_eq!(one, row(0));
    }
}
