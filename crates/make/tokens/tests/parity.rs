//! The fast path gives the ids and byte ranges of the Hugging Face `tokenizers` crate, on texts that nobody would write.

use std::io::BufRead;

use kokeshi_core::Seed;
use kokeshi_tokens::{Encoding, Tokenizer};
use serde_json::{Value, json};

/// Characters that have made tokenizers differ.
const NASTY: &[char] = &[
    'İ',
    'ı',
    'I',
    'ß',
    'ẞ',
    'Σ',
    'ς',
    'é',
    'É',
    'ñ',
    'Å',
    '\u{212B}',
    '\u{212A}',
    'ǆ',
    'ǅ',
    'ﬁ',
    '½',
    '①',
    '野',
    '口',
    '豈',
    '\u{2F800}',
    '\u{20000}',
    '\u{2A700}',
    'あ',
    'が',
    'ガ',
    '한',
    '각',
    '\u{1100}',
    '\u{1161}',
    '\u{11A8}',
    'ก',
    'ำ',
    'ि',
    'क',
    '\u{0958}',
    '\u{09DC}',
    '்',
    'த',
    '\u{0F73}',
    '\u{0F71}',
    '\u{0F72}',
    '\u{0F74}',
    '\u{0344}',
    '\u{0340}',
    '\u{0300}',
    '\u{0301}',
    '\u{0307}',
    '\u{0308}',
    '\u{0323}',
    '\u{0327}',
    '\u{0338}',
    '\u{0345}',
    '\u{034F}',
    '\u{035C}',
    '\u{0591}',
    '\u{05B0}',
    '\u{064B}',
    '\u{0651}',
    '\u{302A}',
    '\u{302E}',
    '\u{302F}',
    '\u{3099}',
    '\u{16FF0}',
    '\u{1D15E}',
    '\u{1D165}',
    '\u{1D16D}',
    '\u{1D1BB}',
    '\u{1DFA}',
    '\u{1AC0}',
    '\u{08D3}',
    '\u{10D24}',
    '\u{1E2EC}',
    '\u{1E8D0}',
    '\u{FE20}',
    '\u{FE0F}',
    '\u{200B}',
    '\u{200D}',
    '\u{FEFF}',
    '\u{AD}',
    '\u{85}',
    '\u{A0}',
    '\u{2000}',
    '\u{2028}',
    '\u{3000}',
    '\u{1680}',
    '\u{180E}',
    '\0',
    '\u{1}',
    '\u{7F}',
    '\u{B}',
    '\u{C}',
    '\u{1C}',
    '\t',
    '\n',
    '\r',
    ' ',
    '\u{FFFD}',
    '\u{FFFE}',
    '\u{E000}',
    '\u{10FFFF}',
    '\u{37E}',
    '\u{1FEF}',
    '\u{2260}',
    '\u{226E}',
    '\u{387}',
    '\u{B7}',
    '“',
    '—',
    '。',
    '、',
    '¿',
    '€',
    '+',
    '$',
    '~',
    '`',
    '^',
    '😀',
    '👩',
    '🏽',
    '🇹',
    '🇷',
    '𝔸',
    '𐍈',
    '\u{E0061}',
    'Ω',
    'Ω',
    'ạ',
    'ậ',
    'ổ',
    '\u{1F82}',
    'ᾼ',
    'Ǖ',
    '\u{0390}',
    'Ж',
    'й',
    'ё',
];

const WORDS: &[&str] = &[
    "the",
    "The",
    "embedding",
    "unbelievable",
    "EMBEDDINGS",
    "naïve",
    "İstanbul",
    "cafe\u{301}",
    "Straße",
    "don't",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[MASK",
    "[[UNK]]",
    "[cls]",
    "##ing",
    "#",
    "3.14",
    "C++",
    "привет",
    "ёлка",
    "Türkçe",
    "機器學習",
    "학습",
    "ไทย",
    "हिन्दी",
    "a\u{300}\u{316}b",
    "e\u{1D165}\u{323}",
    "<mask>",
];

fn vocabulary() -> Vec<String> {
    let mut tokens: Vec<String> = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "embed", "##ding", "##s", "un", "##able",
    ]
    .map(String::from)
    .to_vec();
    let spelt = ('!'..='~')
        .chain(NASTY.iter().copied())
        .chain('\u{C0}'..'\u{250}')
        .chain('\u{300}'..'\u{530}');
    for character in spelt
        .chain('\u{1100}'..'\u{1200}')
        .chain('\u{900}'..'\u{D00}')
        .chain('\u{3040}'..'\u{3100}')
    {
        tokens.push(character.to_string());
        tokens.push(format!("##{character}"));
    }
    for pair in [
        "ab",
        "ee",
        "\u{1112}\u{1161}",
        "na",
        "st",
        "##ing",
        "при",
        "##вет",
        "##\u{1161}\u{11AB}",
        "ss",
    ] {
        tokens.push(pair.into());
    }
    let mut seen = std::collections::HashSet::new();
    tokens.retain(|token| seen.insert(token.clone()));
    tokens
}

/// A `tokenizer.json` of BERT's kind.
fn description(switches: [bool; 3], strip_accents: Value, longest: usize, added: &Value) -> Vec<u8> {
    let tokens = vocabulary();
    let vocab: serde_json::Map<String, Value> = tokens
        .iter()
        .zip(0..)
        .map(|(token, id)| (token.clone(), json!(id)))
        .collect();
    let file = json!({
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": switches[0], "handle_chinese_chars": switches[1],
            "strip_accents": strip_accents, "lowercase": switches[2]},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": longest, "vocab": vocab},
    });
    file.to_string().into_bytes()
}

fn added(left: bool, right: bool) -> Value {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let token = |id: usize| {
        let mask = id == 4;
        json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": mask && left, "rstrip": mask && right,
            "normalized": false, "special": true})
    };
    (0..tokens.len()).map(token).collect()
}

struct Random(Seed);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn character(&mut self) -> char {
        loop {
            let code = match self.below(8) {
                0..3 => return NASTY[self.below(NASTY.len())],
                3 => 0x20 + self.below(0x5F),
                4 => 0x80 + self.below(0x800),
                5 => self.below(0x10000),
                6 => 0x300 + self.below(0x70),
                _ => self.below(0x11_0000),
            };
            if let Some(character) = char::from_u32(code as u32) {
                return character;
            }
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(40) {
            match self.below(10) {
                0..4 => text.push_str(WORDS[self.below(WORDS.len())]),
                4..8 => (0..=self.below(6)).for_each(|_| text.push(self.character())),
                8 => {
                    let length = 90 + self.below(60);
                    text.extend((0..length).map(|at| char::from(b'a' + (at % 26) as u8)));
                    if self.below(2) == 0 {
                        text.push(self.character());
                    }
                }
                _ => text.push_str("e\u{301}"),
            }
            if self.below(3) > 0 {
                text.push(' ');
            }
        }
        text
    }
}

/// What the crate makes of a text, without truncation and padding, and with the added tokens at their places.
fn expected(reference: &tokenizers::Tokenizer, text: &str, special: bool) -> Encoding {
    let encoding = reference.encode(text, special).unwrap();
    let mut out = Encoding {
        ids: encoding.get_ids().to_vec(),
        ranges: encoding
            .get_offsets()
            .iter()
            .map(|&(from, to)| (from as u32, to as u32))
            .collect(),
    };
    if special && out.ids.len() > 1 {
        let last = out.ranges.len() - 1;
        out.ranges[last] = (out.ranges[last - 1].1, out.ranges[last - 1].1);
    }
    out
}

fn reference(json: &[u8]) -> tokenizers::Tokenizer {
    let mut reference = tokenizers::Tokenizer::from_bytes(json).unwrap();
    reference.with_truncation(None).unwrap();
    reference.with_padding(None);
    reference
}

fn compare(json: &[u8], texts: impl Iterator<Item = String>) -> usize {
    let (ours, reference) = (Tokenizer::from_bytes(json).unwrap(), reference(json));
    assert!(ours.is_fast());
    let (mut out, mut count) = (Encoding::default(), 0);
    for text in texts {
        for special in [true, false] {
            ours.encode(&text, special, None, &mut out);
            let expected = expected(&reference, &text, special);
            assert_eq!(out.ids, expected.ids, "ids of {text:?}");
            assert_eq!(out.ranges, expected.ranges, "ranges of {text:?}");
        }
        count += out.len();
    }
    count
}

#[test]
fn random_unicode_has_the_ids_and_ranges_of_the_crate_under_every_switch() {
    let mut random = Random(Seed(7));
    for setting in 0..8 {
        for strip_accents in [Value::Null, json!(true), json!(false)] {
            let switches = [setting & 1 > 0, setting & 2 > 0, setting & 4 > 0];
            let json = description(switches, strip_accents, 100, &added(false, false));
            let texts: Vec<String> = (0..100).map(|_| random.text()).collect();
            assert!(compare(&json, texts.into_iter()) > 1000);
        }
    }
}

#[test]
fn special_tokens_strip_the_white_space_that_they_ask_for() {
    let mut random = Random(Seed(8));
    for (left, right) in [(true, false), (false, true), (true, true)] {
        let json = description([true; 3], Value::Null, 20, &added(left, right));
        let texts: Vec<String> = (0..200)
            .map(|_| random.text().replace("the", " \u{3000}[MASK] \n"))
            .collect();
        compare(&json, texts.into_iter());
    }
}

#[test]
fn every_character_alone_and_in_a_word_is_as_in_the_crate() {
    let json = description([true; 3], Value::Null, 100, &added(false, false));
    let all: Vec<char> = ('\0'..=char::MAX)
        .filter(|&c| (c as u32) < 0x3_0000 || (c as u32).is_multiple_of(97))
        .collect();
    let texts = all
        .chunks(64)
        .map(|chunk| chunk.iter().flat_map(|&c| ['a', c, 'b', ' ', c, ' ']).collect());
    compare(&json, texts);
}

#[test]
fn a_limit_gives_the_beginning_and_keeps_the_special_tokens() {
    let json = description([true; 3], Value::Null, 100, &added(false, false));
    let ours = Tokenizer::from_bytes(&json).unwrap();
    let mut random = Random(Seed(9));
    let (mut whole, mut cut) = (Encoding::default(), Encoding::default());
    for _ in 0..200 {
        let text = random.text();
        ours.encode(&text, false, None, &mut whole);
        for limit in [0, 1, 2, 3, 7, 30, 100_000] {
            ours.encode(&text, true, Some(limit), &mut cut);
            let body = limit.saturating_sub(2).min(whole.len());
            assert_eq!(cut.len(), limit.min(body + 2));
            if limit >= 2 {
                assert_eq!(cut.ids[1..=body], whole.ids[..body]);
                assert_eq!((cut.ids[0], cut.ids[body + 1]), (2, 3));
            }
        }
    }
}

#[test]
fn a_tokenizer_of_another_kind_is_left_to_the_crate() {
    let json = description([true; 3], Value::Null, 100, &added(false, false));
    let other = String::from_utf8(json)
        .unwrap()
        .replace("BertPreTokenizer", "Whitespace");
    let ours = Tokenizer::from_bytes(other.as_bytes()).unwrap();
    assert!(!ours.is_fast());
    let reference = reference(other.as_bytes());
    let mut random = Random(Seed(10));
    let mut out = Encoding::default();
    // Long enough for several segments.
    let text: String = (0..800).map(|_| random.text() + " the end of it ").collect();
    assert!(text.len() > 150_000);
    ours.encode(&text, true, None, &mut out);
    assert_eq!(out, expected(&reference, &text, true));
    let whole = out.clone();
    ours.encode(&text, true, Some(512), &mut out);
    assert_eq!(out.ids[..511], whole.ids[..511]);
    assert_eq!(out.len(), 512);
}

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh) and ../shared/data"]
fn real_texts_have_the_ids_and_ranges_of_the_crate() {
    let json = std::fs::read(kokeshi_testing::minilm().join("tokenizer.json")).unwrap();
    for name in ["arxiv", "text_en", "text_tr", "text_ru", "text_zh_hant"] {
        assert!(compare(&json, lines(&kokeshi_testing::data(name), 150).into_iter()) > 1000);
    }
}

/// The first lines of each compressed file of a folder.
fn lines(folder: &std::path::Path, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = std::io::BufReader::new(flate2::read::GzDecoder::new(
            std::fs::File::open(file.unwrap().path()).unwrap(),
        ));
        lines.extend(file.lines().map(Result::unwrap).take(most));
    }
    lines
}
