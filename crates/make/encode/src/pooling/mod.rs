//! Pooling: the vectors of a text's tokens become one, or several end to end. [`cross`] holds the poolings with weights of their own.

pub(crate) mod cross;
pub(crate) mod train;

use std::path::Path;

use serde_json::Value;

use crate::directory::Fields;
use crate::encoder::Keep;
use crate::error::Result;
use crate::family::nv_embed::Latents;
use crate::safetensors::Weights;
use cross::Trained;
use train::{Cross, CrossKind};

/// A way to pool, by its name in `1_Pooling/config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The first token that counts.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the count.
    MeanSqrtLen,
    /// The mean weighted by position, from 1.
    WeightedMean,
    /// The last token.
    LastToken,
}

impl Mode {
    /// Names in the order in which several are concatenated: the boolean field of releases up to 5, and the name in release 6.
    const NAMES: [(&str, &str, Self); 6] = [
        ("pooling_mode_cls_token", "cls", Self::Cls),
        ("pooling_mode_max_tokens", "max", Self::Max),
        ("pooling_mode_mean_tokens", "mean", Self::Mean),
        (
            "pooling_mode_mean_sqrt_len_tokens",
            "mean_sqrt_len_tokens",
            Self::MeanSqrtLen,
        ),
        (
            "pooling_mode_weightedmean_tokens",
            "weightedmean",
            Self::WeightedMean,
        ),
        ("pooling_mode_lasttoken", "lasttoken", Self::LastToken),
    ];

    fn parse(value: &Value) -> Option<Self> {
        let name = value.as_str()?;
        Self::NAMES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(_, _, mode)| *mode)
    }
}

/// The pooling module.
pub(crate) struct Pooling {
    modes: Vec<Mode>,
    /// What takes the place of the modes; with layers, the first mode pools each of them.
    pub(crate) trained: Option<Trained>,
    /// The sizes of what is trained, if it is a module of its own.
    pub(crate) cross: Option<Cross>,
    /// Whether the tokens of the prompt count.
    pub(crate) include_prompt: bool,
}

impl Default for Pooling {
    /// What sentence-transformers uses for a model without `modules.json`.
    fn default() -> Self {
        Self {
            modes: vec![Mode::Mean],
            trained: None,
            cross: None,
            include_prompt: true,
        }
    }
}

impl Pooling {
    /// Reads the pooling module in `folder`; `hidden` is the width of a token's vector. Besides sentence-transformers' modes it may be
    /// `latent_attention`, or `multi_layer` with a `layer_pooling` of mean or lasttoken.
    pub(crate) fn load(folder: &Path, hidden: usize, layers: usize) -> Result<Self> {
        let config = &Fields::read(&folder.join("config.json"))?;
        for field in ["embedding_dimension", "word_embedding_dimension"] {
            if let Some(found) = config.count(field)?.filter(|width| *width != hidden) {
                return Err(config.wrong(
                    field,
                    format!("expected {hidden} as the transformer has, found {found}"),
                ));
            }
        }
        let trained = match config.get("pooling_mode").and_then(Value::as_str) {
            Some("latent_attention") => Some(CrossKind::Latent),
            Some("multi_layer") => Some(CrossKind::Layers),
            _ => None,
        };
        let include_prompt = config.flag("include_prompt")?.unwrap_or(true);
        if let Some(kind) = trained {
            let cross = Cross::read(config, kind)?;
            let mode = match config.text("layer_pooling")?.unwrap_or("mean") {
                "mean" => Mode::Mean,
                "lasttoken" => Mode::LastToken,
                other => {
                    return Err(config.wrong(
                        "layer_pooling",
                        format!("expected mean or lasttoken, found {other}"),
                    ));
                }
            };
            return Ok(Self {
                modes: vec![mode],
                trained: Some(Trained::load(
                    &cross,
                    &Weights::open_folder(folder)?,
                    hidden,
                    layers,
                )?),
                cross: Some(cross),
                include_prompt,
            });
        }
        let modes = match config.get("pooling_mode") {
            Some(declared) => {
                let one = std::slice::from_ref(declared);
                let list = declared.as_array().map_or(one, Vec::as_slice);
                let modes: Option<Vec<Mode>> = list.iter().map(Mode::parse).collect();
                modes
                    .filter(|modes| (1..=6).contains(&modes.len()))
                    .ok_or_else(|| {
                        let known = Mode::NAMES.map(|(_, name, _)| name).join(", ");
                        config.wrong(
                            "pooling_mode",
                            format!("expected one or several of {known}, found {declared}"),
                        )
                    })?
            }
            None => {
                let mut modes = Vec::new();
                for (field, _, mode) in Mode::NAMES {
                    if config.flag(field)? == Some(true) {
                        modes.push(mode);
                    }
                }
                if modes.is_empty() { vec![Mode::Mean] } else { modes }
            }
        };
        Ok(Self {
            modes,
            trained: None,
            cross: None,
            include_prompt,
        })
    }

    /// Lets tokens look at an NV-Embed's latents before their mean is taken; `config` and `weights` are the transformer's.
    pub(crate) fn with_latents(
        mut self,
        latents: &Latents,
        config: &Fields,
        weights: &Weights,
        hidden: usize,
    ) -> Result<Self> {
        if self.modes != [Mode::Mean] || self.trained.is_some() {
            return Err(config.wrong(
                "model_type",
                "nvembed goes with mean pooling: expected pooling_mode_mean_tokens",
            ));
        }
        self.trained = Some(Trained::nv_embed(latents, weights, hidden)?);
        Ok(self)
    }

    /// The mode, if there is one alone and prompts count.
    pub(crate) fn single(&self) -> Option<Mode> {
        match self.modes[..] {
            [mode] if self.include_prompt => Some(mode),
            _ => None,
        }
    }

    /// The tokens that it reads when it leaves out `skip` at the start.
    pub(crate) fn keep(&self, skip: usize) -> Keep {
        match self.modes[..] {
            [Mode::Cls] if self.trained.is_none() && skip == 0 => Keep::First,
            [Mode::LastToken] if self.trained.is_none() && skip == 0 => Keep::Last,
            _ => Keep::All,
        }
    }

    /// The width of what comes out for tokens `hidden` wide.
    pub(crate) fn dims(&self, hidden: usize) -> usize {
        self.modes.len() * hidden
    }

    /// Pools one text: `tokens` is `[len, hidden]`, or those that [`Self::keep`] names; the first `skip` tokens don't count; `out` is `[dims(hidden)]`.
    /// If no token counts, sums and maxima are zeros; if there is none, as in an empty text to which no special tokens are added, all is.
    pub(crate) fn apply(&self, tokens: &[f32], hidden: usize, skip: usize, out: &mut [f32]) {
        let len = tokens.len() / hidden;
        let skip = skip.min(len);
        let counted = &tokens[skip * hidden..];
        let count = (len - skip) as f32;
        for (mode, out) in self.modes.iter().zip(out.chunks_exact_mut(hidden)) {
            match mode {
                Mode::Cls if skip < len => out.copy_from_slice(&counted[..hidden]),
                Mode::Cls if len > 0 => out.copy_from_slice(&tokens[..hidden]),
                Mode::LastToken if skip < len => out.copy_from_slice(&tokens[(len - 1) * hidden..]),
                _ if skip == len => out.fill(0.0),
                Mode::Max => {
                    out.fill(f32::NEG_INFINITY);
                    for row in counted.chunks_exact(hidden) {
                        out.iter_mut()
                            .zip(row)
                            .for_each(|(most, value)| *most = most.max(*value));
                    }
                }
                Mode::Mean => weighted(counted, hidden, out, |_| 1.0, 1.0 / count),
                Mode::MeanSqrtLen => weighted(counted, hidden, out, |_| 1.0, 1.0 / count.sqrt()),
                Mode::WeightedMean => {
                    // Positions count from the text's first token, whether or not it is skipped.
                    let total: f32 = (skip + 1..=len).map(|position| position as f32).sum();
                    weighted(counted, hidden, out, |row| (skip + row + 1) as f32, 1.0 / total);
                }
                Mode::Cls | Mode::LastToken => out.fill(0.0),
            }
        }
    }
}

/// `scale` times the sum of the rows, each times its weight.
fn weighted(rows: &[f32], hidden: usize, out: &mut [f32], weight: impl Fn(usize) -> f32, scale: f32) {
    out.fill(0.0);
    for (at, row) in rows.chunks_exact(hidden).enumerate() {
        let weight = weight(at);
        out.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * value);
    }
    out.iter_mut().for_each(|value| *value *= scale);
}
