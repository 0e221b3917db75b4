//! Losses by their names: `ranking`, `matryoshka(ranking)`, `starbucks(gist(guide=DIR, margin=0.05))`, ...

mod options;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use kokeshi_train::losses::{
    AdaptiveLayer, Alignment, Contrastive, Cosent, Cosine, Embedding, Ese, Gist, Loss, Margin, Margins,
    Matryoshka, Qwen3, Ranking, Starbucks, matryoshka_2d,
};

use crate::objective::{Masked, Objective};
pub(crate) use options::Options;

/// What compares texts.
#[derive(Debug, Clone, PartialEq)]
enum Base {
    Ranking(Ranking),
    Qwen3(Qwen3),
    Gist(Gist, String),
    Cosent(Cosent),
    Cosine,
    Contrastive(Contrastive),
    EmbeddingMse(String),
    MarginMse(String),
    Masked(Masked),
}

const BASES: [&str; 10] = [
    "ranking",
    "qwen3",
    "gist",
    "cosent",
    "cosine",
    "contrastive",
    "embedding_mse",
    "margin_mse",
    "mlm",
    "smae",
];

impl Base {
    fn read(name: &str, given: &str) -> Result<Self, String> {
        let mut options = Options::read(name, given)?;
        let found = match name {
            "ranking" => Self::Ranking(Ranking {
                scale: options.number("scale", 1e-3, 1e4, 20.0)?,
                focal: options.number("focal", 0.0, 10.0, 0.0)?,
                in_batch: options.flag("in_batch", true)?,
                mix: options.number("mix", 0.0, 64.0, 0.0)? as usize,
                ..Ranking::default()
            }),
            "qwen3" => Self::Qwen3(Qwen3 {
                temperature: options.number("temperature", 1e-4, 1e3, 0.01)?,
                margin: options.number("margin", -2.0, 10.0, 0.1)?,
                mask_documents: options.flag("mask_documents", false)?,
            }),
            "gist" => {
                let margin = options.number("margin", -2.0, 2.0, 0.0)?;
                let relative = options.maybe("relative_margin", 0.0, 1.0)?;
                Self::Gist(
                    Gist {
                        temperature: options.number("temperature", 1e-4, 1e3, 0.01)?,
                        margin: relative.map_or(Margins::Absolute(margin), Margins::Relative),
                        anchors: options.flag("anchors", true)?,
                        positives: options.flag("positives", true)?,
                    },
                    options.needed("guide")?,
                )
            }
            "cosent" => Self::Cosent(Cosent {
                scale: options.number("scale", 1e-3, 1e4, 20.0)?,
            }),
            "cosine" => Self::Cosine,
            "contrastive" => Self::Contrastive(Contrastive {
                margin: options.number("margin", 0.0, 2.0, 0.5)?,
            }),
            "embedding_mse" => Self::EmbeddingMse(options.needed("teacher")?),
            "margin_mse" => Self::MarginMse(options.needed("teacher")?),
            "mlm" => Self::Masked(Masked::Tokens {
                share: options.number("share", 0.01, 0.9, 0.15)?,
            }),
            "smae" => {
                let encoder = options.number("encoder", 0.01, 0.9, 0.2)?;
                let decoder = options.number("decoder", encoder, 0.9, 0.4f32.max(encoder))?;
                Self::Masked(Masked::Autoencoder { encoder, decoder })
            }
            other => return Err(format!("expected one of {}, found {other:?}", BASES.join(", "))),
        };
        options.end()?;
        Ok(found)
    }
}

/// What compares them at several sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrapper {
    Matryoshka,
    AdaptiveLayer,
    Matryoshka2d,
    Ese,
    Starbucks,
    StarbucksValues,
    StarbucksPlain,
}

const WRAPPERS: [(&str, Wrapper); 7] = [
    ("matryoshka", Wrapper::Matryoshka),
    ("adaptive_layer", Wrapper::AdaptiveLayer),
    ("matryoshka2d", Wrapper::Matryoshka2d),
    ("2dmse", Wrapper::Ese),
    ("starbucks", Wrapper::Starbucks),
    ("starbucks_values", Wrapper::StarbucksValues),
    ("starbucks_plain", Wrapper::StarbucksPlain),
];

/// A loss as a recipe names it.
#[derive(Debug, Clone, PartialEq)]
pub struct LossName {
    /// As it was written.
    text: String,
    wrapper: Option<Wrapper>,
    base: Base,
}

impl FromStr for LossName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, inner) = open(text)?;
        let wrapper = WRAPPERS.iter().find(|(known, _)| *known == name);
        let base = match wrapper {
            Some(_) => {
                let (name, inner) = open(inner)?;
                Base::read(name, inner)?
            }
            None if BASES.contains(&name) => Base::read(name, inner)?,
            None => {
                let around = WRAPPERS.map(|(name, _)| name).join(", ");
                let bases = BASES.join(", ");
                return Err(format!(
                    "expected one of {bases}, or one of {around} around it, found {name:?}"
                ));
            }
        };
        if let (Some((around, _)), Base::Masked(_)) = (wrapper, &base) {
            return Err(format!(
                "expected mlm or smae alone, which learn from tokens, found {around} around it"
            ));
        }
        Ok(Self {
            text: text.into(),
            wrapper: wrapper.map(|(_, wrapper)| *wrapper),
            base,
        })
    }
}

/// `name(inner)` or `name`.
pub(crate) fn open(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('(') {
        None => Ok((text, "")),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(inner) => Ok((name.trim(), inner.trim())),
            None => Err(format!("expected a closing bracket at the end of {text:?}")),
        },
    }
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl LossName {
    /// Whether rows need scores.
    pub(crate) fn wants_scores(&self) -> bool {
        matches!(self.base, Base::Cosent(_) | Base::Cosine | Base::Contrastive(_))
    }

    /// Whether rows are single texts, whose tokens are masked.
    pub(crate) fn is_masked(&self) -> bool {
        matches!(self.base, Base::Masked(_))
    }

    /// How many columns it needs at least.
    pub(crate) fn columns(&self) -> usize {
        match self.base {
            Base::Masked(_) => 1,
            Base::MarginMse(_) => 3,
            _ => 2,
        }
    }

    /// The model whose vectors it wants beside the student's.
    pub(crate) fn guide(&self) -> Option<&str> {
        match &self.base {
            Base::Gist(_, guide) | Base::EmbeddingMse(guide) | Base::MarginMse(guide) => Some(guide),
            _ => None,
        }
    }

    /// Whether the guide's vectors have to be at least as wide as the student's.
    pub(crate) fn wants_width(&self) -> bool {
        matches!(self.base, Base::EmbeddingMse(_))
    }

    /// Whether rows are labelled by the margins between the guide's scores.
    pub(crate) fn wants_margins(&self) -> bool {
        matches!(self.base, Base::MarginMse(_))
    }

    /// A guide that is a folder inside `folder` is meant so.
    pub(crate) fn resolve(mut self, folder: &Path) -> Self {
        if let Base::Gist(_, guide) | Base::EmbeddingMse(guide) | Base::MarginMse(guide) = &mut self.base {
            let local = folder.join(&*guide);
            if local.is_dir() {
                *guide = local.to_string_lossy().into_owned();
            }
        }
        self
    }

    /// What is learnt at sizes whose last is the full one: a loss and the layers that it wants pooled, ascending, or masked tokens.
    pub(crate) fn build(&self, sizes: &[(usize, usize)]) -> Objective {
        let (loss, exits) = match &self.base {
            Base::Ranking(loss) => self.wrap(*loss, sizes),
            Base::Qwen3(loss) => self.wrap(*loss, sizes),
            Base::Gist(loss, _) => self.wrap(*loss, sizes),
            Base::Cosent(loss) => self.wrap(*loss, sizes),
            Base::Cosine => self.wrap(Cosine, sizes),
            Base::Contrastive(loss) => self.wrap(*loss, sizes),
            Base::EmbeddingMse(_) => self.wrap(Embedding, sizes),
            Base::MarginMse(_) => self.wrap(Margin, sizes),
            Base::Masked(masked) => return masked.objective(sizes),
        };
        Objective::Vectors(loss, exits)
    }

    fn wrap<L: Loss + 'static>(&self, loss: L, sizes: &[(usize, usize)]) -> (Box<dyn Loss>, Vec<usize>) {
        let (layers, _) = sizes.last().copied().unwrap_or((1, 1));
        let mut widths: Vec<usize> = sizes.iter().map(|(_, dims)| *dims).collect();
        widths.sort_unstable_by(|a, b| b.cmp(a));
        widths.dedup();
        let dims: Vec<(usize, f32)> = widths.iter().map(|dims| (*dims, 1.0)).collect();
        let (every, with_embeddings): (Vec<usize>, Vec<usize>) =
            ((1..=layers).collect(), (0..=layers).collect());
        let mut listed: Vec<usize> = sizes.iter().map(|(layer, _)| *layer).collect();
        listed.dedup();
        let starbucks = |loss, alignment, weight| Starbucks {
            loss,
            sizes: sizes.to_vec(),
            alignment,
            weight,
        };
        match self.wrapper {
            None => (Box::new(loss), vec![layers]),
            Some(Wrapper::Matryoshka) => {
                let per_step = None;
                (Box::new(Matryoshka { loss, dims, per_step }), vec![layers])
            }
            Some(Wrapper::AdaptiveLayer) => (Box::new(AdaptiveLayer::new(loss)), with_embeddings),
            Some(Wrapper::Matryoshka2d) => (Box::new(matryoshka_2d(loss, dims)), with_embeddings),
            Some(Wrapper::Ese) => {
                let dims = widths.into_iter().skip(1).collect();
                let temperature = 1.0;
                (
                    Box::new(Ese {
                        loss,
                        dims,
                        temperature,
                    }),
                    every,
                )
            }
            // Scores as the paper's retrieval form has them, on cosines with the usual scale of 20.
            Some(Wrapper::Starbucks) => {
                let alignment = Alignment::Scores {
                    temperature: 0.05,
                    cosine: true,
                };
                (Box::new(starbucks(loss, alignment, 1.0)), listed)
            }
            Some(Wrapper::StarbucksValues) => (Box::new(starbucks(loss, Alignment::Values, 0.3)), listed),
            Some(Wrapper::StarbucksPlain) => (Box::new(starbucks(loss, Alignment::Off, 0.0)), listed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_written() {
        for (wrapper, _) in WRAPPERS {
            for base in BASES.into_iter().filter(|base| !["mlm", "smae"].contains(base)) {
                let inner = match base {
                    "gist" => "gist(guide=a/b, margin=0.05)",
                    "embedding_mse" => "embedding_mse(teacher=a)",
                    "margin_mse" => "margin_mse(teacher=a)",
                    base => base,
                };
                let name = format!("{wrapper}({inner})");
                assert_eq!(name.parse::<LossName>().unwrap().to_string(), name);
            }
        }
        for name in ["mlm", "mlm(share=0.3)", "smae(encoder=0.3, decoder=0.5)"] {
            assert_eq!(name.parse::<LossName>().unwrap().to_string(), name);
        }
        let focal: LossName = "ranking(focal=0.5, mix=4, in_batch=false)".parse().unwrap();
        let Base::Ranking(loss) = focal.base else {
            panic!("{focal:?}")
        };
        assert_eq!((loss.focal, loss.mix, loss.in_batch), (0.5, 4, false));
    }

    #[test]
    fn what_can_not_be_is_said() {
        for (text, expected) in [
            ("matryoshka(rank)", "cosent"),
            ("starbuck(ranking)", "starbucks_plain"),
            ("matryoshka(ranking", "closing bracket"),
            ("ranking(focus=1)", "scale, focal, in_batch, mix"),
            ("ranking(focal=much)", "found \"much\""),
            ("ranking(focal=1, focal=2)", "twice"),
            ("cosine(scale=2)", "no options"),
            ("gist", "gist(guide=DIR)"),
            ("gist(guide=)", "gist(guide=DIR)"),
            ("qwen3(mask_documents=yes)", "true or false"),
            ("matryoshka(mlm)", "found matryoshka around it"),
            (
                "smae(encoder=0.5, decoder=0.4)",
                "decoder: expected a number from 0.5",
            ),
        ] {
            let error = text.parse::<LossName>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
