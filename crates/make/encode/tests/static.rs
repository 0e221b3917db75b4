//! Static models: parity with sentence-transformers' StaticEmbedding, model2vec's layout, and the compiled-in model.

use std::path::Path;

use kokeshi_core::Size;
use kokeshi_encode::{Model, Options};
use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/static");

/// A safetensors file of named tensors: name, type, shape, bytes.
fn safetensors(tensors: &[(&str, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend_from_slice(bytes);
        header.insert(
            (*name).into(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
        );
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

fn expected() -> Value {
    let text = std::fs::read_to_string(Path::new(FIXTURES).join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A directory with the fixture's tokenizer and these tensors.
fn folder(modules: Option<Value>, tensors: &[(&str, &str, Vec<usize>, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    std::fs::copy(
        Path::new(FIXTURES).join("tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    write("model.safetensors", &safetensors(tensors));
    match modules {
        Some(modules) => write("modules.json", modules.to_string().as_bytes()),
        None => write(
            "config.json",
            br#"{"model_type": "model2vec", "normalize": false}"#,
        ),
    }
    folder
}

fn load(folder: &tempfile::TempDir) -> kokeshi_encode::Result<Model> {
    Model::load(&folder.path().display().to_string())
}

fn modules() -> Option<Value> {
    Some(json!([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn table(rows: usize, dims: usize) -> impl Iterator<Item = f32> {
    (0..rows * dims).map(|at| (at as f64).sin() as f32)
}

#[test]
fn a_static_embedding_gives_the_vectors_of_sentence_transformers() {
    let expected = expected();
    let number = |field: &str| expected[field].as_u64().unwrap() as usize;
    let (rows, dims) = (number("rows"), number("dims"));
    let folder = folder(
        modules(),
        &[(
            "embedding.weight",
            "F32",
            vec![rows, dims],
            floats(table(rows, dims)),
        )],
    );
    let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
    let vectors: Vec<Vec<f32>> = serde_json::from_value(expected["vectors"].clone()).unwrap();
    let found = load(&folder)
        .unwrap()
        .encode(&texts, &Options::default())
        .unwrap();
    for ((text, expected), found) in texts.iter().zip(&vectors).zip(found.iter()) {
        if text.is_empty() {
            assert!(
                found.iter().all(|value| *value == 0.0),
                "an empty text is a vector of zeros"
            );
        } else {
            assert!(
                cosine(expected, found) >= 0.99999,
                "{text:?}: {expected:?} {found:?}"
            );
            assert!((expected[0] - found[0]).abs() < 1e-5, "{text:?}");
        }
    }
}

#[test]
fn half_and_int8_tables_are_read_too() {
    let values = [1.0, -2.0, 0.5, 3.0];
    let rows = expected()["rows"].as_u64().unwrap() as usize;
    let row = |at: usize| values[at % 4];
    let half = (0..rows * 4)
        .flat_map(|at| half::f16::from_f32(row(at)).to_le_bytes())
        .collect();
    let int8 = (0..rows * 4).map(|at| (row(at) * 2.0) as i8 as u8).collect();
    for (dtype, bytes, scale) in [("F16", half, 1.0), ("I8", int8, 2.0)] {
        let folder = folder(modules(), &[("embedding.weight", dtype, vec![rows, 4], bytes)]);
        let found = load(&folder)
            .unwrap()
            .encode(&["the cat"], &Options::default())
            .unwrap();
        for (found, value) in found.row(0).iter().zip(values) {
            assert!((found - value * scale).abs() < 1e-6, "{dtype}: {found} {value}");
        }
    }
}

#[test]
fn model2vecs_mapping_weights_and_ignored_unknown_token_count() {
    let ids = expected()["rows"].as_u64().unwrap() as usize;
    // Every token has row 1, but "the", the 54th, has row 0 and weight 3.
    let the = 54;
    let mapping = (0..ids)
        .flat_map(|id| i64::from(id != the).to_le_bytes())
        .collect();
    let weights = floats((0..ids).map(|id| if id == the { 3.0 } else { 1.0 }));
    let folder = folder(
        None,
        &[
            (
                "embeddings",
                "F32",
                vec![2, 2],
                floats([1.0, 0.0, 0.0, 1.0].into_iter()),
            ),
            ("mapping", "I64", vec![ids], mapping),
            ("weights", "F32", vec![ids], weights),
        ],
    );
    let found = load(&folder)
        .unwrap()
        .encode(&["the \u{2603} cat"], &Options::default())
        .unwrap();
    assert_eq!(found.row(0), [1.5, 0.5]);
}

#[test]
fn a_table_that_does_not_fit_the_tokenizer_is_an_error_that_says_both_sizes() {
    let folder = folder(
        modules(),
        &[("embedding.weight", "F32", vec![3, 2], floats(table(3, 2)))],
    );
    let error = load(&folder).err().unwrap().to_string();
    assert!(error.contains("63") && error.contains("found 3"), "{error}");
}

#[test]
fn the_compiled_in_model_knows_what_belongs_together_at_every_prefix() {
    let model = Model::compiled_in();
    assert_eq!(model.dims(), 256);
    let texts = [
        "How do vaccines protect against viruses?",
        "Immunisation makes antibodies that fight infection.",
        "The stock market fell after the central bank's decision.",
        "",
    ];
    for dims in [32, 64, 128, 256] {
        let size = Size {
            dims: Some(dims),
            ..Size::default()
        };
        let vectors = model
            .encode(
                &texts,
                &Options {
                    size,
                    ..Options::default()
                },
            )
            .unwrap();
        assert!((cosine(vectors.row(0), vectors.row(0)) - 1.0).abs() < 1e-5);
        assert!(
            cosine(vectors.row(0), vectors.row(1)) > cosine(vectors.row(0), vectors.row(2)) + 0.1,
            "{dims}"
        );
        assert!(vectors.row(3).iter().all(|value| *value == 0.0));
    }
    assert_eq!(model.token_ranges("two words"), [0..3, 4..9]);
}
