//! BiDR (arXiv 2201.05409): codebooks learnt from pairs find more than those of k-means, and the vectors themselves put the rest right; on
//! two views of a hidden vector.
//!
//! The paper trains encoders on web pages; what is checked here is its quantiser, its sampler and its search in two tiers.

use kokeshi_codec::{Chain, ContrasPq, ContrasPqConfig, LocalBatches, Spec, Stage, Walk, funnel, two_tiers};
use kokeshi_core::{Metric, Seed, distance};

use crate::check::{Bar, Check, Claim, measured};
use crate::pairs::{Pairs, recall_at};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "bidr";

const ROWS: usize = 20_000;
const QUERIES: usize = 1_000;
/// Six bytes a code.
const PARTS: usize = 8;
const BITS: u32 = 6;
const DEPTH: usize = 10;
/// Ranks of the sampler's graph, whose queries are all that the codec learnt from. The paper's, 200 and 400, are of 8.8 million documents, of which
/// one is in the far ranks of some 11 queries; of 20,000 documents, any two queries would share 2 % of all by chance at those. At a tenth a document
/// is in the far ranks of 20 queries.
const NEAR: usize = 20;
const FAR: usize = 40;
const BATCH: usize = 128;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "codebooks",
        claim: "what learnt codebooks add to recall@10 of 6 bytes of k-means",
        bar: Bar::AtLeast(0.08),
    },
    Claim {
        name: "map",
        claim: "what learnt codebooks and a learnt map before them add to it",
        bar: Bar::AtLeast(0.2),
    },
    Claim {
        name: "two tiers",
        claim: "recall@10 of the best 100 by codes, ordered by vector and code, less that of comparing all vectors",
        bar: Bar::AtLeast(-0.01),
    },
    Claim {
        name: "re-ordered by vectors alone",
        claim: "the same without the codes' own scores",
        bar: Bar::AtLeast(-0.01),
    },
    Claim {
        name: "centroids",
        claim: "the share of centroids that one epoch moves",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "locality",
        claim: "negatives that queries of a batch share, of locality-centric batches over random ones",
        bar: Bar::AtLeast(5.0),
    },
];

/// The reproduction of BiDR.
pub(crate) struct Bidr;

impl Reproduction for Bidr {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let found = measure(Seed(context.seed)).map_err(|error| failed(ID, error))?;
        Ok(measured(CLAIMS, found))
    }
}

fn measure(seed: Seed) -> kokeshi_core::Result<[f64; 6]> {
    let pairs = Pairs::draw(ROWS, QUERIES, seed)?;
    let train = |epochs, map, opq| -> kokeshi_core::Result<ContrasPq> {
        let config = ContrasPqConfig {
            epochs,
            map,
            opq,
            ..ContrasPqConfig::default()
        };
        ContrasPq::train(
            &pairs.train.0,
            &pairs.train.1,
            PARTS,
            BITS,
            Metric::Cosine,
            &config,
            seed,
        )
    };
    let epochs = ContrasPqConfig::default().epochs;
    let chain = |codec: ContrasPq| Chain::of(Vec::new(), Box::new(codec));
    let plain = chain(train(0, false, false)?)?;
    let books = chain(train(epochs, false, false)?)?;
    let mapped = chain(train(epochs, true, true)?)?;
    let by_codes = |chain: &Chain| -> kokeshi_core::Result<f64> {
        let codes = chain.encode_all(&pairs.documents)?;
        let mut scores = vec![0.0; ROWS];
        let mut found = 0;
        for (at, query) in pairs.queries.iter().enumerate() {
            chain.query(query)?.score_rows(&codes, &mut scores);
            found += usize::from(is_found(&scores, at));
        }
        Ok(found as f64 / QUERIES as f64)
    };
    let base = by_codes(&plain)?;
    let dense = recall_at(DEPTH, &pairs.queries, &pairs.documents);
    let tiers = |weight| -> kokeshi_core::Result<f64> {
        tiers(&mapped, &pairs, seed, weight).map(|found| found - dense)
    };
    Ok([
        by_codes(&books)? - base,
        by_codes(&mapped)? - base,
        tiers(0.3)?,
        tiers(0.0)?,
        moved(
            train(0, true, true)?.centroids(),
            train(1, true, true)?.centroids(),
        ),
        locality(&mapped, &pairs, seed)?,
    ])
}

/// Whether row `own` is among the ten best; of rows that score alike half count as better.
fn is_found(scores: &[f32], own: usize) -> bool {
    let near = 1e-6 * scores[own].abs().max(1e-6);
    let better = scores.iter().filter(|&&score| score > scores[own] + near).count() as f64;
    let alike = scores
        .iter()
        .filter(|&&score| (score - scores[own]).abs() <= near)
        .count() as f64
        - 1.0;
    better + alike / 2.0 < DEPTH as f64
}

fn tiers(codes: &Chain, pairs: &Pairs, seed: Seed, weight: f32) -> kokeshi_core::Result<f64> {
    let exact = "f32"
        .parse::<Spec>()?
        .train(&pairs.documents, Metric::Cosine, seed)?;
    let (short, full) = (
        codes.encode_all(&pairs.documents)?,
        exact.encode_all(&pairs.documents)?,
    );
    let mut found = 0;
    for (at, query) in pairs.queries.iter().enumerate() {
        let stages = [
            Stage {
                chain: codes,
                codes: &short,
                keep: 100,
            },
            Stage {
                chain: &exact,
                codes: &full,
                keep: DEPTH,
            },
        ];
        let hits = match weight == 0.0 {
            true => funnel(&stages, query, None)?,
            false => two_tiers(stages[0], stages[1], weight, query, None)?,
        };
        found += usize::from(hits.iter().any(|hit| hit.id as usize == at));
    }
    Ok(found as f64 / QUERIES as f64)
}

/// The share of centroids that are not where they were.
fn moved(before: &[f32], after: &[f32]) -> f64 {
    let width = before.len() / PARTS / (1 << BITS);
    let pairs = before.chunks_exact(width).zip(after.chunks_exact(width));
    let moved = pairs
        .filter(|(before, after)| distance::l2_squared(before, after) > 0.0)
        .count();
    moved as f64 / (before.len() / width) as f64
}

/// How many times as many negatives the queries of locality-centric batches share as those of random ones.
fn locality(codes: &Chain, pairs: &Pairs, mut seed: Seed) -> kokeshi_core::Result<f64> {
    let documents = &pairs.train.1;
    let short = codes.encode_all(documents)?;
    let mut negatives = Vec::with_capacity(ROWS);
    for (own, query) in pairs.train.0.iter().enumerate() {
        let stage = Stage {
            chain: codes,
            codes: &short,
            keep: FAR + 1,
        };
        let hits = funnel(&[stage], query, None)?;
        let ranked = hits.iter().map(|hit| hit.id).filter(|&id| id as usize != own);
        negatives.push(ranked.take(FAR).collect::<Vec<u32>>());
    }
    let shared = |batch: &[u32]| -> f64 {
        let mut seen = std::collections::HashMap::new();
        for &query in batch {
            for &document in &negatives[query as usize] {
                *seen.entry(document).or_insert(0_u64) += 1;
            }
        }
        // Pairs of queries that have a negative in common, counted by negative.
        seen.values().map(|&count| (count * (count - 1) / 2) as f64).sum()
    };
    let mut batches = LocalBatches::new(
        (0..ROWS as u32).collect(),
        negatives.clone(),
        0..NEAR,
        NEAR..FAR,
        Walk::Snowball,
        seed.fork(3),
    );
    let (mut local, mut random) = (0.0, 0.0);
    // The full batches of an epoch.
    for _ in 0..ROWS / BATCH {
        let batch: Vec<u32> = batches.draw(BATCH).iter().map(|(query, _)| *query).collect();
        local += shared(&batch);
        let mut order: Vec<u32> = (0..ROWS as u32).collect();
        seed.shuffle(&mut order);
        random += shared(&order[..BATCH]);
    }
    Ok(local / random.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_all_others_score_like_is_not_found() {
        assert!(!is_found(&[0.5; 100], 3));
        let mut scores = [0.5; 100];
        scores[3] = 0.6;
        assert!(is_found(&scores, 3));
        assert_eq!(moved(&[0.0; PARTS * 128], &[0.0; PARTS * 128]), 0.0);
    }
}
