//! The whole encoder: embeddings, blocks, last norm.

use std::collections::HashMap;
use std::path::Path;

use kokeshi_core::Embeddings;
use kokeshi_kernels::{Buffer, Level, QuantizedRows};
use rayon::prelude::*;

use crate::directory::Fields;
use crate::encoder::block::Block;
use crate::encoder::parts::{Norm, Parts};
use crate::encoder::plan::Plan;
use crate::error::{Error, Result};
use crate::family;
use crate::options::LoadOptions;
use crate::position::{FarScratch, Positions, extend};
use crate::safetensors::Weights;
use crate::word_layer::{BYTE_WORDS, WordLayer};
use crate::words::{WordBytes, WordIds};

/// The tokens of one text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    /// Their ids.
    pub(crate) ids: &'a [u32],
    /// How many of them are of token type 0; the rest, the second text of a pair, is of type 1.
    pub(crate) first: usize,
}

impl<'a> Text<'a> {
    /// A text that is not a pair.
    pub(crate) fn single(ids: &'a [u32]) -> Self {
        Self {
            ids,
            first: ids.len(),
        }
    }
}

/// Which tokens of a text the last layer that is run finishes: the others are only looked at by attention there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All of them.
    All,
    /// The first one.
    First,
    /// The last one.
    Last,
}

impl Keep {
    /// How many of `len` tokens are kept.
    pub(crate) fn count(self, len: usize) -> usize {
        match self {
            Self::All => len,
            Self::First | Self::Last => len.min(1),
        }
    }

    /// Moves the kept rows (`width` values each) of texts laid end to end to the front and drops the others; returns how many they are.
    pub(crate) fn gather(self, texts: &[Text<'_>], width: usize, rows: &mut Buffer) -> usize {
        let (mut start, mut kept) = (0, 0);
        for text in texts {
            let len = text.ids.len();
            let from = match self {
                Self::All | Self::First => start,
                Self::Last => start + len.saturating_sub(1),
            };
            let count = self.count(len);
            rows.copy_within(from * width..(from + count) * width, kept * width);
            start += len;
            kept += count;
        }
        rows.resize(kept * width);
        kept
    }
}

/// Memory of one thread, used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Hidden states: `[tokens, hidden]`.
    pub(crate) hidden: Buffer,
    /// Hidden states after the norm before a part.
    pub(crate) normed: Buffer,
    /// Queries, keys and values; later gates and values.
    pub(crate) joint: Buffer,
    pub(crate) context: Buffer,
    pub(crate) inner: Buffer,
    pub(crate) quantized: QuantizedRows,
    pub(crate) attention: kokeshi_kernels::Scratch,
    pub(crate) far: FarScratch,
    /// Hidden states of an exit on the way, after the last norm.
    pub(crate) closed: Buffer,
    /// Vectors of the words that the texts at hand have, if the encoder makes them of bytes: `[words, hidden]`.
    pub(crate) words: Buffer,
}

/// The weights of an encoder, packed for this processor.
pub(crate) struct Encoder {
    hidden: usize,
    longest: usize,
    /// `[vocabulary, hidden]`, in the file.
    words: Embeddings,
    /// What makes the vectors of ids behind that table.
    word_layer: Option<WordLayer>,
    /// What a token of type 0 gets, and what one of type 1 gets on top; empty if there are no types, or only one.
    types: [Vec<f32>; 2],
    positions: Positions,
    first_norm: Option<Norm>,
    blocks: Vec<Block>,
    last_norm: Option<Norm>,
}

impl Encoder {
    /// Reads `config.json` and the weights of a transformer's folder.
    pub(crate) fn load(folder: &Path, options: &LoadOptions) -> Result<Self> {
        let config = Fields::read(&folder.join("config.json"))?;
        let plan = family::plan(&config)?;
        Self::from_weights(plan, &config, &Weights::open_folder(folder)?, options)
    }

    /// Packs what `plan` names in `weights`; `config` is the file to blame.
    pub(crate) fn from_weights(
        mut plan: Plan,
        config: &Fields,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        let extension = extend::apply(&mut plan, config, options)?;
        let level = Level::best();
        let parts = Parts::new((level, options.precision), weights, plan.prefix);
        let hidden = plan.hidden;
        let temperature = options.temperature.unwrap_or(1.0);
        if !(0.01..=100.0).contains(&temperature) {
            return Err(Error::Request(format!(
                "expected an attention temperature of 0.01 to 100, found {temperature}"
            )));
        }
        let words = weights
            .expect(&parts.of(&plan.words), &[plan.vocabulary, hidden])?
            .matrix()?;
        let mut types = [Vec::new(), Vec::new()];
        if let Some((name, count)) = &plan.types {
            let values = parts.values(name, &[*count, hidden])?;
            types[0] = values[..hidden].to_vec();
            if let Some(second) = values.get(hidden..2 * hidden) {
                types[1] = second
                    .iter()
                    .zip(&types[0])
                    .map(|(one, zero)| one - zero)
                    .collect();
            }
        }
        let heads = plan.blocks.first().map_or(0, |block| block.attention.heads);
        let mut positions = Positions::load(&parts, &plan.positions, hidden, heads, plan.longest, extension)?;
        // One addition less for every token.
        if let Some(table) = positions.table_mut()
            && !types[0].is_empty()
        {
            table.add(&std::mem::take(&mut types[0]));
        }
        let blocks = plan
            .blocks
            .par_iter()
            .map(|block| {
                let block = Block::load(&parts, block, hidden, temperature)?;
                // It is packed now; a large model would need twice its size in memory otherwise.
                weights.give_back();
                Ok(block)
            })
            .collect::<Result<_>>()?;
        let word_layer = plan
            .bytes
            .map(|shape| WordLayer::load(shape, weights, BYTE_WORDS));
        Ok(Self {
            hidden,
            longest: plan.longest,
            words,
            word_layer: word_layer.transpose()?,
            types,
            positions,
            first_norm: parts.optional_norm(plan.first_norm.as_ref(), hidden)?,
            blocks,
            last_norm: parts.optional_norm(plan.last_norm.as_ref(), hidden)?,
        })
    }

    /// The width of a token's vector.
    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    /// How many layers there are.
    pub(crate) fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it reads words, which it makes of their bytes, and has no vocabulary.
    pub(crate) fn reads_words(&self) -> bool {
        self.word_layer.is_some()
    }

    /// Rows of the token table.
    pub(crate) fn vocabulary(&self) -> usize {
        self.words.rows()
    }

    /// The most tokens a text may have.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Bytes of a block's weights.
    pub(crate) fn block_bytes(&self) -> usize {
        self.blocks.first().map_or(0, Block::weight_bytes)
    }

    /// Runs the first `layers` layers over `texts` laid end to end; leaves `[tokens, hidden]` of the tokens to keep in `scratch.hidden`. `each`
    /// sees the hidden states on the way, of all tokens: those of the embeddings as layer 0; and those of the last layer, of the tokens to
    /// keep, after the last norm.
    /// Every id is in the token table, or its vector in `scratch.words`, and no text is longer than [`Self::longest`].
    pub(crate) fn run(
        &self,
        texts: &[Text<'_>],
        layers: usize,
        keep: Keep,
        scratch: &mut Scratch,
        mut each: impl FnMut(usize, &[f32]),
    ) {
        let tokens = texts.iter().map(|text| text.ids.len()).sum();
        scratch.hidden.resize(tokens * self.hidden);
        self.embed(texts, &scratch.words, &mut scratch.hidden);
        for (at, block) in self.blocks[..layers].iter().enumerate() {
            each(at, &scratch.hidden);
            let keep = if at + 1 == layers { keep } else { Keep::All };
            block.run(texts, tokens, keep, &self.positions, scratch);
        }
        if layers == 0 {
            keep.gather(texts, self.hidden, &mut scratch.hidden);
        }
        if let Some(norm) = &self.last_norm {
            norm.apply(&mut scratch.hidden);
        }
        each(layers, &scratch.hidden);
    }

    /// Makes the words of texts that are run next, in `scratch.words`, and returns the texts with ids for those: `words` are the words behind
    /// the special tokens that the texts' own ids mean. `None` if the encoder has a vocabulary.
    pub(crate) fn make_words(
        &self,
        texts: &[&[u32]],
        words: &[WordBytes],
        scratch: &mut Scratch,
    ) -> Option<Vec<Vec<u32>>> {
        let layer = self.word_layer.as_ref()?;
        let (mut numbers, mut distinct) = (HashMap::new(), Vec::new());
        let mut here = |id: &u32| match (*id as usize).checked_sub(WordIds::SPECIAL) {
            None => *id,
            Some(word) => *numbers.entry(word).or_insert_with(|| {
                distinct.push(words[word]);
                (WordIds::SPECIAL + distinct.len() - 1) as u32
            }),
        };
        let texts = texts.iter().map(|ids| ids.iter().map(&mut here).collect());
        let texts = texts.collect();
        scratch.words.resize(distinct.len() * self.hidden);
        layer.vectors(&distinct, &mut scratch.words);
        Some(texts)
    }

    /// The hidden states of an exit on the way as [`Self::run`] would leave them there: `state` after the last norm.
    pub(crate) fn close<'a>(&self, state: &'a [f32], spare: &'a mut Buffer) -> &'a [f32] {
        let Some(norm) = &self.last_norm else {
            return state;
        };
        spare.resize(state.len());
        spare.copy_from_slice(state);
        norm.apply(spare);
        spare
    }

    /// Token plus position plus type, normalised; `made` has the vectors of ids behind the token table.
    fn embed(&self, texts: &[Text<'_>], made: &[f32], out: &mut [f32]) {
        let vocabulary = self.vocabulary();
        let add = |row: &mut [f32], values: &[f32]| {
            row.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        };
        let mut rows = out.chunks_exact_mut(self.hidden);
        for text in texts {
            let mut walk = self.positions.walk(text.ids.len());
            for (at, id) in text.ids.iter().enumerate() {
                let Some(row) = rows.next() else { return };
                row.copy_from_slice(match (*id as usize).checked_sub(vocabulary) {
                    None => self.words.row(*id as usize),
                    Some(word) => &made[word * self.hidden..][..self.hidden],
                });
                walk.add(*id, row);
                add(row, &self.types[0]);
                if at >= text.first {
                    add(row, &self.types[1]);
                }
            }
        }
        if let Some(norm) = &self.first_norm {
            norm.apply(out);
        }
    }

    /// Refuses a tokenizer that makes ids this encoder has no vector for.
    pub(crate) fn check_tokenizer(&self, path: &Path, ids: usize) -> Result<()> {
        if ids > self.vocabulary() {
            return Err(Error::model(
                path,
                format!(
                    "it belongs to another model: it makes ids up to {}, but the model has vectors for ids up to {}",
                    ids - 1,
                    self.vocabulary() - 1
                ),
            ));
        }
        Ok(())
    }
}
