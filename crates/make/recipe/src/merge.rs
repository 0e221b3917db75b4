//! One model from several of the same kind: averages of weights (model soups, arXiv 2203.05482) and spherical interpolation.

use std::path::Path;

use kokeshi_encode::Trainable;
use kokeshi_train::slerp;
use serde_json::json;

use crate::error::{Error, Result};
use crate::output::write_model;

/// How weights are put together.
#[derive(Debug, Clone, PartialEq)]
pub enum Merge {
    /// The mean, each model with its share; shares are divided by their sum.
    Average(Vec<f64>),
    /// From the first (0) to the second (1), tensor by tensor along the arc between them (Shoemake, 1985).
    Slerp(f64),
}

/// Merges `models` (directories or hub ids of one architecture) into the directory `out`; configuration and tokenizer are the first one's.
///
/// # Errors
/// [`Error::Settings`] if they are not of the same shape or the method does not fit their number.
pub fn merge(models: &[String], method: &Merge, out: &Path) -> Result<()> {
    let loaded: Vec<Trainable> = models
        .iter()
        .map(|model| Ok(Trainable::load(model)?))
        .collect::<Result<_>>()?;
    let Some(first) = loaded.first().filter(|_| loaded.len() > 1) else {
        return Err(Error::Settings(format!(
            "expected at least two models, found {}",
            loaded.len()
        )));
    };
    for (name, other) in models.iter().zip(&loaded) {
        if other.shape != first.shape || (other.pooling, other.cross) != (first.pooling, first.cross) {
            return Err(Error::Settings(format!(
                "{name}: expected the architecture of {} ({}x{}), found {}x{} or other parts",
                models[0], first.shape.layers, first.shape.hidden, other.shape.layers, other.shape.hidden
            )));
        }
    }
    let values = match method {
        Merge::Average(shares) => {
            let sum: f64 = shares.iter().sum();
            let fits = shares.len() == loaded.len() && sum.is_finite() && sum.abs() > 1e-9;
            if !fits {
                return Err(Error::Settings(format!(
                    "expected {} weights with a sum other than 0, found {shares:?}",
                    loaded.len()
                )));
            }
            (0..first.values.len())
                .map(|at| {
                    let parts = loaded.iter().zip(shares);
                    let total: f64 = parts
                        .map(|(model, share)| f64::from(model.values[at]) * share)
                        .sum();
                    (total / sum) as f32
                })
                .collect()
        }
        Merge::Slerp(at) => {
            let [one, two] = &loaded[..] else {
                return Err(Error::Settings(format!(
                    "expected two models for slerp, found {}",
                    loaded.len()
                )));
            };
            let mut values = Vec::with_capacity(one.values.len());
            for place in one.tensors.iter().chain(&one.head) {
                let range = place.start..place.start + place.len();
                values.extend(slerp(&one.values[range.clone()], &two.values[range], *at));
            }
            values
        }
    };
    let about = json!({"format": 1, "kind": "encoder", "merged": models, "method": format!("{method:?}")});
    write_model(out, first, &values, &about)
}
