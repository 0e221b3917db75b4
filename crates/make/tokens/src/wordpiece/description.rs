//! Recognises a `tokenizer.json` that describes a BERT tokenizer in every detail; anything else is left to the general engine.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{characters::Switches, encode::WordPiece};
use crate::vocabulary::Vocabulary;

#[derive(Deserialize)]
struct Description {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    post_processor: Option<PostProcessor>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Normalizer {
    BertNormalizer {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum PreTokenizer {
    BertPreTokenizer,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum PostProcessor {
    #[serde(rename = "TemplateProcessing")]
    Template {
        single: Vec<Piece>,
        special_tokens: BTreeMap<String, Special>,
    },
    #[serde(rename = "BertProcessing")]
    Bert { sep: (String, u32), cls: (String, u32) },
    #[serde(rename = "RobertaProcessing")]
    Roberta { sep: (String, u32), cls: (String, u32) },
}

#[derive(Deserialize)]
enum Piece {
    SpecialToken { id: String },
    Sequence { id: String },
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: Vocab,
}

/// Token and id in the order of the file; the hash map that they usually go through costs more than reading them.
struct Vocab(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vocab;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tokens and ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(1 << 20));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Vocab(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A BERT tokenizer: its engine, its vocabulary and the special tokens before and after a text.
pub(crate) struct Read {
    pub(crate) engine: WordPiece,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) before: Vec<u32>,
    pub(crate) after: Vec<u32>,
}

/// Only the kind of the model: a cheap look before the whole.
#[derive(Deserialize)]
struct Glance {
    model: GlanceModel,
}

#[derive(Deserialize)]
struct GlanceModel {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// `None` if the file describes anything else, or something of which we are not sure; the general engine then reads or refuses it.
pub(crate) fn read(json: &[u8], largest_id: u32) -> Option<Read> {
    let glance: Glance = serde_json::from_slice(json).ok()?;
    if glance.model.kind.as_deref() != Some("WordPiece") {
        return None;
    }
    let description: Description = serde_json::from_slice(json).ok()?;
    let model = description.model;
    let dense = model.vocab.0.iter().all(|&(_, id)| id < largest_id);
    if model.kind != "WordPiece" || !dense || description.version.is_some_and(|version| version != "1.0") {
        return None;
    }
    let PreTokenizer::BertPreTokenizer = description.pre_tokenizer;
    let Normalizer::BertNormalizer {
        clean_text,
        handle_chinese_chars,
        strip_accents,
        lowercase,
    } = description.normalizer;
    let switches = Switches {
        clean_text,
        handle_chinese_chars,
        strip_accents: strip_accents.unwrap_or(lowercase),
        lowercase,
    };
    let pairs = model.vocab.0.len();
    let vocabulary = Vocabulary::new(model.vocab.0, &model.continuing_subword_prefix);
    // What two tokens with one id or one token with two ids mean is a matter of the crate's hash maps.
    if vocabulary.distinct() != pairs {
        return None;
    }
    let unknown = vocabulary.id(&model.unk_token)?;
    let mut added = Vec::new();
    for token in description.added_tokens {
        let usual = !token.normalized && !token.single_word && !token.content.contains(char::is_whitespace);
        if !usual || token.content.is_empty() || vocabulary.id(&token.content) != Some(token.id) {
            return None;
        }
        added.push((token.content, token.id, token.lstrip, token.rstrip));
    }
    let (before, after) = match description.post_processor {
        None => (Vec::new(), Vec::new()),
        Some(PostProcessor::Bert { sep, cls }) => (vec![cls.1], vec![sep.1]),
        // It also trims the ranges of tokens that begin or end with byte-level BPE's mark for a space.
        Some(PostProcessor::Roberta { .. }) if vocabulary.spells('Ġ') => return None,
        Some(PostProcessor::Roberta { sep, cls }) => (vec![cls.1], vec![sep.1]),
        Some(PostProcessor::Template {
            single,
            special_tokens,
        }) => template(&single, &special_tokens)?,
    };
    Some(Read {
        engine: WordPiece::new(
            switches,
            model.max_input_chars_per_word,
            unknown,
            added,
            &vocabulary,
        )?,
        vocabulary,
        before,
        after,
    })
}

fn template(single: &[Piece], specials: &BTreeMap<String, Special>) -> Option<(Vec<u32>, Vec<u32>)> {
    let (mut before, mut after, mut seen) = (Vec::new(), Vec::new(), false);
    for piece in single {
        match piece {
            Piece::Sequence { id } if id == "A" && !seen => seen = true,
            Piece::Sequence { .. } => return None,
            Piece::SpecialToken { id } => {
                let side = if seen { &mut after } else { &mut before };
                side.extend_from_slice(&specials.get(id)?.ids);
            }
        }
    }
    seen.then_some((before, after))
}
