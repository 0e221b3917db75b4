//! How many candidates by codes a search needs for a recall: measured on rows that the codec did not learn from.
//!
//! What codes lose depends on the vectors, and nothing but a measurement tells. Some rows are kept aside when a codec learns, and ask for
//! their ten nearest others: a neighbour is found if the codes put it among the candidates, whose vectors then order them. Questions of
//! another kind than the rows (titles for abstracts, say) may have a lower recall.

use kokeshi_codec::{Chain, Codec, score_all};
use kokeshi_core::{Metric, TopK};
use kokeshi_index::Vectors;
use rayon::prelude::*;

use crate::Result;

/// Neighbours of a row that are looked for.
pub const K: usize = 10;
/// Numbers of candidates that are tried.
const LISTS: [usize; 12] = [10, 20, 40, 70, 100, 150, 250, 400, 700, 1000, 2000, 4000];
/// What is asked of the sample unless a search says otherwise: 0.95 is promised, the rest is for the sample's error and for questions
/// unlike the rows.
const RECALL: f32 = 0.99;
/// The most rows that ask, and the fewest that say anything.
const MOST: usize = 128;
pub const LEAST: usize = 32;
/// The most comparisons of vectors: they should take less time than learning.
const COMPARISONS: usize = 1 << 23;
/// Rows that ask at once, and rows that are compared with them while they are in the processor's cache.
const GROUP: usize = 8;
const BLOCK: usize = 512;

/// What was found out about a codec's codes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// The rows there were.
    pub rows: u64,
    /// The recall@[`K`] that each of the numbers of candidates gave.
    recalls: Vec<f32>,
}

impl Measured {
    /// The fewest candidates, of the numbers that were tried, that have a recall of `recall`; `None` if not even the most have.
    pub fn candidates(&self, recall: f32) -> Option<usize> {
        let mut tried = LISTS.iter().zip(&self.recalls);
        tried.find(|(_, found)| **found >= recall).map(|(&list, _)| list)
    }

    /// The candidates of a search that does not say what it wants: those for 0.99, or the most that were tried.
    pub fn usual(&self) -> usize {
        self.candidates(RECALL).unwrap_or(LISTS[LISTS.len() - 1])
    }

    /// The recall@[`K`] that `candidates` had.
    pub fn recall(&self, candidates: usize) -> f32 {
        let tried = LISTS.iter().zip(&self.recalls);
        tried
            .take_while(|(list, _)| **list <= candidates)
            .last()
            .map_or(0.0, |(_, &recall)| recall)
    }
}

/// How many of `rows` should ask: none where they would be too few.
pub fn questions(rows: usize) -> usize {
    let count = (COMPARISONS / rows.max(1)).clamp(LEAST, MOST).min(rows / 16);
    if count < LEAST { 0 } else { count }
}

/// Measures `codes` of `chain` (`[rows, code_bytes]`, of the first rows of `vectors`) by the rows `asking`, which it should not have learnt from.
///
/// # Errors
/// A row that is not finite.
pub fn measure(
    chain: &Chain,
    codes: &[u8],
    vectors: &Vectors,
    metric: Metric,
    asking: &[u32],
) -> Result<Measured> {
    let rows = codes.len() / chain.code_bytes();
    let ranks: Vec<Vec<usize>> = asking
        .par_chunks(GROUP)
        .map(|asking| {
            let queries = asking.iter().map(|&own| chain.query(vectors.row(own)));
            let queries = queries.collect::<kokeshi_core::Result<Vec<_>>>()?;
            let mut found: Vec<Vec<Rank>> = nearest(vectors, rows, metric, asking)
                .into_iter()
                .zip(asking.iter().zip(&queries))
                .map(|(neighbours, (&own, query))| {
                    let ids: Vec<u32> = neighbours.into_iter().chain([own]).collect();
                    let mut scores = vec![0.0; ids.len()];
                    query.score_ids(codes, &ids, &mut scores);
                    let own = scores.pop().unwrap_or(f32::NEG_INFINITY);
                    scores.into_iter().map(|score| Rank::beside(own, score)).collect()
                })
                .collect();
            score_all(&queries, codes, chain.code_bytes(), |asked, _, scores| {
                found[asked].iter_mut().for_each(|rank| rank.count(scores));
            });
            Ok(found.iter().flatten().map(Rank::place).collect())
        })
        .collect::<Result<_>>()?;
    let count = ranks.iter().map(Vec::len).sum::<usize>().max(1);
    let recall =
        |list: usize| ranks.iter().flatten().filter(|&&rank| rank < list).count() as f32 / count as f32;
    Ok(Measured {
        rows: rows as u64,
        recalls: LISTS.map(recall).to_vec(),
    })
}

/// How many rows score better than one, and how many the same.
struct Rank {
    score: f32,
    better: isize,
    alike: isize,
}

impl Rank {
    /// Of a row of this score, when all rows will be counted: itself and the one that asks, of score `own`, are taken off.
    fn beside(own: f32, score: f32) -> Self {
        Self {
            score,
            better: -isize::from(own > score),
            alike: -1 - isize::from(own == score),
        }
    }

    fn count(&mut self, scores: &[f32]) {
        self.better += scores.iter().filter(|&&score| score > self.score).count() as isize;
        self.alike += scores.iter().filter(|&&score| score == self.score).count() as isize;
    }

    /// The better ones, and half of those that score the same.
    fn place(&self) -> usize {
        (self.better + self.alike / 2).max(0) as usize
    }
}

/// The [`K`] rows, of the first `rows`, nearest to each of those that ask, themselves left out.
fn nearest(vectors: &Vectors, rows: usize, metric: Metric, asking: &[u32]) -> Vec<Vec<u32>> {
    // Rows under cosine have unit length.
    let metric = match metric {
        Metric::Cosine => Metric::Dot,
        other => other,
    };
    let mut open: Vec<TopK> = asking.iter().map(|_| TopK::new(K)).collect();
    let mut scores = [0.0; BLOCK];
    let mut at = 0;
    while at < rows {
        let run = vectors.run(at, rows.min(at + BLOCK));
        let scores = &mut scores[..run.len() / vectors.dims()];
        if scores.is_empty() {
            break;
        }
        for (best, &own) in open.iter_mut().zip(asking) {
            metric.score_rows(vectors.row(own), run, scores);
            for (row, &score) in scores.iter().enumerate() {
                let row = (at + row) as u32;
                if row != own && score >= best.threshold() {
                    best.push(row, score);
                }
            }
        }
        at += scores.len();
    }
    open.into_iter()
        .map(|best| best.into_sorted().iter().map(|hit| hit.id).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use kokeshi_codec::Spec;
    use kokeshi_core::{Embeddings, Seed};

    use super::*;

    fn measured(spec: &str) -> Measured {
        let mut seed = Seed(5);
        let mut rows =
            Embeddings::from_vec((0..2000 * 32).map(|_| seed.normal() as f32).collect(), 32).unwrap();
        rows.normalize();
        let asking: Vec<u32> = (0..100).collect();
        let spec: Spec = spec.parse().unwrap();
        let chain = spec.train(&rows, Metric::Cosine, Seed(1)).unwrap();
        let codes = chain.encode_all(&rows).unwrap();
        let mut vectors = Vectors::new(32);
        vectors.push_segment(rows).unwrap();
        measure(&chain, &codes, &vectors, Metric::Cosine, &asking).unwrap()
    }

    #[test]
    fn better_codes_need_fewer_candidates_and_more_candidates_find_more() {
        let [exact, fine, coarse] = ["f32", "int8", "rabitq:1"].map(measured);
        assert_eq!((exact.candidates(1.0), exact.recall(10)), (Some(10), 1.0));
        assert!(fine.candidates(0.99).unwrap() < coarse.candidates(0.99).unwrap());
        assert!(
            coarse.recalls.is_sorted() && coarse.recall(10) < 0.7,
            "{coarse:?}"
        );
        assert_eq!(coarse.usual(), coarse.candidates(0.99).unwrap());
        assert_eq!(coarse.recall(9), 0.0);
    }

    #[test]
    fn few_rows_are_not_asked_and_many_ask_for_no_more_than_learning_takes() {
        assert_eq!([questions(511), questions(512), questions(5000)], [0, 32, 128]);
        assert!(questions(1 << 20) == LEAST);
    }
}
