//! PCA-RAG (arXiv 2504.08386): vectors projected onto their principal axes keep most neighbours, on clustered vectors of 128 dimensions.
//!
//! The paper's 3072 to 110 dimensions of a commercial model can't be had here; what is checked is the method and its exact properties.

use kokeshi_codec::{Pca, Spec, Stage, Transform, Trial, funnel};
use kokeshi_core::{Embeddings, Metric, Seed};
use kokeshi_filtered::clusters;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "pca-rag";

const ROWS: usize = 20_000;
const QUERIES: usize = 500;
const DIMS: usize = 128;
const CENTRES: usize = 200;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "half the dims",
        claim: "recall@10 of centred cosine on 64 of 128 principal axes",
        bar: Bar::AtLeast(0.8),
    },
    Claim {
        name: "above random",
        claim: "how much a random orthogonal projection to 64 dims is below that",
        bar: Bar::AtLeast(0.04),
    },
    Claim {
        name: "above raw",
        claim: "how much the first 64 raw dims are below that",
        bar: Bar::AtLeast(0.15),
    },
    Claim {
        name: "rescored",
        claim: "recall@10 of 32 principal axes whose best 100 rows are compared in full",
        bar: Bar::AtLeast(0.96),
    },
    Claim {
        name: "all axes",
        claim: "all axes keep the ten nearest by distance: the share that is kept",
        bar: Bar::AtLeast(0.9999),
    },
    Claim {
        name: "variance",
        claim: "the variance kept by 32 axes is their eigenvalues' share: the difference",
        bar: Bar::AtMost(1e-5),
    },
    Claim {
        name: "reconstruction",
        claim: "the mean squared error of 32 axes is the sum of the dropped eigenvalues: the difference",
        bar: Bar::AtMost(1e-5),
    },
];

/// The reproduction of PCA-RAG.
pub(crate) struct PcaRag;

impl Reproduction for PcaRag {
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

fn measure(seed: Seed) -> kokeshi_core::Result<[f64; 7]> {
    let (rows, queries) = clusters(ROWS, QUERIES, DIMS, CENTRES, seed)?;
    let specs = [
        "pca:64:centred",
        "rotate|prefix:64",
        "prefix:64",
        "pca:32:centred",
    ];
    let trial = Trial::new(&rows, &queries, Metric::Cosine, seed, None)?;
    let [half, random, raw, quarter] =
        specs.map(|spec| kokeshi_core::Result::Ok(trial.measure(&spec.parse()?)?.recall));
    let half = half?.codes.mean;
    let pca = Pca::train(&rows, 32, Metric::L2, false)?;
    let (variance, reconstruction) = exactness(&pca, &rows);
    Ok([
        half,
        half - random?.codes.mean,
        half - raw?.codes.mean,
        quarter?.rescored.mean,
        same_neighbours(&rows, &queries, seed)?,
        variance,
        reconstruction,
    ])
}

/// How far the variance along the axes and the error of coming back are from what the eigenvalues say.
fn exactness(pca: &Pca, rows: &Embeddings) -> (f64, f64) {
    let turned = pca.apply(rows.as_slice());
    let back = pca.invert(&turned);
    let count = rows.rows() as f64;
    let kept: f64 = turned.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / count;
    let pairs = rows.as_slice().iter().zip(&back);
    let lost = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / count;
    let total: f64 = pca.variances().iter().sum();
    let dropped: f64 = pca.variances()[pca.width()..].iter().sum();
    ((kept / total - pca.kept()).abs(), (lost - dropped).abs())
}

/// The share of the ten nearest rows by distance that all principal axes find.
fn same_neighbours(rows: &Embeddings, queries: &Embeddings, seed: Seed) -> kokeshi_core::Result<f64> {
    let train = |spec: &str| spec.parse::<Spec>()?.train(rows, Metric::L2, seed);
    let (exact, turned) = (train("f32")?, train(&format!("pca:{DIMS}"))?);
    let (full, codes) = (exact.encode_all(rows)?, turned.encode_all(rows)?);
    let mut kept = 0;
    for query in queries.iter() {
        let search = |chain, codes| {
            funnel(
                &[Stage {
                    chain,
                    codes,
                    keep: 10,
                }],
                query,
                None,
            )
        };
        let (wanted, found) = (search(&exact, &full)?, search(&turned, &codes)?);
        kept += wanted
            .iter()
            .filter(|hit| found.iter().any(|other| other.id == hit.id))
            .count();
    }
    Ok(kept as f64 / (10 * queries.rows()) as f64)
}
