//! The speeds at which pairs of dimensions turn, and the scalings that a model's configuration may ask for: linear (arXiv 2306.15595),
//! dynamic NTK, YaRN (arXiv 2309.00071) and Llama 3's. As transformers computes them.

use crate::directory::Fields;
use crate::error::Result;

/// A rotation, as the configuration describes it.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// How many dimensions of a head turn; even.
    pub(crate) dims: usize,
    /// What the speeds are powers of.
    pub(crate) base: f64,
    /// How they are changed.
    pub(crate) scaling: Scaling,
}

/// Changes of speeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scaling {
    /// None.
    Plain,
    /// All slower by a factor.
    Linear(f64),
    /// A base that grows with texts of more than `trained` tokens.
    Dynamic { factor: f64, trained: f64 },
    /// Slow ones slower by `factor`, fast ones not, a ramp between; cosines and sines are multiplied by `amplitude`.
    Yarn {
        factor: f64,
        trained: f64,
        fast: f64,
        slow: f64,
        truncate: bool,
        amplitude: f64,
    },
    /// The same with Llama 3's ramp.
    Llama3 {
        factor: f64,
        trained: f64,
        low: f64,
        high: f64,
    },
}

impl Rotation {
    /// Reads `rope_parameters` (transformers 5) or `rope_scaling` with `rope_theta` (before), for heads `head_dims` wide in a model
    /// trained on texts of `longest` tokens.
    pub(crate) fn read(config: &Fields, head_dims: usize, base: f64, longest: usize) -> Result<Self> {
        let nested = match config.object("rope_parameters")? {
            Some(nested) => Some(nested),
            None => config.object("rope_scaling")?,
        };
        Self::from_fields(config, nested.as_ref(), head_dims, base, longest)
    }

    /// The same from `nested`, which is found already; what it lacks is looked for in `config`.
    pub(crate) fn from_fields(
        config: &Fields,
        nested: Option<&Fields>,
        head_dims: usize,
        base: f64,
        longest: usize,
    ) -> Result<Self> {
        let positive = |field: &str, fallback: Option<f64>| -> Result<f64> {
            let (fields, value) = match nested.filter(|nested| nested.get(field).is_some()) {
                Some(nested) => (nested, nested.number(field)?),
                None => (config, config.number(field)?),
            };
            match value.or(fallback) {
                Some(value) if value.is_finite() && value > 0.0 && value < 1e15 => Ok(value),
                other => Err(fields.wrong(
                    field,
                    format!(
                        "expected a number above 0, found {}",
                        other.map_or("nothing".into(), |value| value.to_string())
                    ),
                )),
            }
        };
        let fraction = positive("partial_rotary_factor", Some(1.0))?.min(1.0);
        let dims = (head_dims as f64 * fraction) as usize;
        let base = positive("rope_theta", Some(base))?;
        let kind = match nested {
            Some(nested) => match nested.text("rope_type")? {
                Some(kind) => Some(kind),
                None => nested.text("type")?,
            },
            None => None,
        };
        let trained = |fallback: usize| positive("original_max_position_embeddings", Some(fallback as f64));
        let scaling = match kind {
            None | Some("default") => Scaling::Plain,
            Some("linear") => Scaling::Linear(positive("factor", None)?),
            Some("dynamic") => Scaling::Dynamic {
                factor: positive("factor", None)?,
                trained: longest as f64,
            },
            Some("yarn") => {
                let factor = positive("factor", None)?;
                Scaling::Yarn {
                    factor,
                    trained: trained(longest)?,
                    fast: positive("beta_fast", Some(32.0))?,
                    slow: positive("beta_slow", Some(1.0))?,
                    truncate: match nested {
                        Some(nested) => nested.flag("truncate")?.unwrap_or(true),
                        None => true,
                    },
                    amplitude: positive("attention_factor", Some(0.1 * factor.max(1.0).ln() + 1.0))?,
                }
            }
            Some("llama3") => Scaling::Llama3 {
                factor: positive("factor", None)?,
                trained: trained(longest)?,
                low: positive("low_freq_factor", None)?,
                high: positive("high_freq_factor", None)?,
            },
            Some(other) => {
                return Err(nested.unwrap_or(config).wrong(
                    "rope_type",
                    format!("expected default, linear, dynamic, yarn or llama3, found {other}"),
                ));
            }
        };
        Self { dims, base, scaling }.checked(config)
    }

    /// A rotation whose numbers make sense.
    pub(crate) fn checked(self, config: &Fields) -> Result<Self> {
        if self.dims == 0 || !self.dims.is_multiple_of(2) {
            return Err(config.wrong(
                "rope_parameters",
                format!(
                    "expected an even number of dimensions that turn, found {}",
                    self.dims
                ),
            ));
        }
        Ok(self)
    }

    /// The speeds for texts of `len` tokens, and what cosines and sines are multiplied by.
    pub(crate) fn speeds(&self, len: usize) -> (Vec<f32>, f32) {
        let dims = self.dims as f64;
        let powers = |base: f64| -> Vec<f64> {
            (0..self.dims / 2)
                .map(|at| base.powf(-2.0 * at as f64 / dims))
                .collect()
        };
        let plain = powers(self.base);
        let mut amplitude = 1.0;
        let speeds: Vec<f64> = match self.scaling {
            Scaling::Plain => plain,
            Scaling::Linear(factor) => plain.iter().map(|speed| speed / factor).collect(),
            Scaling::Dynamic { factor, trained } => {
                let grown = factor * (len as f64).max(trained) / trained - (factor - 1.0);
                powers(self.base * grown.powf(dims / (dims - 2.0).max(1.0)))
            }
            Scaling::Yarn {
                factor,
                trained,
                fast,
                slow,
                truncate,
                amplitude: scale,
            } => {
                amplitude = scale;
                let corner = |turns: f64| {
                    dims * (trained / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.base.ln())
                };
                let (low, high) = if truncate {
                    (corner(fast).floor(), corner(slow).ceil())
                } else {
                    (corner(fast), corner(slow))
                };
                let (low, high) = (low.max(0.0), high.min(dims - 1.0));
                let width = if low == high { 0.001 } else { high - low };
                let ramp = |at: usize| ((at as f64 - low) / width).clamp(0.0, 1.0);
                let mixed = plain.iter().enumerate();
                mixed
                    .map(|(at, speed)| speed / factor * ramp(at) + speed * (1.0 - ramp(at)))
                    .collect()
            }
            Scaling::Llama3 {
                factor,
                trained,
                low,
                high,
            } => plain
                .iter()
                .map(|speed| {
                    let length = std::f64::consts::TAU / speed;
                    if length < trained / high {
                        *speed
                    } else if length > trained / low {
                        speed / factor
                    } else {
                        let smooth = (trained / length - low) / (high - low);
                        (1.0 - smooth) * speed / factor + smooth * speed
                    }
                })
                .collect(),
        };
        (
            speeds.into_iter().map(|speed| speed as f32).collect(),
            amplitude as f32,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeds(base: f64, scaling: Scaling, len: usize) -> (Vec<f32>, f32) {
        let rotation = Rotation {
            dims: 64,
            base,
            scaling,
        };
        rotation.speeds(len)
    }

    #[track_caller]
    fn assert_near(found: f32, expected: f32) {
        assert!((found / expected - 1.0).abs() < 2e-6, "{found} is not {expected}");
    }

    #[test]
    fn plain_speeds_are_powers_of_the_base() {
        let (found, amplitude) = speeds(1e4, Scaling::Plain, 10);
        assert_eq!((found.len(), found[0], amplitude), (32, 1.0, 1.0));
        assert_near(found[16], 0.01);
        let (slower, _) = speeds(1e4, Scaling::Linear(4.0), 10);
        assert_near(slower[5], found[5] / 4.0);
    }

    #[test]
    fn a_dynamic_base_grows_only_with_texts_longer_than_trained_on() {
        let scaling = Scaling::Dynamic {
            factor: 2.0,
            trained: 512.0,
        };
        assert_eq!(speeds(1e4, scaling, 512), speeds(1e4, Scaling::Plain, 512));
        // base * (2 * 1024 / 512 - 1)^(64 / 62)
        assert_near(speeds(1e4, scaling, 1024).0[31], 4.445_071e-5);
    }
}
