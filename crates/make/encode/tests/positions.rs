//! Longer texts than a model was trained on: short ones stay as they are, bit for bit, and long ones are read to their end.

mod common;

use common::{fixture, lines};
use kokeshi_encode::{LoadOptions, Model, Options, Position};

fn texts() -> Vec<String> {
    let lines = lines(&fixture("families/texts.jsonl"));
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_string())
        .collect()
}

fn load(family: &str, context: usize, position: &str) -> Result<Model, String> {
    let options = LoadOptions {
        context: Some(context),
        position: Some(position.parse::<Position>().unwrap()),
        ..LoadOptions::default()
    };
    let folder = fixture("families").join(family);
    Model::load_with(folder.to_str().unwrap(), &options).map_err(|error| error.to_string())
}

fn encode(model: &Model, texts: &[String]) -> Vec<Vec<f32>> {
    let vectors = model.encode(texts, &Options::default()).unwrap();
    vectors.iter().map(<[f32]>::to_vec).collect()
}

/// A text of so many one-token words.
fn words(count: usize) -> String {
    (0..count)
        .map(|at| ["dog", "cat", "map", "the"][at * at % 4])
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn short_texts_keep_their_vectors_and_long_ones_are_read_to_the_end() {
    let learned = ["gp", "rp", "pi", "pcw"].map(|method| ("xlm-roberta", 512, method));
    let rotary = [
        "pi",
        "ntk",
        "ntk:lambda=12",
        "selfextend",
        "selfextend:g=3,w=40",
        "pcw",
    ]
    .map(|method| ("qwen2-bidirectional", 1024, method));
    for (family, context, method) in learned.into_iter().chain(rotary) {
        let folder = fixture("families").join(family);
        let plain = Model::load(folder.to_str().unwrap()).unwrap();
        let model = load(family, context, method).unwrap();
        assert_eq!(model.max_tokens(), Some(context), "{family} {method}");
        assert_ne!(model.fingerprint(), plain.fingerprint());
        let most = plain.max_tokens().unwrap();
        let short: Vec<String> = texts()
            .into_iter()
            .filter(|text| plain.token_ranges(text).len() + 2 <= most)
            .collect();
        assert!(short.len() > 25);
        assert_eq!(
            encode(&model, &short),
            encode(&plain, &short),
            "{family} {method}"
        );

        let (long, mut other) = (words(300), words(300));
        other.push_str(" quick zebra");
        let ends = encode(&model, &[long.clone(), other]);
        assert_ne!(ends[0], ends[1], "{family} {method} does not read the end");
        assert!(ends[0].iter().all(|value| value.is_finite()));
        // A vector does not depend on its neighbours in the batch.
        let mut batch = short[..9].to_vec();
        batch.push(long);
        assert_eq!(encode(&model, &batch)[9], ends[0], "{family} {method}");
    }
}

#[test]
fn methods_that_change_nothing_give_the_plain_vectors_of_long_texts() {
    // A group of one shares no position, whatever the window, nor does a window that no text leaves; a base times one is the base. The
    // trained length is made small, so that these texts are long ones.
    let small = tempfile::tempdir().unwrap();
    common::lay_over(&fixture("families/qwen2-bidirectional"), small.path());
    let config = small.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace(
            "\"max_position_embeddings\": 256",
            "\"max_position_embeddings\": 32",
        ),
    )
    .unwrap();
    let expected = {
        let folder = fixture("families/qwen2-bidirectional");
        encode(&Model::load(folder.to_str().unwrap()).unwrap(), &texts())
    };
    for method in ["selfextend:g=1,w=7", "selfextend:g=5,w=200", "ntk:lambda=1"] {
        let options = LoadOptions {
            context: Some(192),
            position: Some(method.parse().unwrap()),
            ..LoadOptions::default()
        };
        let model = Model::load_with(small.path().to_str().unwrap(), &options).unwrap();
        for (found, expected) in encode(&model, &texts()).iter().zip(&expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{method}: {found} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn pieces_are_averaged_and_the_last_one_ends_with_the_text() {
    let folder = fixture("families/xlm-roberta");
    let plain = Model::load(folder.to_str().unwrap()).unwrap();
    let model = load("xlm-roberta", 512, "pcw").unwrap();
    // 126 tokens and two special ones are a piece.
    let ids: Vec<u32> = std::iter::once(0)
        .chain((0..200).map(|at| 5 + at % 7))
        .chain([2])
        .collect();
    let piece = |from: usize, to: usize| -> Vec<u32> {
        std::iter::once(0)
            .chain(ids[1..201][from..to].iter().copied())
            .chain([2])
            .collect()
    };
    let vectors = plain
        .encode_ids(&[piece(0, 126), piece(74, 200)], &Options::default())
        .unwrap();
    let found = model
        .encode_ids(std::slice::from_ref(&ids), &Options::default())
        .unwrap();
    for (at, found) in found.row(0).iter().enumerate() {
        let mean = (vectors.row(0)[at] + vectors.row(1)[at]) / 2.0;
        assert!((found - mean).abs() < 1e-6, "{found} is not {mean}");
    }
}

#[test]
fn methods_that_do_not_fit_the_model_are_refused() {
    for (family, context, method, part) in [
        (
            "xlm-roberta",
            512,
            "ntk",
            "ntk is not for this model's positions; expected gp, rp, pi or pcw",
        ),
        ("qwen3", 1024, "gp", "expected pi, pcw, ntk, selfextend or lambda"),
        ("mpnet", 512, "pi", "relative buckets"),
        ("t5", 1 << 15, "ntk", "relative buckets"),
        ("xlm-roberta", 1 << 30, "gp", "at most"),
    ] {
        let error = load(family, context, method).map(drop).unwrap_err();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
    let folder = fixture("families/qwen3");
    let load = |options: LoadOptions| {
        let model = Model::load_with(folder.to_str().unwrap(), &options);
        model
            .map(|model| model.max_tokens())
            .map_err(|error| error.to_string())
    };
    let beyond = LoadOptions {
        context: Some(1000),
        ..LoadOptions::default()
    };
    assert!(load(beyond).unwrap_err().contains("expected a position method"));
    let within = LoadOptions {
        context: Some(100),
        ..LoadOptions::default()
    };
    assert_eq!(load(within), Ok(Some(100)));
    let hot = LoadOptions {
        temperature: Some(f32::NAN),
        ..LoadOptions::default()
    };
    assert!(load(hot).unwrap_err().contains("temperature"));
}

#[test]
fn a_temperature_of_one_changes_nothing_and_a_lower_one_does() {
    let folder = fixture("families/mpnet");
    let load = |temperature| {
        let options = LoadOptions {
            temperature,
            ..LoadOptions::default()
        };
        encode(
            &Model::load_with(folder.to_str().unwrap(), &options).unwrap(),
            &texts(),
        )
    };
    assert_eq!(load(None), load(Some(1.0)));
    assert_ne!(load(None), load(Some(0.5)));
}

#[test]
fn an_id_that_was_kept_loads_the_same_model_again() {
    let model = load("xlm-roberta", 512, "pi").unwrap();
    assert!(model.id().ends_with("@context=512@position=pi"), "{}", model.id());
    let again = Model::load(model.id()).unwrap();
    assert_eq!(
        (again.id(), again.fingerprint(), again.max_tokens()),
        (model.id(), model.fingerprint(), Some(512))
    );
    for other in ["@context=100", "@temperature=0.5", "@context=512@position=rp"] {
        let folder = fixture("families/xlm-roberta");
        let other = Model::load(&format!("{}{other}", folder.display())).unwrap();
        assert_ne!(other.fingerprint(), model.fingerprint());
    }
}

#[test]
fn buckets_that_no_distance_fits_are_refused() {
    let made = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("families/t5")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, made.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = std::fs::read_to_string(fixture("families/t5/config.json")).unwrap();
    for (field, value) in [
        ("relative_attention_num_buckets\": 32", "2"),
        ("relative_attention_max_distance\": 128", "8"),
    ] {
        assert!(config.contains(field));
        let (name, _) = field.split_once(':').unwrap();
        let changed = config.replace(field, &format!("{name}: {value}"));
        std::fs::write(made.path().join("config.json"), changed).unwrap();
        let error = Model::load(made.path().to_str().unwrap())
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("relative_attention_num_buckets") && error.contains("at least 4"),
            "{error}"
        );
    }
}
