//! FANNS (arXiv 2507.21989): filtered search by every method that it compares, each against its own paper's properties on made-up vectors
//! of known shape, and all of them on the packages of Debian (`bench/filtered/debian.py` makes that set).
//!
//! The paper's own set, 2.7 million abstracts at 4096 dimensions, can't be had here; its shape is what is checked.

mod acorn;
mod debian;
mod labels;
mod serf;
mod set;
mod sets;

use rayon::prelude::*;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "fanns";

const CLAIMS: &[Claim] = &[
    // acorn.rs
    claim("HNSW", "recall@10 at ef 40 without a filter", Bar::AtLeast(0.97)),
    claim("HNSW, cost", "distances a query there", Bar::AtMost(1000.0)),
    claim(
        "HNSW, levels",
        "the share of rows above the lowest level, times M",
        Bar::Between(0.85, 1.15),
    ),
    claim(
        "ACORN-1, 1/12",
        "distances at 0.97, as a share of result-gated HNSW's, where one row in 12 passes",
        Bar::AtMost(0.6),
    ),
    claim("ACORN-12, 1/12", "the same for gamma = 12", Bar::AtMost(0.6)),
    claim(
        "ACORN-1, 1/50",
        "the best recall at any ef where one row in 50 passes stays below 0.98",
        Bar::AtMost(0.98),
    ),
    claim(
        "ACORN-12, 1/50",
        "the same for gamma = 12 passes it",
        Bar::AtLeast(0.98),
    ),
    claim(
        "ACORN-12, build",
        "distances of building, as a multiple of HNSW's",
        Bar::Between(2.0, 4.0),
    ),
    claim("ACORN-1, build", "the same for gamma = 1", Bar::AtMost(0.8)),
    claim(
        "ACORN-1, all pass",
        "how far recall at ef 40 is from HNSW's where every row passes",
        Bar::AtMost(0.02),
    ),
    claim(
        "ACORN, filter",
        "hits of any search above that fail the filter",
        Bar::AtMost(0.0),
    ),
    // labels.rs
    claim(
        "Vamana, edges",
        "edges with alpha 1.2, as a multiple of those with 1.0",
        Bar::AtLeast(1.01),
    ),
    claim(
        "Vamana, alpha",
        "what alpha 1.2 adds to recall at L = 10",
        Bar::AtLeast(0.001),
    ),
    claim("Vamana", "recall at L = 20", Bar::AtLeast(0.98)),
    claim(
        "label graphs, ACORN",
        "FilteredVamana's and StitchedVamana's distances at 0.98 as a share of ACORN-12's: the larger, over 12 and 50 random labels and 12 tied to clusters",
        Bar::AtMost(0.999),
    ),
    claim(
        "label graphs, gate",
        "the same as a share of gated HNSW's",
        Bar::AtMost(0.3334),
    ),
    claim(
        "label graphs, reach",
        "the smallest share of a label's rows that can be reached through such rows",
        Bar::AtLeast(0.99),
    ),
    // serf.rs
    claim(
        "SeRF, exact",
        "nodes whose logged edges differ from a fresh build on the first r rows, over 5 r",
        Bar::AtMost(0.0),
    ),
    claim(
        "SeRF, 10 %",
        "distances at 0.97 where 10 % are in the range, as a share of gated HNSW's",
        Bar::AtMost(0.5),
    ),
    claim("SeRF, scan", "the same as a share of a scan's", Bar::AtMost(0.25)),
    claim(
        "SeRF, 1 %",
        "gated HNSW's distances at 0.95 where 1 % are in the range, as a multiple of SeRF's",
        Bar::AtLeast(10.0),
    ),
    claim(
        "SeRF, edges",
        "neighbours that a node picks, each stored at both ends",
        Bar::AtMost(30.0),
    ),
    // sets.rs
    claim(
        "UNG, filter",
        "hits without the labels asked for, and questions to the filter",
        Bar::AtMost(0.0),
    ),
    claim(
        "UNG, 5 labels",
        "distances at 0.97, as a share of a scan's",
        Bar::AtMost(0.25),
    ),
    claim(
        "UNG, 12 labels",
        "the best recall of any list",
        Bar::AtLeast(0.98),
    ),
    claim(
        "UNG, ACORN",
        "the best recall of ACORN-1 and ACORN-12 there stays below",
        Bar::AtMost(0.98),
    ),
    claim(
        "UNG, links",
        "the best recall without links between groups, the larger of 5 and 12 labels",
        Bar::AtMost(0.5),
    ),
    // debian.rs
    claim(
        "DEB, Stitched",
        "StitchedVamana's distances at 0.95 for the query's own section, as a share of gated HNSW's",
        Bar::AtMost(0.25),
    ),
    claim("DEB, Filtered", "the same for FilteredVamana", Bar::AtMost(0.25)),
    claim(
        "DEB, ACORN",
        "how far the best recall of ACORN-1 and ACORN-12 at any ef is below the label graphs'",
        Bar::AtLeast(0.0001),
    ),
    claim(
        "DEB, SeRF",
        "SeRF's distances at 0.98 where 10 % of installed sizes are in the range, as a share of gated HNSW's",
        Bar::AtMost(0.9),
    ),
    claim(
        "DEB, SeRF exact",
        "nodes whose logged edges differ from a fresh build on the first half",
        Bar::AtMost(0.0),
    ),
    claim(
        "DEB, winners",
        "how many different methods have the fewest distances at 0.95 over equality, label sets and ranges",
        Bar::AtLeast(2.0),
    ),
];

/// Measures some claims.
type Part<'a> = Box<dyn Fn() -> kokeshi_core::Result<Vec<f64>> + Sync + 'a>;

const fn claim(name: &'static str, claim: &'static str, bar: Bar) -> Claim {
    Claim { name, claim, bar }
}

/// The reproduction of FANNS.
pub(crate) struct Fanns;

impl Reproduction for Fanns {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let failed = |error: kokeshi_core::Error| failed(ID, error);
        let set = set::Set::draw(context.seed).map_err(failed)?;
        let debian = debian::Debian::read(&context.data, context.seed).map_err(failed)?;
        let parts: [Part<'_>; 5] = [
            Box::new(|| Ok(acorn::measure(&set)?.to_vec())),
            Box::new(|| Ok(labels::measure(&set)?.to_vec())),
            Box::new(|| Ok(serf::measure(&set)?.to_vec())),
            Box::new(|| Ok(sets::measure(&set)?.to_vec())),
            Box::new(|| Ok(debian.measure()?.to_vec())),
        ];
        let found = parts
            .par_iter()
            .map(|part| part())
            .collect::<kokeshi_core::Result<Vec<_>>>();
        let found = found.map_err(failed)?.concat();
        Ok(measured(CLAIMS, found))
    }
}
