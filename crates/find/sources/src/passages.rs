//! Cutting a long text into overlapping passages that a model can read whole.
//!
//! Every passage starts and ends between tokens, never inside a character. It ends at a paragraph if one ends in its last part, else at
//! a sentence, else between words, else between any two tokens. The next passage starts up to `overlap` tokens earlier, at
//! the start of a sentence or word if there is one in the first half of the overlap. Linear in the length of the text.

use std::ops::Range;

/// How long passages are, in tokens of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassageSize {
    /// Most tokens of a passage, special tokens not counted; at least 1.
    pub tokens: usize,
    /// Most tokens that a passage shares with the one before; at most half of `tokens` is taken, and at least half of what is
    /// asked for is shared.
    pub overlap: usize,
}

/// How good a place for a cut is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Boundary {
    /// Inside a character that the tokenizer took apart.
    Character,
    Token,
    Word,
    Sentence,
    Paragraph,
}

/// The byte ranges of the passages of `text`, in order: together they cover it, and each holds at most `size.tokens` of the tokens whose
/// byte ranges are `tokens` (as the tokenizer gives them, ascending). A text that fits, an empty one too, is one passage.
pub fn passages(text: &str, tokens: &[Range<usize>], size: PassageSize) -> Vec<Range<usize>> {
    let most = size.tokens.max(1);
    if tokens.len() <= most {
        return std::iter::once(0..text.len()).collect();
    }
    let (starts, boundaries) = cuts(text, tokens);
    let overlap = size.overlap.min(most / 2);
    // With this much to look back over, every passage is at least a quarter of the longest further on than the one before:
    // the work stays linear.
    let back = (most / 2).min((most - overlap) / 2);
    let mut passages = Vec::new();
    let mut first = 0;
    loop {
        let begin = if first == 0 { 0 } else { starts[first] };
        if tokens.len() - first <= most {
            passages.push(begin..text.len());
            return passages;
        }
        // The latest of the best places.
        let end = best((first + most - back)..=(first + most), &boundaries, true).unwrap_or(first + most);
        passages.push(begin..starts[end]);
        let earliest = end - overlap;
        let next = best(earliest..=(end - overlap / 2), &boundaries, false).unwrap_or(earliest);
        first = next.max(first + 1);
    }
}

/// The best cut in a range of tokens, the last of equals or the first; none if all are inside characters.
fn best(range: std::ops::RangeInclusive<usize>, boundaries: &[Boundary], last: bool) -> Option<usize> {
    let mut best: Option<usize> = None;
    for at in range {
        let better = match best {
            None => boundaries[at] > Boundary::Character,
            Some(best) => boundaries[at] > boundaries[best] || (last && boundaries[at] == boundaries[best]),
        };
        if better {
            best = Some(at);
        }
    }
    best
}

/// For every token, where a passage that starts with it starts, and how good a cut that is.
fn cuts(text: &str, tokens: &[Range<usize>]) -> (Vec<usize>, Vec<Boundary>) {
    let mut starts = Vec::with_capacity(tokens.len());
    let mut boundaries = Vec::with_capacity(tokens.len());
    let mut previous = 0;
    for token in tokens {
        // Tokenizers are trusted for speed, not for safety: starts never run backwards nor past the end.
        let wanted = token.start.clamp(previous, text.len());
        let mut start = wanted;
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = token.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let after = &text[start..end];
        let boundary = if start < wanted || (start == previous && !starts.is_empty()) {
            Boundary::Character
        } else {
            boundary(&text[previous..start], after)
        };
        starts.push(start);
        boundaries.push(boundary);
        previous = start;
    }
    (starts, boundaries)
}

/// How good a cut is between `before`, the text since the last token's start, and `after`, the next token.
fn boundary(before: &str, after: &str) -> Boundary {
    let word = before.trim_end();
    let gap = &before[word.len()..];
    // Some tokenizers count the space to the word that follows.
    let leading = &after[..after.len() - after.trim_start().len()];
    let breaks = gap.matches('\n').count() + leading.matches('\n').count();
    let ideographic_stop = word.ends_with(['。', '！', '？']);
    if gap.is_empty() && leading.is_empty() && !ideographic_stop {
        // Between two ideographs there is no space, yet each is much like a word.
        let between = word.chars().next_back().is_some_and(is_ideograph)
            && after.chars().next().is_some_and(is_ideograph);
        return if between { Boundary::Word } else { Boundary::Token };
    }
    let closed = word.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*']);
    if breaks >= 2 {
        Boundary::Paragraph
    } else if ideographic_stop || closed.ends_with(['.', '!', '?', '…', '。', '！', '？']) {
        Boundary::Sentence
    } else {
        Boundary::Word
    }
}

/// Han, kana and Hangul.
fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character), 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0x20000..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words with the spaces around them left out, as a WordPiece tokenizer would give them.
    fn words(text: &str) -> Vec<Range<usize>> {
        text.split_whitespace()
            .map(|word| {
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                start..start + word.len()
            })
            .collect()
    }

    /// Pieces of `width` bytes, which cut through characters, as a byte-level tokenizer may.
    fn pieces(text: &str, width: usize) -> Vec<Range<usize>> {
        (0..text.len())
            .step_by(width)
            .map(|start| start..(start + width).min(text.len()))
            .collect()
    }

    /// A small generator: the tests need variety, not quality.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }

        fn text(&mut self) -> String {
            let parts = [
                "a", "word", " ", " ", ". ", "\n\n", "\n", "。", "語", "🙂", "é", "  ", "!", "long-ish",
            ];
            (0..self.below(400))
                .map(|_| parts[self.below(parts.len())])
                .collect()
        }
    }

    fn starting_in(tokens: &[Range<usize>], range: &Range<usize>) -> usize {
        tokens.iter().filter(|token| range.contains(&token.start)).count()
    }

    #[test]
    fn passages_cover_the_text_within_the_limit_and_overlap_as_asked() {
        let mut random = Random(7);
        for round in 0..3000 {
            let text = random.text();
            let tokens = if round % 2 == 0 {
                words(&text)
            } else {
                pieces(&text, 1 + random.below(4))
            };
            let size = PassageSize {
                tokens: 8 + random.below(40),
                overlap: random.below(30),
            };
            let found = passages(&text, &tokens, size);
            assert_eq!(found, passages(&text, &tokens, size), "deterministic");
            assert_eq!(found[0].start, 0);
            assert_eq!(found[found.len() - 1].end, text.len());
            for range in &found {
                assert!(
                    text.is_char_boundary(range.start) && text.is_char_boundary(range.end),
                    "{range:?}"
                );
                // The piece of a character that was taken apart may start before the cut.
                let slack = if round % 2 == 0 { 0 } else { 3 };
                assert!(
                    starting_in(&tokens, range) <= size.tokens + slack,
                    "{range:?} of {text:?}"
                );
            }
            for pair in found.windows(2) {
                assert!(pair[1].start <= pair[0].end, "no gap: {pair:?}");
                assert!(
                    pair[1].start > pair[0].start && pair[1].end > pair[0].end,
                    "forwards: {pair:?}"
                );
                if round % 2 == 0 {
                    let shared = starting_in(&tokens, &(pair[1].start..pair[0].end));
                    let overlap = size.overlap.min(size.tokens / 2);
                    assert!((overlap / 2..=overlap).contains(&shared), "{shared} of {overlap}");
                }
            }
        }
    }

    #[test]
    fn a_short_or_empty_text_is_one_passage() {
        let size = PassageSize {
            tokens: 4,
            overlap: 2,
        };
        assert_eq!(passages("", &[], size), vec![0..0]);
        assert_eq!(passages(" \n ", &[], size), vec![0..3]);
        assert_eq!(passages("a b c d", &words("a b c d"), size), vec![0..7]);
    }

    #[test]
    fn paragraphs_are_better_cuts_than_sentences_and_sentences_than_words() {
        let cut = |text: &str| {
            let found = passages(
                text,
                &words(text),
                PassageSize {
                    tokens: 8,
                    overlap: 0,
                },
            );
            text[found[0].clone()].trim_end().to_string()
        };
        assert_eq!(cut("a b c d e f. g h i j"), "a b c d e f.");
        assert_eq!(cut("a b c d e\n\nf. g h i j"), "a b c d e");
        assert_eq!(cut("a b c d e f g h i j"), "a b c d e f g h");
        assert_eq!(
            cut("a. b c d e f g h i j"),
            "a. b c d e f g h",
            "a passage is not cut short for an early sentence"
        );
    }

    #[test]
    fn ranges_that_make_no_sense_do_no_harm() {
        let size = PassageSize {
            tokens: 2,
            overlap: 9,
        };
        let backwards = Range { start: 5, end: 2 };
        let tokens = [backwards, 900..1000, 0..3, 1..1, 3..4];
        let text = "日本語";
        let found = passages(text, &tokens, size);
        assert_eq!((found[0].start, found[found.len() - 1].end), (0, text.len()));
        assert!(
            passages(
                "abc",
                &[0..1, 1..2, 2..3],
                PassageSize {
                    tokens: 0,
                    overlap: 0
                }
            )
            .len()
                == 3
        );
    }

    #[test]
    fn a_long_text_takes_time_in_proportion_to_its_length() {
        // Counted, not timed: with the worst case for looking back, the number of passages stays in proportion.
        let text = "a. ".repeat(100_000);
        let size = PassageSize {
            tokens: 64,
            overlap: 32,
        };
        let found = passages(&text, &words(&text), size);
        assert!(found.len() <= 100_000 / 16 + 1, "{}", found.len());
    }
}
