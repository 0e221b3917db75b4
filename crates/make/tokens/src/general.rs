//! Any tokenizer, by the Hugging Face `tokenizers` crate, fed in segments so that a text of any length needs bounded memory.

use tokenizers::Tokenizer;

use crate::tokenizer::Encoding;

/// Bytes of text that are handed to the crate at once: it needs about 100 bytes of memory for each.
const SEGMENT: usize = 64 * 1024;
/// The smallest segment, for a text that is cut to few tokens.
const SMALLEST: usize = 2 * 1024;
/// A run without a place to cut is cut anyway after this many segments; no language writes words of half a megabyte.
const PATIENCE: usize = 8;

pub(crate) struct General {
    inner: Tokenizer,
    /// Cutting a text before a space gives the same tokens.
    cuttable: bool,
}

impl General {
    pub(crate) fn new(inner: Tokenizer) -> Self {
        let mut made = Self {
            inner,
            cuttable: false,
        };
        made.cuttable = made.probe();
        made
    }

    /// Reads a `tokenizer.json`, and tries the tokenizer, so that one whose parts don't fit together shows it here.
    pub(crate) fn parse(bytes: &[u8]) -> tokenizers::Result<Tokenizer> {
        let inner = Tokenizer::from_bytes(bytes)?;
        // What it refuses is for the caller to say.
        let _ = inner.encode("a B 1, \u{e9} \u{10FFFD}", true);
        Ok(inner)
    }

    /// Encodes `text` without special tokens, at most `room` tokens, and appends to `out`.
    pub(crate) fn encode(&self, text: &str, room: usize, out: &mut Encoding) {
        let end = out.ids.len().saturating_add(room);
        let target = room.saturating_mul(16).clamp(SMALLEST, SEGMENT);
        let mut start = 0;
        while start < text.len() && out.ids.len() < end {
            let next = if self.cuttable {
                cut(text, start, target)
            } else {
                text.len()
            };
            self.append(&text[start..next], start as u32, out);
            start = next;
        }
        out.ids.truncate(end);
        out.ranges.truncate(end);
    }

    /// A text that the model refuses gives no tokens; `Tokenizer` has made sure that it refuses none.
    fn append(&self, text: &str, base: u32, out: &mut Encoding) {
        if let Ok(encoding) = self.inner.encode(text, false) {
            out.ids.extend_from_slice(encoding.get_ids());
            out.ranges.extend(
                encoding
                    .get_offsets()
                    .iter()
                    .map(|&(from, to)| (base + from as u32, base + to as u32)),
            );
        }
    }

    /// Whether cutting before a space changes nothing, by trying. Added tokens with white space inside them could straddle a cut.
    fn probe(&self) -> bool {
        let straddles = self.inner.get_added_tokens_decoder().values().any(|token| {
            token.content.contains(' ') || ((token.lstrip || token.rstrip) && bare(&token.content))
        });
        let text = "alpha beta 12 Gamma of the unbelievable 7 x y is it";
        let (mut whole, mut parts) = (Encoding::default(), Encoding::default());
        self.append(text, 0, &mut whole);
        let mut start = 0;
        while start < text.len() {
            let next = cut(text, start, 1);
            self.append(&text[start..next], start as u32, &mut parts);
            start = next;
        }
        !straddles && whole == parts
    }
}

fn bare(token: &str) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    letter(token.as_bytes().first()) || letter(token.as_bytes().last())
}

/// The end of the segment that begins at `start`: the first single space between two ASCII letters or digits after `target` bytes.
fn cut(text: &str, start: usize, target: usize) -> usize {
    let bytes = text.as_bytes();
    let from = start.saturating_add(target);
    if from >= bytes.len() {
        return bytes.len();
    }
    let last = start.saturating_add(target * PATIENCE).max(from + SMALLEST);
    let safe = |at: usize| {
        bytes[at] == b' '
            && at > start
            && bytes[at - 1].is_ascii_alphanumeric()
            && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
    };
    if let Some(found) = (from..last.min(bytes.len())).find(|&at| safe(at)) {
        return found;
    }
    if last >= bytes.len() {
        return bytes.len();
    }
    (last..bytes.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(bytes.len())
}
