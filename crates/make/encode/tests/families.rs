//! Every family gives the vectors of transformers and sentence-transformers; scripts/make_family_fixtures.py made the fixtures.

mod common;

use common::{compare, fixture, json, lines, options};
use kokeshi_core::npy;
use kokeshi_encode::Model;

#[test]
fn every_family_gives_the_vectors_of_transformers_on_mixed_texts() {
    let texts: Vec<String> = lines(&fixture("families/texts.jsonl"))
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(texts.len(), 32);
    let mut names: Vec<String> = std::fs::read_dir(fixture("families"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| fixture("families").join(name).join("case.json").is_file())
        .collect();
    names.sort();
    assert!(names.len() >= 12, "only {names:?} were found");
    for name in names {
        let folder = fixture("families").join(&name);
        let model = Model::load(folder.to_str().unwrap()).unwrap();
        let requests = json(&folder.join("case.json"))["requests"].clone();
        for (at, request) in requests.as_array().unwrap().iter().enumerate() {
            let found = model.encode(&texts, &options(request)).unwrap();
            let expected = npy::open(&folder.join(format!("expected-{at}.npy"))).unwrap();
            println!("{name} {request}");
            let (cosine, difference) = compare(&found, &expected, &texts, |_| false);
            println!("    least cosine {cosine:.9}, largest difference {difference:.2e}");
            assert!(
                difference < 1e-4,
                "{name} {request}: largest difference {difference}"
            );
        }
    }
}
