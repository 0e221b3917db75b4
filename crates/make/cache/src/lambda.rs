//! LM-Infinite (arXiv 2308.16137): the first tokens and a sliding window, with a ceiling on distances, for texts far longer than the trained
//! length. What the window left behind is gone: good perplexity here is no long-range recall.

use crate::error::{Error, Result};
use crate::policy::{KvPolicy, Query, Selection};
use crate::slab::{Shape, Slab, Slabs};

/// The settings of [`Lambda`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LambdaConfig {
    /// How many of the text's first tokens stay; 0 makes it a plain sliding window. The paper finds 5 to 100 equally good.
    pub first: usize,
    /// How many of the last tokens are seen, the token itself included: the trained length.
    pub window: usize,
    /// Whether the first tokens look no farther away than `window`. Without it they keep their true distance, which a decoder has never
    /// seen.
    pub ceiling: bool,
}

/// Keeps `first + window` tokens: `allow(i, j) = j <= i and (i - j < window or j < first)`, at the distance `min(i - j, window)`.
#[derive(Debug, Clone)]
pub struct Lambda {
    config: LambdaConfig,
    key_heads: usize,
    slabs: Slabs,
}

impl Lambda {
    /// An empty cache.
    ///
    /// # Errors
    /// A window of 0.
    pub fn new(shape: Shape, config: LambdaConfig) -> Result<Self> {
        if config.window == 0 {
            return Err(Error::Request(
                "lambda: expected a window of at least 1, found 0".into(),
            ));
        }
        Ok(Self {
            config,
            key_heads: shape.key_heads,
            slabs: Slabs::new(shape),
        })
    }
}

impl KvPolicy for Lambda {
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        let LambdaConfig { first, window, .. } = self.config;
        self.slabs.push(layer, keys, values, position);
        for head in 0..self.key_heads {
            let slab = self.slabs.get_mut(layer, head);
            // One token leaves the window at each step. Dropping them a quarter of a window at once keeps the moving of memory cheap.
            if slab.len() > first + window + window / 4 {
                let positions = slab.positions().to_vec();
                slab.retain(|slot| {
                    let at = positions[slot] as usize;
                    at < first || at + window > position as usize
                });
            }
        }
    }

    fn select(&mut self, layer: usize, head: usize, query: Query<'_>, selection: &mut Selection) {
        let LambdaConfig {
            first,
            window,
            ceiling,
        } = self.config;
        selection.clear();
        selection.ceiling = window as f32;
        for (slot, &position) in self.slabs.get(layer, head).positions().iter().enumerate() {
            if position as usize + window > query.position as usize
                || (!ceiling && (position as usize) < first)
            {
                selection.near.push(slot as u32);
            } else if (position as usize) < first {
                selection.far.push(slot as u32);
            }
        }
    }

    fn slab(&self, layer: usize, head: usize) -> &Slab {
        self.slabs.get(layer, head)
    }

    fn bytes(&self) -> usize {
        self.slabs.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Decoder, Distance, Phase, Plan, Session};
    use kokeshi_core::Seed;
    use kokeshi_kernels::Mask;

    fn decoder() -> Decoder {
        let config = Config {
            shape: Shape {
                heads: 4,
                key_heads: 2,
                head_dims: 16,
                layers: 3,
            },
            ..Config::default()
        };
        Decoder::random(config, 0.2, Seed(5)).unwrap()
    }

    fn text(len: usize) -> Vec<u32> {
        let mut seed = Seed(6);
        (0..len).map(|_| seed.below(128) as u32).collect()
    }

    /// The largest difference of streaming over the cache and reading at once, and the most tokens that were kept.
    fn compare(config: LambdaConfig, plan: &Plan, len: usize) -> (f32, usize) {
        let decoder = decoder();
        let shape = decoder.config().shape;
        let at_once = decoder.forward(&text(len), plan).unwrap();
        let mut session = Session::new(&decoder, Lambda::new(shape, config).unwrap());
        let (mut worst, mut most) = (0.0_f32, 0);
        for (token, expected) in text(len).iter().zip(at_once.chunks_exact(128)) {
            let logits = session.step(*token, Phase::Decode).unwrap();
            let differences = logits.iter().zip(expected).map(|(a, b)| (a - b).abs());
            worst = differences.fold(worst, f32::max);
            most = most.max(session.policy().live(2, 1).len());
        }
        (worst, most)
    }

    #[test]
    fn streaming_is_the_masked_forward_at_every_step() {
        let decoder = decoder();
        for first in [0, 1, 4] {
            let config = LambdaConfig {
                first,
                window: 16,
                ceiling: true,
            };
            let (worst, most) = compare(config, &Plan::lm_infinite(&decoder, first, 16), 90);
            assert!(worst < 2e-5, "{worst}");
            assert!(most <= first + 16 + 4, "{most}");
        }
        let config = LambdaConfig {
            first: 3,
            window: 16,
            ceiling: false,
        };
        let plan = Plan {
            mask: Mask {
                before: 15,
                after: 0,
                first: 3,
            },
            ..Plan::trained(&decoder)
        };
        assert!(compare(config, &plan, 60).0 < 1e-4);
    }

    #[test]
    fn a_text_no_longer_than_the_window_is_read_as_without_one() {
        let decoder = decoder();
        let config = LambdaConfig {
            first: 4,
            window: 32,
            ceiling: true,
        };
        assert!(compare(config, &Plan::trained(&decoder), 32).0 < 1e-5);
        let vanilla = decoder.forward(&text(32), &Plan::trained(&decoder)).unwrap();
        let lambda = decoder
            .forward(&text(32), &Plan::lm_infinite(&decoder, 4, 32))
            .unwrap();
        assert!(vanilla.iter().zip(&lambda).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn the_ceiling_matters_past_the_window() {
        let decoder = decoder();
        let limit = Plan::lm_infinite(&decoder, 4, 16);
        let other = Plan {
            far: Some((16, Distance::Constant(9.0))),
            ..limit.clone()
        };
        let [a, b] = [limit, other].map(|plan| decoder.forward(&text(60), &plan).unwrap());
        let same = |from: usize, to: usize| (128 * from..128 * to).all(|at| (a[at] - b[at]).abs() < 1e-5);
        assert!(same(0, 16) && !same(16, 60));
    }

    #[test]
    fn a_window_of_nothing_is_refused() {
        let config = LambdaConfig {
            first: 4,
            window: 0,
            ceiling: true,
        };
        assert!(Lambda::new(decoder().config().shape, config).is_err());
    }
}
