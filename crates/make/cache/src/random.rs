//! The control that evictions are measured against: tokens dropped by chance.

use kokeshi_core::Seed;

use crate::policy::{KvPolicy, Query, Selection};
use crate::slab::{Shape, Slab, Slabs};

/// Keeps `budget` tokens of each head, dropping random ones, the newest excepted.
#[derive(Debug, Clone)]
pub struct RandomEviction {
    budget: usize,
    seed: Seed,
    key_heads: usize,
    slabs: Slabs,
}

impl RandomEviction {
    /// An empty cache for at least one token a head.
    pub fn new(shape: Shape, budget: usize, seed: Seed) -> Self {
        Self {
            budget: budget.max(1),
            seed,
            key_heads: shape.key_heads,
            slabs: Slabs::new(shape),
        }
    }
}

impl KvPolicy for RandomEviction {
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        self.slabs.push(layer, keys, values, position);
    }

    fn select(&mut self, layer: usize, head: usize, _query: Query<'_>, selection: &mut Selection) {
        selection.all(self.slabs.get(layer, head));
    }

    fn settle(&mut self, layer: usize, _position: u32) {
        for head in 0..self.key_heads {
            let slab = self.slabs.get_mut(layer, head);
            if slab.len() > self.budget {
                let dropped = self.seed.below(slab.len() - 1);
                slab.retain(|slot| slot != dropped);
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
