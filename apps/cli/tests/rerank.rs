//! Rerankers and sparse models on the command line give what the library gives.

use std::io::Write;
use std::process::{Command, Stdio};

use kokeshi_encode::{Reranker, SparseModel};
use kokeshi_testing::small_model;
use serde_json::Value;

const TEXTS: [&str; 3] = ["a red apple", "the boat on the sea", "how small can a vector be?"];

fn path(name: &str) -> String {
    small_model(name).to_string_lossy().into_owned()
}

/// What the program prints for the texts as lines of standard input.
fn printed(arguments: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kokeshi"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(TEXTS.join("\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The texts' scores, best first.
fn ranked(query: &str) -> Vec<(usize, f32)> {
    let model = Reranker::load(&path("rerank-bert")).unwrap();
    let mut ranked: Vec<_> = model
        .score(query, &TEXTS)
        .unwrap()
        .into_iter()
        .enumerate()
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

#[test]
fn rerank_prints_the_best_texts_first() {
    let expected = ranked("small");
    let model = path("rerank-bert");
    let table = printed(&["rerank", "--model", &model, "--query", "small"]);
    let places: Vec<usize> = expected
        .iter()
        .map(|(at, _)| table.find(TEXTS[*at]).unwrap())
        .collect();
    assert!(places.is_sorted(), "{table}");
    let json = printed(&[
        "rerank", "--model", &model, "--query", "small", "--top", "2", "--json",
    ]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for (result, (at, score)) in results.iter().zip(&expected) {
        assert_eq!(result["index"], *at);
        assert_eq!(result["text"], TEXTS[*at]);
        assert_eq!(result["score"].as_f64().unwrap() as f32, *score);
    }
}

#[test]
fn embed_sparse_prints_the_weight_of_each_token() {
    let model = SparseModel::load(&path("sparse-bert")).unwrap();
    let expected = model.encode(&TEXTS).unwrap();
    let text = printed(&["embed", "-", "--sparse", "--model", &path("sparse-bert")]);
    assert_eq!(text.lines().count(), 3);
    for (line, expected) in text.lines().zip(expected) {
        let line: Value = serde_json::from_str(line).unwrap();
        let (indices, values): (Vec<u32>, Vec<f32>) = expected.into_iter().unzip();
        assert_eq!(
            serde_json::from_value::<Vec<u32>>(line["indices"].clone()).unwrap(),
            indices
        );
        assert_eq!(
            serde_json::from_value::<Vec<f32>>(line["values"].clone()).unwrap(),
            values
        );
        let tokens = line["tokens"].as_array().unwrap();
        assert_eq!(
            tokens[0].as_str(),
            indices.first().and_then(|index| model.token(*index))
        );
    }
}
