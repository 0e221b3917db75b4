//! What the parity tests share: fixtures, copies of model folders, comparison.

// Every test program compiles this file and uses a part of it.
#![allow(dead_code, reason = "shared by several test programs")]

use std::path::{Path, PathBuf};

use kokeshi_core::{Embeddings, Size};
use kokeshi_encode::{Options, Task};
use serde_json::Value;

/// A file or folder of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The JSON in a file.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a JSONL file.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Copies the files of `from` and its subfolders into `to`.
pub fn lay_over(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            lay_over(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// The model of a case: its base with its own files laid over it.
pub fn small_model(case: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let own = fixture("small/cases").join(case);
    let base = json(&own.join("case.json"))["base"].as_str().unwrap().to_string();
    lay_over(&fixture("small/bases").join(base), folder.path());
    lay_over(&own, folder.path());
    if folder.path().join("model.safetensors.index.json").exists() {
        std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    }
    folder
}

/// The texts that the small models were run on.
pub fn small_texts() -> Vec<String> {
    let lines = lines(&fixture("small/texts.jsonl"));
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_string())
        .collect()
}

/// The least cosine and the largest difference over all rows whose text is not exempt.
#[track_caller]
pub fn compare(
    found: &Embeddings,
    expected: &Embeddings,
    names: &[String],
    exempt: impl Fn(&str) -> bool,
) -> (f64, f32) {
    assert_eq!((found.rows(), found.dims()), (expected.rows(), expected.dims()));
    let (mut least, mut most) = (1.0_f64, 0.0_f32);
    for ((found, expected), name) in found.iter().zip(expected.iter()).zip(names) {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let lengths = (dot(found, found) * dot(expected, expected)).sqrt();
        // A text of no known word has no direction.
        let cosine = match lengths {
            0.0 if found == expected => 1.0,
            lengths => dot(found, expected) / lengths,
        };
        if exempt(name) {
            continue;
        }
        let name: String = name.chars().take(60).collect();
        assert!(cosine >= 0.99999, "cosine {cosine} for {name:?}");
        least = least.min(cosine);
        for (found, expected) in found.iter().zip(expected) {
            most = most.max((found - expected).abs());
        }
    }
    (least, most)
}

/// What a request of a fixture asks for.
pub fn options(request: &Value) -> Options {
    let text = |field: &str| request[field].as_str().map(String::from);
    let count = |field: &str| request[field].as_u64().map(|count| count as usize);
    Options {
        task: match request["task"].as_str() {
            Some("query") => Task::Query,
            Some("document") => Task::Document,
            _ => Task::Plain,
        },
        prompt_name: text("prompt_name"),
        prompt: text("prompt"),
        size: Size {
            layers: count("layers"),
            dims: count("dims"),
            bits: None,
        },
        normalize: request["normalize"].as_bool(),
    }
}
