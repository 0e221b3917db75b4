//! Low-rank adapters (LoRA, arXiv 2106.09685): a weight `W` becomes `W + s B A` with `A` `[rank, inputs]`, `B` `[outputs, rank]` and `s = alpha / rank`;
//! `A` and `B` alone learn, everything else stays as it is.
//!
//! The encoder runs on the sums: the forward and backward halves are those of the encoder, and the gradients of `A` and `B` are products of the
//! sum's with the other factor. Dropout of the adapter's input adds what it changes beside that (`encoder::side`).

use kokeshi_core::Seed;
use kokeshi_encode::Trainable;
use kokeshi_kernels::{AdamW, Factor, Level, MatmulScratch, Store, adamw, backward, matmul};

use crate::encoder::{Encoder, Gradient, Side};
use crate::error::{Error, Result};
use crate::optimizer::AdamWConfig;

/// How adapters are made.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Rows of `A`.
    pub rank: usize,
    /// `s` times the rank.
    pub alpha: f32,
    /// Linear layers of the blocks that have one, by the ends of their names: `query`, `attention.output.dense`, `dense`, ...
    pub targets: Vec<String>,
    /// The share of the adapter's input that is left out while it learns (PEFT's `lora_dropout`).
    pub dropout: f32,
}

/// One weight with its factors.
#[derive(Debug, Clone)]
pub struct Target {
    /// The layer's name, as in the model's file without `.weight`.
    pub name: String,
    /// Columns of the weight.
    pub inputs: usize,
    /// Its rows.
    pub outputs: usize,
    /// Where the weight starts among the encoder's values.
    pub(crate) start: usize,
    /// Where `A` starts among the adapter's; `B` is behind it.
    pub(crate) first: usize,
}

impl Target {
    /// `A` `[rank, inputs]` and `B` `[outputs, rank]` among all of the adapter's values.
    pub(crate) fn factors<'a>(&self, rank: usize, values: &'a [f32]) -> [&'a [f32]; 2] {
        let (a, b) = (rank * self.inputs, self.outputs * rank);
        let (a, b) = values[self.first..][..a + b].split_at(a);
        [a, b]
    }
}

/// Adapters of an encoder, and how they learn.
pub struct Adapter {
    level: Level,
    rank: usize,
    scale: f32,
    dropout: f32,
    targets: Vec<Target>,
    /// `A` and `B` of each target, end to end.
    values: Vec<f32>,
    /// The weights without them.
    plain: Vec<f32>,
    config: AdamWConfig,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) steps: u64,
    gradient: Vec<f32>,
    scratch: MatmulScratch,
}

impl Adapter {
    /// `A` uniform up to one over the root of its columns, as in PEFT (which has it from PyTorch's linear layers); `B` zero, so that nothing changes.
    ///
    /// # Errors
    /// [`Error::Config`] if a target is no linear layer of the blocks.
    pub fn new(
        model: &Trainable,
        config: &AdapterConfig,
        learning: AdamWConfig,
        mut seed: Seed,
    ) -> Result<Self> {
        let targets = targets(model, config)?;
        let mut values = Vec::new();
        for target in &targets {
            let most = 1.0 / (target.inputs as f64).sqrt();
            let count = config.rank * target.inputs;
            values.extend((0..count).map(|_| ((2.0 * seed.uniform() - 1.0) * most) as f32));
            values.resize(values.len() + target.outputs * config.rank, 0.0);
        }
        let plain = targets
            .iter()
            .flat_map(|target| &model.values[target.start..][..target.inputs * target.outputs]);
        Ok(Self {
            level: Level::best(),
            rank: config.rank,
            scale: config.alpha / config.rank as f32,
            dropout: config.dropout,
            plain: plain.copied().collect(),
            first: vec![0.0; values.len()],
            second: vec![0.0; values.len()],
            gradient: vec![0.0; values.len()],
            steps: 0,
            config: learning,
            scratch: MatmulScratch::default(),
            targets,
            values,
        })
    }

    /// The weights that have factors.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How many values they have.
    pub fn weights(&self) -> usize {
        self.plain.len()
    }

    /// `A` `[rank, inputs]` and `B` `[outputs, rank]` of a target.
    pub fn factors(&self, target: &Target) -> [&[f32]; 2] {
        target.factors(self.rank, &self.values)
    }

    /// The share of its input that is left out.
    pub(crate) fn dropout(&self) -> f32 {
        self.dropout
    }

    /// What runs beside the sums, if anything is left out.
    pub(crate) fn side(&self) -> Option<Side> {
        (self.dropout > 0.0).then(|| Side {
            rank: self.rank,
            scale: self.scale,
            targets: self.targets.clone(),
            values: self.values.clone(),
        })
    }

    /// What learns: `A` and `B` of each target, end to end.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Takes other values, and puts the sums into `encoder`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn set(&mut self, values: &[f32], encoder: &mut Encoder) {
        self.values.copy_from_slice(values);
        self.put(encoder);
    }

    fn put(&mut self, encoder: &mut Encoder) {
        self.apply(encoder.values_mut());
        if let Some(side) = &mut encoder.side {
            side.values.copy_from_slice(&self.values);
        }
    }

    /// Goes on from moments that were kept.
    ///
    /// # Panics
    /// If they are of another adapter.
    pub(crate) fn restore(&mut self, first: Vec<f32>, second: Vec<f32>, steps: u64) {
        assert!(
            first.len() == self.first.len() && second.len() == first.len(),
            "moments of the same adapter"
        );
        (self.first, self.second, self.steps) = (first, second, steps);
    }

    /// Puts the sums into an encoder's values.
    pub fn apply(&mut self, weights: &mut [f32]) {
        let mut plain = self.plain.as_slice();
        for target in &self.targets {
            let (inputs, outputs) = (target.inputs, target.outputs);
            let (mine, rest) = plain.split_at(inputs * outputs);
            plain = rest;
            let [a, b] = self.factors(target);
            let scaled: Vec<f32> = b.iter().map(|value| self.scale * value).collect();
            // Zeros change nothing: not even a zero's sign.
            if scaled.iter().all(|value| *value == 0.0) {
                weights[target.start..][..mine.len()].copy_from_slice(mine);
                continue;
            }
            let mut sum = mine.to_vec();
            matmul(
                self.level,
                [outputs, self.rank, inputs],
                Factor::plain(&scaled, self.rank),
                Factor::plain(a, inputs),
                Store::Add,
                &mut sum,
                inputs,
                &mut MatmulScratch::default(),
            );
            weights[target.start..][..mine.len()].copy_from_slice(&sum);
        }
    }

    /// One step along the encoder's gradient, whose part of the token table is left alone; returns the length of the adapter's.
    pub(crate) fn step(&mut self, encoder: &mut Encoder, gradient: &Gradient, rate: f32) -> f64 {
        let length = self.backward(encoder, gradient);
        self.steps += 1;
        let factor = match self.config.clip {
            clip if clip > 0.0 => (f64::from(clip) / (length + 1e-6)).min(1.0) as f32,
            _ => 1.0,
        };
        let numbers = AdamW {
            rate,
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            epsilon: self.config.epsilon,
            decay: self.config.decay,
            step: self.steps,
            factor,
        };
        adamw(
            self.level,
            &numbers,
            &mut self.values,
            &self.gradient,
            &mut self.first,
            &mut self.second,
        );
        self.put(encoder);
        length
    }

    /// The gradients of `A` (`s B^T G`) and `B` (`s G A^T`), with `G` that of the sum, and what dropout adds; returns their length.
    pub(crate) fn backward(&mut self, encoder: &Encoder, gradient: &Gradient) -> f64 {
        let table = encoder.layout.words.end;
        let (rank, level) = (self.rank, self.level);
        for target in &self.targets {
            let (inputs, outputs) = (target.inputs, target.outputs);
            let sum = &gradient.dense[target.start - table..][..inputs * outputs];
            let (a, b) = self.values[target.first..][..rank * (inputs + outputs)].split_at(rank * inputs);
            let out = &mut self.gradient[target.first..][..rank * (inputs + outputs)];
            let (to_a, to_b) = out.split_at_mut(rank * inputs);
            matmul(
                level,
                [rank, outputs, inputs],
                Factor::transposed(b, rank),
                Factor::plain(sum, inputs),
                Store::Replace,
                to_a,
                inputs,
                &mut self.scratch,
            );
            matmul(
                level,
                [outputs, inputs, rank],
                Factor::plain(sum, inputs),
                Factor::transposed(a, inputs),
                Store::Replace,
                to_b,
                rank,
                &mut self.scratch,
            );
        }
        let scale = self.scale;
        self.gradient.iter_mut().for_each(|value| *value *= scale);
        if self.dropout > 0.0 {
            backward::add(level, &gradient.side, &mut self.gradient);
        }
        backward::squares(level, &self.gradient).sqrt()
    }

    /// The last gradient, in the order of [`Adapter::values`].
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }
}

/// The linear layers that the configuration names.
fn targets(model: &Trainable, config: &AdapterConfig) -> Result<Vec<Target>> {
    let linear = model.tensors.iter().filter_map(|place| {
        let name = place.name.strip_suffix(".weight")?;
        let block = name.contains(".layer.");
        (block && place.shape.len() == 2).then_some((name, place))
    });
    let fits = |name: &str, target: &str| name == target || name.ends_with(&format!(".{target}"));
    if let Some(missing) = config
        .targets
        .iter()
        .find(|target| !linear.clone().any(|(name, _)| fits(name, target)))
    {
        let mut known: Vec<&str> = linear.filter_map(|(name, _)| name.rsplit('.').next()).collect();
        known.sort_unstable();
        known.dedup();
        return Err(Error::Config(format!(
            "expected ends of layers' names ({}), found {missing:?}",
            known.join(", ")
        )));
    }
    let mut first = 0;
    let mut found = Vec::new();
    for (name, place) in linear.filter(|(name, _)| config.targets.iter().any(|target| fits(name, target))) {
        let (outputs, inputs) = (place.shape[0], place.shape[1]);
        found.push(Target {
            name: name.into(),
            inputs,
            outputs,
            start: place.start,
            first,
        });
        first += config.rank * (inputs + outputs);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::{Aux, Ranking};
    use crate::{Batch, Learner, Optimizer, StepConfig};

    fn bert() -> Trainable {
        let path = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
        Trainable::load(path.to_str().unwrap()).unwrap()
    }

    fn adapter(model: &Trainable, targets: &[&str]) -> Result<Adapter> {
        dropping(model, targets, 0.0)
    }

    fn dropping(model: &Trainable, targets: &[&str], dropout: f32) -> Result<Adapter> {
        let config = AdapterConfig {
            rank: 3,
            alpha: 6.0,
            targets: targets.iter().map(ToString::to_string).collect(),
            dropout,
        };
        Adapter::new(model, &config, AdamWConfig::default(), Seed(1))
    }

    /// Values for `A` and `B` that are far from zero.
    fn shaken(adapter: &Adapter) -> Vec<f32> {
        let mut seed = Seed(2);
        let values = adapter.values().iter();
        values.map(|value| value + 0.1 * seed.normal() as f32).collect()
    }

    #[test]
    fn an_adapter_begins_with_the_base_to_the_bit() {
        let model = bert();
        let mut encoder = Encoder::new(&model);
        let mut adapter = adapter(&model, &["query", "value", "dense"]).unwrap();
        adapter.apply(encoder.values_mut());
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(encoder.values()), bits(&model.values));
        // Two layers with query, value, and three that are called dense.
        assert_eq!(adapter.targets().len(), 10);
    }

    #[test]
    fn the_sum_does_to_a_row_what_the_weight_and_the_factors_do_one_after_the_other() {
        let model = bert();
        let mut encoder = Encoder::new(&model);
        let mut adapter = adapter(&model, &["key", "intermediate.dense"]).unwrap();
        let values = shaken(&adapter);
        adapter.set(&values, &mut encoder);
        for target in adapter.targets() {
            let (inputs, outputs) = (target.inputs, target.outputs);
            let [a, b] = adapter.factors(target);
            let place = target.start..target.start + inputs * outputs;
            let mut seed = Seed(3);
            let x: Vec<f32> = (0..inputs).map(|_| seed.normal() as f32).collect();
            let times = |weight: &[f32], x: &[f64]| -> Vec<f64> {
                let rows = weight.chunks_exact(x.len());
                rows.map(|row| row.iter().zip(x).map(|(weight, x)| f64::from(*weight) * x).sum())
                    .collect()
            };
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            let low = times(b, &times(a, &x));
            let plain = times(&model.values[place.clone()], &x);
            let sum = times(&encoder.values()[place], &x);
            for ((sum, plain), low) in sum.iter().zip(&plain).zip(&low) {
                let expected = plain + 2.0 * low;
                assert!(
                    (sum - expected).abs() <= 1e-5,
                    "{}: {sum} and {expected}",
                    target.name
                );
                assert!((sum - plain).abs() > 0.0, "the factors do something");
            }
        }
    }

    fn loss() -> Ranking {
        Ranking {
            scale: 3.0,
            ..Ranking::default()
        }
    }

    /// With factors that are far from zero.
    fn learner(model: &Trainable, dropout: f32, config: StepConfig) -> Learner {
        let encoder = Encoder::new(model);
        let optimizer = Optimizer::new(&encoder, AdamWConfig::default());
        let mut learner = Learner::new(encoder, optimizer, config);
        let adapter = dropping(model, &["query", "dense"], dropout).unwrap();
        let values = shaken(&adapter);
        learner.adapt(adapter);
        learner.set_parameters(&values);
        learner
    }

    fn ids() -> Vec<Vec<u32>> {
        (0..6)
            .map(|at| vec![2, 10 + at, 20 + 3 * at, 30 + at, 3])
            .collect()
    }

    /// Two columns of three texts.
    fn batch(ids: &[Vec<u32>]) -> Batch<'_> {
        Batch {
            columns: ids
                .chunks(3)
                .map(|column| column.iter().map(Vec::as_slice).collect())
                .collect(),
            aux: Aux::default(),
        }
    }

    #[test]
    fn gradients_of_the_factors_are_what_differences_say_and_nothing_else_moves() {
        for dropout in [0.0, 0.3] {
            check_gradients(dropout);
        }
    }

    fn check_gradients(dropout: f32) {
        let model = bert();
        let mut learner = learner(&model, dropout, StepConfig::default());
        let values = learner.parameters().to_vec();
        let ids = ids();
        let (batch, loss) = (batch(&ids), loss());
        // A rate of 0 moves nothing, and leaves the gradient behind.
        learner.step(&batch, &loss, &[2], 0, 0.0).unwrap();
        let gradient = learner.adapter().unwrap().gradient().to_vec();
        let mut seed = Seed(9);
        for part in 0..8 {
            let direction: Vec<f32> = values
                .iter()
                .enumerate()
                .map(|(at, _)| if at % 8 == part { seed.normal() as f32 } else { 0.0 })
                .collect();
            let along: f64 = gradient
                .iter()
                .zip(&direction)
                .map(|(gradient, step)| f64::from(*gradient) * f64::from(*step))
                .sum();
            let mut at = |step: f32| {
                let moved: Vec<f32> = values
                    .iter()
                    .zip(&direction)
                    .map(|(value, direction)| value + step * direction)
                    .collect();
                learner.set_parameters(&moved);
                f64::from(learner.gradient(&batch, &loss, &[2], 0).unwrap().loss)
            };
            let step = 1e-3_f32;
            let difference =
                (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step)) / (12.0 * f64::from(step));
            assert!(
                (along - difference).abs() <= 0.02 * difference.abs() + 2e-3,
                "dropout {dropout}, part {part}: gradient {along}, difference {difference}"
            );
        }
        learner.set_parameters(&values);
        let before = learner.encoder.values().to_vec();
        learner.step(&batch, &loss, &[2], 0, 1e-2).unwrap();
        let adapter = learner.adapter().unwrap();
        assert_ne!(adapter.values(), values);
        let mine = |at: usize| {
            let mut targets = adapter.targets().iter();
            targets.any(|target| (target.start..target.start + target.inputs * target.outputs).contains(&at))
        };
        let after = learner.encoder.values();
        for place in &model.tensors {
            let range = place.start..place.start + place.len();
            let same = before[range.clone()] == after[range];
            assert_eq!(same, !mine(place.start), "{}", place.name);
        }
    }

    #[test]
    fn dropout_depends_on_the_seed_alone_and_is_for_learning_alone() {
        let model = bert();
        let ids = ids();
        let batch = batch(&ids);
        let found = |dropout, chunk_tokens, seed| {
            let config = StepConfig {
                chunk_tokens,
                ..StepConfig::default()
            };
            let mut learner = learner(&model, dropout, config);
            // A rate of 0 moves nothing, and leaves the gradient behind.
            learner.step(&batch, &loss(), &[2], seed, 0.0).unwrap();
            let gradient = learner.adapter().unwrap().gradient().to_vec();
            let texts: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
            (gradient, learner.vectors(&texts, &[2]))
        };
        let (plain, read) = found(0.0, 4096, 1);
        let (whole, same) = found(0.3, 4096, 1);
        assert_eq!(read, same, "nothing is left out when texts are only read");
        let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let apart = |other: &[f32]| {
            let differences: Vec<f32> = whole.iter().zip(other).map(|(a, b)| a - b).collect();
            length(&differences) / length(&whole)
        };
        assert!(apart(&plain) > 0.05, "{}", apart(&plain));
        // Chunks that are run twice leave out the same (GradCache).
        let (parts, _) = found(0.3, 5, 1);
        assert!(apart(&parts) < 1e-5, "{}", apart(&parts));
        let (other, _) = found(0.3, 4096, 2);
        assert!(apart(&other) > 0.05, "{}", apart(&other));
    }

    #[test]
    fn a_target_that_is_no_layer_is_named_beside_those_that_are() {
        let error = adapter(&bert(), &["query", "q_proj"]).err().unwrap().to_string();
        assert!(
            error.contains("dense, key, query, value") && error.contains("\"q_proj\""),
            "{error}"
        );
    }
}
