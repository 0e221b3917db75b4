//! A vocabulary learned from texts: WordPiece by merging the most frequent pairs, as `BertWordPieceTokenizer.train` of the `tokenizers` library does it.

use std::collections::BTreeMap;

use ahash::{AHashMap, RandomState};
use compact_str::CompactString;
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::error::{Error, Result};

/// Special tokens in the order of their ids.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Different letters that count, as that library has it; words with others are left out.
const LETTERS: usize = 1000;
/// How often a pair has to be there.
const LEAST: u64 = 2;
/// Where the hash table's order comes from: the library numbers pieces in that order, and a vocabulary should be the same each time.
const ORDER: [u64; 4] = [1, 2, 3, 4];

/// The `tokenizer.json` of an uncased BERT tokenizer with at most `size` tokens, learned from `texts`. The same texts give the same bytes.
///
/// # Errors
/// [`Error::Learn`] if the texts have no words, or `size` has no room for special tokens and letters.
pub fn learn_wordpiece<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, size: usize) -> Result<Vec<u8>> {
    let counts = words(texts);
    if counts.is_empty() {
        return Err(Error::Learn("expected texts with words, found none".into()));
    }
    let counts = frequent_letters(counts);
    // Each letter can begin a word and go on with one.
    let mut letters: Vec<char> = counts.keys().flat_map(|word| word.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    let least = SPECIAL.len() + 2 * letters.len();
    if size < least {
        let problem = format!(
            "expected room for at least {least} tokens ({} letters), found {size}",
            letters.len()
        );
        return Err(Error::Learn(problem));
    }
    let [one, two, three, four] = ORDER;
    let mut table: AHashMap<CompactString, u64> =
        AHashMap::with_hasher(RandomState::with_seeds(one, two, three, four));
    table.extend(
        counts
            .iter()
            .map(|(word, count)| (CompactString::from(word.as_str()), *count)),
    );
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(LEAST)
        .show_progress(false)
        .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
        .continuing_subword_prefix("##".into())
        .build();
    let mut model = BPE::default();
    trainer
        .do_train(&table, &mut model)
        .map_err(|error| Error::Learn(error.to_string()))?;
    let mut tokens: Vec<(String, u32)> = model.get_vocab().into_iter().collect();
    tokens.sort_unstable_by_key(|(_, id)| *id);
    Ok(description(&tokens).to_string().into_bytes())
}

/// How often each word is there.
fn words<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> BTreeMap<String, u64> {
    let normalizer = BertNormalizer::new(true, true, None, true);
    let mut counts = BTreeMap::new();
    for text in texts {
        let mut text = NormalizedString::from(text.as_ref());
        if normalizer.normalize(&mut text).is_err() {
            continue;
        }
        let mut text = PreTokenizedString::from(text);
        if BertPreTokenizer.pre_tokenize(&mut text).is_err() {
            continue;
        }
        for (word, _, _) in text.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            if !word.is_empty() {
                *counts.entry(word.to_string()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// The words of the most frequent letters.
fn frequent_letters(words: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut letters: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in &words {
        word.chars()
            .for_each(|letter| *letters.entry(letter).or_insert(0) += count);
    }
    let mut ranked: Vec<(char, u64)> = letters.into_iter().collect();
    ranked.sort_by_key(|(letter, count)| (std::cmp::Reverse(*count), *letter));
    let rare: std::collections::BTreeSet<char> = ranked
        .into_iter()
        .skip(LETTERS)
        .map(|(letter, _)| letter)
        .collect();
    let known = |word: &String| !word.chars().any(|letter| rare.contains(&letter));
    words.into_iter().filter(|(word, _)| known(word)).collect()
}

fn description(tokens: &[(String, u32)]) -> Value {
    let vocabulary: Map<String, Value> = tokens
        .iter()
        .map(|(token, id)| (token.clone(), json!(id)))
        .collect();
    let added = (0..).zip(SPECIAL).map(|(id, token): (u32, _)| {
        json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        })
    });
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
    let about = |token: &str| {
        let id = SPECIAL.iter().position(|known| *known == token);
        json!({"id": token, "ids": [id], "tokens": [token]})
    };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]"), text("A", 0), special("[SEP]")],
            "pair": [special("[CLS]"), text("A", 0), special("[SEP]"), text("B", 1), {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {"[CLS]": about("[CLS]"), "[SEP]": about("[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, Tokenizer};

    const TEXTS: [&str; 4] = [
        "playing players play the game, playing it again",
        "the gamer plays games; the players are playing",
        "walking walkers walk the walk",
        "Éclair ÉCLAIR eclair",
    ];

    #[test]
    fn frequent_words_and_endings_are_tokens_and_everything_learned_is_read_back() {
        let bytes = learn_wordpiece(TEXTS, 90).unwrap();
        let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
        assert!(tokenizer.is_fast(), "BERT's own path reads it");
        assert!(tokenizer.vocabulary() <= 90);
        for (id, token) in (0..).zip(SPECIAL) {
            assert_eq!(tokenizer.id(token), Some(id));
        }
        let tokens = |text: &str| -> Vec<String> {
            let mut encoding = Encoding::default();
            tokenizer.encode(text, true, None, &mut encoding);
            encoding
                .ids
                .iter()
                .map(|id| tokenizer.token(*id).unwrap().to_string())
                .collect()
        };
        assert_eq!(tokens("The PLAY"), ["[CLS]", "the", "play", "[SEP]"]);
        // Accents go, and a word that was never seen is put together from pieces.
        assert_eq!(tokens("éclair"), ["[CLS]", "eclair", "[SEP]"]);
        let new = tokens("gaming");
        assert!(new.len() > 3 && !new.contains(&"[UNK]".into()), "{new:?}");
    }

    #[test]
    fn the_same_texts_give_the_same_bytes() {
        let first = learn_wordpiece(TEXTS, 70).unwrap();
        for _ in 0..5 {
            assert!(learn_wordpiece(TEXTS, 70).unwrap() == first);
        }
    }

    #[test]
    fn too_few_tokens_and_no_words_are_errors() {
        let error = learn_wordpiece(TEXTS, 20).unwrap_err().to_string();
        assert!(error.contains("found 20"), "{error}");
        let error = learn_wordpiece(["", " "], 100).unwrap_err().to_string();
        assert!(error.contains("found none"), "{error}");
    }
}
