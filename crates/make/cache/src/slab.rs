//! The storage that every policy is made of: what one key-value head keeps in one layer.

/// Keys before their rotation, values and positions of the kept tokens, in the order of their positions. Slot `n` of each belongs together;
/// a position is never renumbered.
#[derive(Debug, Clone)]
pub struct Slab {
    dims: usize,
    /// `[slots, dims]`
    keys: Vec<f32>,
    /// `[slots, dims]`
    values: Vec<f32>,
    /// `[slots]`
    positions: Vec<u32>,
}

impl Slab {
    /// An empty slab of heads that are `dims` wide.
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            keys: Vec::new(),
            values: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// Adds a token behind the others.
    ///
    /// # Panics
    /// If key and value are not `[dims]`.
    pub fn push(&mut self, key: &[f32], value: &[f32], position: u32) {
        assert!(
            key.len() == self.dims && value.len() == self.dims,
            "key and value are [dims]"
        );
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.positions.push(position);
    }

    /// Drops every slot for which `keep(slot)` is false and moves the others together.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for slot in 0..self.positions.len() {
            if keep(slot) {
                let from = slot * self.dims..(slot + 1) * self.dims;
                self.keys.copy_within(from.clone(), kept * self.dims);
                self.values.copy_within(from, kept * self.dims);
                self.positions[kept] = self.positions[slot];
                kept += 1;
            }
        }
        self.keys.truncate(kept * self.dims);
        self.values.truncate(kept * self.dims);
        self.positions.truncate(kept);
    }

    /// Width of a head.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How many tokens are kept.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The key of a slot, before its rotation.
    pub fn key(&self, slot: usize) -> &[f32] {
        &self.keys[slot * self.dims..][..self.dims]
    }

    /// The value of a slot.
    pub fn value(&self, slot: usize) -> &[f32] {
        &self.values[slot * self.dims..][..self.dims]
    }

    /// The positions of the kept tokens, ascending.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        4 * (self.keys.len() + self.values.len() + self.positions.len())
    }
}

/// A slab for each layer and key-value head.
#[derive(Debug, Clone)]
pub struct Slabs {
    heads: usize,
    /// `[layers, heads]`
    slabs: Vec<Slab>,
}

impl Slabs {
    /// Empty slabs.
    pub fn new(shape: Shape) -> Self {
        Self {
            heads: shape.key_heads,
            slabs: vec![Slab::new(shape.head_dims); shape.layers * shape.key_heads],
        }
    }

    /// The slab of a head.
    pub fn get(&self, layer: usize, head: usize) -> &Slab {
        &self.slabs[layer * self.heads + head]
    }

    /// The slab of a head, to change it.
    pub fn get_mut(&mut self, layer: usize, head: usize) -> &mut Slab {
        &mut self.slabs[layer * self.heads + head]
    }

    /// Adds a token to all heads of a layer; keys and values are `[key_heads, head_dims]`.
    pub fn push(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        for head in 0..self.heads {
            let slab = self.get_mut(layer, head);
            let part = head * slab.dims()..(head + 1) * slab.dims();
            slab.push(&keys[part.clone()], &values[part], position);
        }
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.slabs.iter().map(Slab::bytes).sum()
    }
}

/// What a cache has to know of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`.
    pub key_heads: usize,
    /// Width of a head.
    pub head_dims: usize,
}

impl Shape {
    /// How many query heads share a key-value head.
    pub fn group(&self) -> usize {
        self.heads / self.key_heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_tokens_keeps_the_others_and_their_positions() {
        let mut slab = Slab::new(2);
        for position in 0..6 {
            let value = position as f32;
            slab.push(&[value, -value], &[10.0 * value, 1.0], position);
        }
        slab.retain(|slot| slot % 2 == 1);
        assert_eq!(slab.positions(), [1, 3, 5]);
        assert_eq!((slab.key(1), slab.value(2)), (&[3.0, -3.0][..], &[50.0, 1.0][..]));
        assert_eq!(slab.bytes(), 3 * (4 + 8 + 8));
    }
}
