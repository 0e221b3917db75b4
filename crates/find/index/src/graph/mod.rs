//! The proximity graph: built in memory in parallel, extended with new rows, searched from memory or from a mapped file.

mod build;
mod by_codes;
mod calibrate;
mod cells;
mod codes;
mod file;
mod find;
mod nearest;
mod projection;
mod scratch;
mod search;
mod space;
mod words;

use kokeshi_core::{Error as CoreError, Metric, Progress, Seed};

pub(crate) use by_codes::{WHOLE, Wanted, asked_about, candidates, list_for};
use calibrate::Measured;
pub(crate) use calibrate::{K as MEASURED_K, RECALL as DEFAULT_RECALL};
use cells::Cells;
use codes::Codes;
pub(crate) use find::{ENTRY_CELLS, Look, Steps};
pub(crate) use search::Gate;
use search::Walk;
pub(crate) use words::{NONE, Words};

use crate::{Result, Vectors};

/// How a [`Graph`] is built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphConfig {
    /// The number of neighbours a node can have (Vamana's R), 4 to 1024; a node takes `4 * degree` bytes.
    pub degree: usize,
    /// The length of the candidate list while building (Vamana's L).
    pub list: usize,
    /// How much closer a neighbour must be to a candidate than the node itself is to make the candidate redundant, on squared
    /// distances; larger values keep more long edges. At least 1.
    pub alpha: f32,
    /// Where the order of insertion comes from.
    pub seed: Seed,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            degree: 32,
            list: 200,
            alpha: 1.2,
            seed: Seed(0x6b6f_6b65_7368_6921),
        }
    }
}

impl GraphConfig {
    fn check(&self) -> Result<(), CoreError> {
        let wrong = |what: &str, expected: &str, found: String| {
            Err(CoreError::Parse {
                what: format!("the graph's {what}"),
                expected: expected.into(),
                found,
            })
        };
        if !(4..=1024).contains(&self.degree) {
            return wrong("degree", "4 to 1024", self.degree.to_string());
        }
        if !(1..=1 << 20).contains(&self.list) {
            return wrong("list length", "1 to 1048576", self.list.to_string());
        }
        if !(1.0..=100.0).contains(&self.alpha) {
            return wrong("alpha", "1 to 100", self.alpha.to_string());
        }
        Ok(())
    }
}

/// Candidate lists number nodes with 31 bits.
const MOST_ROWS: usize = 1 << 31;

fn check_rows(vectors: &Vectors) -> Result<()> {
    if vectors.rows() > MOST_ROWS {
        return Err(CoreError::Parse {
            what: "vectors for a graph".into(),
            expected: format!("at most {MOST_ROWS} rows"),
            found: vectors.rows().to_string(),
        }
        .into());
    }
    Ok(())
}

/// A proximity graph over the first rows of some [`Vectors`], which it does not hold: row i of the vectors is node i.
///
/// The same rows, in the same steps of [`Graph::build`] and [`Graph::extend`], with the same configuration give the same graph,
/// byte for byte, on any number of threads (of machines with the same vector instructions: those decide the rounding).
/// Rows with NaN or infinite values are no part of it.
#[derive(Clone)]
pub struct Graph {
    adjacency: Words,
    /// What walks compare; none if rows are so narrow that they compare the rows themselves.
    codes: Option<Codes>,
    /// None if there are no codes, or few rows.
    cells: Option<Cells>,
    /// Rows covered, usable or not.
    nodes: usize,
    /// Rows linked into the graph.
    linked: usize,
    dims: usize,
    /// Where searches start; [`NONE`] if nothing is linked.
    entry: u32,
    metric: Metric,
    config: GraphConfig,
    measured: Measured,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Graph[{} nodes of degree {}, {:?}]",
            self.nodes, self.config.degree, self.metric
        )
    }
}

impl Graph {
    /// A graph over all rows of `vectors`; for [`Metric::Cosine`] they must have unit length.
    ///
    /// # Errors
    /// A configuration out of range, or [`crate::Error::Interrupted`] if `progress` asks to stop.
    pub fn build(
        vectors: &Vectors,
        metric: Metric,
        config: GraphConfig,
        progress: &dyn Progress,
    ) -> Result<Self> {
        config.check()?;
        check_rows(vectors)?;
        let mut graph = Self {
            adjacency: Words::Owned(Vec::new()),
            codes: None,
            cells: None,
            nodes: 0,
            linked: 0,
            dims: vectors.dims(),
            entry: NONE,
            metric,
            config,
            measured: Measured::NOT_YET,
        };
        graph.grow(vectors, progress)?;
        Ok(graph)
    }

    /// Links in the rows of `vectors` that the graph does not cover yet; the rows it covers must be the same as before.
    ///
    /// # Errors
    /// [`CoreError::Dims`] if the width differs, [`CoreError::Parse`] if there are fewer rows than the graph covers,
    /// [`crate::Error::Interrupted`]; the graph is then as it was.
    pub fn extend(&mut self, vectors: &Vectors, progress: &dyn Progress) -> Result<()> {
        self.check_fits(vectors)?;
        if vectors.rows() == self.nodes {
            return Ok(());
        }
        self.grow(vectors, progress)
    }

    /// How many rows it covers: `0..nodes()`.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The width of the rows.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How rows are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// How it was built.
    pub fn config(&self) -> GraphConfig {
        self.config
    }

    /// The length of the candidate list that [`crate::Effort::Default`] stands for; `None` if comparing everything is as good.
    ///
    /// Measured while building: rows about to be linked in ask for their 10 nearest among those already there, and the shortest list
    /// that finds 99 % of them on the way is taken, but at least 32. That is done again whenever an extension has brought half as many
    /// rows again. Before there are enough rows for a walk to be cheaper than a scan it is 32.
    pub fn default_list(&self) -> Option<usize> {
        self.measured.default_list()
    }

    /// The length of the candidate list that [`crate::Effort::Recall`] stands for, from the same measurement; `None` if only comparing
    /// everything finds so many.
    pub fn list_for_recall(&self, recall: f32) -> Option<usize> {
        self.measured.list(recall)
    }

    /// The recall that was measured for a list of `length`.
    pub(crate) fn recall_of(&self, length: usize) -> f32 {
        self.measured.recall(length)
    }

    /// The mean number of neighbours of a linked row.
    pub fn mean_degree(&self) -> f64 {
        let edges = self.adjacency.values().iter().filter(|&&id| id != NONE).count();
        edges as f64 / self.linked.max(1) as f64
    }

    /// Whether the graph can belong to these vectors.
    pub(crate) fn check_fits(&self, vectors: &Vectors) -> Result<()> {
        if self.dims != vectors.dims() {
            return Err(CoreError::Dims {
                what: "vectors for a graph".into(),
                expected: self.dims,
                found: vectors.dims(),
            }
            .into());
        }
        if vectors.rows() < self.nodes {
            return Err(CoreError::Parse {
                what: "vectors for a graph".into(),
                expected: format!("at least the {} rows that the graph covers", self.nodes),
                found: vectors.rows().to_string(),
            }
            .into());
        }
        check_rows(vectors)
    }

    /// What searches look with.
    pub(crate) fn look<'a>(&'a self, vectors: &'a Vectors) -> Look<'a> {
        let walk = (self.entry != NONE).then_some(Walk {
            places: self.adjacency.values(),
            degree: self.config.degree,
            entries: std::slice::from_ref(&self.entry),
        });
        Look {
            walk,
            codes: self.codes.as_ref(),
            cells: self.cells.as_ref(),
            vectors,
            nodes: self.nodes,
            measured: &self.measured,
        }
    }
}
