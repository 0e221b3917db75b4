//! Documents to passages: how much text one vector stands for.

use std::ops::Range;

use kokeshi_sources::Document;

use crate::embedder::Embedder;
use crate::state::PassageOptions;

/// Special tokens that models add to a text, at most.
const SPECIAL_TOKENS: usize = 2;

impl PassageOptions {
    /// 256 tokens, or what the model reads if that is less, with an overlap of an eighth.
    pub fn for_model(embedder: &dyn Embedder) -> Self {
        let room = embedder
            .max_tokens()
            .map_or(256, |most| most.saturating_sub(SPECIAL_TOKENS))
            .clamp(8, 256);
        Self {
            tokens: room,
            overlap: room / 8,
        }
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
    let room = options.tokens - title.min(options.tokens / 2);
    ranges(
        text,
        &tokens,
        room.max(1),
        options.overlap.min(room.saturating_sub(1) / 2),
    )
}

/// Ranges of at most `room` tokens each; neighbours share `overlap` of them.
fn ranges(text: &str, tokens: &[Range<usize>], room: usize, overlap: usize) -> Vec<Range<usize>> {
    let mut passages = Vec::new();
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let mut first = 0;
    loop {
        let end = first + room;
        let start_byte = if first == 0 {
            0
        } else {
            boundary(tokens[first].start)
        };
        if end >= tokens.len() {
            passages.push(start_byte..text.len());
            return passages;
        }
        passages.push(start_byte..boundary(tokens[end].start));
        first = end - overlap;
    }
}

/// What is encoded for a passage: title and passage, as BEIR and sentence-transformers' evaluators join them.
pub fn encoded(title: &str, passage: &str) -> String {
    match (title.is_empty(), passage.is_empty()) {
        (true, _) => passage.to_string(),
        (_, true) => title.to_string(),
        _ => format!("{title} {passage}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_cover_the_text_and_overlap() {
        let text: String = (0..100).map(|number| format!("w{number:02} ")).collect();
        let tokens: Vec<_> = (0..100).map(|at| at * 4..at * 4 + 3).collect();
        let cut = ranges(&text, &tokens, 30, 5);
        assert_eq!(cut.first().map(|range| range.start), Some(0));
        assert_eq!(cut.last().map(|range| range.end), Some(text.len()));
        for pair in cut.windows(2) {
            assert_eq!(
                pair[0].end - pair[1].start,
                5 * 4,
                "five tokens of four bytes are shared"
            );
        }
    }

    #[test]
    fn a_text_without_tokens_is_one_passage() {
        assert_eq!(ranges("   ", &[], 10, 2), [0..3]);
    }
}
