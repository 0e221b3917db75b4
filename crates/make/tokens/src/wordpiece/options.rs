//! The settings of a BERT tokenizer.

use super::characters::Switches;

/// The settings of a BERT tokenizer; the defaults are those of BERT uncased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordPieceOptions {
    /// Remove control characters and make every white space a blank.
    pub clean_text: bool,
    /// Put spaces around Han characters.
    pub handle_chinese_chars: bool,
    /// Strip accents; `None`: if `lowercase`.
    pub strip_accents: Option<bool>,
    /// Lowercase.
    pub lowercase: bool,
    /// The token for a word that can't be spelt.
    pub unknown: String,
    /// What a token inside a word begins with.
    pub prefix: String,
    /// Words of more characters are unknown.
    pub longest_word: usize,
    /// Special tokens that are recognised in a text.
    pub special: Vec<String>,
    /// Special tokens that are put before a text.
    pub before: Vec<String>,
    /// Special tokens that are put after a text.
    pub after: Vec<String>,
}

impl Default for WordPieceOptions {
    fn default() -> Self {
        Self {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: None,
            lowercase: true,
            unknown: "[UNK]".into(),
            prefix: "##".into(),
            longest_word: 100,
            special: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
                .map(String::from)
                .into(),
            before: vec!["[CLS]".into()],
            after: vec!["[SEP]".into()],
        }
    }
}

impl WordPieceOptions {
    pub(crate) fn switches(&self) -> Switches {
        Switches {
            clean_text: self.clean_text,
            handle_chinese_chars: self.handle_chinese_chars,
            strip_accents: self.strip_accents.unwrap_or(self.lowercase),
            lowercase: self.lowercase,
        }
    }
}
