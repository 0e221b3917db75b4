//! Pooling And Attention (arXiv 2409.02727): latents that ask one vector of each layer, and the paired test that designs are compared by.

use kokeshi_core::Seed;
use kokeshi_encode::CrossKind;
use kokeshi_eval::wilcoxon;
use kokeshi_train::tape::Matrix;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::cross::{self, DIMS, apart};
use crate::training::key_token::{Pooling, accuracy};
use crate::training::net::g;

const ID: &str = "pooling-and-attention";

const CLAIMS: &[Claim] = &[
    Claim {
        name: "golden",
        claim: "multi-layer pooling gives the fixture's two vectors: largest difference",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "key token",
        claim: "one marked token says the class (8 classes, up to 24 tokens, frozen states): accuracy of latents that ask the tokens",
        bar: Bar::AtLeast(0.9),
    },
    Claim {
        name: "key token, mean",
        claim: "the mean of the tokens can't tell: its accuracy",
        bar: Bar::AtMost(0.4),
    },
    Claim {
        name: "key token, last",
        claim: "nor can the last token: its accuracy",
        bar: Bar::AtMost(0.3),
    },
    Claim {
        name: "layers' order",
        claim: "layers in another order, each with what is added to it, give the same vectors: largest difference",
        bar: Bar::AtMost(1e-5),
    },
    Claim {
        name: "layers alone",
        claim: "without what is added to each layer in its new place they don't: largest difference",
        bar: Bar::AtLeast(1e-2),
    },
    Claim {
        name: "padding",
        claim: "texts of other lengths in the batch change nothing: largest difference to each text alone",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "signed ranks",
        claim: "exact p-values of the paired test with ties and equal pairs, against SciPy's over all patterns of signs: largest difference",
        bar: Bar::AtMost(1e-9),
    },
    Claim {
        name: "five data sets",
        claim: "five data sets can't be significant, whatever they say: smallest p",
        bar: Bar::AtLeast(0.0625),
    },
];

/// Scores in quarters, with equal differences and equal pairs, and SciPy's two-sided p over all patterns of signs of the pairs that differ.
const TIED: [(&[u8], &[u8], f64); 2] = [
    (
        &[4, 4, 1, 0, 3, 3, 3, 0, 0, 2, 1, 2],
        &[3, 0, 2, 1, 1, 3, 0, 1, 0, 0, 1, 2],
        0.140625,
    ),
    (
        &[
            5, 4, 1, 7, 7, 2, 0, 2, 1, 7, 4, 4, 2, 4, 8, 2, 6, 0, 2, 8, 7, 0, 7, 7, 4,
        ],
        &[
            5, 4, 1, 7, 7, 2, 0, 2, 1, 7, 4, 4, 5, 1, 4, 6, 4, 4, 3, 6, 1, 2, 4, 4, 0,
        ],
        0.3525390625,
    ),
];
/// SciPy's exact p of 25 differences of the sizes 1 to 25, those of 3, 6, 9, 12 and 15 below zero.
const UNTIED: f64 = 0.000_911_891_460_418_701_2;

/// The reproduction.
pub(crate) struct PoolingAttention;

impl Reproduction for PoolingAttention {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let mut fixture = cross::fixture(CrossKind::Layers);
        let expected = [
            [-0.906_258, -0.160_811, 0.380_749, -0.088_694],
            [-0.887_511, -0.343_232, 0.083_718, -0.295_817],
        ];
        let rows = g(40, 6, DIMS);
        let found = cross::pool(&fixture, &rows, &[0..3, 3..6]);
        let golden = apart(&found.data, expected.as_flattened());

        let seed = || Seed(context.seed);
        let [asked, mean, last] = [Pooling::Cross(CrossKind::Layers), Pooling::Mean, Pooling::Last]
            .map(|pooling| accuracy(pooling, seed()));
        eprintln!("key token: latents that ask {asked:.3}, mean {mean:.3}, last {last:.3}");

        // Padding is never there to be asked: texts are laid end to end. Texts of one, two and three layers together and alone.
        let texts = [0..1, 1..3, 3..6];
        let together = cross::pool(&fixture, &rows, &texts);
        let alone = texts.iter().enumerate().map(|(at, text)| {
            let part = rows.data[text.start * DIMS..text.end * DIMS].to_vec();
            let found = cross::pool(
                &fixture,
                &Matrix::new(text.len(), DIMS, part),
                std::slice::from_ref(&(0..text.len())),
            );
            apart(&found.data, together.row(at))
        });
        let padding = alone.fold(0.0, f64::max);

        let order = [2, 0, 1];
        let permuted = |rows: &Matrix| {
            let groups = rows.data.chunks_exact(3 * DIMS);
            let moved = groups.flat_map(|group| order.iter().flat_map(|at| &group[at * DIMS..][..DIMS]));
            Matrix::new(rows.rows, DIMS, moved.copied().collect())
        };
        let moved_rows = permuted(&rows);
        let alone = apart(
            &cross::pool(&fixture, &moved_rows, &[0..3, 3..6]).data,
            &found.data,
        );
        if let Some(own) = fixture.1.last_mut() {
            *own = permuted(own);
        }
        let both = apart(
            &cross::pool(&fixture, &moved_rows, &[0..3, 3..6]).data,
            &found.data,
        );

        let p = |a: &[f64], b: &[f64]| wilcoxon(a, b).map_or(f64::NAN, |found| found.p);
        let quarters = |scores: &[u8]| -> Vec<f64> { scores.iter().map(|at| f64::from(*at) / 4.0).collect() };
        let sizes: Vec<f64> = (1..=25).map(f64::from).collect();
        let below: Vec<f64> = sizes
            .iter()
            .map(|size| {
                if size % 3.0 == 0.0 && *size <= 15.0 {
                    2.0 * size
                } else {
                    0.0
                }
            })
            .collect();
        let tied = TIED
            .iter()
            .map(|(a, b, expected)| p(&quarters(a), &quarters(b)) - expected);
        let exact = tied.chain([p(&sizes, &below) - UNTIED]).map(f64::abs);
        let exact = exact.fold(0.0, |most: f64, difference| match difference.is_nan() {
            true => f64::INFINITY,
            false => most.max(difference),
        });
        let five = p(&[0.9, 0.8, 0.7, 0.6, 0.5], &[0.0; 5]);
        Ok(measured(
            CLAIMS,
            [golden, asked, mean, last, both, alone, padding, exact, five],
        ))
    }
}
