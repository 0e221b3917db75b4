//! Vectors are those of sentence-transformers; scripts/make_encoder_fixtures.py made the fixtures.

mod common;

use common::{compare, fixture, json, lines, options, small_model, small_texts};
use kokeshi_core::npy;
use kokeshi_encode::{Model, Options};

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh)"]
fn the_real_minilm_gives_the_vectors_of_sentence_transformers() {
    let folder = fixture("minilm_parity");
    let words: Vec<String> = serde_json::from_value(json(&folder.join("words.json"))).unwrap();
    let texts: Vec<String> = lines(&folder.join("texts.jsonl"))
        .iter()
        .map(|line| match line["text"].as_str() {
            Some(text) => text.to_string(),
            None => {
                let (count, step) = (line["words"].as_u64().unwrap(), line["step"].as_u64().unwrap());
                let word = |at: u64| {
                    words[((at * step + at / words.len() as u64) % words.len() as u64) as usize].as_str()
                };
                (0..count).map(word).collect::<Vec<_>>().join(" ")
            }
        })
        .collect();
    assert_eq!(texts.len(), 300);
    let model = Model::load(kokeshi_testing::minilm().to_str().unwrap()).unwrap();
    assert_eq!(
        (model.dims(), model.layers(), model.max_tokens()),
        (384, 6, Some(256))
    );
    let found = model.encode(&texts, &Options::default()).unwrap();
    let expected = npy::open(&folder.join("vectors.npy")).unwrap();
    let (cosine, difference) = compare(&found, &expected, &texts, |_| false);
    println!("least cosine {cosine:.9}, largest difference {difference:.2e}");
    assert!(difference < 5e-6, "largest difference {difference}");
}

#[test]
fn every_small_model_gives_the_vectors_of_sentence_transformers() {
    let texts = small_texts();
    let mut cases = 0;
    for entry in std::fs::read_dir(fixture("small/cases")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let folder = small_model(&name);
        let model = Model::load(folder.path().to_str().unwrap()).unwrap();
        let requests = json(&folder.path().join("case.json"))["requests"].clone();
        for (at, request) in requests.as_array().unwrap().iter().enumerate() {
            let found = model.encode(&texts, &options(request)).unwrap();
            let expected = npy::open(&folder.path().join(format!("expected-{at}.npy"))).unwrap();
            println!("{name} {request}");
            // With do_lower_case, release 6 spares special tokens that are spelt out in a text; earlier ones lower them, as we do.
            let exempt = |text: &str| name == "lower-cased" && text.contains("[CLS]");
            let (cosine, difference) = compare(&found, &expected, &texts, exempt);
            println!("    least cosine {cosine:.9}, largest difference {difference:.2e}");
            assert!(
                difference < 2e-5,
                "{name} {request}: largest difference {difference}"
            );
        }
        cases += 1;
    }
    assert!(cases >= 25, "only {cases} cases were found");
}
