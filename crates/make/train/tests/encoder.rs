//! Training runs the same encoder as `kokeshi-encode`, and its gradients are those of the losses.

use std::path::PathBuf;

use kokeshi_core::{Seed, Size};
use kokeshi_encode::{Cross, CrossKind, Model, Options, TrainPooling, Trainable, WordIds};
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{Aux, Ranking};
use kokeshi_train::{AdamWConfig, Batch, Learner, Optimizer, StepConfig};

const MODELS: [&str; 7] = [
    "small/bases/bert",
    "small/bases/bert-odd-cased",
    "small/bases/roberta",
    "small/bases/distilbert",
    "families/mpnet",
    "families/xlm-roberta",
    BYTES,
];

/// Makes its words of bytes.
const BYTES: &str = "byte2word";

const TEXTS: [&str; 9] = [
    "a",
    "the quick dog",
    "The Quick Dog",
    "a dog and a cat",
    "the cat, the dog; the fox!",
    "a lazy dog sleeps",
    "quick quick quick",
    "fox",
    "over the lazy dog jumps the quick fox",
];

fn fixture(name: &str) -> PathBuf {
    kokeshi_testing::workspace()
        .join("crates/make/encode/tests/fixtures")
        .join(name)
}

/// A fixture's transformer alone, which is pooled by the mean.
fn bare(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
    ] {
        let from = fixture(name).join(file);
        if name != BYTES || from.is_file() {
            std::fs::copy(from, folder.path().join(file)).unwrap();
        }
    }
    folder
}

fn learner(name: &str, config: AdamWConfig, step: StepConfig) -> (Learner, Vec<Vec<u32>>) {
    let folder = bare(name);
    let model = Trainable::load(folder.path().to_str().unwrap()).unwrap();
    learner_of(&model, config, step)
}

fn learner_of(model: &Trainable, config: AdamWConfig, step: StepConfig) -> (Learner, Vec<Vec<u32>>) {
    let runs = Model::load(model.root.to_str().unwrap()).unwrap();
    let mut words = WordIds::default();
    let ids = runs
        .ids_with_words(&TEXTS, &Options::default(), &mut words)
        .unwrap();
    let encoder = Encoder::new(model).reading(&words);
    let optimizer = Optimizer::new(&encoder, config);
    (Learner::new(encoder, optimizer, step), ids)
}

/// A fixture in `folder` with each pooling that has weights; none of them is zero.
fn pooled(folder: &tempfile::TempDir) -> Vec<Trainable> {
    let pooled = |(kind, pooling)| {
        let mut model = Trainable::load(folder.path().to_str().unwrap()).unwrap();
        let cross = Cross {
            kind,
            latents: 5,
            heads: 2,
            head_dims: 6,
        };
        model.repool(pooling, Some(cross), Seed(3));
        let mut seed = Seed(4);
        for value in &mut model.values[model.head[0].start..] {
            *value += 0.2 * seed.normal() as f32;
        }
        model
    };
    let kinds = [
        (CrossKind::Latent, TrainPooling::Mean),
        (CrossKind::Layers, TrainPooling::Mean),
        (CrossKind::Layers, TrainPooling::Last),
    ];
    kinds.map(pooled).into()
}

/// Three columns of three texts each.
fn batch(ids: &[Vec<u32>]) -> Batch<'_> {
    Batch {
        columns: ids
            .chunks_exact(3)
            .map(|column| column.iter().map(Vec::as_slice).collect())
            .collect(),
        aux: Aux::default(),
    }
}

/// A flat loss, so that differences are of the size of the gradient.
fn loss() -> Ranking {
    Ranking {
        scale: 3.0,
        ..Ranking::default()
    }
}

#[test]
fn every_layer_is_that_of_the_encoder_that_only_runs() {
    for name in MODELS {
        let (mut learner, ids) = learner(name, AdamWConfig::default(), StepConfig::default());
        let model = Model::load(bare(name).path().to_str().unwrap()).unwrap();
        assert_layers(name, &mut learner, &model, &ids);
    }
}

fn assert_layers(name: &str, learner: &mut Learner, model: &Model, ids: &[Vec<u32>]) {
    let exits: Vec<usize> = (1..=model.layers()).collect();
    let texts: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let found = learner.vectors(&texts, &exits);
    for (layer, found) in exits.iter().zip(&found) {
        let options = Options {
            size: Size {
                layers: Some(*layer),
                ..Size::FULL
            },
            ..Options::default()
        };
        let expected = model.encode(&TEXTS, &options).unwrap();
        let width = expected.dims();
        for (row, found) in found.chunks_exact(width).enumerate() {
            for (found, expected) in found.iter().zip(expected.row(row)) {
                assert!(
                    (found - expected).abs() <= 1e-4,
                    "{name} layer {layer} text {row}: {found} and {expected}"
                );
            }
        }
    }
}

#[test]
fn poolings_with_weights_are_those_of_the_encoder_that_only_runs() {
    let folder = bare("small/bases/bert");
    for model in pooled(&folder) {
        let (mut learner, ids) = learner_of(&model, AdamWConfig::default(), StepConfig::default());
        let pooling = folder.path().join("1_Pooling");
        std::fs::create_dir_all(&pooling).unwrap();
        let cross = model.cross.unwrap();
        let config = cross.config(model.pooling, model.shape.hidden).to_string();
        std::fs::write(pooling.join("config.json"), config).unwrap();
        let weights = model.pooling_safetensors(learner.encoder.values()).unwrap();
        std::fs::write(pooling.join("model.safetensors"), weights).unwrap();
        let modules = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                          {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
        std::fs::write(folder.path().join("modules.json"), modules).unwrap();
        let runs = Model::load(folder.path().to_str().unwrap()).unwrap();
        assert_layers(&format!("{cross:?}"), &mut learner, &runs, &ids);
        // What was written is read again, to the bit.
        let again = Trainable::load(folder.path().to_str().unwrap()).unwrap();
        assert_eq!((again.cross, again.pooling), (model.cross, model.pooling));
        assert!(again.values == model.values && again.head == model.head);
    }
}

#[test]
fn gradients_are_what_differences_say_for_every_tensor() {
    for name in MODELS {
        let model = Trainable::load(bare(name).path().to_str().unwrap()).unwrap();
        let (learner, ids) = learner(name, AdamWConfig::default(), StepConfig::default());
        assert_gradients(name, &model, learner, &ids);
    }
    let folder = bare("small/bases/bert");
    for model in pooled(&folder) {
        let (learner, ids) = learner_of(&model, AdamWConfig::default(), StepConfig::default());
        assert_gradients(&format!("{:?}", model.cross), &model, learner, &ids);
    }
}

fn assert_gradients(name: &str, model: &Trainable, mut learner: Learner, ids: &[Vec<u32>]) {
    let batch = batch(ids);
    let exits = [1, model.shape.layers];
    let loss = kokeshi_train::losses::Starbucks {
        loss: loss(),
        sizes: vec![(1, 16), (model.shape.layers, model.shape.hidden)],
        alignment: kokeshi_train::losses::Alignment::Off,
        weight: 0.0,
    };
    learner.gradient(&batch, &loss, &exits, 0).unwrap();
    let dense = learner.dense_gradient().to_vec();
    let table = model.tensors[0].len();
    let mut whole = vec![0.0; table];
    let (touched, rows) = learner.row_gradient();
    let hidden = model.shape.hidden;
    let rows = touched.iter().zip(rows.chunks_exact(hidden));
    // Behind the table are words that bytes make.
    for (id, row) in rows.filter(|(id, _)| (**id as usize) < model.shape.vocabulary) {
        whole[*id as usize * hidden..][..hidden].copy_from_slice(row);
    }
    whole.extend(dense);
    let mut seed = Seed(5);
    for place in model.tensors.iter().chain(&model.head) {
        // Along a random direction, so that rounding of single values does not count.
        let direction: Vec<f32> = (0..place.len()).map(|_| seed.normal() as f32).collect();
        let range = place.start..place.start + place.len();
        let along: f64 = whole[range.clone()]
            .iter()
            .zip(&direction)
            .map(|(gradient, step)| f64::from(*gradient) * f64::from(*step))
            .sum();
        let before = learner.encoder.values()[range.clone()].to_vec();
        let mut at = |step: f32| {
            let values = &mut learner.encoder.values_mut()[range.clone()];
            for ((value, before), direction) in values.iter_mut().zip(&before).zip(&direction) {
                *value = before + step * direction;
            }
            f64::from(learner.gradient(&batch, &loss, &exits, 0).unwrap().loss)
        };
        let size = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
        let scale = before
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(0.1);
        let step = 4e-3 * scale / size;
        let difference =
            (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step)) / (12.0 * f64::from(step));
        at(0.0);
        let allowed = 0.02 * difference.abs() + 3e-6 / f64::from(step);
        assert!(
            (along - difference).abs() <= allowed,
            "{name} {}: gradient {along}, difference {difference}, allowed {allowed}",
            place.name
        );
    }
}

#[test]
fn small_chunks_give_the_gradient_of_the_whole_batch_with_dropout_too() {
    let folder = bare("small/bases/bert");
    let plain = Trainable::load(folder.path().to_str().unwrap()).unwrap();
    let pooled = pooled(&folder);
    let cases = pooled.iter().map(|model| (model, 0.0));
    let folder = bare(BYTES);
    let bytes = Trainable::load(folder.path().to_str().unwrap()).unwrap();
    for (model, dropout) in cases.chain([(&plain, 0.0), (&plain, 0.1), (&bytes, 0.0), (&bytes, 0.1)]) {
        let gradient = |chunk_tokens| {
            let step = StepConfig {
                chunk_tokens,
                dropout,
            };
            let (mut learner, ids) = learner_of(model, AdamWConfig::default(), step);
            let found = learner.gradient(&batch(&ids), &loss(), &[2], 9).unwrap();
            (
                found.loss,
                learner.dense_gradient().to_vec(),
                learner.row_gradient().1.to_vec(),
            )
        };
        let (loss, dense, rows) = gradient(1 << 20);
        for chunk_tokens in [1, 6, 20] {
            let (other, other_dense, other_rows) = gradient(chunk_tokens);
            assert!((loss - other).abs() <= 1e-5, "{loss} and {other}");
            for (one, other) in dense
                .iter()
                .chain(&rows)
                .zip(other_dense.iter().chain(&other_rows))
            {
                assert!(
                    (one - other).abs() <= 1e-5,
                    "{one} and {other} in chunks of {chunk_tokens}"
                );
            }
        }
    }
}

#[test]
fn rows_of_the_token_table_move_as_under_a_dense_optimizer() {
    assert_dense_steps("small/bases/bert");
}

#[test]
fn what_makes_words_of_bytes_moves_as_under_a_dense_optimizer() {
    assert_dense_steps(BYTES);
}

fn assert_dense_steps(name: &str) {
    let config = AdamWConfig {
        decay: 0.01,
        clip: 0.5,
        ..AdamWConfig::default()
    };
    let (mut learner, ids) = learner(name, config, StepConfig::default());
    let hidden = learner.encoder.shape().hidden;
    let mut values: Vec<f64> = learner
        .encoder
        .values()
        .iter()
        .map(|value| f64::from(*value))
        .collect();
    let (mut first, mut second) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    let table = learner.encoder.shape().vocabulary * hidden;
    let free: Vec<bool> = {
        let model = Trainable::load(fixture(name).to_str().unwrap()).unwrap();
        let free = |name: &str| {
            name.ends_with("bias") || name.contains("LayerNorm") || name.ends_with(".norm.weight")
        };
        let places = model.tensors.iter();
        places
            .flat_map(|place| std::iter::repeat_n(free(&place.name), place.len()))
            .collect()
    };
    for step in 1..=4_i32 {
        // Other texts each time, so that rows come and go.
        let texts = &ids[(step as usize % 2) * 3..][..6];
        let batch = Batch {
            columns: texts
                .chunks_exact(3)
                .map(|column| column.iter().map(Vec::as_slice).collect())
                .collect(),
            aux: Aux::default(),
        };
        let found = learner.gradient(&batch, &loss(), &[2], 1).unwrap();
        let mut gradient = vec![0.0; table];
        let (touched, rows) = learner.row_gradient();
        let rows = touched.iter().zip(rows.chunks_exact(hidden));
        for (id, row) in rows.filter(|(id, _)| (**id as usize) * hidden < table) {
            gradient[*id as usize * hidden..][..hidden].copy_from_slice(row);
        }
        gradient.extend_from_slice(learner.dense_gradient());
        let factor = (0.5 / (found.length + 1e-6)).min(1.0);
        for at in 0..values.len() {
            let gradient = f64::from(gradient[at]) * factor;
            first[at] = 0.9 * first[at] + 0.1 * gradient;
            second[at] = 0.999 * second[at] + 0.001 * gradient * gradient;
            let root = (second[at] / (1.0 - 0.999_f64.powi(step))).sqrt() + 1e-8;
            let decay = if free[at] { 0.0 } else { 0.01 };
            values[at] -= 1e-3 * (decay * values[at] + first[at] / (1.0 - 0.9_f64.powi(step)) / root);
        }
        learner.step(&batch, &loss(), &[2], 1, 1e-3).unwrap();
        for (at, (found, expected)) in learner.encoder.values().iter().zip(&values).enumerate() {
            assert!(
                (f64::from(*found) - expected).abs() <= 2e-5,
                "step {step}, value {at}: {found} and {expected}"
            );
        }
        // Small differences must not grow through the next gradient.
        values = learner
            .encoder
            .values()
            .iter()
            .map(|value| f64::from(*value))
            .collect();
    }
}

#[test]
fn with_a_base_width_weights_between_widths_learn_slower_and_nothing_else_does() {
    for name in ["small/bases/bert", BYTES] {
        assert_base_width(name);
    }
}

fn assert_base_width(name: &str) {
    let after = |base_width: usize| {
        let config = AdamWConfig {
            base_width,
            ..AdamWConfig::default()
        };
        let (mut learner, ids) = learner(name, config, StepConfig::default());
        learner.step(&batch(&ids), &loss(), &[2], 1, 1e-3).unwrap();
        learner.encoder.values().to_vec()
    };
    let model = Trainable::load(fixture(name).to_str().unwrap()).unwrap();
    let (plain, same, half) = (after(0), after(model.shape.hidden), after(model.shape.hidden / 2));
    assert!(
        plain == same,
        "at the base width it is the plain optimizer, to the bit"
    );
    for place in &model.tensors {
        let between = ["encoder.layer", "byte_words.to", "byte_words.net"];
        let wide = place.shape.len() == 2 && between.iter().any(|part| place.name.contains(part));
        for at in place.start..place.start + place.len() {
            let (moved, slower) = (plain[at] - model.values[at], half[at] - model.values[at]);
            let expected = if wide { moved / 2.0 } else { moved };
            assert!(
                (slower - expected).abs() <= 2e-7,
                "{}: {slower} and {expected}",
                place.name
            );
        }
    }
}
