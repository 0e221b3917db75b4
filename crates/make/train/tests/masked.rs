//! Masked language modelling and SMAE: loss and gradients are those of transformers and PyTorch (`scripts/make_masked_fixtures.py` made the fixture, which
//! has the versions in it), and what differences say.

use kokeshi_core::Seed;
use kokeshi_encode::Trainable;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::{AdamWConfig, Learner, MaskedBatch, MaskedText, Optimizer, StepConfig};
use serde_json::Value;

const FIXTURE: &str = include_str!("fixtures/masked.json");

fn bert() -> Trainable {
    let path = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    Trainable::load(path.to_str().unwrap()).unwrap()
}

/// The fixture's head.
fn head(model: &Trainable) -> Vec<f32> {
    let hidden = model.shape.hidden;
    let sines = |tag: f64, scale: f64, plus: f64, count: usize| {
        (1..=count).map(move |k| (plus + scale * (0.31 * (k * k) as f64 + 1.3 * tag).sin()) as f32)
    };
    sines(1.0, 0.2, 0.0, hidden * hidden)
        .chain(sines(2.0, 0.1, 0.0, hidden))
        .chain(sines(3.0, 0.1, 1.0, hidden))
        .chain(sines(4.0, 0.1, 0.0, hidden))
        .chain(sines(5.0, 0.1, 0.0, model.shape.vocabulary))
        .collect()
}

fn learner(model: &Trainable, step: StepConfig) -> Learner {
    let encoder = Encoder::for_masking(model, Some(head(model)), Seed(0));
    let optimizer = Optimizer::new(&encoder, AdamWConfig::default());
    Learner::new(encoder, optimizer, step)
}

fn texts(value: &Value) -> Vec<MaskedText> {
    let texts = value.as_array().unwrap().iter();
    texts
        .map(|text| MaskedText {
            ids: serde_json::from_value(text["ids"].clone()).unwrap(),
            targets: serde_json::from_value(text["targets"].clone()).unwrap(),
        })
        .collect()
}

/// The fixture's batch for `mlm` or `smae`, and its sizes.
fn batch(fixture: &Value, name: &str, model: &Trainable) -> (MaskedBatch, Vec<(usize, usize)>) {
    let mut batch = MaskedBatch {
        encoder: texts(&fixture["encoder"]),
        decoder: texts(&fixture["decoder"]),
    };
    if name == "mlm" {
        batch.decoder.clear();
        return (batch, vec![(model.shape.layers, model.shape.hidden)]);
    }
    (batch, serde_json::from_value(fixture["sizes"].clone()).unwrap())
}

/// The whole gradient after [`Learner::masked_gradient`].
fn gradient(learner: &Learner) -> Vec<f32> {
    let (touched, rows) = learner.row_gradient();
    assert_eq!(touched.len(), learner.encoder.shape().vocabulary);
    [rows, learner.dense_gradient()].concat()
}

/// Names, starts and lengths of the encoder's, the decoder's and the head's tensors.
fn places(model: &Trainable) -> Vec<(String, usize, usize)> {
    let mut places: Vec<(String, usize, usize)> = model
        .tensors
        .iter()
        .map(|place| (place.name.clone(), place.start, place.len()))
        .collect();
    let mut end = model.values.len();
    let first = "encoder.layer.0.";
    let block = model.tensors.iter().filter(|place| place.name.starts_with(first));
    let (hidden, vocabulary) = (model.shape.hidden, model.shape.vocabulary);
    let head = [
        ("cls.predictions.transform.dense.weight", hidden * hidden),
        ("cls.predictions.transform.dense.bias", hidden),
        ("cls.predictions.transform.LayerNorm.weight", hidden),
        ("cls.predictions.transform.LayerNorm.bias", hidden),
        ("cls.predictions.bias", vocabulary),
    ];
    let block = block.map(|place| (place.name.replace(first, "decoder."), place.len()));
    let more = block.chain(head.map(|(name, len)| (name.to_string(), len)));
    for (name, len) in more {
        places.push((name, end, len));
        end += len;
    }
    places
}

#[test]
fn loss_and_gradients_are_those_of_transformers() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let model = bert();
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (batch, sizes) = batch(&fixture, name, &model);
        let mut learner = learner(&model, StepConfig::default());
        let found = learner.masked_gradient(&batch, &sizes, 0).unwrap();
        let expected = case["loss"].as_f64().unwrap();
        assert!(
            (f64::from(found.loss) - expected).abs() <= 1e-5 * expected,
            "{name}: {} and {expected}",
            found.loss
        );
        let length = case["length"].as_f64().unwrap();
        assert!(
            (found.length - length).abs() <= 1e-4 * length,
            "{name}: {} and {length}",
            found.length
        );
        let gradient = gradient(&learner);
        let places = places(&model);
        assert_eq!(places.len(), case["tensors"].as_object().unwrap().len());
        for (tensor, start, _) in places {
            let expected = &case["tensors"][&tensor];
            let norm = expected["norm"].as_f64().unwrap();
            let values = expected["gradient"].as_array().unwrap();
            for (at, value) in expected["at"].as_array().unwrap().iter().zip(values) {
                let found = f64::from(gradient[start + at.as_u64().unwrap() as usize]);
                let value = value.as_f64().unwrap();
                assert!(
                    (found - value).abs() <= 1e-4 * norm + 1e-7 * length,
                    "{name} {tensor} {at}: {found} and {value}"
                );
            }
        }
    }
}

#[test]
fn gradients_are_what_differences_say_for_every_tensor() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let model = bert();
    for (name, dropout) in [("mlm", 0.0), ("smae", 0.1)] {
        let (batch, sizes) = batch(&fixture, name, &model);
        let step = StepConfig {
            dropout,
            ..StepConfig::default()
        };
        let mut learner = learner(&model, step);
        learner.masked_gradient(&batch, &sizes, 3).unwrap();
        let whole = gradient(&learner);
        let mut seed = Seed(5);
        for (tensor, start, len) in places(&model) {
            let direction: Vec<f32> = (0..len).map(|_| seed.normal() as f32).collect();
            let along: f64 = whole[start..start + len]
                .iter()
                .zip(&direction)
                .map(|(gradient, step)| f64::from(*gradient) * f64::from(*step))
                .sum();
            let before = learner.encoder.values()[start..start + len].to_vec();
            let mut at = |step: f32| {
                let values = &mut learner.encoder.values_mut()[start..start + len];
                for ((value, before), direction) in values.iter_mut().zip(&before).zip(&direction) {
                    *value = before + step * direction;
                }
                f64::from(learner.masked_gradient(&batch, &sizes, 3).unwrap().loss)
            };
            let norm = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
            let step = 4e-3 * norm(&before).max(0.1) / norm(&direction);
            let difference =
                (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step)) / (12.0 * f64::from(step));
            at(0.0);
            let allowed = 0.02 * difference.abs() + 3e-6 / f64::from(step);
            assert!(
                (along - difference).abs() <= allowed,
                "{name} {tensor}: gradient {along}, difference {difference}, allowed {allowed}"
            );
        }
    }
}

#[test]
fn small_chunks_give_the_gradient_of_the_whole_batch_with_dropout_too() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let model = bert();
    let (batch, sizes) = batch(&fixture, "smae", &model);
    let run = |chunk_tokens| {
        let step = StepConfig {
            chunk_tokens,
            dropout: 0.1,
        };
        let mut learner = learner(&model, step);
        let found = learner.masked_gradient(&batch, &sizes, 9).unwrap();
        (found.loss, gradient(&learner))
    };
    let (loss, whole) = run(1 << 20);
    for chunk_tokens in [1, 9, 20] {
        let (other, parts) = run(chunk_tokens);
        assert!((loss - other).abs() <= 1e-5, "{loss} and {other}");
        for (one, other) in whole.iter().zip(&parts) {
            assert!(
                (one - other).abs() <= 1e-5,
                "{one} and {other} in chunks of {chunk_tokens}"
            );
        }
    }
}

#[test]
fn the_decoder_begins_as_the_first_block_and_a_head_at_random_as_berts() {
    let model = bert();
    let encoder = Encoder::for_masking(&model, None, Seed(3));
    let (values, end) = (encoder.values(), model.values.len());
    assert_eq!(values[..end], model.values);
    let places = places(&model);
    let of = |name: &str| {
        let (_, start, len) = places.iter().find(|(known, ..)| known == name).unwrap();
        &values[*start..start + len]
    };
    for (tensor, start, len) in &places {
        if let Some(rest) = tensor.strip_prefix("decoder.") {
            assert_eq!(
                &values[*start..start + len],
                of(&format!("encoder.layer.0.{rest}")),
                "{tensor}"
            );
        }
    }
    let dense = of("cls.predictions.transform.dense.weight");
    let deviation = (dense.iter().map(|value| value * value).sum::<f32>() / dense.len() as f32).sqrt();
    assert!((0.018..0.022).contains(&deviation), "{deviation}");
    assert!(of("cls.predictions.bias").iter().all(|value| *value == 0.0));
    assert!(
        of("cls.predictions.transform.LayerNorm.weight")
            .iter()
            .all(|value| *value == 1.0)
    );
}
