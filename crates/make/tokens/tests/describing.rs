//! What a tokenizer file may say, and what is said about one that is wrong.

use kokeshi_tokens::{Encoding, Tokenizer, WordPieceOptions};
use serde_json::{Value, json};

const TOKENS: [&str; 12] = [
    "<pad>", "[UNK]", "<s>", "</s>", "<mask>", "hello", "wor", "##ld", "w", "##or", "!", "é",
];

fn file() -> Value {
    let vocab: serde_json::Map<String, Value> = TOKENS
        .iter()
        .zip(0..)
        .map(|(token, id)| ((*token).to_owned(), json!(id)))
        .collect();
    let added: Vec<Value> = (0..5)
        .map(|id| {
            json!({"id": id, "content": TOKENS[id], "single_word": false, "lstrip": id == 4, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocab},
    })
}

fn open(file: &Value) -> kokeshi_tokens::Result<Tokenizer> {
    Tokenizer::from_bytes(file.to_string().as_bytes())
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut out = Encoding::default();
    tokenizer.encode(text, true, None, &mut out);
    out.ids
}

#[test]
fn every_usual_post_processor_is_understood() {
    let single =
        json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    let processors = [
        (Value::Null, vec![5, 6, 7, 10]),
        (
            json!({"type": "BertProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2]}),
            vec![2, 5, 6, 7, 10, 3],
        ),
        (
            json!({"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2], "trim_offsets": true,
                "add_prefix_space": false}),
            vec![2, 5, 6, 7, 10, 3],
        ),
        (
            json!({"type": "TemplateProcessing", "single": single, "pair": single,
                "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}}}),
            vec![2, 5, 6, 7, 10],
        ),
    ];
    for (processor, expected) in processors {
        let mut file = file();
        file["post_processor"] = processor;
        let tokenizer = open(&file).unwrap();
        assert!(tokenizer.is_fast());
        assert_eq!(ids(&tokenizer, "Hello World!"), expected);
        let reference = tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap();
        assert_eq!(
            reference.encode("Hello World!", true).unwrap().get_ids(),
            expected
        );
    }
}

#[test]
fn a_list_of_tokens_makes_the_same_tokenizer_as_the_file() {
    let strings = |tokens: &[&str]| tokens.iter().map(|token| (*token).to_owned()).collect();
    let options = WordPieceOptions {
        special: strings(&TOKENS[..4]),
        before: strings(&["<s>"]),
        after: strings(&["</s>"]),
        ..WordPieceOptions::default()
    };
    let made = Tokenizer::from_wordpiece(TOKENS, &options).unwrap();
    let mut file = file();
    file["post_processor"] = json!({"type": "BertProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2]});
    let read = open(&file).unwrap();
    for text in ["Hello World!", "", "<s>world</s>", "wor ld unknown", "HÉLLO"] {
        assert_eq!(ids(&made, text), ids(&read, text), "{text}");
    }
    assert_eq!(
        (made.vocabulary(), made.special_count(), made.id("##ld")),
        (12, 2, Some(7))
    );

    let missing = Tokenizer::from_wordpiece(["a"], &WordPieceOptions::default())
        .unwrap_err()
        .to_string();
    assert_eq!(
        missing,
        "tokenizer <memory>: special token \"[PAD]\" is not in the vocabulary"
    );
}

#[test]
fn files_that_are_not_quite_of_bert_s_kind_go_the_general_way_and_agree_with_the_crate() {
    let change = |path: &str, value: Value| {
        let mut file = file();
        *file.pointer_mut(path).unwrap() = value;
        file
    };
    let files = [
        change("/normalizer", json!({"type": "Lowercase"})),
        change("/pre_tokenizer", json!({"type": "Whitespace"})),
        change("/added_tokens/4/normalized", json!(true)),
        change("/added_tokens/4/single_word", json!(true)),
        change("/model/vocab/w", json!(7)),
    ];
    for file in files {
        let tokenizer = open(&file).unwrap();
        assert!(!tokenizer.is_fast(), "{file}");
        let reference = tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap();
        for text in ["Hello World!", "a <mask> b", "x<mask>world"] {
            assert_eq!(
                ids(&tokenizer, text),
                reference.encode(text, true).unwrap().get_ids(),
                "{text}"
            );
        }
    }
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_name() {
    let mut no_unknown = file();
    no_unknown["model"]["unk_token"] = json!("[NONE]");
    let mut far = file();
    far["model"]["vocab"]["w"] = json!(4_000_000_000u32);
    let whole = file().to_string();
    let cases = [
        (String::new(), "not a tokenizer.json"),
        ("{}".to_owned(), "not a tokenizer.json"),
        ("[1, 2]".to_owned(), "not a tokenizer.json"),
        (whole[..whole.len() - 20].to_owned(), "not a tokenizer.json"),
        ("[".repeat(100_000), "not a tokenizer.json"),
        (no_unknown.to_string(), "can't encode"),
        (far.to_string(), "has id 4000000000; expected less than"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for (content, expected) in cases {
        std::fs::write(&path, content).unwrap();
        let error = Tokenizer::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer.json:") && error.contains(expected),
            "{error}"
        );
    }
    let absent = Tokenizer::open(&folder.path().join("absent.json"))
        .unwrap_err()
        .to_string();
    assert!(absent.contains("absent.json: No such file"), "{absent}");
}
