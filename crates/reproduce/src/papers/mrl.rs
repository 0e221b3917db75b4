//! Matryoshka Representation Learning (arXiv 2205.13147) on the tiny arXiv bench: prefixes of the last layer, and search in steps.

use kokeshi_codec::{Pca, Transform};
use kokeshi_core::{Embeddings, Metric, Seed};
use kokeshi_train::Learner;
use kokeshi_train::losses::{Loss, Matryoshka, Ranking};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::Arxiv;
use crate::training::mrr_at_10;
use crate::training::tiny::{self, DIMS, LAYERS};

const ID: &str = "mrl";

/// Widths, small to large.
const WIDTHS: [usize; 4] = [8, 16, 32, DIMS];
/// How many documents a search by 8 dims leaves to be compared in full.
const SHORTLISTS: [usize; 5] = [10, 20, 50, 100, 200];

const CLAIMS: &[Claim] = &[
    Claim {
        name: "small",
        claim: "8 dims of a model that learnt prefixes rank better than the first 8 of one that did not: ratio of MRR@10",
        bar: Bar::AtLeast(1.8),
    },
    Claim {
        name: "full",
        claim: "learning prefixes costs little at the full width: ratio of MRR@10",
        bar: Bar::AtLeast(0.85),
    },
    Claim {
        name: "pca",
        claim: "8 learnt dims against the 8 main axes of the plain model, fitted on training texts: ratio of MRR@10",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "exact",
        claim: "search in steps with all documents on the list is exact search: recall@10",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "monotone",
        claim: "recall@10 against exact search grows with the list of a search by 8 dims: smallest step from one length to the next",
        bar: Bar::AtLeast(0.0),
    },
    Claim {
        name: "funnel",
        claim: "and is higher on the model that learnt prefixes at every length: smallest difference",
        bar: Bar::AtLeast(0.0),
    },
];

/// The reproduction.
pub(crate) struct Mrl;

impl Reproduction for Mrl {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let seed = Seed(context.seed);
        let learn =
            |loss: &dyn Loss| tiny::train(&arxiv, loss, &[LAYERS], seed).map_err(|error| failed(ID, error));
        let mut plain = learn(&Ranking::default())?;
        let mut nested = learn(&Matryoshka {
            loss: Ranking::default(),
            dims: WIDTHS.map(|dims| (dims, 1.0)).to_vec(),
            per_step: None,
        })?;
        let sizes = WIDTHS.map(|dims| (LAYERS, dims));
        let [before, after] = [&mut plain, &mut nested].map(|learner| tiny::judge(&arxiv, learner, &sizes));
        eprintln!("MRR@10 at {WIDTHS:?}: plain {before:.3?}, MRL {after:.3?}");
        let axes = pca(&arxiv, &mut plain).map_err(|error| failed(ID, error))?;
        eprintln!("8 main axes of the plain model: {axes:.3}");
        let [before_lists, after_lists] = [&mut plain, &mut nested].map(|learner| recalls(&arxiv, learner));
        eprintln!("recall@10 by list {SHORTLISTS:?}: plain {before_lists:.3?}, MRL {after_lists:.3?}");
        let last = SHORTLISTS.len();
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        Ok(measured(
            CLAIMS,
            [
                after[0] / before[0],
                after[3] / before[3],
                after[0] / axes,
                after_lists[last],
                least(&mut after_lists[..last].windows(2).map(|pair| pair[1] - pair[0])),
                least(
                    &mut after_lists[..last]
                        .iter()
                        .zip(&before_lists[..last])
                        .map(|(after, before)| after - before),
                ),
            ],
        ))
    }
}

/// Test vectors of titles and abstracts.
fn vectors(arxiv: &Arxiv, learner: &mut Learner) -> [Vec<f32>; 2] {
    let titles: Vec<&[u32]> = arxiv.test.iter().map(|paper| paper.title.as_slice()).collect();
    let summaries: Vec<&[u32]> = arxiv.test.iter().map(|paper| paper.summary()).collect();
    [titles, summaries].map(|texts| learner.vectors(&texts, &[LAYERS]).swap_remove(0))
}

/// MRR@10 of 8 main axes, fitted on the abstracts of 5,000 training papers with the mean taken off.
fn pca(arxiv: &Arxiv, learner: &mut Learner) -> kokeshi_core::Result<f64> {
    let texts: Vec<&[u32]> = arxiv.train[..5000].iter().map(|paper| paper.summary()).collect();
    let mut sample = Embeddings::from_vec(learner.vectors(&texts, &[LAYERS]).swap_remove(0), DIMS)?;
    sample.normalize();
    let pca = Pca::train(&sample, WIDTHS[0], Metric::L2, true)?;
    let turned = vectors(arxiv, learner).map(|rows| -> kokeshi_core::Result<Vec<f32>> {
        let mut rows = Embeddings::from_vec(rows, DIMS)?;
        rows.normalize();
        Ok(pca.apply(rows.as_slice()))
    });
    let [titles, summaries] = turned;
    Ok(mrr_at_10(&titles?, &summaries?, WIDTHS[0], WIDTHS[0]))
}

/// For each length of list, and for all documents at the end, the share of exact search's best ten that a search by 8 dims, re-ordered in full,
/// finds.
fn recalls(arxiv: &Arxiv, learner: &mut Learner) -> Vec<f64> {
    let [titles, summaries] = vectors(arxiv, learner);
    let order = |dims: usize, query: &[f32], among: &[usize]| -> Vec<usize> {
        let score = |at: &usize| {
            let row = &summaries[*at * DIMS..][..dims];
            kokeshi_core::distance::cosine(&query[..dims], row)
        };
        let mut scored: Vec<(f32, usize)> = among.iter().map(|at| (score(at), *at)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().map(|(_, at)| at).collect()
    };
    let all: Vec<usize> = (0..arxiv.test.len()).collect();
    let mut found = vec![0.0; SHORTLISTS.len() + 1];
    for query in titles.chunks_exact(DIMS) {
        let exact = &order(DIMS, query, &all)[..10];
        let short = order(WIDTHS[0], query, &all);
        for (length, found) in SHORTLISTS.iter().chain([&all.len()]).zip(&mut found) {
            let best = &order(DIMS, query, &short[..*length])[..10];
            *found += best.iter().filter(|at| exact.contains(at)).count() as f64 / 10.0;
        }
    }
    found.iter_mut().for_each(|found| *found /= all.len() as f64);
    found
}
