//! Joining what words and meaning found.

use crate::{Fusion, Mode};

/// The weight of the dense score unless the request or the collection says otherwise. With the compiled-in model 0.3 was best on
/// SciFact's training queries (0.7056, lexical alone 0.6906) and 0.2 on NFCorpus's development queries (`examples/quality.rs`).
const ALPHA: f32 = 0.3;

/// A passage that is a candidate, with what is known of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Candidate {
    /// Its vector's row.
    pub row: u32,
    /// Score and rank from 1 in the dense list; rank 0 if it was not in the list but scored afterwards.
    pub dense: Option<Scored>,
    /// The same for BM25.
    pub lexical: Option<Scored>,
    /// The joined score.
    pub score: f32,
    /// What dense and lexical added to it.
    pub shares: [f32; 2],
}

/// A score and where in its list it was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scored {
    /// As the stage gave it.
    pub score: f32,
    /// From 1; 0 if it was not in the list.
    pub rank: u32,
}

/// Gives every candidate its joined score and sorts them, best first; equal ones by row.
///
/// `floor` is the dense score that is worth nothing: what unrelated texts have on average.
pub fn fuse(candidates: &mut [Candidate], mode: Mode, fusion: Fusion, floor: f32) {
    let best = |score: fn(&Candidate) -> Option<Scored>| {
        candidates
            .iter()
            .filter_map(score)
            .map(|scored| scored.score)
            .fold(f32::NEG_INFINITY, f32::max)
    };
    let best_dense = best(|candidate| candidate.dense);
    let best_lexical = best(|candidate| candidate.lexical);
    // Theoretical minimum of BM25: 0.
    let of = |scored: Option<Scored>, floor: f32, best: f32| {
        scored.map_or(0.0, |scored| {
            if best > floor {
                ((scored.score - floor) / (best - floor)).max(0.0)
            } else {
                0.0
            }
        })
    };
    for candidate in candidates.iter_mut() {
        candidate.shares = match (mode, fusion) {
            (Mode::Dense, _) => [candidate.dense.map_or(0.0, |dense| dense.score), 0.0],
            (Mode::Lexical, _) => [0.0, candidate.lexical.map_or(0.0, |lexical| lexical.score)],
            (Mode::Hybrid, Fusion::Rrf { k }) => [candidate.dense, candidate.lexical].map(|scored| {
                scored
                    .filter(|scored| scored.rank > 0)
                    .map_or(0.0, |scored| 1.0 / (k + scored.rank as f32))
            }),
            (Mode::Hybrid, fusion) => {
                let alpha = match fusion {
                    Fusion::Convex { alpha } => alpha,
                    _ => ALPHA,
                };
                [
                    alpha * of(candidate.dense, floor, best_dense),
                    (1.0 - alpha) * of(candidate.lexical, 0.0, best_lexical),
                ]
            }
        };
        candidate.score = candidate.shares[0] + candidate.shares[1];
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(row: u32, dense: Option<(f32, u32)>, lexical: Option<(f32, u32)>) -> Candidate {
        let scored = |pair: Option<(f32, u32)>| pair.map(|(score, rank)| Scored { score, rank });
        Candidate {
            row,
            dense: scored(dense),
            lexical: scored(lexical),
            ..Candidate::default()
        }
    }

    fn order(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|candidate| candidate.row).collect()
    }

    #[test]
    fn being_good_in_both_lists_beats_being_best_in_one() {
        let mut candidates = vec![
            candidate(1, Some((0.9, 1)), Some((0.0, 0))),
            candidate(2, Some((0.8, 2)), Some((9.0, 2))),
            candidate(3, Some((0.1, 0)), Some((10.0, 1))),
        ];
        fuse(&mut candidates, Mode::Hybrid, Fusion::Convex { alpha: 0.5 }, 0.0);
        assert_eq!(order(&candidates)[0], 2);
        fuse(&mut candidates, Mode::Hybrid, Fusion::Rrf { k: 60.0 }, 0.0);
        assert_eq!(order(&candidates)[0], 2);
    }

    #[test]
    fn alpha_one_is_dense_and_alpha_zero_is_lexical() {
        let mut candidates = vec![
            candidate(1, Some((0.9, 1)), Some((1.0, 2))),
            candidate(2, Some((0.5, 2)), Some((5.0, 1))),
        ];
        fuse(&mut candidates, Mode::Hybrid, Fusion::Convex { alpha: 1.0 }, 0.0);
        assert_eq!(order(&candidates), [1, 2]);
        fuse(&mut candidates, Mode::Hybrid, Fusion::Convex { alpha: 0.0 }, 0.0);
        assert_eq!(order(&candidates), [2, 1]);
    }

    #[test]
    fn equal_scores_keep_the_order_of_rows() {
        let mut candidates = vec![candidate(7, None, None), candidate(3, None, None)];
        fuse(&mut candidates, Mode::Hybrid, Fusion::Default, 0.0);
        assert_eq!(order(&candidates), [3, 7]);
    }
}
