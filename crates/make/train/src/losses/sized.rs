//! Losses at several widths and depths.

use super::{Aux, Layer, Loss, Reps};
use crate::tape::{Tape, Var};

/// Another loss at prefixes of the last layer's vectors (Matryoshka Representation Learning, arXiv 2205.13147).
#[derive(Debug, Clone, PartialEq)]
pub struct Matryoshka<L> {
    /// What is called.
    pub loss: L,
    /// Widths, and what the loss at each counts.
    pub dims: Vec<(usize, f32)>,
    /// How many of them a step trains, drawn anew each time; `None`: all.
    pub per_step: Option<usize>,
}

impl<L: Loss> Loss for Matryoshka<L> {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let mut dims = self.dims.clone();
        if let Some(count) = self.per_step {
            aux.draw().shuffle(&mut dims);
            dims.truncate(count.max(1));
        }
        let parts: Vec<(Var, f32)> = dims
            .iter()
            .map(|(dims, weight)| {
                let prefix = prefixes(tape, reps, *dims);
                (self.loss.loss(tape, &prefix, aux), *weight)
            })
            .collect();
        tape.total(&parts)
    }
}

/// Prefixes of unit length of the last layer, as sentence-transformers cuts them.
fn prefixes(tape: &mut Tape, reps: &Reps, dims: usize) -> Reps {
    let cut = reps.last().prefix(tape, dims);
    Layer {
        number: cut.number,
        columns: super::units(tape, &cut.columns),
    }
    .alone()
}

/// Another loss at the last layer and at earlier ones, which are also pulled to the last one's vectors (2D Matryoshka, arXiv 2402.14776, as
/// sentence-transformers' AdaptiveLayerLoss has it from release 6 on: the last layer itself is not pulled; the first earlier layer there is the
/// embeddings, number 0).
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveLayer<L> {
    /// What is called.
    pub loss: L,
    /// How many earlier layers a step trains, drawn anew each time; `None`: all.
    pub per_step: Option<usize>,
    /// What the last layer's loss counts.
    pub last_weight: f32,
    /// What the earlier layers' losses count.
    pub prior_weight: f32,
    /// What the divergence counts.
    pub divergence_weight: f32,
    /// Its temperature.
    pub temperature: f32,
}

impl<L> AdaptiveLayer<L> {
    /// With sentence-transformers' defaults.
    pub fn new(loss: L) -> Self {
        Self {
            loss,
            per_step: Some(1),
            last_weight: 1.0,
            prior_weight: 1.0,
            divergence_weight: 1.0,
            temperature: 0.3,
        }
    }
}

impl<L: Loss> AdaptiveLayer<L> {
    /// The loss with the earlier layers at the places `chosen`.
    fn over(&self, tape: &mut Tape, reps: &Reps, aux: &Aux, chosen: &[usize]) -> Var {
        let last = reps.last().clone();
        let all = tape.below(&last.columns);
        let all = tape.detach(all);
        let mut parts = vec![(self.loss.loss(tape, &last.alone(), aux), self.last_weight)];
        for place in chosen {
            let layer = reps.layers[*place].clone();
            let mine = tape.below(&layer.columns);
            let share = self.prior_weight / (1.0 + *place as f32) / chosen.len() as f32;
            parts.push((self.loss.loss(tape, &layer.alone(), aux), share));
            if self.temperature > 0.0 && self.divergence_weight > 0.0 {
                let divergence = tape.divergence(all, mine, self.temperature);
                parts.push((divergence, self.temperature * self.divergence_weight));
            }
        }
        tape.total(&parts)
    }
}

impl<L: Loss> Loss for AdaptiveLayer<L> {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let mut places: Vec<usize> = (0..reps.layers.len() - 1).collect();
        if let Some(count) = self.per_step {
            aux.draw().shuffle(&mut places);
            places.truncate(count);
        }
        self.over(tape, reps, aux, &places)
    }
}

/// One random earlier layer and one random width a step, as sentence-transformers' Matryoshka2dLoss has it.
pub fn matryoshka_2d<L: Loss>(loss: L, dims: Vec<(usize, f32)>) -> AdaptiveLayer<Matryoshka<L>> {
    AdaptiveLayer::new(Matryoshka {
        loss,
        dims,
        per_step: Some(1),
    })
}

/// 2D Matryoshka as published (arXiv 2402.14776): a random earlier layer and a random prefix each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Ese<L> {
    /// What is called.
    pub loss: L,
    /// The widths that are drawn from, the full one left out.
    pub dims: Vec<usize>,
    /// The temperature of the divergence.
    pub temperature: f32,
}

impl<L: Loss> Loss for Ese<L> {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let mut draw = aux.draw();
        let last = reps.last().clone();
        let early = reps.layers[draw.below(reps.layers.len().max(2) - 1)].clone();
        let dims = match self.dims.len() {
            0 => last.dims(tape),
            count => self.dims[draw.below(count)],
        };
        let depth = early.number.max(1) as f32;
        let (all, mine) = (tape.below(&last.columns), tape.below(&early.columns));
        let cut = [last.prefix(tape, dims).alone(), early.prefix(tape, dims).alone()];
        let divergence = tape.divergence(all, mine, self.temperature);
        let parts = [
            (self.loss.loss(tape, &last.alone(), aux), 1.0),
            (self.loss.loss(tape, &early.alone(), aux), 1.0 / depth),
            (self.loss.loss(tape, &cut[0], aux), 1.0),
            (self.loss.loss(tape, &cut[1], aux), 1.0 / depth),
            (divergence, self.temperature * (2.0 + depth).ln()),
        ];
        tape.total(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Ranking;
    use crate::losses::fixture::{assert_golden, columns, layers, value};

    #[test]
    fn matryoshka_has_its_golden_values() {
        let with = |weights: [f32; 3]| Matryoshka {
            loss: Ranking::default(),
            dims: [8, 4, 2].into_iter().zip(weights).collect(),
            per_step: None,
        };
        let batch = &columns()[..2];
        assert_golden(value(&with([1.0; 3]), batch, &Aux::default()), 1.154_094);
        assert_golden(value(&with([1.0, 0.3, 0.1]), batch, &Aux::default()), 0.158_653);
    }

    #[test]
    fn adaptive_layers_have_their_golden_values() {
        let loss = AdaptiveLayer::new(Ranking::default());
        let over = |chosen: &[usize]| {
            let mut tape = Tape::default();
            let layers = layers()
                .into_iter()
                .enumerate()
                .map(|(at, columns)| Layer {
                    number: at + 1,
                    columns: columns.map(|column| tape.constant(column)).to_vec(),
                })
                .collect();
            let found = loss.over(&mut tape, &Reps { layers }, &Aux::default(), chosen);
            tape.value(found).data[0]
        };
        assert_golden(over(&[0, 1]), 3.242_737);
        assert_golden(over(&[1]), 0.872_010);
    }

    #[test]
    fn the_full_width_alone_is_the_plain_loss() {
        let loss = Matryoshka {
            loss: Ranking::default(),
            dims: vec![(8, 1.0)],
            per_step: None,
        };
        let plain = value(&Ranking::default(), &columns(), &Aux::default());
        assert_golden(value(&loss, &columns(), &Aux::default()), plain);
    }
}
