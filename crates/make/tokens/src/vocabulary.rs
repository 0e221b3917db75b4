//! Tokens by id and ids by token, in one block of text and one hash table that is made in a few milliseconds.
//!
//! WordPiece asks two questions: is this the start of a word, and is this the continuation of one (`##ing`)? A token with the
//! continuation prefix is entered twice, once as it is spelt and once without the prefix, so that both are a single look-up.

/// What a look-up is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A whole token, as the vocabulary spells it.
    Start = 0,
    /// A continuation, without its prefix.
    Inside = 1,
}

/// Every token of a tokenizer, added ones included.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    text: String,
    /// Byte range in `text` of each id; `None` for an id that no token has.
    ranges: Vec<Option<(u32, u32)>>,
    /// Open addressing: the upper half of the hash above the id plus one; 0 is free.
    slots: Vec<u64>,
    /// Bytes of the continuation prefix.
    prefix: usize,
    /// The longest token in bytes by place and first byte.
    longest: Vec<u16>,
    /// How many different tokens there are.
    distinct: usize,
}

impl Vocabulary {
    /// From `(token, id)` pairs in any order; of two tokens with one id the last counts, of two ids with one token the smaller.
    /// The caller bounds the ids.
    pub(crate) fn new<T: AsRef<str>>(tokens: impl IntoIterator<Item = (T, u32)>, prefix: &str) -> Self {
        let mut made = Self {
            prefix: prefix.len(),
            longest: vec![0; 512],
            ..Self::default()
        };
        for (token, id) in tokens {
            let start = made.text.len() as u32;
            made.text.push_str(token.as_ref());
            let slot = id as usize;
            if slot >= made.ranges.len() {
                made.ranges.resize(slot + 1, None);
            }
            made.ranges[slot] = Some((start, made.text.len() as u32));
        }
        made.index(prefix);
        made
    }

    fn index(&mut self, prefix: &str) {
        let continuing =
            |token: &&str| !prefix.is_empty() && token.len() > prefix.len() && token.starts_with(prefix);
        let tokens = || {
            let text = &self.text;
            let token = |range: (u32, u32)| &text[range.0 as usize..range.1 as usize];
            (0u32..)
                .zip(&self.ranges)
                .filter_map(move |(id, range)| range.map(|range| (id, token(range))))
        };
        let entries = tokens().count() + tokens().filter(|(_, token)| continuing(token)).count();
        let mut slots = vec![0u64; (entries * 3 / 2 + 1).next_power_of_two()];
        let mut longest = vec![0u16; 512];
        let mut distinct = 0;
        let spelt = |slot: u64| {
            let range = self.ranges[(slot as u32 - 1) as usize].unwrap_or_default();
            &self.text[range.0 as usize..range.1 as usize]
        };
        let mut enter = |id: u32, token: &str, place: Place| {
            let hash = hash(token.as_bytes(), place);
            let mask = slots.len() - 1;
            let mut at = hash as usize & mask;
            while slots[at] != 0 {
                if place == Place::Start && slots[at] & TAG == hash & TAG && spelt(slots[at]) == token {
                    return;
                }
                at = (at + 1) & mask;
            }
            slots[at] = (hash & TAG) | u64::from(id + 1);
            distinct += usize::from(place == Place::Start);
            if let Some(&first) = token.as_bytes().first() {
                let longest = &mut longest[place as usize * 256 + first as usize];
                *longest = (*longest).max(token.len().min(usize::from(u16::MAX)) as u16);
            }
        };
        for (id, token) in tokens() {
            enter(id, token, Place::Start);
            if continuing(&token) {
                enter(id, &token[prefix.len()..], Place::Inside);
            }
        }
        self.distinct = distinct;
        self.slots = slots;
        self.longest = longest;
    }

    /// One more than the largest id: how many rows an embedding table needs.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// How many different tokens there are.
    pub(crate) fn distinct(&self) -> usize {
        self.distinct
    }

    /// Whether some token has this character.
    pub(crate) fn spells(&self, character: char) -> bool {
        self.text.contains(character)
    }

    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        let (start, end) = (*self.ranges.get(id as usize)?)?;
        self.text.get(start as usize..end as usize)
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.find(token.as_bytes(), Place::Start)
    }

    /// The id of the token that is spelt `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], place: Place) -> Option<u32> {
        let hash = hash(key, place);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        let skip = if place == Place::Inside { self.prefix } else { 0 };
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot & TAG == hash & TAG {
                let id = slot as u32 - 1;
                if let Some(Some((start, end))) = self.ranges.get(id as usize)
                    && &self.text.as_bytes()[*start as usize + skip..*end as usize] == key
                {
                    return Some(id);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// No token that begins with this byte is longer.
    #[inline]
    pub(crate) fn longest(&self, first: u8, place: Place) -> usize {
        self.longest[place as usize * 256 + first as usize] as usize
    }
}

const TAG: u64 = 0xFFFF_FFFF_0000_0000;

/// Wang Yi's wyhash, with the short cases that words are.
#[inline]
fn hash(key: &[u8], place: Place) -> u64 {
    const KEYS: [u64; 3] = [
        0xA076_1D64_78BD_642F,
        0xE703_7ED1_A0B4_28DB,
        0x8EBC_6AF0_9C88_C6E3,
    ];
    let seed = KEYS[place as usize] ^ key.len() as u64;
    let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            let mut first = u64::from_le_bytes(*first);
            let (middle, _) = key.as_chunks::<8>();
            for chunk in middle
                .iter()
                .skip(1)
                .take(if key.len() > 16 { usize::MAX } else { 0 })
            {
                first = fold(first ^ KEYS[1], u64::from_le_bytes(*chunk) ^ seed);
            }
            (first, u64::from_le_bytes(*last))
        }
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => (
                u64::from(u32::from_le_bytes(*first)),
                u64::from(u32::from_le_bytes(*last)),
            ),
            _ => match key {
                [] => (0, 0),
                [.., last] => (
                    u64::from(key[0]) << 8 | u64::from(key[key.len() / 2]),
                    u64::from(*last),
                ),
            },
        },
    };
    fold(first ^ seed, last ^ KEYS[2])
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_spelling_and_continuations_without_their_prefix() {
        let words = [
            "[UNK]",
            "a",
            "ab",
            "abc",
            "##",
            "##abc",
            "abcdefgh",
            "##abcdefghijklmnopqrstu",
            "é",
        ];
        let vocabulary = Vocabulary::new(words.iter().zip((0..).step_by(3)), "##");
        for (word, id) in words.iter().zip((0..).step_by(3)) {
            assert_eq!(vocabulary.id(word), Some(id), "{word}");
            assert_eq!(vocabulary.token(id), Some(*word));
            assert_eq!(vocabulary.token(id + 1), None);
        }
        assert_eq!(vocabulary.find(b"abc", Place::Inside), Some(15));
        assert_eq!(vocabulary.find(b"ab", Place::Inside), None);
        assert_eq!(vocabulary.find(b"abcdefghijklmnopqrstu", Place::Inside), Some(21));
        assert_eq!((vocabulary.id(""), vocabulary.id("abd")), (None, None));
        assert_eq!(vocabulary.len(), 25);
        assert_eq!(vocabulary.longest(b'a', Place::Start), 8);
    }

    #[test]
    fn an_empty_vocabulary_knows_nothing() {
        let vocabulary = Vocabulary::new(std::iter::empty::<(&str, u32)>(), "##");
        assert_eq!((vocabulary.id("a"), vocabulary.len()), (None, 0));
    }
}
