//! One full step (loss, gradients, AdamW update) is sentence-transformers' with PyTorch. `scripts/make_train_fixtures.py` made the fixture, which
//! has the versions in it.

use kokeshi_encode::Trainable;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{AdaptiveLayer, Aux, Cosent, Gist, Loss, Matryoshka, Ranking};
use kokeshi_train::tape::Matrix;
use kokeshi_train::{AdamWConfig, Batch, Learner, Optimizer, StepConfig};
use serde_json::Value;

fn loss(name: &str) -> Box<dyn Loss> {
    match name {
        "ranking" => Box::new(Ranking::default()),
        "gist" => Box::new(Gist {
            temperature: 0.05,
            ..Gist::default()
        }),
        "cosent" => Box::new(Cosent::default()),
        _ => Box::new(AdaptiveLayer {
            per_step: None,
            ..AdaptiveLayer::new(Matryoshka {
                loss: Ranking::default(),
                dims: vec![(32, 1.0), (16, 1.0), (8, 1.0)],
                per_step: None,
            })
        }),
    }
}

fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect()
}

#[test]
fn loss_gradients_and_update_are_those_of_sentence_transformers() {
    let fixture = include_str!("fixtures/step.json");
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let path = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let model = Trainable::load(path.to_str().unwrap()).unwrap();
    let hidden = model.shape.hidden;
    let guide: Vec<Matrix> = fixture["guide"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let rows: Vec<f32> = column.as_array().unwrap().iter().flat_map(floats).collect();
            Matrix::new(rows.len() / hidden, hidden, rows)
        })
        .collect();
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let encoder = Encoder::new(&model);
        let config = AdamWConfig {
            decay: 0.01,
            clip: 1.0,
            ..AdamWConfig::default()
        };
        let optimizer = Optimizer::new(&encoder, config);
        let mut learner = Learner::new(encoder, optimizer, StepConfig::default());
        let ids: Vec<Vec<Vec<u32>>> = serde_json::from_value(case["ids"].clone()).unwrap();
        let batch = Batch {
            columns: ids
                .iter()
                .map(|column| column.iter().map(Vec::as_slice).collect())
                .collect(),
            aux: Aux {
                labels: floats(&fixture["labels"]),
                guide: guide.clone(),
                ..Aux::default()
            },
        };
        // Its earlier layers begin with the embeddings.
        let exits: &[usize] = if name == "matryoshka2d" { &[0, 1, 2] } else { &[2] };
        let found = learner.gradient(&batch, loss(name).as_ref(), exits, 0).unwrap();
        let expected = case["loss"].as_f64().unwrap();
        assert!(
            (f64::from(found.loss) - expected).abs() <= 1e-4 * expected,
            "{name}: {} and {expected}",
            found.loss
        );
        let expected = case["length"].as_f64().unwrap();
        assert!(
            (found.length - expected).abs() <= 1e-4 * expected,
            "{name}: {} and {expected}",
            found.length
        );
        let mut gradient = vec![0.0; model.tensors[0].len()];
        let (touched, rows) = learner.row_gradient();
        for (id, row) in touched.iter().zip(rows.chunks_exact(hidden)) {
            gradient[*id as usize * hidden..][..hidden].copy_from_slice(row);
        }
        gradient.extend_from_slice(learner.dense_gradient());
        learner.step(&batch, loss(name).as_ref(), exits, 0, 1e-3).unwrap();
        for place in &model.tensors {
            let expected = &case["tensors"][&place.name];
            let given = floats(&expected["gradient"]);
            let moved = floats(&expected["moved"]);
            let norm = expected["norm"].as_f64().unwrap() as f32;
            let at = expected["at"]
                .as_array()
                .unwrap_or_else(|| panic!("{} is in the fixture", place.name));
            for ((at, given), moved) in at.iter().zip(given).zip(moved) {
                let at = place.start + at.as_u64().unwrap() as usize;
                // Keys' biases have no gradient but what rounding leaves of terms as large as the whole gradient.
                let allowed = 1e-3 * norm + 2e-8 * found.length as f32;
                assert!(
                    (gradient[at] - given).abs() <= allowed,
                    "{name} {}: gradient {} and {given}",
                    place.name,
                    gradient[at]
                );
                if given.abs() > 1e-4 {
                    let value = learner.encoder.values()[at];
                    assert!(
                        (value - moved).abs() <= 2e-6,
                        "{name} {}: moved to {value} and {moved}",
                        place.name
                    );
                }
            }
        }
    }
}
