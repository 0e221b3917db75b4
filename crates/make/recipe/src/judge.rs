//! How good each size is: Spearman's correlation of cosines with the scores that people gave.

use std::collections::HashMap;
use std::path::Path;

use kokeshi_encode::{Model, Options, WordIds};
use kokeshi_eval::{read_sts, spearman};
use kokeshi_train::Learner;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::recipe::Recipe;

/// Texts that are run together.
const BATCH: usize = 512;

/// Scored pairs as token ids.
pub(crate) struct Judge {
    texts: Vec<Vec<u32>>,
    pairs: Vec<(u32, u32)>,
    scores: Vec<f64>,
    layers: usize,
    dims: Vec<usize>,
    sizes: Vec<(usize, usize)>,
}

/// Spearman's correlation at every layer and width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Layers, ascending.
    pub layers: Vec<usize>,
    /// Widths, ascending.
    pub dims: Vec<usize>,
    /// `[layers][dims]`
    pub spearman: Vec<Vec<f64>>,
}

impl Scores {
    /// At a size.
    pub fn at(&self, layers: usize, dims: usize) -> Option<f64> {
        let row = self.layers.iter().position(|known| *known == layers)?;
        let column = self.dims.iter().position(|known| *known == dims)?;
        Some(self.spearman[row][column])
    }

    /// The mean over sizes.
    pub fn mean(&self, sizes: &[(usize, usize)]) -> f64 {
        let found = sizes.iter().filter_map(|(layers, dims)| self.at(*layers, *dims));
        found.sum::<f64>() / sizes.len().max(1) as f64
    }
}

impl Judge {
    /// Reads the pairs at `path`; a model that reads words has theirs in `words`.
    pub fn read(recipe: &Recipe, model: &Model, path: &Path, words: &mut WordIds) -> Result<Self> {
        let pairs = read_sts(path)?;
        let (mut texts, mut numbers) = (Vec::new(), HashMap::new());
        let mut number = |text: &str| {
            *numbers.entry(text.to_string()).or_insert_with(|| {
                texts.push(text.to_string());
                texts.len() as u32 - 1
            })
        };
        let scores = pairs.iter().map(|pair| pair.score).collect();
        let pairs = pairs
            .iter()
            .map(|pair| (number(&pair.first), number(&pair.second)))
            .collect();
        let (layers, full) = recipe.sizes.last().copied().unwrap_or((1, 1));
        let mut dims: Vec<usize> = recipe.sizes.iter().map(|(_, dims)| *dims).collect();
        // Halves of the full width, down to 16, so that the card shows what is in between.
        dims.extend(
            std::iter::successors(Some(full.next_power_of_two()), |dims| Some(dims / 2))
                .take_while(|dims| *dims >= 16),
        );
        dims.retain(|dims| *dims <= full);
        dims.sort_unstable();
        dims.dedup();
        Ok(Self {
            // Whole texts, whatever training cuts them to: as everybody else will judge the model.
            texts: model.ids_with_words(&texts, &Options::default(), words)?,
            pairs,
            scores,
            layers,
            dims,
            sizes: recipe.sizes.clone(),
        })
    }

    /// Judges what was learnt so far.
    pub fn judge(&self, learner: &mut Learner) -> Scores {
        let exits: Vec<usize> = (1..=self.layers).collect();
        let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); exits.len()];
        for texts in self.texts.chunks(BATCH) {
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            for (all, found) in vectors.iter_mut().zip(learner.vectors(&texts, &exits)) {
                all.extend(found);
            }
        }
        let width = vectors[0].len() / self.texts.len().max(1);
        let spearman = vectors
            .par_iter()
            .map(|vectors| {
                let row = |text: u32| &vectors[text as usize * width..][..width];
                self.dims
                    .iter()
                    .map(|dims| {
                        let cosines: Vec<f64> = self
                            .pairs
                            .iter()
                            .map(|(a, b)| cosine(&row(*a)[..*dims], &row(*b)[..*dims]))
                            .collect();
                        spearman(&cosines, &self.scores).unwrap_or(f64::NAN)
                    })
                    .collect()
            })
            .collect();
        Scores {
            layers: exits,
            dims: self.dims.clone(),
            spearman,
        }
    }

    /// The mean over the recipe's sizes: what "best" means.
    pub fn mean(&self, scores: &Scores) -> f64 {
        scores.mean(&self.sizes)
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| f64::from(kokeshi_core::distance::dot(a, b));
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-24)
}
