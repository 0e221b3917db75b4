//! Tokens by id and ids by token, in one block of text.

use std::collections::HashMap;

/// Every token of a tokenizer, added ones included.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    text: String,
    /// Byte range in `text` of each id; `None` for an id that no token has.
    ranges: Vec<Option<(u32, u32)>>,
    ids: HashMap<Box<str>, u32>,
}

impl Vocabulary {
    /// From `(token, id)` pairs in any order. Ids are as sparse as the file makes them, so their range is bounded by the caller.
    pub(crate) fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut made = Self::default();
        for (token, id) in tokens {
            let start = made.text.len() as u32;
            made.text.push_str(&token);
            let slot = id as usize;
            if slot >= made.ranges.len() {
                made.ranges.resize(slot + 1, None);
            }
            made.ranges[slot] = Some((start, made.text.len() as u32));
            made.ids.insert(token.into_boxed_str(), id);
        }
        made
    }

    /// One more than the largest id: how many rows an embedding table needs.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        let (start, end) = (*self.ranges.get(id as usize)?)?;
        self.text.get(start as usize..end as usize)
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }
}
