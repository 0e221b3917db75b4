//! One pass over the bytes of a text: words of plain ASCII take the short way, everything else goes character by character.

use std::cell::RefCell;

use aho_corasick::{AhoCorasick, MatchKind};

use super::characters::{Characters, Kind, Switches, is_punctuation};
use crate::{
    tokenizer::Encoding,
    vocabulary::{Place, Vocabulary},
};

// What a byte is: below `WORD` a class, otherwise the byte that it becomes in a word.
const SPACE: u8 = 0;
const ALONE: u8 = 1;
const DROP: u8 = 2;
const OTHER: u8 = 3;
const WORD: u8 = 4;

/// Words of plain ASCII up to this length take the short way.
const SHORT: usize = 128;
/// A group of combining marks is cut here; no script stacks a thousand.
const GROUP: usize = 1024;

/// A special token that is recognised in a text.
struct Added {
    id: u32,
    strip_left: bool,
    strip_right: bool,
}

pub(crate) struct WordPiece {
    bytes: [u8; 256],
    characters: Characters,
    longest_word: usize,
    unknown: u32,
    /// The id of each ASCII punctuation mark.
    marks: [u32; 128],
    added: Option<(AhoCorasick, Vec<Added>)>,
}

/// The word that is being put together, with the range of the text that each byte comes from.
#[derive(Default)]
struct Word {
    bytes: Vec<u8>,
    ranges: Vec<(u32, u32)>,
    /// Characters, also those beyond the longest word, whose bytes are not kept.
    count: usize,
    end: u32,
    group: Vec<(char, u32, u32)>,
}

thread_local! {
    /// Kept from text to text, so that nothing is allocated in the long run.
    static SCRATCH: RefCell<Word> = RefCell::default();
}

impl WordPiece {
    /// `None` if the special tokens can't be matched together.
    pub(crate) fn new(
        switches: Switches,
        longest_word: usize,
        unknown: u32,
        added: Vec<(String, u32, bool, bool)>,
        vocabulary: &Vocabulary,
    ) -> Option<Self> {
        let mut bytes = [OTHER; 256];
        for (byte, class) in (0u8..128).zip(&mut bytes) {
            *class = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => SPACE,
                0x0B | 0x0C if !switches.clean_text => SPACE,
                _ if byte.is_ascii_control() => {
                    if switches.clean_text {
                        DROP
                    } else {
                        OTHER
                    }
                }
                _ if byte.is_ascii_punctuation() => ALONE,
                _ if switches.lowercase => byte.to_ascii_lowercase(),
                _ => byte,
            };
        }
        let mut marks = [unknown; 128];
        for (byte, id) in (0u8..).zip(&mut marks) {
            if longest_word > 0 {
                *id = vocabulary.find(&[byte], Place::Start).unwrap_or(unknown);
            }
        }
        let added = if added.is_empty() {
            None
        } else {
            let finder = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(added.iter().map(|token| &token.0))
                .ok()?;
            let tokens = added
                .into_iter()
                .map(|(_, id, strip_left, strip_right)| Added {
                    id,
                    strip_left,
                    strip_right,
                })
                .collect();
            Some((finder, tokens))
        };
        Some(Self {
            bytes,
            characters: Characters::new(switches),
            longest_word,
            unknown,
            marks,
            added,
        })
    }

    /// Encodes `text` without adding special tokens, at most `room` tokens, and appends to `out`.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str, room: usize, out: &mut Encoding) {
        let end = out.ids.len().saturating_add(room);
        SCRATCH.with(|word| {
            let word = &mut *word.borrow_mut();
            let mut start = 0;
            if let Some((finder, tokens)) = &self.added {
                for found in finder.find_iter(text) {
                    let token = &tokens[found.pattern().as_usize()];
                    let (mut from, mut to) = (found.start(), found.end());
                    if token.strip_left {
                        from = start.max(text[..from].trim_end().len());
                    }
                    if token.strip_right {
                        to = text.len() - text[to..].trim_start().len();
                    }
                    self.piece(vocabulary, text, start..from, end, word, out);
                    push(out, token.id, (from as u32, to as u32));
                    start = to;
                    if out.ids.len() >= end {
                        break;
                    }
                }
            }
            self.piece(vocabulary, text, start..text.len(), end, word, out);
        });
        out.ids.truncate(end);
        out.ranges.truncate(end);
    }

    /// Encodes a piece of text between special tokens.
    fn piece(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        piece: std::ops::Range<usize>,
        end: usize,
        word: &mut Word,
        out: &mut Encoding,
    ) {
        let bytes = &text.as_bytes()[..piece.end];
        let mut at = piece.start;
        let mut short = [0u8; SHORT];
        while at < bytes.len() && out.ids.len() < end {
            let start = at;
            let mut class = self.bytes[bytes[at] as usize];
            match class {
                SPACE | DROP => at += 1,
                ALONE => {
                    push(out, self.marks[bytes[at] as usize], (at as u32, at as u32 + 1));
                    at += 1;
                }
                _ => {
                    let mut length = 0;
                    while class >= WORD && length < SHORT {
                        short[length] = class;
                        length += 1;
                        class = bytes
                            .get(start + length)
                            .map_or(SPACE, |&byte| self.bytes[byte as usize]);
                    }
                    if class <= ALONE {
                        at = start + length;
                        let range = |from: usize, to: usize| ((start + from) as u32, (start + to) as u32);
                        self.spell(vocabulary, &short[..length], length, range, out);
                    } else {
                        at = self.long_way(vocabulary, &text[..piece.end], start, end, word, out);
                    }
                }
            }
        }
    }

    /// Encodes character by character from `at`, until a word ends at an ASCII space or mark; gives the place after that.
    #[cold]
    #[inline(never)]
    fn long_way(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        mut at: usize,
        end: usize,
        word: &mut Word,
        out: &mut Encoding,
    ) -> usize {
        word.clear();
        let mut left = text[at..].chars();
        let mut next = left.next();
        while let Some(character) = next
            && out.ids.len() < end
        {
            let (start, stop) = (at as u32, (at + character.len_utf8()) as u32);
            at = stop as usize;
            next = left.next();
            if character.is_ascii() {
                match self.bytes[character as usize] {
                    class @ (SPACE | ALONE) => {
                        self.flush(vocabulary, word, out);
                        if class == ALONE {
                            push(out, self.marks[character as usize], (start, stop));
                        }
                        return at;
                    }
                    DROP => {}
                    OTHER => word.push(self, &[character as u8], 1, (start, stop)),
                    byte => word.push(self, &[byte], 1, (start, stop)),
                }
                continue;
            }
            let entry = self.characters.entry(character);
            let mut exact = entry.kind == Kind::Exact;
            if exact || next.is_some_and(|next| self.joins(next)) {
                // The group is normalised as a whole only if one of its characters needs that.
                word.group.clear();
                word.group.push((character, start, stop));
                while let Some(joined) = next
                    && self.joins(joined)
                    && word.group.len() < GROUP
                {
                    exact |= !joined.is_ascii() && self.characters.entry(joined).kind == Kind::Exact;
                    word.group
                        .push((joined, at as u32, (at + joined.len_utf8()) as u32));
                    at += joined.len_utf8();
                    next = left.next();
                }
                if exact {
                    self.exact(vocabulary, word, out);
                    continue;
                }
            }
            // What joins and is not exact leaves nothing.
            match entry.kind {
                Kind::Word => word.push(self, entry.bytes(), entry.count.into(), (start, stop)),
                Kind::Space => self.flush(vocabulary, word, out),
                Kind::Alone => {
                    self.flush(vocabulary, word, out);
                    word.push(self, entry.bytes(), entry.count.into(), (start, stop));
                    self.flush(vocabulary, word, out);
                }
                Kind::Drop | Kind::Exact => {}
            }
        }
        self.flush(vocabulary, word, out);
        text.len()
    }

    #[inline]
    fn joins(&self, character: char) -> bool {
        if character.is_ascii() {
            self.bytes[character as usize] == DROP
        } else {
            self.characters.entry(character).joins
        }
    }

    #[cold]
    fn exact(&self, vocabulary: &Vocabulary, word: &mut Word, out: &mut Encoding) {
        let group = std::mem::take(&mut word.group);
        self.characters.exact(&group, |character, start, end| {
            let alone = is_punctuation(character);
            if alone || character.is_whitespace() {
                self.flush(vocabulary, word, out);
            }
            if !character.is_whitespace() {
                word.push(
                    self,
                    character.encode_utf8(&mut [0; 4]).as_bytes(),
                    1,
                    (start, end),
                );
            }
            if alone {
                self.flush(vocabulary, word, out);
            }
        });
        word.group = group;
    }

    fn flush(&self, vocabulary: &Vocabulary, word: &mut Word, out: &mut Encoding) {
        if word.count > 0 {
            let (ranges, end) = (&word.ranges, word.end);
            let last = word.bytes.len();
            let range =
                |from: usize, to: usize| (ranges[from].0, if to == last { end } else { ranges[to - 1].1 });
            self.spell(vocabulary, &word.bytes, word.count, range, out);
            word.clear();
        }
    }

    /// Greedy longest match from the left; a word that can't be spelt to its end is unknown.
    #[inline]
    fn spell(
        &self,
        vocabulary: &Vocabulary,
        word: &[u8],
        count: usize,
        range: impl Fn(usize, usize) -> (u32, u32),
        out: &mut Encoding,
    ) {
        let unknown = range(0, word.len());
        if count > self.longest_word {
            return push(out, self.unknown, unknown);
        }
        if let Some(id) = vocabulary.find(word, Place::Start) {
            return push(out, id, unknown);
        }
        let before = out.ids.len();
        let (mut at, mut place) = (0, Place::Start);
        while at < word.len() {
            let rest = &word[at..];
            let longest = vocabulary.longest(rest[0], place).min(rest.len());
            let found = (1..=longest).rev().find_map(|length| {
                // A match never ends inside a character.
                let inside = rest.get(length).is_some_and(|byte| byte & 0xC0 == 0x80);
                let id = if inside {
                    None
                } else {
                    vocabulary.find(&rest[..length], place)
                };
                id.map(|id| (id, length))
            });
            let Some((id, length)) = found else {
                out.ids.truncate(before);
                out.ranges.truncate(before);
                return push(out, self.unknown, unknown);
            };
            push(out, id, range(at, at + length));
            at += length;
            place = Place::Inside;
        }
    }
}

impl Word {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        self.count = 0;
    }

    fn push(&mut self, rules: &WordPiece, bytes: &[u8], count: usize, range: (u32, u32)) {
        self.count += count;
        self.end = range.1;
        if self.count <= rules.longest_word || self.bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
            self.ranges.resize(self.bytes.len(), range);
        }
    }
}

#[inline]
fn push(out: &mut Encoding, id: u32, range: (u32, u32)) {
    out.ids.push(id);
    out.ranges.push(range);
}
