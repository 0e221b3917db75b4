//! Documents to passages: how much text one vector stands for.

use std::ops::Range;

use kokeshi_sources::{Document, PassageSize, passages};

use crate::embedder::Embedder;
use crate::state::PassageOptions;
use crate::{Error, Result};

/// Special tokens that models add to a text, at most.
const SPECIAL_TOKENS: usize = 2;

impl PassageOptions {
    /// Passages of `tokens` with an overlap of an eighth; 0: every text is one passage, however long.
    pub fn of_tokens(tokens: usize) -> Self {
        let tokens = if tokens == 0 { usize::MAX } else { tokens };
        Self {
            tokens,
            overlap: if tokens == usize::MAX { 0 } else { tokens / 8 },
        }
    }

    /// 256 tokens, or what the model reads if that is less, with an overlap of an eighth.
    pub fn for_model(embedder: &dyn Embedder) -> Self {
        let room = embedder
            .max_tokens()
            .map_or(256, |most| most.saturating_sub(SPECIAL_TOKENS))
            .clamp(8, 256);
        Self::of_tokens(room)
    }

    /// # Errors
    /// [`Error::Request`] if no text can be cut so.
    pub(crate) fn check(self) -> Result<()> {
        if self.tokens == 0 || self.overlap >= self.tokens {
            return Err(Error::Request(format!(
                "passages: expected at least 1 token and a smaller overlap, found {} tokens and overlap {}",
                self.tokens, self.overlap
            )));
        }
        Ok(())
    }
}

/// The passages of a document as byte ranges of its text: they cover it, in order, neighbours overlap. At least one.
pub fn cut(document: &Document, options: PassageOptions, embedder: &dyn Embedder) -> Vec<Range<usize>> {
    let text = &document.text;
    // A token has at least one byte.
    if document.title.len() + text.len() <= options.tokens {
        return std::iter::once(0..text.len()).collect();
    }
    let tokens = embedder.token_ranges(text);
    let title = if document.title.is_empty() {
        0
    } else {
        embedder.token_ranges(&document.title).len()
    };
    // A title longer than half a passage leaves the other half for the text.
    let size = PassageSize {
        tokens: (options.tokens - title.min(options.tokens / 2)).max(1),
        overlap: options.overlap,
    };
    passages(text, &tokens, size)
}

/// What is encoded for a passage: title and passage, as BEIR and sentence-transformers' evaluators join them.
pub fn encoded(title: &str, passage: &str) -> String {
    match (title.is_empty(), passage.is_empty()) {
        (true, _) => passage.to_string(),
        (_, true) => title.to_string(),
        _ => format!("{title} {passage}"),
    }
}
