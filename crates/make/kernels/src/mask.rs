//! What attention may be told about pairs of tokens: a mask, a score bias by distance, and a second pair of queries and keys for tokens
//! far apart.
//!
//! | part | who uses it |
//! |---|---|
//! | [`Mask::ALL`], [`Mask::CAUSAL`], [`Mask::window`] | encoders; decoders; ModernBERT's local layers, sliding windows |
//! | [`Mask`] with `first` | the Lambda shape of LM-Infinite (arXiv 2308.16137) |
//! | [`Bias`] | MPNet and T5 (buckets), ALiBi |
//! | [`Far`] | SelfExtend (arXiv 2401.01325), LM-Infinite |

use crate::buffer::Buffer;

/// The most values that a vector of any instruction set holds.
const LANES: usize = 16;

/// Which keys a query sees: those at most `before` tokens before it and `after` tokens after it, and the sequence's `first` ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// How many tokens back it sees.
    pub before: usize,
    /// How many tokens ahead it sees.
    pub after: usize,
    /// How many of the sequence's first tokens it sees from everywhere behind them.
    pub first: usize,
}

impl Mask {
    /// Every query sees every key.
    pub const ALL: Self = Self {
        before: usize::MAX,
        after: usize::MAX,
        first: 0,
    };
    /// A query sees itself and what stands before it.
    pub const CAUSAL: Self = Self {
        before: usize::MAX,
        after: 0,
        first: 0,
    };

    /// As far as `reach` tokens to both sides.
    pub const fn window(reach: usize) -> Self {
        Self {
            before: reach,
            after: reach,
            first: 0,
        }
    }

    /// Whether the token at `query` sees the one at `key`.
    pub fn sees(self, query: usize, key: usize) -> bool {
        let near = key <= query.saturating_add(self.after) && query <= key.saturating_add(self.before);
        near || (key < self.first && key < query)
    }

    /// Whether it leaves nothing out of a sequence of `len` tokens.
    pub fn is_all(self, len: usize) -> bool {
        self.before.min(self.after).saturating_add(1) >= len
    }
}

/// What is added to scores, by head and by the distance from query to key.
#[derive(Clone)]
pub struct Bias {
    pub(crate) heads: usize,
    pub(crate) reach: usize,
    /// `[heads][width]`
    pub(crate) values: Buffer,
}

impl Bias {
    /// `value(head, distance)` for sequences of up to `longest` tokens; the distance is the key's place minus the query's.
    pub fn new(heads: usize, longest: usize, value: impl Fn(usize, isize) -> f32) -> Self {
        let reach = longest.saturating_sub(1);
        let mut made = Self {
            heads,
            reach,
            values: Buffer::default(),
        };
        let width = made.width();
        made.values = Buffer::zeros(heads * width);
        for head in 0..heads {
            for (at, slot) in made.values[head * width..][..2 * reach + 1]
                .iter_mut()
                .enumerate()
            {
                *slot = value(head, at as isize - reach as isize);
            }
        }
        made
    }

    /// Values of a head: one for each distance, and room to read whole vectors past the end.
    pub(crate) fn width(&self) -> usize {
        2 * self.reach + 1 + 2 * LANES
    }

    /// What is added to the score of a query of `head` and a key `distance` tokens after it.
    pub fn get(&self, head: usize, distance: isize) -> f32 {
        self.values[head * self.width() + (self.reach as isize + distance) as usize]
    }
}

/// Queries and keys that take the place of the others where query and key are at least `window` tokens apart.
///
/// Token `t`, head `h`, dimension `d` is at `(t * heads + h) * head_dims + d`, with the number of key heads for the keys.
#[derive(Clone, Copy)]
pub struct Far<'a> {
    /// The distance from which they count.
    pub window: usize,
    /// Queries for keys that stand before them.
    pub before: &'a [f32],
    /// Queries for keys that stand after them.
    pub after: &'a [f32],
    /// The keys.
    pub keys: &'a [f32],
}
