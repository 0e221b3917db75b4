//! BEBR (arXiv 2302.08714): codes learnt from pairs find what belongs together where plain signs do not, more rounds help, and new codes
//! can be made to find old ones.
//!
//! The paper's image and text encoders can't be had here; what is checked is the head, on pairs of views of a hidden vector.

use kokeshi_codec::{Codec, HeadConfig, Rbe};
use kokeshi_core::{Embeddings, Seed};

use crate::check::{Bar, Check, Claim, measured};
use crate::pairs::{Pairs, recall_at};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "bebr";

const ROWS: usize = 20_000;
const QUERIES: usize = 1_000;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "learnt bits",
        claim: "recall@1 of 64 learnt bits",
        bar: Bar::AtLeast(0.90),
    },
    Claim {
        name: "plain signs",
        claim: "recall@1 of the 128 signs of the vectors themselves",
        bar: Bar::AtMost(0.55),
    },
    Claim {
        name: "rounds",
        claim: "what three further rounds add to recall@1 of 32 dimensions, the mean of 3 seeds",
        bar: Bar::AtLeast(0.02),
    },
    Claim {
        name: "scores",
        claim: "scores of codes are the cosines of what they stand for: the largest relative difference",
        bar: Bar::AtMost(0.01),
    },
    Claim {
        name: "new on old",
        claim: "recall@1 of new queries on old codes, less that of old queries on them",
        bar: Bar::AtLeast(-0.01),
    },
    Claim {
        name: "new on new",
        claim: "recall@1 of new queries on new codes, less that of old on old",
        bar: Bar::AtLeast(0.0001),
    },
];

/// The reproduction of BEBR.
pub(crate) struct Bebr;

impl Reproduction for Bebr {
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
    let train = |width, loops, before: Option<&Rbe>, seed| {
        Rbe::train(
            &pairs.train.0,
            &pairs.train.1,
            width,
            loops,
            &HeadConfig::RBE,
            before,
            Seed(seed),
        )
    };
    // Queries of one head on the codes of another, by as many dimensions as both have.
    let recall = |asking: &Rbe, found: &Rbe, width: usize| {
        let cut = |head: &Rbe, rows: &Embeddings| {
            let codes = head.floats(rows.as_slice());
            let own = codes.len() / rows.rows();
            Embeddings::from_vec(
                codes
                    .chunks_exact(own)
                    .flat_map(|code| &code[..width])
                    .copied()
                    .collect(),
                width,
            )
        };
        Ok::<f64, kokeshi_core::Error>(recall_at(
            1,
            &cut(asking, &pairs.queries)?,
            &cut(found, &pairs.documents)?,
        ))
    };
    let learnt = train(64, 0, None, 1)?;
    let signs = |rows: &Embeddings| {
        let signs = rows
            .as_slice()
            .iter()
            .map(|&value| if value >= 0.0 { 1.0 } else { -1.0 });
        Embeddings::from_vec(signs.collect(), rows.dims())
    };
    let plain = recall_at(1, &signs(&pairs.queries)?, &signs(&pairs.documents)?);
    let mut gain = 0.0;
    let mut old = None;
    for seed in 1..=3 {
        let (one, four) = (train(32, 0, None, seed)?, train(32, 3, None, seed)?);
        gain += (recall(&four, &four, 32)? - recall(&one, &one, 32)?) / 3.0;
        old = old.or(Some(one));
    }
    let mut compatible = [f64::NAN; 2];
    if let Some(old) = &old {
        let new = train(64, 0, Some(old), 11)?;
        let before = recall(old, old, 32)?;
        compatible = [recall(&new, old, 32)? - before, recall(&new, &new, 64)? - before];
    }
    Ok([
        recall(&learnt, &learnt, 64)?,
        plain,
        gain,
        scores(&train(32, 1, None, 1)?, &pairs),
        compatible[0],
        compatible[1],
    ])
}

/// The largest relative difference between scores and cosines.
fn scores(codec: &Rbe, pairs: &Pairs) -> f64 {
    let mut codes = vec![0; pairs.documents.rows() * codec.code_bytes()];
    codec.encode(pairs.documents.as_slice(), &mut codes);
    let floats = codec.floats(pairs.documents.as_slice());
    let width = floats.len() / pairs.documents.rows();
    let mut scores = vec![0.0; pairs.documents.rows()];
    let mut worst = 0.0_f64;
    for query in pairs.queries.iter().take(20) {
        codec.prepare(query).score_rows(&codes, &mut scores);
        let own = codec.floats(query);
        for (score, code) in scores.iter().zip(floats.chunks_exact(width)) {
            let exact = f64::from(kokeshi_core::distance::cosine(&own, code));
            // A cosine of nothing has no relative error.
            if exact.abs() > 0.01 {
                worst = worst.max((f64::from(*score) - exact).abs() / exact.abs());
            }
        }
    }
    worst
}
