//! Positions, routes and precisions that are chosen by a model's files or at load: what they change, what they leave, and what is refused.

mod common;

use std::path::Path;

use common::{fixture, lay_over, lines};
use kokeshi_encode::{LoadOptions, Model, Options, Precision, Task};

fn texts() -> Vec<String> {
    let lines = lines(&fixture("families/texts.jsonl"));
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_string())
        .collect()
}

fn load(folder: &Path, options: &LoadOptions) -> Result<Model, String> {
    Model::load_with(folder.to_str().unwrap(), options).map_err(|error| error.to_string())
}

fn positioned(family: &str, context: Option<usize>, position: &str) -> Result<Model, String> {
    let options = LoadOptions {
        context,
        position: Some(position.parse().unwrap()),
        ..LoadOptions::default()
    };
    load(&fixture("families").join(family), &options)
}

fn plain(family: &str) -> Model {
    load(&fixture("families").join(family), &LoadOptions::default()).unwrap()
}

fn encode(model: &Model, texts: &[String]) -> Vec<Vec<f32>> {
    let vectors = model.encode(texts, &Options::default()).unwrap();
    vectors.iter().map(<[f32]>::to_vec).collect()
}

/// A copy of a family with a text of one of its files replaced; it must be refused with a message that has all of `parts`.
#[track_caller]
fn refused(family: &str, file: &str, from: &str, to: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    lay_over(&fixture("families").join(family), folder.path());
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    std::fs::write(path, text.replace(from, to)).unwrap();
    let message = load(folder.path(), &LoadOptions::default())
        .map(|_| ())
        .expect_err("it was loaded");
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    assert!(!message.contains('\n'), "{message:?} has several lines");
}

#[test]
fn a_model_with_penalties_reads_longer_texts_without_a_method_and_short_ones_as_before() {
    let long = [
        "dog cat map ".repeat(80) + "quick",
        "dog cat map ".repeat(80) + "zq",
    ];
    for (family, context) in [("mpt", 600), ("position-none", 200), ("position-alibi", 200)] {
        let options = LoadOptions {
            context: Some(context),
            ..LoadOptions::default()
        };
        let (short, model) = (
            plain(family),
            load(&fixture("families").join(family), &options).unwrap(),
        );
        assert_eq!(model.max_tokens(), Some(context), "{family}");
        let some: Vec<String> = texts()
            .into_iter()
            .filter(|text| text.len() > 2 && text.len() < 40)
            .collect();
        if family == "mpt" {
            assert_eq!(encode(&model, &some), encode(&short, &some));
            let ends = encode(&model, &long);
            assert_ne!(ends[0], ends[1]);
        }
    }
    let lambda = positioned("mpt", Some(600), "lambda:n=4").unwrap();
    let ends = encode(&lambda, &long);
    assert!(ends.iter().flatten().all(|value| value.is_finite()));
    assert_eq!(
        encode(&lambda, &texts()[..20]),
        encode(&plain("mpt"), &texts()[..20])
    );
}

#[test]
fn a_lambda_keeps_short_texts_and_forgets_what_lies_between() {
    let model = positioned("qwen3", Some(1024), "lambda").unwrap();
    let short = &texts()[..20];
    assert_eq!(encode(&model, short), encode(&plain("qwen3"), short));
    assert!(model.id().ends_with("@context=1024@position=lambda"));
    for (family, says) in [
        ("qwen2-bidirectional", "decoders"),
        ("xlm-roberta", "expected gp, rp, pi or pcw"),
        ("t5", "expected pcw"),
    ] {
        let refused = positioned(family, Some(20_000), "lambda")
            .map(|_| ())
            .unwrap_err();
        assert!(refused.contains(says) && refused.contains("lambda"), "{refused}");
    }
}

#[test]
fn positions_can_be_left_out_of_decoders_only() {
    let (with, without) = (plain("llama"), positioned("llama", None, "none").unwrap());
    assert_ne!(encode(&with, &texts()[3..5]), encode(&without, &texts()[3..5]));
    assert!(without.id().ends_with("@position=none"));
    for family in ["qwen2-bidirectional", "xlm-roberta", "modernbert"] {
        let refused = positioned(family, None, "none").map(|_| ()).unwrap_err();
        assert!(refused.contains("causal mask"), "{refused}");
    }
}

#[test]
fn weights_in_few_bits_give_nearly_the_vectors_of_f32_under_ids_of_their_own() {
    for family in ["qwen3", "modernbert", "gpt2", "t5"] {
        let folder = fixture("families").join(family);
        let (whole, mut seen) = (plain(family), vec![plain(family).fingerprint()]);
        let exact = encode(&whole, &texts());
        // Random weights are harder on few bits than trained ones.
        for (precision, least) in [(Precision::Int8Weights, 0.999), (Precision::Int4Weights, 0.8)] {
            let options = LoadOptions {
                precision,
                ..LoadOptions::default()
            };
            let model = load(&folder, &options).unwrap();
            assert!(model.id().ends_with(&format!("@{}", precision.name())));
            assert!(!seen.contains(&model.fingerprint()));
            seen.push(model.fingerprint());
            let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let cosines: Vec<f32> = encode(&model, &texts())
                .iter()
                .zip(&exact)
                .map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())
                .collect();
            let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
            assert!(
                mean > least && mean < 1.0,
                "{family} {}: mean cosine {mean}",
                precision.name()
            );
        }
    }
}

#[test]
fn routes_need_a_task_if_none_is_the_default_and_say_which_there_are() {
    let model = plain("route-asym");
    let refused = model
        .encode(&["dog"], &Options::default())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("document or query"), "{refused}");
    let task = |task| Options {
        task,
        ..Options::default()
    };
    let encode = |task_| model.encode(&["the quick dog"], &task(task_)).unwrap();
    assert_ne!(encode(Task::Query).as_slice(), encode(Task::Document).as_slice());
    assert_eq!(model.dims(), 24);
}

#[test]
fn the_weights_of_every_route_count_for_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    lay_over(&fixture("families/route-heads"), folder.path());
    let before = load(folder.path(), &LoadOptions::default())
        .unwrap()
        .fingerprint();
    let path = folder.path().join("3_Router/query_0_Dense/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
    assert_ne!(
        load(folder.path(), &LoadOptions::default())
            .unwrap()
            .fingerprint(),
        before
    );
}

#[test]
fn routes_that_cannot_be_served_are_refused_by_file_and_field() {
    let file = "3_Router/router_config.json";
    let router = |from: &str, to: &str, parts: &[&str]| {
        refused(
            "route-heads",
            file,
            from,
            to,
            &[&["router_config.json"], parts].concat(),
        );
    };
    router(
        "\"query_0_Dense\"\n",
        "\"../../x\"\n",
        &["structure", "names of modules"],
    );
    router(
        ".Dense\"",
        ".SpladePooling\"",
        &["types", "SpladePooling", "supported are"],
    );
    router(".Dense\"", ".Router\"", &["types", "not supported in a route"]);
    router(
        "\"structure\"",
        "\"structures\"",
        &["structure", "expected an object of routes"],
    );
    router(
        "\"default_route\": \"doc\"",
        "\"default_route\": \"x\"",
        &["default_route", "found x"],
    );
    let config = "3_Router/query_0_Dense/config.json";
    refused(
        "route-heads",
        config,
        "24",
        "23",
        &["linear", "expected shape [23]"],
    );
    refused(
        "route-asym",
        "3_Router/config.json",
        "\"types\"",
        "\"typos\"",
        &["types", "expected an object of modules"],
    );
}

#[test]
fn configurations_of_the_newer_families_are_refused_by_field() {
    let config = |family: &str, from: &str, to: &str, parts: &[&str]| {
        refused(
            family,
            "config.json",
            from,
            to,
            &[&["config.json"], parts].concat(),
        );
    };
    config(
        "nv-embed",
        "\"text_config\"",
        "\"texts_config\"",
        &["text_config", "found nothing"],
    );
    config(
        "nv-embed",
        "\"bidir_mistral\"",
        "\"gpt2\"",
        &["text_config.model_type", "expected bidir_mistral"],
    );
    config(
        "nv-embed",
        "\"num_latents_value\": 7",
        "\"num_latents_value\": 0",
        &["latent_attention_config.num_latents_value", "found 0"],
    );
    refused(
        "nv-embed",
        "1_Pooling/config.json",
        "\"pooling_mode_lasttoken\": false",
        "\"pooling_mode_lasttoken\": true",
        &["mean pooling"],
    );
    config(
        "mpt",
        "\"alibi\": true",
        "\"alibi\": false",
        &["attn_config.alibi", "expected true"],
    );
    config(
        "mpt",
        "\"clip_qkv\": null",
        "\"clip_qkv\": 6",
        &["attn_config.clip_qkv", "found 6"],
    );
    config(
        "mpt",
        "\"alibi_bias_max\": 8",
        "\"alibi_bias_max\": -1",
        &["attn_config.alibi_bias_max", "found -1"],
    );
    config(
        "smollm3",
        "\"no_rope_layers\": [",
        "\"no_rope_layers\": [ 1,",
        &["no_rope_layers", "3 times"],
    );
    config(
        "jina-bert",
        "geglu",
        "swiglu",
        &["feed_forward_type", "found swiglu"],
    );
    config(
        "position-none",
        "\"kokeshi_position\": \"none\"",
        "\"kokeshi_position\": \"rotary:2\"",
        &["kokeshi_position", "rotary:F"],
    );
    config(
        "position-none",
        "\"kokeshi_position\": \"none\"",
        "\"kokeshi_position\": \"none\", \"is_causal\": false",
        &["kokeshi_position", "causal mask"],
    );
}
