//! Words and their bytes (Byte2Word, arXiv 2211.12677): where they are in a text, and numbers for the distinct ones.

use std::collections::HashMap;
use std::ops::{Deref, Range};

/// Bytes of a word that are read: the first and the last half of them if it is longer.
pub const WORD_BYTES: usize = 16;

/// Byte ranges of the words of `text`: runs of letters and digits, and every other visible character alone. Letters of scripts without blanks
/// between words stand alone, too.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        let joins = letter.is_alphanumeric() && !is_unspaced(letter);
        match words.last_mut() {
            Some(word) if open && joins => word.end = end,
            _ if letter.is_whitespace() || letter.is_control() => {}
            _ => words.push(at..end),
        }
        open = joins;
    }
    words
}

/// Whether a letter's script has no blanks between words: Thai, Lao, Burmese, Khmer, kana, ideographs.
fn is_unspaced(letter: char) -> bool {
    matches!(letter as u32,
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF
        | 0x2_0000..=0x3_FFFF)
}

/// The bytes of a word that are read, at most [`WORD_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WordBytes {
    bytes: [u8; WORD_BYTES],
    len: u8,
}

impl Deref for WordBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The bytes of a word that are read.
pub fn word_bytes(word: &[u8]) -> WordBytes {
    let mut bytes = [0; WORD_BYTES];
    match bytes.get_mut(..word.len()) {
        Some(all) => all.copy_from_slice(word),
        None => {
            let (first, last) = bytes.split_at_mut(WORD_BYTES / 2);
            first.copy_from_slice(&word[..WORD_BYTES / 2]);
            last.copy_from_slice(&word[word.len() - WORD_BYTES / 2..]);
        }
    }
    WordBytes {
        bytes,
        len: word.len().min(WORD_BYTES) as u8,
    }
}

/// Numbers for the distinct words of some texts, behind those of the special tokens: token ids for encoders that have no vocabulary.
#[derive(Debug, Clone, Default)]
pub struct WordIds {
    numbers: HashMap<WordBytes, u32>,
    words: Vec<WordBytes>,
}

impl WordIds {
    /// The special token before a text, and the one behind it.
    pub const ENDS: [u32; 2] = [0, 1];

    /// Special tokens.
    pub const SPECIAL: usize = Self::ENDS.len();

    /// The id of a word.
    pub fn id(&mut self, word: &[u8]) -> u32 {
        let word = word_bytes(word);
        *self.numbers.entry(word).or_insert_with(|| {
            self.words.push(word);
            (Self::SPECIAL + self.words.len() - 1) as u32
        })
    }

    /// The words, in the order of their ids from [`WordIds::SPECIAL`].
    pub fn words(&self) -> &[WordBytes] {
        &self.words
    }

    /// The ids of the first words of `text` between the special tokens, at most `most` in all.
    pub(crate) fn ids(&mut self, text: &str, most: usize) -> Vec<u32> {
        let [first, last] = Self::ENDS;
        let mut ids = vec![first];
        let words = words(text).into_iter().take(most.saturating_sub(Self::SPECIAL));
        ids.extend(words.map(|word| self.id(&text.as_bytes()[word])));
        ids.push(last);
        ids.truncate(most);
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn texts_are_split_at_blanks_and_marks() {
        assert_eq!(
            split("Don't stop, v2.0!"),
            ["Don", "'", "t", "stop", ",", "v2", ".", "0", "!"]
        );
        assert_eq!(split("北京 in été"), ["北", "京", "in", "été"]);
        assert_eq!(split("\u{1}\u{0}\n\t  "), Vec::<&str>::new());
        assert_eq!(split("abc漢字def"), ["abc", "漢", "字", "def"]);
    }

    #[test]
    fn long_words_keep_both_ends() {
        let word: Vec<u8> = (b'a'..=b'z').collect();
        assert_eq!(*word_bytes(&word), *b"abcdefghstuvwxyz");
        assert_eq!(*word_bytes(&word[..WORD_BYTES]), word[..WORD_BYTES]);
        assert_eq!(*word_bytes(b""), *b"");
    }

    #[test]
    fn a_word_has_one_id_and_texts_are_cut_between_the_special_tokens() {
        let mut ids = WordIds::default();
        assert_eq!(ids.ids("the cat, the dog", 512), [0, 2, 3, 4, 2, 5, 1]);
        assert_eq!(ids.ids("dog the", 3), [0, 5, 1]);
        assert_eq!(ids.ids("", 512), [0, 1]);
        assert_eq!(ids.ids("dog", 1), [0]);
        let words: Vec<&[u8]> = ids.words().iter().map(|word| &**word).collect();
        assert_eq!(words, [&b"the"[..], b"cat", b",", b"dog"]);
    }
}
