//! An encoder that makes words of bytes: PyTorch's vectors (`scripts/make_byte2word_fixture.py`), what holds of words, and what is refused.

mod common;

use std::path::Path;

use common::{fixture, json, lay_over};
use kokeshi_core::{Embeddings, Size};
use kokeshi_encode::{Model, Options, SparseModel, WordIds};

fn load(folder: &Path) -> Model {
    Model::load(folder.to_str().unwrap()).unwrap()
}

fn at(layers: usize) -> Options {
    Options {
        size: Size {
            layers: Some(layers),
            ..Size::FULL
        },
        ..Options::default()
    }
}

fn far(a: &Embeddings, b: &Embeddings) -> f32 {
    assert_eq!((a.rows(), a.dims()), (b.rows(), b.dims()));
    let pairs = a.as_slice().iter().zip(b.as_slice());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_layer_has_the_vectors_of_pytorch() {
    let folder = fixture("byte2word");
    let expected = json(&folder.join("expected.json"));
    let texts = expected["texts"].as_array().unwrap();
    let strings: Vec<&str> = texts.iter().map(|text| text["text"].as_str().unwrap()).collect();
    let model = load(&folder);
    assert_eq!(
        (model.layers(), model.dims(), model.max_tokens()),
        (2, 24, Some(16))
    );
    for layer in [1, 2] {
        let values = texts.iter().flat_map(|text| {
            let row = text["layers"][layer - 1].as_array().unwrap();
            row.iter().map(|value| value.as_f64().unwrap() as f32)
        });
        let expected = Embeddings::from_vec(values.collect(), 24).unwrap();
        // Twice: words that were kept are those that were made.
        for _ in 0..2 {
            let found = model.encode(&strings, &at(layer)).unwrap();
            assert!(far(&found, &expected) < 1e-5, "layer {layer}");
        }
        // Alone, and at a size that is on the way to another.
        let sizes = [at(layer).size, Size::dims(8)];
        for (row, text) in strings.iter().enumerate() {
            let found = model.encode_sizes(&[text], &sizes, &Options::default()).unwrap();
            let expected = Embeddings::from_vec(expected.row(row).to_vec(), 24).unwrap();
            assert!(far(&found[0], &expected) < 1e-5, "layer {layer} {text:?}");
            assert_eq!(found[1].dims(), 8);
        }
    }
}

#[test]
fn any_bytes_have_a_vector_and_words_have_ids_where_tokens_have_them() {
    let model = load(&fixture("byte2word"));
    let odd = ["\u{10ffff}\u{1f9ff}", "\u{0}", "𠀀𠀁 ẞ İ", &"x".repeat(1 << 16)];
    let found = model.encode(&odd, &Options::default()).unwrap();
    assert!(found.as_slice().iter().all(|value| value.is_finite()));
    let mut words = WordIds::default();
    let mut ids = |texts: &[&str]| model.ids_with_words(texts, &Options::default(), &mut words);
    assert_eq!(
        ids(&["The dog", "dog"]).unwrap(),
        [vec![0, 2, 3, 1], vec![0, 3, 1]]
    );
    assert_eq!(ids(&["a dog"]).unwrap(), [[0, 4, 3, 1]]);
    let error = model.token_ids(&["dog"], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("has no token ids"), "{error}");
    let error = model.encode_ids(&[vec![0]], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("has no token ids"), "{error}");
    // Where a letter is shorter in lower case, too.
    let ranges = model.token_ranges("Ein \u{1e9e} Hund, \u{e9}");
    assert_eq!(ranges, [0..3, 4..7, 8..12, 12..13, 14..16]);
    // A prompt is read.
    let prompted = Options {
        prompt: Some("find: ".into()),
        ..Options::default()
    };
    let found = model.encode(&["dog"], &prompted).unwrap();
    assert!(
        far(
            &found,
            &model.encode(&["find: dog"], &Options::default()).unwrap()
        ) < 1e-6
    );
}

/// Loads the fixture after a text in a file was replaced; it must be refused with a message that has all of `parts`.
#[track_caller]
fn refused(file: &str, from: &str, to: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    lay_over(&fixture("byte2word"), folder.path());
    let path = folder.path().join(file);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{file} has no {from}"));
    let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
    std::fs::write(&path, changed).unwrap();
    let message = Model::load(folder.path().to_str().unwrap())
        .err()
        .expect("it was loaded")
        .to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

#[test]
fn what_can_not_be_is_refused_by_file_and_name() {
    let config = |from: &str, to: &str, parts: &[&str]| refused("config.json", from, to, parts);
    config(
        "\"byte_heads\": 4",
        "\"byte_heads\": 5",
        &["byte_heads", "24 dims", "found 5"],
    );
    config(
        "\"byte_heads\": 4",
        "\"byte_heads\": 0",
        &["byte_heads", "found 0"],
    );
    config(
        "\"byte_heads\": 4",
        "\"heads\": 4",
        &["byte_heads", "found nothing"],
    );
    config("\"byte_heads\": 4", "\"byte_heads\": 1e40", &["byte_heads"]);
    config(
        "\"vocab_size\": 2",
        "\"vocab_size\": 30522",
        &["vocab_size", "expected 2", "30522"],
    );
    // Shapes that the file does not have: named with the tensor.
    config(
        "\"hidden_size\": 24",
        "\"hidden_size\": 48",
        &["special_embeddings", "48"],
    );
    let weights = |from: &str, to: &str, parts: &[&str]| refused("model.safetensors", from, to, parts);
    weights(
        "byte_words.query",
        "byte_words.quere",
        &["embeddings.byte_words.query"],
    );
    weights(
        "byte_words.net.2.bias",
        "byte_words.net.2.bios",
        &["embeddings.byte_words.net.2.bias"],
    );
    weights(
        "special_embeddings",
        "spezial_embeddings",
        &["special_embeddings"],
    );
    // A number that is none.
    let folder = tempfile::tempdir().unwrap();
    lay_over(&fixture("byte2word"), folder.path());
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = header["embeddings.byte_words.bytes.weight"]["data_offsets"][0]
        .as_u64()
        .unwrap() as usize;
    bytes[8 + length + start..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let message = Model::load(folder.path().to_str().unwrap())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("byte_words.bytes.weight") && message.contains("NaN"),
        "{message}"
    );
    // Nor is it a sparse model.
    assert!(SparseModel::load(fixture("byte2word").to_str().unwrap()).is_err());
}
