//! Small trainings on real texts, shared by the papers about losses: seconds to a minute each.

pub(crate) mod arxiv;
pub(crate) mod bag;
pub(crate) mod cross;
pub(crate) mod digits;
pub(crate) mod key_token;
pub(crate) mod net;
pub(crate) mod tfidf;
pub(crate) mod tiny;
pub(crate) mod trec;

use kokeshi_core::distance;

/// MRR@10: how high each anchor has its own document among all documents, by cosine. Rows have `dims` values, of which the first `cut` count.
pub(crate) fn mrr_at_10(anchors: &[f32], documents: &[f32], dims: usize, cut: usize) -> f64 {
    use rayon::prelude::*;

    let prefixes = |rows: &[f32]| -> Vec<f32> {
        let mut out: Vec<f32> = rows
            .chunks_exact(dims)
            .flat_map(|row| &row[..cut])
            .copied()
            .collect();
        out.chunks_exact_mut(cut).for_each(distance::normalize);
        out
    };
    let (anchors, documents) = (prefixes(anchors), prefixes(documents));
    let rows = anchors.len() / cut;
    let sum: f64 = anchors
        .par_chunks_exact(cut)
        .enumerate()
        .map(|(own, anchor)| {
            let mine = distance::dot(anchor, &documents[own * cut..][..cut]);
            let above = documents
                .chunks_exact(cut)
                .enumerate()
                .filter(|(other, document)| *other != own && distance::dot(anchor, document) >= mine)
                .count();
            if above < 10 { 1.0 / (above + 1) as f64 } else { 0.0 }
        })
        .sum();
    sum / rows.max(1) as f64
}
