//! Every family gives the vectors of transformers and sentence-transformers, or of plain PyTorch where those have no class for it;
//! scripts/make_family_fixtures.py and scripts/make_position_fixtures.py made the fixtures.

mod common;

use common::{compare, fixture, json, lines, options};
use kokeshi_core::npy;
use kokeshi_encode::{LoadOptions, Model, Reranker, SparseModel};

/// The texts that the models were run on.
fn texts() -> Vec<String> {
    let texts: Vec<String> = lines(&fixture("families/texts.jsonl"))
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(texts.len(), 32);
    texts
}

#[test]
fn every_family_gives_the_vectors_of_transformers_on_mixed_texts() {
    let texts = texts();
    let mut names: Vec<String> = std::fs::read_dir(fixture("families"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| fixture("families").join(name).join("case.json").is_file())
        .collect();
    names.sort();
    assert!(names.len() >= 12, "only {names:?} were found");
    for name in names {
        let folder = fixture("families").join(&name);
        let case = json(&folder.join("case.json"));
        let load = LoadOptions {
            context: case["load"]["context"].as_u64().map(|tokens| tokens as usize),
            position: case["load"]["position"]
                .as_str()
                .map(|method| method.parse().unwrap()),
            ..LoadOptions::default()
        };
        let model = Model::load_with(folder.to_str().unwrap(), &load).unwrap();
        // Some tokenizers know few words only, and bring their own texts.
        let own = serde_json::from_value(case["texts"].clone()).ok();
        let texts: Vec<String> = own.unwrap_or_else(|| texts.clone());
        let requests = case["requests"].clone();
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

/// The folders of the fixtures whose names begin with `kind`.
fn folders(kind: &str) -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("families"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind))
        .collect();
    folders.sort();
    folders
}

#[test]
fn rerankers_give_the_scores_of_transformers_for_short_and_cut_pairs() {
    let queries: Vec<String> = serde_json::from_value(json(&fixture("families/queries.json"))).unwrap();
    let texts = texts();
    let folders = folders("rerank-");
    assert!(folders.len() >= 5);
    for folder in folders {
        let model = Reranker::load(folder.to_str().unwrap()).unwrap();
        let expected = npy::open(&folder.join("expected.npy")).unwrap();
        let mut most = 0.0_f32;
        for (query, expected) in queries.iter().zip(expected.iter()) {
            let found = model.score(query, &texts).unwrap();
            let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            most = differences.fold(most, f32::max);
        }
        println!("{} largest difference {most:.2e}", folder.display());
        assert!(most < 1e-4, "{}: largest difference {most}", folder.display());
    }
}

#[test]
fn sparse_models_give_the_weights_of_transformers() {
    let texts = texts();
    let folders = folders("sparse-");
    assert!(folders.len() >= 2);
    for folder in folders {
        let model = SparseModel::load(folder.to_str().unwrap()).unwrap();
        let expected = npy::open(&folder.join("expected.npy")).unwrap();
        assert_eq!(model.dims(), expected.dims());
        let mut most = 0.0_f32;
        for (found, expected) in model.encode(&texts).unwrap().iter().zip(expected.iter()) {
            assert!(
                found.is_sorted_by_key(|(dimension, _)| *dimension)
                    && found.iter().all(|(_, weight)| *weight > 0.0)
            );
            let mut dense = vec![0.0; expected.len()];
            found
                .iter()
                .for_each(|(dimension, weight)| dense[*dimension as usize] = *weight);
            let differences = dense.iter().zip(expected).map(|(a, b)| (a - b).abs());
            most = differences.fold(most, f32::max);
        }
        println!("{} largest difference {most:.2e}", folder.display());
        assert!(most < 1e-4, "{}: largest difference {most}", folder.display());
    }
}
