//! Losses by their names: `ranking`, `matryoshka(ranking)`, `starbucks(ranking)`, `matryoshka2d(cosent)`, ...

use std::fmt;
use std::str::FromStr;

use kokeshi_train::losses::{
    AdaptiveLayer, Alignment, Cosent, Cosine, Ese, Loss, Matryoshka, Qwen3, Ranking, Starbucks, matryoshka_2d,
};

/// What compares texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Ranking,
    Qwen3,
    Cosent,
    Cosine,
}

const BASES: [(&str, Base); 4] = [
    ("ranking", Base::Ranking),
    ("qwen3", Base::Qwen3),
    ("cosent", Base::Cosent),
    ("cosine", Base::Cosine),
];

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossName {
    wrapper: Option<Wrapper>,
    base: Base,
}

impl FromStr for LossName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (wrapper, base) = match text.trim().split_once('(') {
            None => (None, text.trim()),
            Some((wrapper, rest)) => (Some(wrapper.trim()), rest.strip_suffix(')').unwrap_or("").trim()),
        };
        let wrapper = match wrapper {
            None => None,
            Some(name) => Some(find(&WRAPPERS, name).ok_or_else(|| {
                format!(
                    "expected one of {} around a loss, found {name:?}",
                    names(&WRAPPERS)
                )
            })?),
        };
        let base =
            find(&BASES, base).ok_or_else(|| format!("expected one of {}, found {base:?}", names(&BASES)))?;
        Ok(Self { wrapper, base })
    }
}

fn find<T: Copy>(known: &[(&str, T)], name: &str) -> Option<T> {
    known
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, found)| *found)
}

fn names<T>(known: &[(&str, T)]) -> String {
    known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = BASES
            .iter()
            .find(|(_, base)| *base == self.base)
            .map_or("", |(name, _)| name);
        match WRAPPERS
            .iter()
            .find(|(_, wrapper)| Some(*wrapper) == self.wrapper)
        {
            Some((wrapper, _)) => write!(f, "{wrapper}({base})"),
            None => f.write_str(base),
        }
    }
}

impl LossName {
    /// Whether rows need scores.
    pub(crate) fn wants_scores(&self) -> bool {
        matches!(self.base, Base::Cosent | Base::Cosine)
    }

    /// The loss, and the layers that it wants pooled, ascending, for sizes whose last is the full one.
    pub(crate) fn build(&self, sizes: &[(usize, usize)]) -> (Box<dyn Loss>, Vec<usize>) {
        match self.base {
            Base::Ranking => self.wrap(Ranking::default(), sizes),
            Base::Qwen3 => self.wrap(Qwen3::default(), sizes),
            Base::Cosent => self.wrap(Cosent::default(), sizes),
            Base::Cosine => self.wrap(Cosine, sizes),
        }
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
            for (base, _) in BASES {
                let name = format!("{wrapper}({base})");
                assert_eq!(name.parse::<LossName>().unwrap().to_string(), name);
            }
        }
        let error = "matryoshka(rank)".parse::<LossName>().unwrap_err();
        assert!(error.contains("cosent") && error.contains("rank"), "{error}");
        assert!("matryoshka(ranking".parse::<LossName>().is_err());
    }
}
