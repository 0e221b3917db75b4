//! Hard negatives: texts that are near the anchor and no positives of it.
//!
//! What is too near is likely a positive that nobody marked. The bound follows the positive's own similarity, not one number for all anchors:
//! less than it by a margin (0 as GISTEmbed, arXiv 2402.16829; -0.1 as Qwen3 Embedding, arXiv 2506.05176), or less than a share of it (95 %
//! in NV-Retriever, arXiv 2407.15831). Ranks 50 to 100 and pairs whose positive is among the 50 nearest are KaLM's (arXiv 2506.20923).

use std::collections::{HashMap, HashSet};

use kokeshi_core::{Embeddings, Scored, Seed};

use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Which texts become negatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mining {
    /// Negatives for each pair.
    pub negatives: usize,
    /// Ranks from 1, both included, among texts that are neither the anchor's positives nor the anchor.
    pub ranks: (usize, usize),
    /// A negative's cosine with the anchor is at most the positive's less this.
    pub margin: Option<f32>,
    /// The same as a share: at most `(1 - share)` times the positive's.
    pub relative_margin: Option<f32>,
    /// At most this.
    pub most: Option<f32>,
    /// At least this.
    pub least: Option<f32>,
    /// Pairs whose positive is not among so many of the nearest texts are left out.
    pub consistent: Option<usize>,
    /// Take any of the candidates instead of the nearest ones.
    pub random: bool,
}

impl Default for Mining {
    fn default() -> Self {
        Self {
            negatives: 1,
            ranks: (1, 100),
            margin: None,
            relative_margin: None,
            most: None,
            least: None,
            consistent: None,
            random: false,
        }
    }
}

/// A pair with its negatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which pair it is.
    pub pair: usize,
    /// The positive's cosine with the anchor.
    pub positive: f32,
    /// Texts and their cosines with the anchor, nearest first.
    pub negatives: Vec<(u32, f32)>,
}

/// What mining found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mined {
    /// Pairs with as many negatives as were asked for, in the pairs' order.
    pub rows: Vec<Found>,
    /// Pairs whose positive was not near enough.
    pub inconsistent: usize,
    /// Pairs with fewer negatives.
    pub too_few: usize,
}

impl Mining {
    /// Says what can't be.
    ///
    /// # Errors
    /// [`Error::Settings`] with what was expected and found.
    pub fn check(&self) -> Result<()> {
        let wrong =
            |what: &str, found: String| Err(Error::Settings(format!("expected {what}, found {found}")));
        let (from, to) = self.ranks;
        if self.negatives == 0 {
            return wrong("at least one negative", "0".into());
        }
        if from == 0 || to < from || to - from + 1 < self.negatives {
            return wrong(
                &format!("ranks from 1 with room for {} negatives", self.negatives),
                format!("{from}-{to}"),
            );
        }
        if let Some(share) = self.relative_margin.filter(|share| !(0.0..1.0).contains(share)) {
            return wrong("a relative margin from 0 to less than 1", share.to_string());
        }
        if self.consistent == Some(0) {
            return wrong("at least 1 as the rank that a positive may have", "0".into());
        }
        for (name, value) in [
            ("margin", self.margin),
            ("most", self.most),
            ("least", self.least),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return wrong(&format!("a number as {name}"), value.to_string());
            }
        }
        Ok(())
    }

    /// The most similar that a negative may be for a positive of that similarity.
    fn bound(&self, positive: f32) -> f32 {
        let bounds = [
            self.margin.map(|margin| positive - margin),
            self.relative_margin.map(|share| positive * (1.0 - share)),
            self.most,
        ];
        bounds.into_iter().flatten().fold(f32::INFINITY, f32::min)
    }

    /// Negatives of a pair whose positive has the cosine `own`, among what is near its anchor.
    fn choose(&self, pair: usize, own: f32, near: &[Scored], mut seed: Seed) -> Result<Found, Left> {
        if let Some(most) = self.consistent
            && near.iter().filter(|hit| hit.score > own).count() >= most
        {
            return Err(Left::Inconsistent);
        }
        let (from, to) = self.ranks;
        let bound = self.bound(own);
        let mut fitting: Vec<(u32, f32)> = near
            .iter()
            .take(to)
            .skip(from - 1)
            .filter(|hit| hit.score <= bound && self.least.is_none_or(|least| hit.score >= least))
            .map(|hit| (hit.id, hit.score))
            .collect();
        if fitting.len() < self.negatives {
            return Err(Left::TooFew);
        }
        if self.random {
            seed.fork(pair as u64).shuffle(&mut fitting);
        }
        fitting.truncate(self.negatives);
        fitting.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Found {
            pair,
            positive: own,
            negatives: fitting,
        })
    }
}

/// Finds negatives for `pairs` of (anchor, positive): the anchor is a row of `anchors`, the positive one of `texts`. `same[anchor]`: the row of
/// `texts` that is the anchor itself, if one is. All rows have unit length. Every text is compared with every anchor.
///
/// # Errors
/// [`Error::Settings`] for options that can't be; vectors of different widths.
pub fn mine(
    anchors: &Embeddings,
    texts: &Embeddings,
    pairs: &[(u32, u32)],
    same: &HashMap<u32, u32>,
    options: &Mining,
    seed: Seed,
) -> Result<Mined> {
    options.check()?;
    if anchors.dims() != texts.dims() {
        return Err(Error::Core(kokeshi_core::Error::Dims {
            what: "texts".into(),
            expected: anchors.dims(),
            found: texts.dims(),
        }));
    }
    // Of each anchor: its pairs, and the texts that are no negatives of it.
    let mut own = vec![(Vec::new(), HashSet::new()); anchors.rows()];
    for (number, (anchor, positive)) in pairs.iter().enumerate() {
        let (pairs, known) = &mut own[*anchor as usize];
        pairs.push(number);
        known.insert(*positive);
    }
    for (anchor, text) in same {
        own[*anchor as usize].1.insert(*text);
    }
    let deepest = options.ranks.1.max(options.consistent.unwrap_or(0));
    let count = |anchor: usize| deepest + own[anchor].1.len();
    let found = nearest(anchors, texts, count, |anchor, mut near| {
        let (numbers, known) = &own[anchor];
        near.retain(|hit| !known.contains(&hit.id));
        let pair = |number: &usize| {
            let positive = texts.row(pairs[*number].1 as usize);
            let own = kokeshi_core::distance::dot(anchors.row(anchor), positive);
            (*number, options.choose(*number, own, &near, seed))
        };
        numbers.iter().map(pair).collect::<Vec<_>>()
    });
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(number, _)| *number);
    let mut mined = Mined::default();
    for (_, found) in found {
        match found {
            Ok(found) => mined.rows.push(found),
            Err(Left::Inconsistent) => mined.inconsistent += 1,
            Err(Left::TooFew) => mined.too_few += 1,
        }
    }
    Ok(mined)
}

/// Why a pair is left out.
enum Left {
    Inconsistent,
    TooFew,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts on the unit circle at these degrees.
    fn at(degrees: &[f32]) -> Embeddings {
        let values = degrees.iter().flat_map(|angle| {
            let angle = angle.to_radians();
            [angle.cos(), angle.sin()]
        });
        Embeddings::from_vec(values.collect(), 2).unwrap()
    }

    /// One anchor at 0 degrees; texts at 5 (closer than the positive), 20 (the positive), 22, 40, 60, 80 degrees.
    fn found(options: &Mining) -> Mined {
        let texts = at(&[5.0, 20.0, 22.0, 40.0, 60.0, 80.0]);
        mine(&at(&[0.0]), &texts, &[(0, 1)], &HashMap::new(), options, Seed(1)).unwrap()
    }

    fn ids(mined: &Mined) -> Vec<u32> {
        mined.rows[0].negatives.iter().map(|(id, _)| *id).collect()
    }

    #[test]
    fn each_rule_takes_what_it_says() {
        let usual = Mining {
            negatives: 2,
            ranks: (1, 5),
            ..Mining::default()
        };
        assert_eq!(ids(&found(&usual)), [0, 2], "the nearest that are no positives");
        let guided = Mining {
            margin: Some(0.0),
            ..usual
        };
        assert_eq!(ids(&found(&guided)), [2, 3], "none above the positive");
        // cos 20 = 0.940; less 0.05: cos 22 = 0.927 is too near; times 0.95 is 0.893 as well.
        for strict in [
            Mining {
                margin: Some(0.05),
                ..usual
            },
            Mining {
                relative_margin: Some(0.05),
                ..usual
            },
        ] {
            assert_eq!(ids(&found(&strict)), [3, 4]);
        }
        // Qwen3's -0.1 lets through what is a little above.
        let wide = Mining {
            margin: Some(-0.1),
            ..usual
        };
        assert_eq!(ids(&found(&wide)), [0, 2]);
        let far = Mining {
            ranks: (3, 5),
            most: Some(0.6),
            least: Some(0.1),
            ..usual
        };
        assert_eq!(ids(&found(&far)), [4, 5]);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let inconsistent = Mining {
            consistent: Some(1),
            ..Mining::default()
        };
        assert_eq!(found(&inconsistent).inconsistent, 1);
        let near = Mining {
            consistent: Some(2),
            ..Mining::default()
        };
        assert_eq!(found(&near).rows.len(), 1);
        let few = Mining {
            negatives: 3,
            margin: Some(0.3),
            ..Mining::default()
        };
        let mined = found(&few);
        assert_eq!((mined.too_few, mined.rows.len()), (1, 0));
    }

    #[test]
    fn an_anchor_is_no_negative_of_itself_and_all_its_positives_are_spared() {
        let texts = at(&[0.0, 20.0, 22.0, 40.0]);
        let same = HashMap::from([(0, 0)]);
        let options = Mining::default();
        let mined = mine(&at(&[0.0]), &texts, &[(0, 1), (0, 2)], &same, &options, Seed(1)).unwrap();
        assert!(mined.rows.iter().all(|row| row.negatives[0].0 == 3), "{mined:?}");
    }

    #[test]
    fn random_choices_come_from_the_seed() {
        let options = Mining {
            random: true,
            negatives: 2,
            ..Mining::default()
        };
        assert_eq!(found(&options), found(&options));
    }

    #[test]
    fn what_can_not_be_is_said() {
        for (options, expected) in [
            (
                Mining {
                    ranks: (5, 6),
                    negatives: 3,
                    ..Mining::default()
                },
                "room for 3",
            ),
            (
                Mining {
                    relative_margin: Some(1.5),
                    ..Mining::default()
                },
                "1.5",
            ),
            (
                Mining {
                    margin: Some(f32::NAN),
                    ..Mining::default()
                },
                "margin",
            ),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
