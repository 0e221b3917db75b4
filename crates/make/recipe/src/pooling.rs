//! Poolings by their names: `mean`, `latent_attention(latents=32)`, `multi_layer(latents=16, layer_pooling=mean)`, ...

use std::str::FromStr;

use kokeshi_core::Seed;
use kokeshi_encode::{Cross, CrossKind, TrainPooling, Trainable};

use crate::loss::{Options, open};

const PLAIN: [TrainPooling; 3] = [TrainPooling::Mean, TrainPooling::First, TrainPooling::Last];
/// What random values of a pooling are drawn from: a part of the recipe's seed.
const PART: u64 = 0x9001;

/// A pooling as a recipe names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolingName {
    /// Of the last layer, or of each layer before a block of cross-attention reads them.
    plain: TrainPooling,
    cross: Option<Unsized>,
}

/// A block of cross-attention whose heads are as wide as the model makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unsized {
    kind: CrossKind,
    latents: usize,
    heads: usize,
}

fn plain(name: &str) -> Option<TrainPooling> {
    PLAIN.into_iter().find(|known| known.name() == name)
}

impl FromStr for PoolingName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, inner) = open(text.trim())?;
        let mut options = Options::read(name, inner)?;
        let kinds = [CrossKind::Latent, CrossKind::Layers];
        let kind = kinds.into_iter().find(|kind| kind.name() == name);
        let found = match (plain(name), kind) {
            (Some(plain), _) => Self { plain, cross: None },
            (None, Some(kind)) => Self {
                cross: Some(Unsized {
                    kind,
                    latents: options.number("latents", 1.0, 65_536.0, 32.0)? as usize,
                    heads: options.number("heads", 1.0, 4096.0, 4.0)? as usize,
                }),
                plain: match kind {
                    CrossKind::Latent => TrainPooling::Mean,
                    CrossKind::Layers => match options.text("layer_pooling") {
                        None => TrainPooling::Mean,
                        Some(text) => plain(text)
                            .filter(|found| *found != TrainPooling::First)
                            .ok_or_else(|| {
                                format!("{name}: layer_pooling: expected mean or lasttoken, found {text:?}")
                            })?,
                    },
                },
            },
            (None, None) => {
                let names = PLAIN.map(TrainPooling::name).join(", ");
                let kinds = kinds.map(CrossKind::name).join(", ");
                return Err(format!("expected one of {names}, {kinds}, found {name:?}"));
            }
        };
        options.end()?;
        Ok(found)
    }
}

impl PoolingName {
    /// Lets a base pool so, from the recipe's `seed`.
    ///
    /// # Errors
    /// Heads that don't fit the base's width.
    pub(crate) fn apply(self, base: &mut Trainable, seed: u64) -> Result<(), String> {
        let hidden = base.shape.hidden;
        let cross = match self.cross {
            None => None,
            Some(Unsized { heads, .. }) if !hidden.is_multiple_of(heads) => {
                return Err(format!(
                    "expected heads that divide the base's {hidden} dims, found {heads}"
                ));
            }
            Some(found) => Some(Cross {
                kind: found.kind,
                latents: found.latents,
                heads: found.heads,
                head_dims: hidden / found.heads,
            }),
        };
        base.repool(self.plain, cross, Seed(seed).fork(PART));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_can_not_be_is_said() {
        for name in [
            "mean",
            "cls",
            "lasttoken",
            "latent_attention",
            "latent_attention(latents=8, heads=2)",
            "multi_layer(latents=3, layer_pooling=lasttoken)",
        ] {
            assert!(name.parse::<PoolingName>().is_ok(), "{name}");
        }
        for (name, expected) in [
            ("max", "latent_attention, multi_layer"),
            ("mean(latents=2)", "no options"),
            ("latent_attention(latents=0)", "from 1"),
            ("latent_attention(layer_pooling=mean)", "latents, heads"),
            ("multi_layer(layer_pooling=cls)", "mean or lasttoken"),
            ("multi_layer(latents=3", "closing bracket"),
        ] {
            let error = name.parse::<PoolingName>().unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
