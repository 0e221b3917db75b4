//! Search in steps: a short code finds candidates, longer ones re-order fewer and fewer of them.
//!
//! | search | for |
//! |---|---|
//! | [`funnel`], and [`funnel_all`] for several queries | a fixed number of candidates a step (funnel and adaptive retrieval of Matryoshka Representation Learning, arXiv 2205.13147; the two tiers of BiDR, arXiv 2201.05409) |
//! | [`two_tiers`] | two steps whose scores are added (how BiDR serves) |
//! | [`within_error`] | codes that know their error: as few exact comparisons as the bound allows (RaBitQ, arXiv 2405.12497) |

use kokeshi_core::{Bitmap, Result, Scored, Shortlist, TopK};

use crate::batch::score_all;
use crate::chain::Chain;
use crate::codec::Codec;

/// One step: codes, and how many of their best rows go on to the next step (of the last: how many are returned).
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// What made the codes.
    pub chain: &'a Chain,
    /// `[rows, code_bytes]`, the same rows in all steps.
    pub codes: &'a [u8],
    /// The rows that are kept.
    pub keep: usize,
}

/// Rows that are scored together.
const BLOCK: usize = 1024;

/// The best rows of the last stage, best first: the first stage looks at all rows (or those of `among`), every other one at what the one
/// before it kept. No stage gives nothing.
///
/// # Errors
/// A query of another width than the chains', or one that is not finite.
pub fn funnel(stages: &[Stage<'_>], query: &[f32], among: Option<&Bitmap>) -> Result<Vec<Scored>> {
    let Some((first, rest)) = stages.split_first() else {
        return Ok(Vec::new());
    };
    let prepared = first.chain.query(query)?;
    let mut best = TopK::new(first.keep);
    let mut scores = [0.0; BLOCK];
    let stride = first.chain.code_bytes();
    match among {
        None => {
            for (block, codes) in first.codes.chunks(BLOCK * stride).enumerate() {
                let scores = &mut scores[..codes.len() / stride];
                prepared.score_rows(codes, scores);
                best.push_run((block * BLOCK) as u32, scores);
            }
        }
        Some(among) => {
            let rows = first.codes.len() / stride;
            let ids: Vec<u32> = among.iter().filter(|&id| (id as usize) < rows).collect();
            for ids in ids.chunks(BLOCK) {
                let scores = &mut scores[..ids.len()];
                prepared.score_ids(first.codes, ids, scores);
                ids.iter()
                    .zip(&*scores)
                    .for_each(|(&id, &score)| best.push(id, score));
            }
        }
    }
    reorder(rest, query, best.into_sorted())
}

/// [`funnel`] for several queries without `among`, to the bit: what the first stage reads of the codes is read once for many of them.
///
/// # Errors
/// As [`funnel`].
pub fn funnel_all(stages: &[Stage<'_>], queries: &[&[f32]]) -> Result<Vec<Vec<Scored>>> {
    let Some((first, rest)) = stages.split_first() else {
        return Ok(vec![Vec::new(); queries.len()]);
    };
    let prepared = queries.iter().map(|query| first.chain.query(query));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    let mut best = vec![Shortlist::new(first.keep); queries.len()];
    score_all(
        &prepared,
        first.codes,
        first.chain.code_bytes(),
        |query, from, scores| {
            best[query].push_run(from as u32, scores);
        },
    );
    let kept = best.into_iter().map(Shortlist::into_sorted);
    kept.zip(queries)
        .map(|(kept, query)| reorder(rest, query, kept))
        .collect()
}

/// What stages leave of the rows that were kept.
fn reorder(stages: &[Stage<'_>], query: &[f32], mut kept: Vec<Scored>) -> Result<Vec<Scored>> {
    for stage in stages {
        let prepared = stage.chain.query(query)?;
        let rows = stage.codes.len() / stage.chain.code_bytes();
        let mut ids: Vec<u32> = kept
            .iter()
            .map(|hit| hit.id)
            .filter(|&id| (id as usize) < rows)
            .collect();
        // In the order of memory, which the processor fetches ahead.
        ids.sort_unstable();
        let mut scores = vec![0.0; ids.len()];
        prepared.score_ids(stage.codes, &ids, &mut scores);
        let mut best = TopK::new(stage.keep);
        ids.iter()
            .zip(&scores)
            .for_each(|(&id, &score)| best.push(id, score));
        kept = best.into_sorted();
    }
    Ok(kept)
}

/// The best rows by `exact + weight * coarse` among those that `coarse` keeps: BiDR (arXiv 2201.05409) serves so, with a weight of 0.3.
///
/// # Errors
/// As [`funnel`].
pub fn two_tiers(
    coarse: Stage<'_>,
    exact: Stage<'_>,
    weight: f32,
    query: &[f32],
    among: Option<&Bitmap>,
) -> Result<Vec<Scored>> {
    let mut candidates = funnel(&[coarse], query, among)?;
    let rows = exact.codes.len() / exact.chain.code_bytes();
    candidates.retain(|hit| (hit.id as usize) < rows);
    candidates.sort_unstable_by_key(|hit| hit.id);
    let ids: Vec<u32> = candidates.iter().map(|hit| hit.id).collect();
    let mut scores = vec![0.0; ids.len()];
    exact
        .chain
        .query(query)?
        .score_ids(exact.codes, &ids, &mut scores);
    let mut best = TopK::new(exact.keep);
    for (hit, score) in candidates.iter().zip(&scores) {
        best.push(hit.id, score + weight * hit.score);
    }
    Ok(best.into_sorted())
}

/// The `k` best rows by `exact`, and how many rows were compared exactly. A row is left out when its estimate by `coarse` plus `errors`
/// of its standard errors is below the k-th best exact score: were errors normal, 1.9 of them would miss one row in 35
/// at most and 2.6 one in 200. Codes that don't know their error count as exact.
///
/// # Errors
/// A query of another width than the chains', or one that is not finite.
pub fn within_error(
    coarse: Stage<'_>,
    exact: Stage<'_>,
    query: &[f32],
    errors: f32,
) -> Result<(Vec<Scored>, usize)> {
    let (rough, fine) = (coarse.chain.query(query)?, exact.chain.query(query)?);
    let stride = coarse.chain.code_bytes();
    let rows = (coarse.codes.len() / stride).min(exact.codes.len() / exact.chain.code_bytes());
    let mut scores = vec![0.0; rows];
    rough.score_rows(&coarse.codes[..rows * stride], &mut scores);
    let mut compared = 0;
    let mut best = TopK::new(exact.keep);
    let mut compare = |ids: &[u32], best: &mut TopK| {
        let mut scores = vec![0.0; ids.len()];
        fine.score_ids(exact.codes, ids, &mut scores);
        ids.iter()
            .zip(&scores)
            .for_each(|(&id, &score)| best.push(id, score));
        compared += ids.len();
    };
    // The best estimates first: they make the bar high.
    let mut first = TopK::new(exact.keep);
    first.push_run(0, &scores);
    let first: Vec<u32> = first.into_sorted().iter().map(|hit| hit.id).collect();
    compare(&first, &mut best);
    let bar = best.threshold();
    let mut others = Vec::new();
    for (at, &score) in scores.iter().enumerate() {
        let code = &coarse.codes[at * stride..][..stride];
        let error = rough.standard_error(code).unwrap_or(0.0);
        if score + errors * error > bar && !first.contains(&(at as u32)) {
            others.push((score + errors * error, at as u32));
        }
    }
    others.sort_by(|a, b| b.0.total_cmp(&a.0));
    for group in others.chunks(16) {
        if group[0].0 <= best.threshold() {
            break;
        }
        let ids: Vec<u32> = group.iter().map(|other| other.1).collect();
        compare(&ids, &mut best);
    }
    Ok((best.into_sorted(), compared))
}
