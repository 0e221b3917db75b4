//! A scan in place of a method where few rows pass: ACORN's last step (arXiv 2403.04871), of use to any graph.

use std::sync::Arc;

use kokeshi_core::Embeddings;

use crate::beam::{Near, Scratch};
use crate::hnsw::PreFilter;
use crate::method::{Built, Method, Wanted};

/// A method, and a scan of what passes where that is less than a share of the rows.
#[derive(Debug)]
pub struct OrScan<M> {
    method: M,
    scan: PreFilter,
    least: f64,
}

impl<M: Method> OrScan<M> {
    /// `method` where at least the share `least` of `points` passes. ACORN-gamma's is 1 / gamma.
    pub fn below(least: f64, method: M, points: Arc<Embeddings>) -> Self {
        Self {
            method,
            scan: PreFilter(points),
            least,
        }
    }
}

impl<M: Method> Method for OrScan<M> {
    fn name(&self) -> &'static str {
        self.method.name()
    }

    fn dims(&self) -> usize {
        self.method.dims()
    }

    fn built(&self) -> Built {
        self.method.built()
    }

    fn serves(&self, filter: &crate::Filter) -> bool {
        self.method.serves(filter)
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        if wanted.filter.rows.selectivity() < self.least {
            self.scan.find(wanted, scratch, hits);
        } else {
            self.method.find(wanted, scratch, hits);
        }
    }
}
