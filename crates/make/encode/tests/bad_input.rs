//! A directory that is damaged, hostile or of another kind is refused with an error that names what is wrong; never a panic.

mod common;

use std::path::Path;

use common::{fixture, json, small_model};
use kokeshi_core::{Seed, Size};
use kokeshi_encode::{Model, Options, Reranker, SparseModel};

fn load(folder: &Path) -> Result<Model, String> {
    Model::load(folder.to_str().unwrap()).map_err(|error| error.to_string())
}

/// Loads the case after `change` was made to its folder; it must be refused with a message that has all of `parts`.
#[track_caller]
fn refused(case: &str, change: impl FnOnce(&Path), parts: &[&str]) {
    let folder = small_model(case);
    change(folder.path());
    let message = load(folder.path()).map(|_| ()).expect_err("it was loaded");
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    assert!(!message.contains('\n'), "{message:?} has several lines");
}

/// Replaces a text in one of the folder's files.
fn swap(file: &'static str, from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// Replaces the header of the weights (and its length) by what `edit` makes of it.
fn header(edit: impl FnOnce(String) -> String) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = edit(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
        let mut new = (text.len() as u64).to_le_bytes().to_vec();
        new.extend_from_slice(text.as_bytes());
        new.extend_from_slice(&bytes[8 + length..]);
        std::fs::write(path, new).unwrap();
    }
}

#[test]
fn damaged_weights_are_refused_by_file_and_tensor() {
    let cut = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
    };
    refused(
        "mean",
        cut,
        &["model.safetensors", "tensor", "truncated or damaged"],
    );
    let long = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..8].copy_from_slice(&1_000_000_000_000_u64.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
    };
    refused("mean", long, &["model.safetensors", "1000000000000 bytes long"]);
    refused(
        "mean",
        |folder| std::fs::write(folder.join("model.safetensors"), "").unwrap(),
        &["model.safetensors", "truncated"],
    );
    let huge = header(|text| text.replacen("[32]", "[9999999999999,9999999999999]", 1));
    refused("mean", huge, &["model.safetensors", "needs too many bytes"]);
    let nan = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let length = bytes.len();
        bytes[length - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
    };
    refused("mean", nan, &["model.safetensors", "tensor", "NaN"]);
}

#[test]
fn missing_and_misshapen_parts_are_named() {
    let remove = |file: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(file)).unwrap();
    refused("mean", remove("tokenizer.json"), &["tokenizer.json"]);
    refused("mean", remove("config.json"), &["config.json"]);
    refused(
        "mean",
        remove("model.safetensors"),
        &["model.safetensors", "found neither"],
    );
    let pickle = |folder: &Path| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    };
    refused("mean", pickle, &["pytorch_model.bin", "pickled", "convert"]);
    refused(
        "mean",
        swap("config.json", "\"hidden_size\": 32", "\"hidden_size\": 64"),
        &["tensor", "expected shape [114, 64], found [114, 32]"],
    );
    refused(
        "mean",
        swap(
            "config.json",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
        ),
        &["encoder.layer.2", "no such tensor"],
    );
    refused(
        "mean",
        swap(
            "config.json",
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
        ),
        &["num_attention_heads", "divisor"],
    );
    refused(
        "mean",
        swap(
            "config.json",
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": \"x\"",
        ),
        &["num_attention_heads", "whole number"],
    );
    refused(
        "mean",
        swap(
            "config.json",
            "\"model_type\": \"bert\"",
            "\"model_type\": \"bart\"",
        ),
        &["bart is not supported", "bert, roberta"],
    );
    refused(
        "mean",
        swap(
            "config.json",
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"snake\"",
        ),
        &["hidden_act", "snake"],
    );
    refused(
        "mean",
        swap("modules.json", "pooling.Pooling", "x.WeightedLayerPooling"),
        &["modules.json", "WeightedLayerPooling is not supported"],
    );
    refused(
        "mean",
        swap("modules.json", "1_Pooling", "../1_Pooling"),
        &["modules.json", "inside the model"],
    );
    refused(
        "mean",
        swap("1_Pooling/config.json", "\"mean\"", "\"median\""),
        &["pooling_mode", "median"],
    );
    refused(
        "mean",
        swap("1_Pooling/config.json", "\"mean\"", "\"latent_attention\""),
        &["1_Pooling", "num_cross_heads", "found nothing"],
    );
    refused(
        "mean",
        swap(
            "1_Pooling/config.json",
            "\"mean\"",
            "\"latent_attention\", \"num_cross_heads\": 2, \"cross_dim_head\": 8, \"num_latents\": 4",
        ),
        &["1_Pooling", "safetensors"],
    );
    refused(
        "mean",
        swap("1_Pooling/config.json", "32", "33"),
        &["embedding_dimension", "expected 32", "found 33"],
    );
    refused(
        "dense-tanh",
        swap("2_Dense/config.json", "Tanh", "Swirl"),
        &["2_Dense", "activation_function", "Swirl"],
    );
    refused(
        "dense-tanh",
        swap(
            "2_Dense/config.json",
            "\"in_features\": 32",
            "\"in_features\": 31",
        ),
        &["in_features", "expected 32"],
    );
    refused(
        "prompts",
        swap(
            "config_sentence_transformers.json",
            "\"default_prompt_name\": \"other\"",
            "\"default_prompt_name\": \"none\"",
        ),
        &["default_prompt_name", "none"],
    );
    refused(
        "sharded",
        swap(
            "model.safetensors.index.json",
            "model-00002-of",
            "../model-00002-of",
        ),
        &["index.json", "beside the index"],
    );
    refused(
        "sharded",
        remove("model-00002-of-00002.safetensors"),
        &["model-00002-of-00002.safetensors"],
    );
}

#[test]
fn the_tokenizer_of_another_model_is_refused() {
    let other = |folder: &Path| {
        let path = folder.join("tokenizer.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("\"##9\":", "\"##9\": 5000, \"##unused\":")).unwrap();
    };
    refused(
        "mean",
        other,
        &["tokenizer.json", "belongs to another model", "5000"],
    );
}

#[test]
fn every_family_names_the_field_or_tensor_that_is_wrong() {
    let rows: &[(&str, &str, &str, &[&str])] = &[
        (
            "qwen3",
            "\"num_key_value_heads\": 2",
            "\"num_key_value_heads\": 3",
            &["num_key_value_heads", "divisor"],
        ),
        (
            "qwen3",
            "\"head_dim\": 16",
            "\"head_dim\": 15",
            &["rope_parameters", "even"],
        ),
        (
            "qwen3",
            "\"head_dim\": 16",
            "\"head_dim\": 8",
            &["q_norm.weight", "expected shape"],
        ),
        (
            "qwen3",
            "\"head_dim\": 16",
            "\"head_dim\": 1000000000000",
            &["head_dim", "1000000000000"],
        ),
        (
            "qwen3",
            "\"rope_theta\": 1000000.0",
            "\"rope_theta\": -1",
            &["rope_parameters.rope_theta", "above 0"],
        ),
        (
            "qwen3",
            "\"rope_type\": \"default\"",
            "\"rope_type\": \"x\"",
            &["rope_parameters.rope_type", "found x"],
        ),
        (
            "qwen3",
            "\"rms_norm_eps\": 1e-06",
            "\"rms_norm_eps\": -1",
            &["rms_norm_eps", "small number"],
        ),
        (
            "qwen3",
            "\"max_position_embeddings\": 256",
            "\"max_position_embeddings\": 1e300",
            &["max_position_embeddings"],
        ),
        (
            "qwen2-sliding",
            "\"sliding_window\": 20",
            "\"sliding_window\": 0",
            &["sliding_window", "found 0"],
        ),
        (
            "qwen2-sliding",
            "\"full_attention\"",
            "\"half_attention\"",
            &["layer_types", "sliding_attention"],
        ),
        (
            "llama",
            "\"factor\": 8.0",
            "\"factor\": 0",
            &["rope_parameters.factor", "above 0"],
        ),
        (
            "modernbert",
            "\"num_hidden_layers\": 4",
            "\"num_hidden_layers\": 5",
            &["layer_types", "expected 5 times"],
        ),
        (
            "modernbert",
            "\"intermediate_size\": 48",
            "\"intermediate_size\": 49",
            &["mlp.Wi.weight", "[98, 32]"],
        ),
        (
            "modernbert-old",
            "\"global_attn_every_n_layers\": 2",
            "\"global_attn_every_n_layers\": 0",
            &["global_attn_every_n_layers"],
        ),
        (
            "mpnet",
            "\"relative_attention_num_buckets\": 32",
            "\"relative_attention_num_buckets\": 8",
            &["relative_attention_num_buckets"],
        ),
        (
            "nomic-bert",
            "\"prenorm\": false",
            "\"prenorm\": true",
            &["prenorm", "expected false"],
        ),
        (
            "nomic-bert",
            "\"rotary_emb_base\": 1000",
            "\"rotary_emb_base\": 0",
            &["rotary_emb_base", "above 0"],
        ),
        ("gpt2", "\"n_head\": 4", "\"n_head\": 5", &["n_head", "divisor"]),
        (
            "gpt2",
            "\"model_type\": \"gpt2\"",
            "\"model_type\": \"gpt9\"",
            &["gpt9 is not supported", "qwen3"],
        ),
    ];
    for (family, from, to, parts) in rows {
        let folder = tempfile::tempdir().unwrap();
        common::lay_over(&fixture("families").join(family), folder.path());
        let path = folder.path().join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{family} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let message = load(folder.path()).map(|_| ()).expect_err(to);
        for part in *parts {
            assert!(message.contains(part), "{family}: {message:?} lacks {part:?}");
        }
        assert!(
            !message.contains('\n') && message.contains(".json") | message.contains(".safetensors"),
            "{message:?}"
        );
    }
}

#[test]
fn rerankers_and_sparse_models_are_refused_where_their_heads_are_missing() {
    let folder = |name: &str| fixture("families").join(name).to_str().unwrap().to_string();
    let rerank = |name: &str| Reranker::load(&folder(name)).map(|_| ()).unwrap_err().to_string();
    assert!(
        rerank("mpnet").contains("tensor classifier.out_proj.weight: expected shape [1, 32]"),
        "{}",
        rerank("mpnet")
    );
    assert!(
        rerank("gpt2").contains("no classifier is known for gpt2"),
        "{}",
        rerank("gpt2")
    );
    let sparse = |name: &str| {
        SparseModel::load(&folder(name))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(sparse("mpnet").contains("lm_head.bias"), "{}", sparse("mpnet"));
    assert!(
        sparse("qwen3").contains("no masked-language-model head is known for qwen3"),
        "{}",
        sparse("qwen3")
    );
}

#[test]
fn requests_for_what_the_model_lacks_are_refused() {
    let folder = small_model("prompts");
    let model = load(folder.path()).unwrap();
    let refused = |options: Options| {
        model
            .encode(&["a"], &options)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let size = |layers, dims| Options {
        size: Size {
            layers,
            dims,
            bits: None,
        },
        ..Options::default()
    };
    assert!(refused(size(Some(3), None)).contains("2 layers, asked for 3"));
    assert!(refused(size(Some(0), None)).contains("asked for 0"));
    assert!(refused(size(None, Some(33))).contains("32 dims, asked for 33"));
    assert!(refused(size(None, Some(0))).contains("asked for 0"));
    let named = Options {
        prompt_name: Some("nope".into()),
        ..Options::default()
    };
    assert!(refused(named).contains("no prompt \"nope\""));
    assert_eq!(model.encode::<&str>(&[], &Options::default()).unwrap().rows(), 0);
}

#[test]
fn random_damage_to_any_file_gives_an_error_or_a_model_but_never_a_panic() {
    let mut seed = Seed(11);
    let mut outcomes = [0, 0];
    for case in ["dense-chain", "sharded", "roberta-mean"] {
        let folder = small_model(case);
        let mut files = Vec::new();
        let mut folders = vec![folder.path().to_path_buf()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|kind| kind != "npy") {
                    files.push(path);
                }
            }
        }
        files.sort();
        for round in 0..150 {
            let path = &files[seed.below(files.len())];
            let good = std::fs::read(path).unwrap();
            let mut bad = good.clone();
            if round % 3 == 0 {
                bad.truncate(seed.below(good.len() + 1));
            } else {
                for _ in 0..=seed.below(4) {
                    // Headers and configuration stand at the front: hit them as often as weights.
                    let reach = if seed.below(2) == 0 {
                        bad.len().min(1500)
                    } else {
                        bad.len()
                    };
                    let at = seed.below(reach);
                    bad[at] ^= 1 << seed.below(8);
                }
            }
            std::fs::write(path, bad).unwrap();
            let encoded = load(folder.path()).and_then(|model| {
                let texts = ["the quick dog", "", "zebra 42!"];
                model
                    .encode(&texts, &Options::default())
                    .map_err(|error| error.to_string())
            });
            outcomes[usize::from(encoded.is_ok())] += 1;
            std::fs::write(path, good).unwrap();
        }
        assert!(load(folder.path()).is_ok(), "{case} was not restored");
    }
    assert!(
        outcomes[0] > 50 && outcomes[1] > 50,
        "[errors, models] are {outcomes:?}"
    );
}

#[test]
fn a_changed_weight_changes_the_fingerprint_and_a_readme_does_not() {
    let folder = small_model("mean");
    let before = load(folder.path()).unwrap().fingerprint();
    std::fs::write(folder.path().join("README.md"), "words").unwrap();
    assert_eq!(load(folder.path()).unwrap().fingerprint(), before);
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_ne!(load(folder.path()).unwrap().fingerprint(), before);
    assert!(fixture("versions.json").is_file());
}

#[test]
fn token_ranges_point_into_the_text_even_when_lower_case_is_longer() {
    let folder = small_model("lower-cased");
    let model = load(folder.path()).unwrap();
    let text = "DOG İ QUICK  dog";
    let found: Vec<&str> = model
        .token_ranges(text)
        .into_iter()
        .map(|range| &text[range])
        .collect();
    assert_eq!(found.first(), Some(&"DOG"));
    assert_eq!(found.last(), Some(&"dog"));
    assert!(found.contains(&"QUICK"), "{found:?}");
}

/// A tokenizer that adds no special tokens gives an empty text no token at all.
#[test]
fn a_text_without_tokens_is_zeros_under_every_pooling() {
    let folder = small_model("mean");
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer = json(&path);
    tokenizer["post_processor"] = serde_json::Value::Null;
    std::fs::write(path, tokenizer.to_string()).unwrap();
    let path = folder.path().join("1_Pooling/config.json");
    let mut pooling = json(&path);
    for mode in [
        "cls",
        "mean",
        "max",
        "mean_sqrt_len_tokens",
        "weightedmean",
        "lasttoken",
    ] {
        pooling["pooling_mode"] = mode.into();
        std::fs::write(&path, pooling.to_string()).unwrap();
        let model = load(folder.path()).unwrap();
        let found = model.encode(&["", "dog", ""], &Options::default()).unwrap();
        assert!(found.row(1).iter().any(|value| *value != 0.0), "{mode}");
        for row in [0, 2] {
            assert!(found.row(row).iter().all(|value| *value == 0.0), "{mode}");
        }
    }
}
