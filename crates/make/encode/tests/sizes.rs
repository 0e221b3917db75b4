//! Several sizes from one pass are what separate runs give.

mod common;

use common::{fixture, lines};
use kokeshi_core::Size;
use kokeshi_encode::{LoadOptions, Model, Options, Position, Precision, Task};

/// The largest difference between one pass and separate runs, over all sizes and texts.
fn difference(model: &Model, texts: &[String], sizes: &[Size], options: &Options) -> f32 {
    let at_once = model.encode_sizes(texts, sizes, options).unwrap();
    assert_eq!(at_once.len(), sizes.len());
    let mut most = 0.0_f32;
    for (found, size) in at_once.iter().zip(sizes) {
        let alone = Options {
            size: *size,
            ..options.clone()
        };
        let expected = model.encode(texts, &alone).unwrap();
        assert_eq!((found.rows(), found.dims()), (expected.rows(), expected.dims()));
        let pairs = found.as_slice().iter().zip(expected.as_slice());
        most = pairs.map(|(a, b)| (a - b).abs()).fold(most, f32::max);
    }
    most
}

fn texts() -> Vec<String> {
    let lines = lines(&fixture("families/texts.jsonl"));
    let text = |line: &serde_json::Value| line["text"].as_str().unwrap().to_string();
    lines.iter().map(text).collect()
}

fn sizes(texts: &[&str]) -> Vec<Size> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn one_pass_gives_the_vectors_of_separate_runs() {
    let texts = texts();
    // Norms after the sums and before them; int8; more than one pooling; not in order, one of them twice.
    for (name, asked) in [
        ("mpnet", ["2x64", "1x8", "1x64"]),
        ("modernbert", ["3x64", "1x16", "4x64"]),
        ("qwen3", ["1x8", "2x32", "1x8"]),
    ] {
        for precision in [Precision::F32, Precision::Int8] {
            let options = LoadOptions {
                precision,
                ..LoadOptions::default()
            };
            let folder = fixture("families").join(name);
            let model = Model::load_with(folder.to_str().unwrap(), &options).unwrap();
            for normalize in [None, Some(true)] {
                let options = Options {
                    normalize,
                    ..Options::default()
                };
                let found = difference(&model, &texts, &sizes(&asked), &options);
                assert!(found < 1e-6, "{name} {precision:?}: {found}");
            }
        }
    }
}

#[test]
fn texts_that_are_read_in_pieces_have_all_sizes_too() {
    let folder = fixture("families/mpnet");
    let options = LoadOptions {
        position: Some(Position::Pcw),
        context: Some(400),
        ..LoadOptions::default()
    };
    let model = Model::load_with(folder.to_str().unwrap(), &options).unwrap();
    let texts = [texts().concat(), "a short one".to_string()];
    let options = Options {
        task: Task::Query,
        ..Options::default()
    };
    assert!(difference(&model, &texts, &sizes(&["1x8", "2x32"]), &options) < 1e-6);
}

#[test]
fn a_static_model_is_cut_to_each_width() {
    let model = Model::compiled_in();
    let found = difference(&model, &texts(), &sizes(&["32", "256", "7"]), &Options::default());
    assert_eq!(found, 0.0);
}

#[test]
fn a_size_that_the_model_has_not_is_refused_before_anything_is_encoded() {
    let model = Model::compiled_in();
    let refused = model.encode_sizes(&["a"], &sizes(&["32", "4096"]), &Options::default());
    assert!(refused.unwrap_err().to_string().contains("4096"));
    assert!(
        model
            .encode_sizes(&["a"], &[], &Options::default())
            .unwrap()
            .is_empty()
    );
}
