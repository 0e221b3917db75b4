//! The decoder gives what transformers gives, at once and token by token, and refuses what is damaged.

use std::path::{Path, PathBuf};

use kokeshi_cache::{Decoder, Full, Phase, Plan, Session};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Token ids, and logits of every tenth entry of the vocabulary.
fn expected(model: &str) -> (Vec<u32>, Vec<Vec<f32>>) {
    let text = std::fs::read_to_string(fixtures().join(model).join("logits.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_f64().unwrap())
            .collect()
    };
    let logits = json["logits"].as_array().unwrap().iter();
    (
        numbers(&json["tokens"]).into_iter().map(|id| id as u32).collect(),
        logits
            .map(|row| numbers(row).into_iter().map(|value| value as f32).collect())
            .collect(),
    )
}

fn largest_difference(row: &[f32], expected: &[f32]) -> f32 {
    let picked = row.iter().step_by(10);
    picked
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_transformers() {
    for model in ["llama", "qwen2", "qwen3"] {
        let decoder = Decoder::load(&fixtures().join(model)).unwrap();
        let (tokens, expected) = expected(model);
        let logits = decoder.forward(&tokens, &Plan::trained(&decoder)).unwrap();
        let mut session = Session::new(&decoder, Full::new(decoder.config().shape));
        for ((row, expected), token) in logits.chunks_exact(40).zip(&expected).zip(&tokens) {
            assert_eq!(expected.len(), 4);
            assert!(expected.iter().any(|value| value.abs() > 0.05));
            assert!(largest_difference(row, expected) < 1e-4, "{model} at once");
            let streamed = session.step(*token, Phase::Decode).unwrap();
            assert!(largest_difference(streamed, expected) < 1e-4, "{model} streamed");
        }
        assert_eq!(session.position() as usize, tokens.len());
    }
}

#[test]
fn a_token_past_the_table_is_refused() {
    let decoder = Decoder::load(&fixtures().join("llama")).unwrap();
    let error = decoder.forward(&[1, 40], &Plan::trained(&decoder)).unwrap_err();
    assert_eq!(error.to_string(), "expected tokens below 40, found 40");
    assert!(decoder.forward(&[], &Plan::trained(&decoder)).unwrap().is_empty());
}

#[test]
fn damaged_files_are_refused_with_file_and_field() {
    let refused = |change: &dyn Fn(&Path), words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(fixtures().join("qwen2").join(file), folder.path().join(file)).unwrap();
        }
        change(folder.path());
        let error = Decoder::load(folder.path()).err().unwrap().to_string();
        assert!(
            words.iter().all(|word| error.contains(word)) && !error.contains('\n'),
            "{error}"
        );
    };
    let edit = |folder: &Path, from: &str, to: &str| {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    let weights = |folder: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    };
    refused(
        &|folder| edit(folder, "\"hidden_size\": 24", "\"hidden_size\": 32"),
        &["model.safetensors", "embed_tokens", "[40, 32]", "[40, 24]"],
    );
    refused(
        &|folder| {
            edit(
                folder,
                "\"num_hidden_layers\": 2",
                "\"num_hidden_layers\": 16000000",
            )
        },
        &["model.layers.2.", "no such tensor"],
    );
    refused(
        &|folder| edit(folder, "{", "["),
        &["config.json", "expected JSON"],
    );
    refused(
        &|folder| weights(folder, &|bytes| bytes.truncate(5000)),
        &["model.safetensors", "truncated"],
    );
    refused(
        &|folder| weights(folder, &|bytes| bytes.clear()),
        &["model.safetensors"],
    );
    refused(
        &|folder| {
            weights(folder, &|bytes| {
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            });
        },
        &["model.safetensors", "is NaN"],
    );
    refused(
        &|folder| std::fs::remove_file(folder.join("model.safetensors")).unwrap(),
        &["model.safetensors"],
    );
}
