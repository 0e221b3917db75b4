//! The cache that keeps everything and looks at all of it.

use crate::policy::{KvPolicy, Query, Selection};
use crate::slab::{Shape, Slab, Slabs};

/// Every token so far, at its true distance: exact attention, memory that grows with the text.
#[derive(Debug, Clone)]
pub struct Full {
    slabs: Slabs,
}

impl Full {
    /// An empty cache.
    pub fn new(shape: Shape) -> Self {
        Self {
            slabs: Slabs::new(shape),
        }
    }
}

impl KvPolicy for Full {
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        self.slabs.push(layer, keys, values, position);
    }

    fn select(&mut self, layer: usize, head: usize, _query: Query<'_>, selection: &mut Selection) {
        selection.all(self.slabs.get(layer, head));
    }

    fn slab(&self, layer: usize, head: usize) -> &Slab {
        self.slabs.get(layer, head)
    }

    fn bytes(&self) -> usize {
        self.slabs.bytes()
    }
}
