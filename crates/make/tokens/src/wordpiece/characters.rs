//! What `BertNormalizer` and `BertPreTokenizer` make of one character, computed once for each block of 256 characters.
//!
//! Their steps (clean, space CJK, decompose and strip accents, lowercase) look at one character at a time, with one exception:
//! canonical reordering of combining marks. Marks that are stripped may change places unseen; the few that stay (spacing marks with a
//! combining class, and marks younger than the tables of `unicode_categories`) make a group `Exact`, which is normalised as a whole.

use std::sync::OnceLock;

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::{
    UnicodeNormalization,
    char::{canonical_combining_class, decompose_canonical},
};

/// The switches of `BertNormalizer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) clean_text: bool,
    pub(crate) handle_chinese_chars: bool,
    pub(crate) strip_accents: bool,
    pub(crate) lowercase: bool,
}

/// What becomes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Part of a word.
    Word,
    /// Between words.
    Space,
    /// A word of its own.
    Alone,
    /// Nothing.
    Drop,
    /// Depends on its neighbours, or makes several of the above.
    Exact,
}

/// One character after normalisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Belongs to the group of the character before: a combining mark, or removed before marks are put in order.
    pub(crate) joins: bool,
    length: u8,
    pub(crate) count: u8,
    bytes: [u8; 12],
}

impl Entry {
    const DROP: Self = Self {
        kind: Kind::Drop,
        joins: false,
        length: 0,
        count: 0,
        bytes: [0; 12],
    };

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }
}

type Block = Box<[Entry; 256]>;

/// Every character.
pub(crate) struct Characters {
    switches: Switches,
    blocks: Vec<OnceLock<Block>>,
}

impl Characters {
    pub(crate) fn new(switches: Switches) -> Self {
        Self {
            switches,
            blocks: (0..=char::MAX as usize / 256).map(|_| OnceLock::new()).collect(),
        }
    }

    #[inline]
    pub(crate) fn entry(&self, character: char) -> &Entry {
        let code = character as usize;
        let block = self.blocks[code / 256].get_or_init(|| self.block(code & !255));
        &block[code % 256]
    }

    #[cold]
    fn block(&self, first: usize) -> Block {
        let mut block = Box::new([Entry::DROP; 256]);
        for (entry, code) in block.iter_mut().zip(first as u32..) {
            if let Some(character) = char::from_u32(code) {
                *entry = self.compute(character);
            }
        }
        block
    }

    fn compute(&self, character: char) -> Entry {
        let Some(cleaned) = self.clean(character) else {
            return Entry {
                joins: true,
                ..Entry::DROP
            };
        };
        let mut decomposed = Vec::new();
        if self.switches.strip_accents {
            decompose_canonical(cleaned, |part| decomposed.push(part));
        } else {
            decomposed.push(cleaned);
        }
        let ordered = |part: char| self.switches.strip_accents && canonical_combining_class(part) != 0;
        let joins = decomposed.first().is_some_and(|&part| ordered(part));
        let mut made = String::new();
        let mut exact = false;
        for &part in decomposed.iter().filter(|&&part| !self.strips(part)) {
            exact |= joins || ordered(part);
            self.lower(part, |part| made.push(part));
        }
        let count = made.chars().count();
        let kind = match made.chars().next() {
            None => Kind::Drop,
            Some(first) if count == 1 && first.is_whitespace() => Kind::Space,
            Some(first) if count == 1 && is_punctuation(first) => Kind::Alone,
            Some(_)
                if made
                    .chars()
                    .any(|part| part.is_whitespace() || is_punctuation(part)) =>
            {
                Kind::Exact
            }
            Some(_) if count == 1 && self.spaces(cleaned) => Kind::Alone,
            Some(_) if self.spaces(cleaned) => Kind::Exact,
            Some(_) => Kind::Word,
        };
        let mut entry = Entry {
            kind,
            joins,
            ..Entry::DROP
        };
        match entry.bytes.get_mut(..made.len()) {
            Some(bytes) if !exact => {
                bytes.copy_from_slice(made.as_bytes());
                entry.length = made.len() as u8;
                entry.count = count as u8;
            }
            _ => entry.kind = Kind::Exact,
        }
        entry
    }

    /// Normalises a group of characters `(character, start, end)` as a whole, as the steps do it one after the other.
    /// `group` is used up; `emit` gets each character that is left with its range, in order.
    pub(crate) fn exact(&self, group: &[(char, u32, u32)], mut emit: impl FnMut(char, u32, u32)) {
        let mut spaced = Vec::with_capacity(group.len());
        for &(character, start, end) in group {
            if let Some(cleaned) = self.clean(character) {
                if self.spaces(cleaned) {
                    spaced.extend([(' ', start, end), (cleaned, start, end), (' ', start, end)]);
                } else {
                    spaced.push((cleaned, start, end));
                }
            }
        }
        if !self.switches.strip_accents {
            for (character, start, end) in spaced {
                self.lower(character, |part| emit(part, start, end));
            }
            return;
        }
        // A replaced character has the place of the next one that came in, an added one that of the last: after reordering these
        // are not always where it came from, and the ranges that are asked for have that too.
        let mut taken = 0;
        for (part, change) in spaced.iter().map(|item| item.0).nfd() {
            taken += usize::from(change <= 0);
            let (_, start, end) = spaced[taken.saturating_sub(1).min(spaced.len() - 1)];
            if !self.strips(part) {
                self.lower(part, |part| emit(part, start, end));
            }
        }
    }

    fn clean(&self, character: char) -> Option<char> {
        if !self.switches.clean_text {
            return Some(character);
        }
        match character {
            '\t' | '\n' | '\r' => Some(' '),
            '\0' | '\u{FFFD}' => None,
            _ if character.is_other() => None,
            _ if character.is_whitespace() => Some(' '),
            _ => Some(character),
        }
    }

    fn spaces(&self, character: char) -> bool {
        self.switches.handle_chinese_chars && is_chinese(character)
    }

    fn strips(&self, character: char) -> bool {
        self.switches.strip_accents && character.is_mark_nonspacing()
    }

    fn lower(&self, character: char, emit: impl FnMut(char)) {
        if self.switches.lowercase {
            character.to_lowercase().for_each(emit);
        } else {
            std::iter::once(character).for_each(emit);
        }
    }
}

/// What `BertPreTokenizer` makes a word of its own.
pub(crate) fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation() || character.is_punctuation()
}

/// The blocks of Han characters that BERT puts spaces around.
fn is_chinese(character: char) -> bool {
    matches!(
        character as u32,
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}
