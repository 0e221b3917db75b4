//! Scissorhands (arXiv 2305.17118): every head keeps at most a budget of tokens and drops those that recent queries ignored, trusting that what
//! mattered goes on mattering.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::policy::{KvPolicy, Query, Selection};
use crate::slab::{Shape, Slab, Slabs};

/// From which probability on a kept token counts as looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// One over the length of the text so far, as in the paper. Far past the budget hardly any token falls below it and ties decide.
    Text,
    /// One over the number of tokens that are kept.
    Kept,
}

/// The settings of [`Scissorhands`].
#[derive(Debug, Clone, PartialEq)]
pub struct ScissorhandsConfig {
    /// The most tokens that a head keeps, for each layer; see [`budgets`].
    pub budgets: Vec<usize>,
    /// How many of the last tokens are never dropped (paper: 10).
    pub recent: usize,
    /// How many of the last queries are asked (paper: 400).
    pub window: usize,
    /// How many tokens are dropped at once, as a share of the budget (paper: 0.5); at least one is.
    pub drop: f64,
    /// From which probability on a token counts as looked at.
    pub threshold: Threshold,
}

/// Splits a total budget over layers: evenly, or by `1 - persistence` where the layers' measured persistence of importance is given, so that
/// layers that change their minds keep more. The paper gives no formula.
pub fn budgets(total: usize, layers: usize, persistence: Option<&[f64]>) -> Vec<usize> {
    let weights: Vec<f64> = (0..layers)
        .map(|layer| match persistence.and_then(|all| all.get(layer)) {
            // Never nothing for a layer that persists fully.
            Some(share) => (1.0 - share).clamp(0.01, 1.0),
            None => 1.0,
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights
        .iter()
        .map(|weight| ((total as f64 * weight / sum + 1e-9) as usize).max(1))
        .collect()
}

/// Drops tokens by how many of the last queries ignored them. Ties go to the smaller sum of probabilities over those queries, then to the
/// older token; the paper is silent about them. Query heads that share keys vote together.
#[derive(Debug, Clone)]
pub struct Scissorhands {
    config: ScissorhandsConfig,
    key_heads: usize,
    slabs: Slabs,
    /// For each layer and head the probabilities of the last queries, one row for each query head and step; a row is as long as the slab was
    /// at its step. `[layers, key_heads]`
    rows: Vec<VecDeque<Vec<f32>>>,
    /// Rows that are kept: the window's steps times the query heads of a group.
    most_rows: usize,
}

impl Scissorhands {
    /// An empty cache.
    ///
    /// # Errors
    /// Budgets for another number of layers, or not larger than `recent`; a window of 0; a share to drop outside 0 to 1.
    pub fn new(shape: Shape, config: ScissorhandsConfig) -> Result<Self> {
        let wrong = |problem: String| Err(Error::Request(format!("scissorhands: {problem}")));
        if config.budgets.len() != shape.layers {
            return wrong(format!(
                "expected a budget for each of {} layers, found {}",
                shape.layers,
                config.budgets.len()
            ));
        }
        if let Some(budget) = config.budgets.iter().find(|&&budget| budget <= config.recent) {
            return wrong(format!(
                "expected budgets larger than the {} recent tokens, found {budget}",
                config.recent
            ));
        }
        if config.window == 0 {
            return wrong("expected a window of at least 1 query, found 0".into());
        }
        if !(0.0..=1.0).contains(&config.drop) {
            return wrong(format!(
                "expected a share to drop from 0 to 1, found {}",
                config.drop
            ));
        }
        Ok(Self {
            most_rows: config.window.saturating_mul(shape.group()),
            config,
            key_heads: shape.key_heads,
            slabs: Slabs::new(shape),
            rows: vec![VecDeque::new(); shape.layers * shape.key_heads],
        })
    }

    /// Which slots of a slab stay, when it is too full.
    fn keep(&self, rows: &VecDeque<Vec<f32>>, len: usize, layer: usize, position: u32) -> Vec<bool> {
        let budget = self.config.budgets[layer];
        let threshold = match self.config.threshold {
            Threshold::Text => 1.0 / (position as f32 + 1.0),
            Threshold::Kept => 1.0 / len as f32,
        };
        let mut low = vec![0u32; len];
        let mut sums = vec![0.0f32; len];
        for row in rows {
            for ((low, sum), &probability) in low.iter_mut().zip(&mut sums).zip(row) {
                *low += u32::from(probability < threshold);
                *sum += probability;
            }
        }
        let droppable = len - self.config.recent.min(len);
        let mut order: Vec<usize> = (0..droppable).collect();
        order.sort_by(|&a, &b| {
            low[b]
                .cmp(&low[a])
                .then(sums[a].total_cmp(&sums[b]))
                .then(a.cmp(&b))
        });
        let at_once = ((self.config.drop * budget as f64) as usize).max(1);
        let count = at_once.max(len - budget).min(droppable);
        let mut keep = vec![true; len];
        order[..count].iter().for_each(|&slot| keep[slot] = false);
        keep
    }
}

impl KvPolicy for Scissorhands {
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        self.slabs.push(layer, keys, values, position);
    }

    fn select(&mut self, layer: usize, head: usize, _query: Query<'_>, selection: &mut Selection) {
        selection.all(self.slabs.get(layer, head));
    }

    fn wants_probabilities(&self) -> bool {
        true
    }

    fn observe(&mut self, layer: usize, head: usize, selection: &Selection, probabilities: &[f32]) {
        let rows = &mut self.rows[layer * self.key_heads + head];
        for row in probabilities.chunks_exact(selection.near.len()) {
            let mut place = if rows.len() >= self.most_rows {
                rows.pop_front().unwrap_or_default()
            } else {
                Vec::new()
            };
            place.clear();
            place.extend_from_slice(row);
            rows.push_back(place);
        }
    }

    fn settle(&mut self, layer: usize, position: u32) {
        for head in 0..self.key_heads {
            let at = layer * self.key_heads + head;
            let len = self.slabs.get(layer, head).len();
            if len <= self.config.budgets[layer] {
                continue;
            }
            let keep = self.keep(&self.rows[at], len, layer, position);
            self.slabs.get_mut(layer, head).retain(|slot| keep[slot]);
            for row in &mut self.rows[at] {
                let mut slot = 0;
                row.retain(|_| {
                    slot += 1;
                    keep[slot - 1]
                });
            }
        }
    }

    fn slab(&self, layer: usize, head: usize) -> &Slab {
        self.slabs.get(layer, head)
    }

    fn bytes(&self) -> usize {
        let rows: usize = self.rows.iter().flatten().map(Vec::len).sum();
        self.slabs.bytes() + 4 * rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Decoder, Full, Phase, Session};
    use kokeshi_core::Seed;

    const SHAPE: Shape = Shape {
        layers: 1,
        heads: 2,
        key_heads: 1,
        head_dims: 2,
    };

    fn config(budget: usize) -> ScissorhandsConfig {
        ScissorhandsConfig {
            budgets: vec![budget; SHAPE.layers],
            recent: 1,
            window: 2,
            drop: 0.0,
            threshold: Threshold::Text,
        }
    }

    /// Feeds a cache the probabilities of its two query heads for each step, and gives the positions that it keeps after each.
    fn run(config: ScissorhandsConfig, steps: &[[&[f32]; 2]]) -> Vec<Vec<u32>> {
        let mut cache = Scissorhands::new(SHAPE, config).unwrap();
        let mut selection = Selection::default();
        let steps = steps.iter().enumerate().map(|(position, rows)| {
            cache.append(0, &[0.0; 2], &[0.0; 2], position as u32);
            selection.all(cache.slab(0, 0));
            cache.observe(0, 0, &selection, &rows.concat());
            cache.settle(0, position as u32);
            cache.live(0, 0).to_vec()
        });
        steps.collect()
    }

    #[test]
    fn what_most_queries_ignored_is_dropped_first() {
        // At the fourth step a row of a quarter is the threshold: token 1 is below it in three of four rows, token 0 in one.
        let live = run(
            config(3),
            &[
                [&[1.0], &[1.0]],
                [&[0.5, 0.5], &[0.5, 0.5]],
                [&[0.6, 0.1, 0.3], &[0.6, 0.1, 0.3]],
                [&[0.3, 0.2, 0.2, 0.3], &[0.2, 0.3, 0.2, 0.3]],
            ],
        );
        assert_eq!(live[2], [0, 1, 2]);
        assert_eq!(live[3], [0, 2, 3]);
    }

    #[test]
    fn ties_go_to_the_smaller_sum_and_then_to_the_older() {
        let smaller = run(
            config(2),
            &[
                [&[1.0], &[1.0]],
                [&[0.9, 0.1], &[0.1, 0.9]],
                [&[0.3, 0.2, 0.5], &[0.2, 0.3, 0.5]],
            ],
        );
        assert_eq!(
            smaller[2],
            [1, 2],
            "equal sums but for the first token's own step, which left the window"
        );
        let first = run(
            config(2),
            &[
                [&[1.0], &[1.0]],
                [&[0.7, 0.3], &[0.7, 0.3]],
                [&[0.1, 0.1, 0.8], &[0.1, 0.1, 0.8]],
            ],
        );
        assert_eq!(first[2], [0, 2]);
    }

    #[test]
    fn the_last_tokens_are_never_dropped_and_the_budget_is_never_passed() {
        let decoder = Decoder::random(Config::default(), 0.3, Seed(2)).unwrap();
        let shape = decoder.config().shape;
        for drop in [0.0, 0.5, 1.0] {
            let config = ScissorhandsConfig {
                budgets: budgets(24, 2, None),
                recent: 5,
                window: 20,
                drop,
                threshold: Threshold::Kept,
            };
            let mut session = Session::new(&decoder, Scissorhands::new(shape, config).unwrap());
            for token in 0..100 {
                session.step(token, Phase::Decode).unwrap();
                for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let live = session.policy().live(layer, head);
                    assert!(live.len() <= 12);
                    assert!((token.saturating_sub(4)..=token).all(|position| live.contains(&position)));
                    assert!(live.is_sorted());
                }
            }
            assert!(session.policy().bytes() < 4 * (12 * (64 + 1) * 4 + 20 * 13 * 4));
        }
    }

    #[test]
    fn a_budget_of_the_whole_text_changes_nothing() {
        let decoder = Decoder::random(Config::default(), 0.3, Seed(2)).unwrap();
        let shape = decoder.config().shape;
        let config = ScissorhandsConfig {
            budgets: vec![50; 2],
            recent: 10,
            window: 400,
            drop: 0.5,
            threshold: Threshold::Text,
        };
        let mut full = Session::new(&decoder, Full::new(shape));
        let mut kept = Session::new(&decoder, Scissorhands::new(shape, config).unwrap());
        for token in 0..50 {
            let expected = full.step(token, Phase::Decode).unwrap();
            assert_eq!(kept.step(token, Phase::Decode).unwrap(), expected);
        }
    }

    #[test]
    fn budgets_follow_persistence() {
        assert_eq!(budgets(100, 4, None), [25; 4]);
        assert_eq!(budgets(100, 2, Some(&[0.9, 0.7])), [25, 75]);
        assert_eq!(budgets(100, 2, Some(&[1.0, 0.5])), [1, 98]);
    }

    #[test]
    fn settings_that_can_not_work_are_refused() {
        let refused = |change: &dyn Fn(&mut ScissorhandsConfig), word: &str| {
            let mut config = config(4);
            change(&mut config);
            let error = Scissorhands::new(SHAPE, config).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&|config| config.budgets.clear(), "each of 1 layers");
        refused(&|config| config.recent = 4, "larger than the 4 recent");
        refused(&|config| config.window = 0, "at least 1 query");
        refused(&|config| config.drop = f64::NAN, "from 0 to 1");
    }
}
