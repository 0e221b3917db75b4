//! All methods, built over the same rows, and the planner of collections beside them.

use std::sync::Arc;

use cpu_time::ThreadTime;
use kokeshi_core::{Embeddings, Metric, Progress, Result, Silent};
use kokeshi_filtered::{
    Acorn, AcornConfig, Built, Filter, Gate, Hnsw, HnswConfig, LabelGraph, Labels, Method, Near, OrScan,
    PostFilter, PreFilter, PrefixGraph, RangeGraph, Scratch, SerfConfig, Ung, UngConfig, VamanaConfig,
    Wanted,
};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Vectors};
use rayon::prelude::*;
use serde::Serialize;

use crate::attributes::Column;

/// ACORN's gamma: it serves selectivities from a twelfth on by its graph (the published default).
pub const GAMMA: usize = 12;

/// A method that is ready, and what it took.
pub struct Ready {
    /// The method.
    pub method: Box<dyn Method>,
    /// What it cost.
    pub cost: BuildCost,
    /// It has one setting, and the length of a list is none of its business.
    pub fixed: bool,
}

/// What an index took to build and takes to keep.
#[derive(Debug, Clone, Serialize)]
pub struct BuildCost {
    /// The name of the method.
    pub method: &'static str,
    /// The column that it was made for; `None` for any filter.
    pub column: Option<String>,
    /// Seconds of processor time, of which those that another method shares are in both.
    pub seconds: f64,
    /// Distances computed while searching for neighbours; 0 where it is not counted.
    pub distances: u64,
    /// Links between rows.
    pub edges: usize,
    /// Bytes beside the vectors.
    pub bytes: usize,
}

type Build<'a> = Box<dyn Fn() -> Result<Vec<Box<dyn Method>>> + Send + Sync + 'a>;

/// A thing to build: the column that it is for, whether it has one setting, and how.
struct Job<'a> {
    column: Option<String>,
    fixed: bool,
    build: Build<'a>,
}

/// Builds the methods that need no column and those that each of `columns` can have, several at a time. Rows have unit length.
///
/// # Errors
/// Columns of other lengths than the rows; an interrupted build.
pub fn build(
    points: &Arc<Embeddings>,
    columns: &[(String, Column)],
    progress: &dyn Progress,
) -> Result<Vec<Ready>> {
    let mut jobs = general(points);
    for (name, column) in columns {
        jobs.extend(special(points, name, column));
    }
    progress.start("building", Some(jobs.len() as u64), "indexes");
    let built: Result<Vec<Vec<Ready>>> = jobs
        .par_iter()
        .map(|job| {
            if progress.interrupted() {
                return Err(kokeshi_core::Error::Parse {
                    what: "building".into(),
                    expected: "to finish".into(),
                    found: "an interruption".into(),
                });
            }
            let start = ThreadTime::now();
            let methods = (job.build)()?;
            let seconds = start.elapsed().as_secs_f64();
            progress.advance(1);
            Ok(methods
                .into_iter()
                .map(|method| ready(method, job, seconds))
                .collect())
        })
        .collect();
    progress.finish();
    Ok(built?.into_iter().flatten().collect())
}

fn ready(method: Box<dyn Method>, job: &Job<'_>, seconds: f64) -> Ready {
    let built = method.built();
    Ready {
        cost: BuildCost {
            method: method.name(),
            column: job.column.clone(),
            seconds,
            distances: built.distances,
            edges: built.edges,
            bytes: built.bytes,
        },
        method,
        fixed: job.fixed,
    }
}

fn job<'a>(
    column: Option<&str>,
    build: impl Fn() -> Result<Vec<Box<dyn Method>>> + Send + Sync + 'a,
) -> Job<'a> {
    Job {
        column: column.map(str::to_owned),
        fixed: false,
        build: Box::new(build),
    }
}

fn general(points: &Arc<Embeddings>) -> Vec<Job<'_>> {
    let scan = Job {
        fixed: true,
        ..job(None, || Ok(vec![Box::new(PreFilter(points.clone()))]))
    };
    let planner = Job {
        fixed: true,
        ..job(None, || Ok(vec![Box::new(Planner::build(points)?)]))
    };
    vec![
        job(None, || {
            let gamma = Acorn::build(points.clone(), AcornConfig::gamma(GAMMA));
            let gamma = OrScan::below(1.0 / GAMMA as f64, gamma, points.clone());
            Ok(vec![Box::new(gamma)])
        }),
        job(None, || {
            let hnsw = Arc::new(Hnsw::build(points.clone(), HnswConfig::default()));
            Ok(vec![Box::new(Gate(hnsw.clone())), Box::new(PostFilter(hnsw))])
        }),
        job(None, || {
            Ok(vec![Box::new(Acorn::build(points.clone(), AcornConfig::one()))])
        }),
        scan,
        planner,
    ]
}

fn special<'a>(points: &'a Arc<Embeddings>, name: &'a str, column: &'a Column) -> Vec<Job<'a>> {
    let name = Some(name);
    match column {
        Column::Category(labels) | Column::Set(labels) => {
            let labels: Arc<Labels> = Arc::new(labels.clone());
            let (filtered, stitched) = (labels.clone(), labels.clone());
            let small = VamanaConfig {
                degree: 32,
                ..VamanaConfig::default()
            };
            vec![
                job(name, move || {
                    let config = VamanaConfig::default();
                    let graph = LabelGraph::filtered(points.clone(), filtered.clone(), config)?;
                    Ok(vec![Box::new(graph)])
                }),
                job(name, move || {
                    let config = VamanaConfig::default();
                    let graph = LabelGraph::stitched(points.clone(), stitched.clone(), small, config)?;
                    Ok(vec![Box::new(graph)])
                }),
                job(name, move || {
                    Ok(vec![Box::new(Ung::build(points, &labels, UngConfig::default())?)])
                }),
            ]
        }
        Column::Number(numbers) => vec![
            job(name, move || {
                let config = SerfConfig::default();
                Ok(vec![Box::new(RangeGraph::build(points, numbers, config)?)])
            }),
            job(name, move || {
                let config = SerfConfig::default();
                Ok(vec![Box::new(PrefixGraph::build(points, numbers, config)?)])
            }),
        ],
    }
}

/// What collections search with: a graph on one-bit codes, which scans instead where that is cheaper. It looks at rows that pass, not
/// at why, and is asked at its default effort.
struct Planner {
    index: GraphIndex,
    bytes: usize,
}

impl Planner {
    fn build(points: &Arc<Embeddings>) -> Result<Self> {
        let failed = |error: kokeshi_index::Error| kokeshi_core::Error::Parse {
            what: "building the graph of collections".into(),
            expected: "to finish".into(),
            found: error.to_string(),
        };
        let vectors = Vectors::from((**points).clone());
        let config = GraphConfig::default();
        let graph = Graph::build(&vectors, Metric::Cosine, config, &Silent).map_err(failed)?;
        // Adjacency, and a code of one bit a value with its numbers, rounded up to whole cache lines.
        let code = (points.dims().div_ceil(8) + 12).next_multiple_of(64);
        let bytes = points.rows() * (4 * config.degree + code);
        let index = GraphIndex::new(graph, vectors).map_err(failed)?;
        Ok(Self { index, bytes })
    }
}

impl Method for Planner {
    fn name(&self) -> &'static str {
        "Kokeshi's planner"
    }

    fn dims(&self) -> usize {
        self.index.dims()
    }

    fn built(&self) -> Built {
        Built {
            distances: 0,
            edges: (self.index.graph().mean_degree() * self.index.len() as f64) as usize,
            bytes: self.bytes,
        }
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let filter: &Filter = wanted.filter;
        // The query was checked; nothing else can fail.
        let Ok(found) = self
            .index
            .search(wanted.query, wanted.k, Effort::Default, Some(&filter.rows))
        else {
            return;
        };
        scratch.counts.distances += found.cost.distances as u64;
        scratch.counts.visited += found.cost.visited as u64;
        // Of unit vectors: |a - b|^2 = 2 - 2 cos.
        hits.extend(
            found
                .hits
                .iter()
                .map(|hit| Near::new((2.0 - 2.0 * hit.score).max(0.0), hit.id)),
        );
    }
}
