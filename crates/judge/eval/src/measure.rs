//! Ranking measures with the definitions of trec_eval 9 (`m_ndcg_cut.c`, `m_map.c`, ...).

use std::{collections::HashMap, fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// A measure of one ranking against the judgements of its query. `Some(k)` looks at the first k documents only, `None` at all.
/// Unjudged documents and those with a grade of 0 or less are not relevant; all values are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Discounted cumulative gain over that of the best possible ranking; gain is the grade, discount log2(rank + 1)
    /// (Järvelin and Kekäläinen, 2002; trec_eval `ndcg_cut`).
    Ndcg(Option<usize>),
    /// Average precision: precision at each relevant document, summed and divided by the number of relevant ones (`map`, `map_cut`).
    Ap(Option<usize>),
    /// The share of the relevant documents that were found (`recall`).
    Recall(Option<usize>),
    /// One over the rank of the first relevant document (`recip_rank`); with k, 0 if it is further down.
    Rr(Option<usize>),
    /// The share of the first k that are relevant (`P`), where missing ones count as not relevant; `None` divides by the length.
    P(Option<usize>),
    /// 1 if one of the first k is relevant (`success`).
    Success(Option<usize>),
    /// Precision at R, the number of relevant documents (`Rprec`).
    Rprec,
}

impl Measure {
    /// What this crate reports unless told otherwise.
    pub const USUAL: [Self; 5] = [
        Self::Ndcg(Some(10)),
        Self::Ap(None),
        Self::Recall(Some(100)),
        Self::Rr(Some(10)),
        Self::P(Some(10)),
    ];

    /// The value for a ranking, best first, given the grade of each judged document.
    pub fn of(self, ranked: &[&str], judged: &HashMap<String, i32>) -> f64 {
        let grades: Vec<i32> = ranked
            .iter()
            .map(|document| judged.get(*document).copied().unwrap_or(0))
            .collect();
        self.of_grades(&grades, judged)
    }

    pub(crate) fn of_grades(self, grades: &[i32], judged: &HashMap<String, i32>) -> f64 {
        let relevant = judged.values().filter(|grade| **grade > 0).count();
        if relevant == 0 {
            return 0.0;
        }
        let first = |k: Option<usize>| &grades[..k.unwrap_or(grades.len()).min(grades.len())];
        let hits = |k: Option<usize>| first(k).iter().filter(|grade| **grade > 0).count();
        match self {
            Self::Ndcg(k) => {
                let mut ideal: Vec<i32> = judged.values().copied().filter(|grade| *grade > 0).collect();
                ideal.sort_unstable_by(|a, b| b.cmp(a));
                // trec_eval's plain `ndcg` compares with the whole ideal ranking, `ndcg_cut` with its first k.
                ideal.truncate(k.unwrap_or(usize::MAX));
                gain(first(k)) / gain(&ideal)
            }
            Self::Ap(k) => {
                let mut found = 0.0;
                let mut sum = 0.0;
                for (grade, rank) in first(k).iter().zip(1u32..) {
                    if *grade > 0 {
                        found += 1.0;
                        sum += found / f64::from(rank);
                    }
                }
                sum / relevant as f64
            }
            Self::Recall(k) => hits(k) as f64 / relevant as f64,
            Self::Rr(k) => first(k)
                .iter()
                .position(|grade| *grade > 0)
                .map_or(0.0, |at| 1.0 / (at + 1) as f64),
            Self::P(k) => hits(k) as f64 / k.unwrap_or(grades.len()).max(1) as f64,
            Self::Success(k) => f64::from(u8::from(hits(k) > 0)),
            Self::Rprec => hits(Some(relevant)) as f64 / relevant as f64,
        }
    }
}

fn gain(grades: &[i32]) -> f64 {
    grades
        .iter()
        .zip(1u32..)
        .map(|(grade, rank)| f64::from((*grade).max(0)) / f64::from(rank + 1).log2())
        .sum()
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, k) = match self {
            Self::Ndcg(k) => ("nDCG", k),
            Self::Ap(k) => ("MAP", k),
            Self::Recall(k) => ("recall", k),
            Self::Rr(k) => ("MRR", k),
            Self::P(k) => ("P", k),
            Self::Success(k) => ("success", k),
            Self::Rprec => ("Rprec", &None),
        };
        match k {
            Some(k) => write!(f, "{name}@{k}"),
            None => f.write_str(name),
        }
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Measure {
    type Err = Error;

    /// `nDCG@10`, `map`, `recall@100`, `MRR@10`, `P@5`, `success@1`, `Rprec`, and trec_eval's own `ndcg_cut_10`, `recip_rank`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::Measure(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (name, cut) = match lower.split_once('@') {
            Some((name, cut)) => (name, Some(cut)),
            None => match lower.rsplit_once('_') {
                Some((name, cut)) if cut.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(cut)),
                _ => (lower.as_str(), None),
            },
        };
        let k = match cut.map(str::parse::<usize>) {
            Some(Ok(0) | Err(_)) => return Err(unknown()),
            Some(Ok(k)) => Some(k),
            None => None,
        };
        Ok(match name {
            "ndcg" | "ndcg_cut" => Self::Ndcg(k),
            "map" | "ap" | "map_cut" => Self::Ap(k),
            "recall" | "r" => Self::Recall(k),
            "mrr" | "rr" | "recip_rank" => Self::Rr(k),
            "p" | "precision" => Self::P(k),
            "success" | "hit" => Self::Success(k),
            "rprec" if k.is_none() => Self::Rprec,
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in [
            "nDCG@10",
            "nDCG",
            "MAP",
            "MAP@5",
            "recall@100",
            "MRR",
            "MRR@10",
            "P@5",
            "success@1",
            "Rprec",
        ] {
            assert_eq!(name.parse::<Measure>().unwrap().to_string(), name);
        }
        assert_eq!("ndcg_cut_10".parse::<Measure>().unwrap(), Measure::Ndcg(Some(10)));
        assert_eq!("recip_rank".parse::<Measure>().unwrap(), Measure::Rr(None));
        for name in ["", "nDCG@0", "nDCG@x", "nDCG@-1", "Rprec@3", "f1"] {
            assert!(name.parse::<Measure>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_worked_example() {
        let judged = HashMap::from([
            ("a".into(), 2),
            ("b".into(), 1),
            ("c".into(), 0),
            ("z".into(), -1),
        ]);
        let ranked = ["c", "b", "x", "a"];
        let of = |measure: Measure| measure.of(&ranked, &judged);
        let log = |rank: f64| (rank + 1.0).log2();
        assert!(
            (of(Measure::Ndcg(Some(10))) - (1.0 / log(2.0) + 2.0 / log(4.0)) / (2.0 + 1.0 / log(2.0))).abs()
                < 1e-12
        );
        assert_eq!(of(Measure::Ap(None)), (0.5 + 0.5) / 2.0);
        assert_eq!(of(Measure::Recall(Some(3))), 0.5);
        assert_eq!((of(Measure::Rr(None)), of(Measure::Rr(Some(1)))), (0.5, 0.0));
        assert_eq!((of(Measure::P(Some(8))), of(Measure::P(None))), (0.25, 0.5));
        assert_eq!(
            (of(Measure::Success(Some(1))), of(Measure::Success(Some(2)))),
            (0.0, 1.0)
        );
        assert_eq!(of(Measure::Rprec), 0.5);
    }
}
