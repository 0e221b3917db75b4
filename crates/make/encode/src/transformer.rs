//! The Transformer module with its pooling: texts to tokens to one vector a text.

use std::borrow::Cow;
use std::path::Path;

use kokeshi_kernels::Buffer;
use kokeshi_tokens::{Encoding, Tokenizer};
use rayon::prelude::*;

use crate::directory::{Fields, read_optional};
use crate::encoder::{Encoder, Keep, Scratch, Text};
use crate::error::{Error, Result};
use crate::family::nv_embed::Latents;
use crate::options::LoadOptions;
use crate::pooling::Pooling;
use crate::pooling::cross::Trained;
use crate::position::Position;
use crate::safetensors::Weights;
use crate::words::{WordBytes, WordIds, words};

/// Names of the file with `max_seq_length` and `do_lower_case`; the first is the usual one.
pub(crate) const CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// A tokenizer, an encoder and a pooling.
pub(crate) struct Transformer {
    /// `None`: the encoder reads words.
    tokenizer: Option<Tokenizer>,
    encoder: Encoder,
    pooling: Pooling,
    max_tokens: usize,
    /// How many tokens a piece of a longer text has, without special ones (PCW).
    piece: Option<usize>,
    lower_case: bool,
}

impl Transformer {
    /// Reads the Transformer module in `folder` and the Pooling module in `pooling`, if there is one.
    pub(crate) fn load(folder: &Path, pooling: Option<&Path>, options: &LoadOptions) -> Result<Self> {
        let encoder = Encoder::load(folder, options)?;
        let tokenizer = match encoder.reads_words() {
            true => None,
            false => {
                let path = folder.join("tokenizer.json");
                let tokenizer =
                    Tokenizer::open(&path).map_err(|error| Error::model(folder, error.to_string()))?;
                encoder.check_tokenizer(&path, tokenizer.vocabulary())?;
                Some(tokenizer)
            }
        };
        let pooling = match pooling {
            Some(folder) => Pooling::load(folder, encoder.hidden(), encoder.layers())?,
            None => Pooling::default(),
        };
        let model = Fields::read(&folder.join("config.json"))?;
        let pooling = match Latents::read(&model)? {
            Some(latents) => {
                let weights = Weights::open_folder(folder)?;
                pooling.with_latents(&latents, &model, &weights, encoder.hidden())?
            }
            None => pooling,
        };
        let config = CONFIGS
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        let config = read_optional(&config.unwrap_or_default())?;
        if let Some(task) = config
            .text("transformer_task")?
            .filter(|task| *task != "feature-extraction")
        {
            return Err(config.wrong(
                "transformer_task",
                format!("expected feature-extraction, found {task}"),
            ));
        }
        let limit = match options.context {
            Some(context) => Some(context),
            None => config.count("max_seq_length")?,
        };
        let limit = match limit {
            Some(limit) => limit,
            None => read_optional(&folder.join("tokenizer_config.json"))?
                .count("model_max_length")?
                .unwrap_or(usize::MAX),
        };
        if limit == 0 {
            return Err(config.wrong("max_seq_length", "expected at least 1, found 0"));
        }
        let pieces = options.position == Some(Position::Pcw) && limit > encoder.longest();
        let longest = if pieces { usize::MAX } else { encoder.longest() };
        let special = tokenizer
            .as_ref()
            .map_or(WordIds::SPECIAL, Tokenizer::special_count);
        if pieces && encoder.longest() <= special {
            return Err(config.wrong(
                "max_seq_length",
                format!(
                    "expected more than the {special} special tokens, found {}",
                    encoder.longest()
                ),
            ));
        }
        Ok(Self {
            piece: pieces.then(|| encoder.longest() - special),
            max_tokens: limit.min(longest),
            lower_case: config.flag("do_lower_case")?.unwrap_or(false),
            tokenizer,
            encoder,
            pooling,
        })
    }

    /// How many layers there are.
    pub(crate) fn layers(&self) -> usize {
        self.encoder.layers()
    }

    /// The width of a pooled vector.
    pub(crate) fn dims(&self) -> usize {
        self.pooling.dims(self.encoder.hidden())
    }

    /// Bytes of a block's weights.
    pub(crate) fn block_bytes(&self) -> usize {
        self.encoder.block_bytes()
    }

    /// The most tokens of a text that are read.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// How many tokens have a position.
    pub(crate) fn positions(&self) -> usize {
        self.encoder.longest()
    }

    /// How many token ids it has vectors for.
    pub(crate) fn vocabulary(&self) -> usize {
        self.encoder.vocabulary()
    }

    /// Whether its tokens are words without a vocabulary.
    pub(crate) fn reads_words(&self) -> bool {
        self.tokenizer.is_none()
    }

    /// The tokens of `prompt` followed by each of `texts`; those of an encoder that reads words get ids in `words`.
    pub(crate) fn tokenize<T: AsRef<str> + Sync>(
        &self,
        prompt: &str,
        texts: &[T],
        words: &mut WordIds,
    ) -> Result<Vec<Vec<u32>>> {
        let whole = |text| {
            self.case(match prompt {
                "" => Cow::Borrowed(text),
                prompt => Cow::Owned(format!("{prompt}{text}")),
            })
        };
        match &self.tokenizer {
            Some(tokenizer) => texts
                .par_iter()
                .map_init(Encoding::default, |encoding, text| {
                    self.known(tokenizer, &whole(text.as_ref()), encoding)
                })
                .collect(),
            None => {
                let ids = texts
                    .iter()
                    .map(|text| words.ids(&whole(text.as_ref()), self.max_tokens));
                Ok(ids.collect())
            }
        }
    }

    /// The tokens of a text, all of which the encoder has vectors for.
    fn known(&self, tokenizer: &Tokenizer, text: &str, encoding: &mut Encoding) -> Result<Vec<u32>> {
        tokenizer.encode(text, true, Some(self.max_tokens), encoding);
        match encoding
            .ids
            .iter()
            .find(|id| **id as usize >= self.encoder.vocabulary())
        {
            Some(id) => Err(Error::Request(format!(
                "the tokenizer made id {id}, but the model has vectors for ids up to {}",
                self.encoder.vocabulary() - 1
            ))),
            None => Ok(encoding.ids.clone()),
        }
    }

    /// How many tokens at the start of a text pooling leaves out: those of the prompt with the special ones before it.
    pub(crate) fn skipped(&self, prompt: &str) -> usize {
        if self.pooling.include_prompt || prompt.is_empty() {
            return 0;
        }
        let prompt = self.case(prompt);
        let Some(tokenizer) = &self.tokenizer else {
            return (1 + words(&prompt).len()).min(self.max_tokens);
        };
        let mut encoding = Encoding::default();
        tokenizer.encode(&prompt, true, Some(self.max_tokens), &mut encoding);
        let ends_special = encoding.ranges.last().is_some_and(|(start, end)| start == end);
        encoding.ids.len() - usize::from(ends_special)
    }

    /// Makes the words of a chunk's texts, whose ids mean `words`, in `scratch`; returns the texts with ids for those. `None` if the encoder has a
    /// vocabulary.
    pub(crate) fn make_words(
        &self,
        texts: &[&[u32]],
        words: &[WordBytes],
        scratch: &mut Scratch,
    ) -> Option<Vec<Vec<u32>>> {
        self.encoder.make_words(texts, words, scratch)
    }

    /// Pools every text of a chunk at each of `exits`, numbers of layers in ascending order, and shows `each` the exit and the vectors
    /// (`[texts, dims]`, in `out`). The layers are run once, unless a text is read in pieces or the pooling reads all layers. Ids are those of
    /// [`Self::make_words`], if the encoder reads words.
    pub(crate) fn encode(
        &self,
        texts: &[&[u32]],
        exits: &[usize],
        skip: usize,
        scratch: &mut Scratch,
        out: &mut Buffer,
        mut each: impl FnMut(usize, &mut Buffer),
    ) {
        let dims = self.dims();
        let fits = |ids: &[u32]| self.piece.is_none() || ids.len() <= self.encoder.longest();
        let whole = texts.iter().all(|ids| fits(ids));
        let singles: Vec<Text<'_>> = texts.iter().map(|ids| Text::single(ids)).collect();
        let Some(last) = exits.last().filter(|_| whole && self.layered().is_none()) else {
            for layers in exits {
                out.resize(texts.len() * dims);
                match whole {
                    true => self.pool(&singles, *layers, skip, scratch, out),
                    false => self.pool_pieces(texts, *layers, skip, scratch, out),
                }
                each(*layers, out);
            }
            return;
        };
        let texts = singles;
        let mut closed = std::mem::take(&mut scratch.closed);
        let keep = self.pooling.keep(skip);
        self.encoder.run(&texts, *last, keep, scratch, |layer, state| {
            if !exits.contains(&layer) {
                return;
            }
            let (state, keep) = match layer == *last {
                true => (state, keep),
                false => (self.encoder.close(state, &mut closed), Keep::All),
            };
            out.resize(texts.len() * dims);
            self.pool_states(&texts, state, keep, skip, out);
            each(layer, out);
        });
        scratch.closed = closed;
    }

    /// The pooling, if it reads all layers.
    fn layered(&self) -> Option<&Trained> {
        let trained = self.pooling.trained.as_ref();
        trained.filter(|trained| trained.wants_layers())
    }

    /// Pools each text, or the mean of its pieces, into `out` (`[texts, dims]`).
    fn pool_pieces(
        &self,
        texts: &[&[u32]],
        layers: usize,
        skip: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let dims = self.dims();
        let mut pooled = vec![0.0; dims];
        for (ids, out) in texts.iter().zip(out.chunks_exact_mut(dims)) {
            let pieces = self.pieces(ids);
            out.fill(0.0);
            for (at, piece) in pieces.iter().enumerate() {
                let skip = if at == 0 { skip } else { 0 };
                self.pool(&[Text::single(piece)], layers, skip, scratch, &mut pooled);
                out.iter_mut().zip(&pooled).for_each(|(sum, value)| *sum += value);
            }
            out.iter_mut().for_each(|value| *value /= pieces.len() as f32);
        }
    }

    /// Pools texts that are not longer than the encoder reads.
    fn pool(&self, texts: &[Text<'_>], layers: usize, skip: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let hidden = self.encoder.hidden();
        let Some(trained) = self.layered() else {
            let keep = self.pooling.keep(skip);
            self.encoder.run(texts, layers, keep, scratch, |_, _| {});
            return self.pool_states(texts, &scratch.hidden, keep, skip, out);
        };
        // One vector of each text and layer: `[texts, layers, hidden]`.
        let mut states = vec![0.0; texts.len() * layers * hidden];
        self.encoder
            .run(texts, layers, Keep::All, scratch, |layer, state| {
                if layer == 0 {
                    return;
                }
                let mut start = 0;
                for (at, text) in texts.iter().enumerate() {
                    let tokens = &state[start * hidden..][..text.ids.len() * hidden];
                    let place = (at * layers + layer - 1) * hidden;
                    self.pooling
                        .apply(tokens, hidden, skip, &mut states[place..][..hidden]);
                    start += text.ids.len();
                }
            });
        let states = states.chunks_exact(layers * hidden);
        for (states, out) in states.zip(out.chunks_exact_mut(self.dims())) {
            trained.apply(states, out);
        }
    }

    /// Pools the hidden states `[tokens, hidden]` of the kept tokens of texts laid end to end.
    fn pool_states(&self, texts: &[Text<'_>], states: &[f32], keep: Keep, skip: usize, out: &mut [f32]) {
        let hidden = self.encoder.hidden();
        let mut start = 0;
        for (text, out) in texts.iter().zip(out.chunks_exact_mut(self.dims())) {
            let count = keep.count(text.ids.len());
            let tokens = &states[start * hidden..][..count * hidden];
            match &self.pooling.trained {
                None => self.pooling.apply(tokens, hidden, skip, out),
                Some(trained) => trained.apply(&tokens[skip.min(count) * hidden..], out),
            }
            start += count;
        }
    }

    /// A text in pieces that the encoder reads, each with the special tokens; the last one ends with the text and may repeat what the one
    /// before it has (LongEmbed's PCW, arXiv 2404.12096).
    fn pieces(&self, ids: &[u32]) -> Vec<Vec<u32>> {
        let Some(size) = self.piece.filter(|_| ids.len() > self.encoder.longest()) else {
            return vec![ids.to_vec()];
        };
        let (before, after) = self.tokenizer.as_ref().map_or((1, 1), Tokenizer::special_sides);
        let (start, rest) = ids.split_at(before);
        let (text, end) = rest.split_at(rest.len() - after);
        (0..text.len())
            .step_by(size)
            .map(|from| {
                let from = from.min(text.len() - size);
                [start, &text[from..from + size], end].concat()
            })
            .collect()
    }

    /// Byte ranges of the tokens of `text` without special ones.
    pub(crate) fn token_ranges(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let cased = self.case(text);
        let ranges = match &self.tokenizer {
            Some(tokenizer) => {
                let mut encoding = Encoding::default();
                tokenizer.encode(&cased, false, None, &mut encoding);
                let ranges = encoding.ranges.iter();
                ranges
                    .map(|(start, end)| *start as usize..*end as usize)
                    .collect()
            }
            None => words(&cased),
        };
        if !self.lower_case || cased.len() == text.len() {
            return ranges;
        }
        // A few letters take more or fewer bytes in lower case.
        let mut original = Vec::with_capacity(cased.len() + 1);
        for (at, letter) in text.char_indices() {
            let bytes = letter.to_lowercase().map(char::len_utf8).sum();
            original.extend(std::iter::repeat_n(at, bytes));
        }
        original.push(text.len());
        let original = |at: usize| original.get(at).copied().unwrap_or(text.len());
        ranges
            .into_iter()
            .map(|range| original(range.start)..original(range.end))
            .collect()
    }

    fn case<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        if self.lower_case {
            Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
        } else {
            text
        }
    }
}
