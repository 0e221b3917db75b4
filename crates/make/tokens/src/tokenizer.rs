//! The tokenizer that callers hold: chooses how to encode, adds special tokens, cuts to a limit.

use std::path::Path;

use crate::{
    error::{Error, Result},
    general::General,
    vocabulary::Vocabulary,
    wordpiece::{self, WordPiece, WordPieceOptions},
};

/// The largest `tokenizer.json` that is read, in bytes; the largest in use (a 256,000-token BPE) has 35 MB.
const LARGEST_FILE: u64 = 256 << 20;
/// What errors call a tokenizer that is not a file.
const MEMORY: &str = "<memory>";
/// Ids beyond this are taken for a damaged file.
const LARGEST_ID: u32 = 1 << 24;

/// The tokens of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte range of each token in the text that was given; empty at the place where a special token was added.
    pub ranges: Vec<(u32, u32)>,
}

impl Encoding {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.ranges.clear();
    }
}

enum Engine {
    General(Box<General>),
    WordPiece(Box<WordPiece>),
}

/// Turns text into token ids. Shared between threads.
pub struct Tokenizer {
    engine: Engine,
    vocabulary: Vocabulary,
    before: Vec<u32>,
    after: Vec<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("fast", &self.is_fast())
            .field("vocabulary", &self.vocabulary())
            .field("before", &self.before)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Truncation and padding that the file asks for are switched off: callers cut.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let length = std::fs::metadata(path)
            .map_err(|error| Error::file(&name, error))?
            .len();
        if length > LARGEST_FILE {
            return Err(Error::file(
                &name,
                format!("{length} bytes; expected at most {LARGEST_FILE}"),
            ));
        }
        let bytes = std::fs::read(path).map_err(|error| Error::file(&name, error))?;
        Self::read(&bytes, &name)
    }

    /// The same from the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`], with the path `<memory>`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, MEMORY)
    }

    /// A BERT tokenizer from its vocabulary in the order of the ids, without a file: it takes a few milliseconds.
    ///
    /// # Errors
    /// [`Error::File`] if the unknown token or a special token is not in the vocabulary.
    pub fn from_wordpiece<T: AsRef<str>>(
        tokens: impl IntoIterator<Item = T>,
        options: &WordPieceOptions,
    ) -> Result<Self> {
        let vocabulary = Vocabulary::new(tokens.into_iter().zip(0..LARGEST_ID), &options.prefix);
        let id = |token: &String| {
            let missing = || {
                Error::file(
                    MEMORY,
                    format!("special token {token:?} is not in the vocabulary"),
                )
            };
            vocabulary.id(token).ok_or_else(missing)
        };
        let ids = |tokens: &[String]| tokens.iter().map(id).collect::<Result<Vec<u32>>>();
        let special = options.special.iter().filter(|token| !token.is_empty());
        let special = special
            .map(|token| Ok((token.clone(), id(token)?, false, false)))
            .collect::<Result<_>>()?;
        let (before, after) = (ids(&options.before)?, ids(&options.after)?);
        let engine = WordPiece::new(
            options.switches(),
            options.longest_word,
            id(&options.unknown)?,
            special,
            &vocabulary,
        )
        .ok_or_else(|| Error::file(MEMORY, "too many special tokens"))?;
        Ok(Self {
            engine: Engine::WordPiece(Box::new(engine)),
            vocabulary,
            before,
            after,
        })
    }

    fn read(bytes: &[u8], name: &str) -> Result<Self> {
        if let Some(read) = wordpiece::read(bytes, LARGEST_ID) {
            return Ok(Self {
                engine: Engine::WordPiece(Box::new(read.engine)),
                vocabulary: read.vocabulary,
                before: read.before,
                after: read.after,
            });
        }
        let fail = |problem: String| Error::file(name, problem);
        check_parts(bytes).map_err(|error| fail(format!("not a tokenizer.json: {error}")))?;
        // The crate panics at some contents that don't fit together (a damaged character map, say).
        let parsed = std::panic::catch_unwind(|| General::parse(bytes));
        let Ok(parsed) = parsed else {
            return Err(fail("not a tokenizer.json: its parts don't fit together".into()));
        };
        let mut inner = parsed.map_err(|error| fail(format!("not a tokenizer.json: {error}")))?;
        inner
            .with_truncation(None)
            .map_err(|error| fail(error.to_string()))?;
        inner.with_padding(None);

        let tokens = inner.get_vocab(true);
        if let Some((token, id)) = tokens.iter().find(|(_, id)| **id >= LARGEST_ID) {
            return Err(fail(format!(
                "token {token:?} has id {id}; expected less than {LARGEST_ID}"
            )));
        }
        // A model without an unknown token refuses a character that it lacks: say so now, since `encode` can't fail.
        let (before, after) = template(&inner).map_err(|error| fail(format!("can't encode: {error}")))?;
        inner
            .encode("\u{10FFFD} \u{1F9FF} q\u{0489}", true)
            .map_err(|error| fail(format!("can't encode a character that it lacks: {error}")))?;
        Ok(Self {
            engine: Engine::General(Box::new(General::new(inner))),
            vocabulary: Vocabulary::new(tokens, ""),
            before,
            after,
        })
    }

    /// Encodes `text` into `out`, whose memory is used again. With `special`, the template's tokens (`[CLS]`, `[SEP]`, ...) are added.
    /// At most `limit` tokens are made, special ones included: the text is cut, the special tokens stay.
    ///
    /// Memory stays bounded for a text of any length: BERT's tokenizer goes through it once, and the others get segments that are cut at
    /// spaces, where that changes nothing. Only the first 4 GiB are read.
    pub fn encode(&self, text: &str, special: bool, limit: Option<usize>, out: &mut Encoding) {
        out.clear();
        let text = floor(text, u32::MAX as usize);
        let limit = limit.unwrap_or(usize::MAX);
        let added = if special { self.special_count() } else { 0 };
        if special {
            out.ids.extend_from_slice(&self.before);
            out.ranges.resize(self.before.len(), (0, 0));
        }
        let room = limit.saturating_sub(added);
        match &self.engine {
            Engine::General(general) => general.encode(text, room, out),
            Engine::WordPiece(wordpiece) => wordpiece.encode(&self.vocabulary, text, room, out),
        }
        if special {
            let end = out.ranges.last().map_or(0, |range| range.1);
            out.ids.extend_from_slice(&self.after);
            out.ranges.resize(out.ids.len(), (end, end));
        }
        out.ids.truncate(limit);
        out.ranges.truncate(limit);
    }

    /// Whether this is a tokenizer of BERT's kind, which has a way of its own, many times faster than the Hugging Face crate's.
    pub fn is_fast(&self) -> bool {
        matches!(self.engine, Engine::WordPiece(_))
    }

    /// How many special tokens `encode` adds to a text.
    pub fn special_count(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// How many of them stand before the text, and how many behind it.
    pub fn special_sides(&self) -> (usize, usize) {
        (self.before.len(), self.after.len())
    }

    /// How many ids there are: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.id(token)
    }

    /// The token with this id, as the vocabulary spells it (`##ing`, `▁the`).
    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.token(id)
    }
}

/// Whether the parts round the vocabulary are JSON: the crate panics at a decoder that is not, instead of saying so.
fn check_parts(bytes: &[u8]) -> serde_json::Result<()> {
    use serde_json::Value;

    #[derive(serde::Deserialize)]
    struct Parts {
        #[serde(default)]
        normalizer: Value,
        #[serde(default)]
        pre_tokenizer: Value,
        #[serde(default)]
        post_processor: Value,
        #[serde(default)]
        decoder: Value,
    }
    let parts: Parts = serde_json::from_slice(bytes)?;
    for part in [
        parts.normalizer,
        parts.pre_tokenizer,
        parts.post_processor,
        parts.decoder,
    ] {
        if !part.is_null() && !part.is_object() {
            return Err(serde::de::Error::custom("expected objects beside the vocabulary"));
        }
    }
    Ok(())
}

/// The special tokens that are added before and after a text.
fn template(inner: &tokenizers::Tokenizer) -> tokenizers::Result<(Vec<u32>, Vec<u32>)> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let probe = inner.encode("a", true)?;
    let mut seen = false;
    for (&id, &special) in probe.get_ids().iter().zip(probe.get_special_tokens_mask()) {
        match (special == 1, seen) {
            (false, _) => seen = true,
            (true, false) => before.push(id),
            (true, true) => after.push(id),
        }
    }
    Ok((before, after))
}

/// `text` cut to at most `length` bytes, at a character.
fn floor(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
