//! All methods, built over the same rows, and the planner of collections beside them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cpu_time::ThreadTime;
use kokeshi_core::{Embeddings, Metric, Progress, Result, Silent};
use kokeshi_filtered::{
    Acorn, AcornConfig, Built, Filter, Gate, Hnsw, HnswConfig, LabelGraph, Labels, Method, Near, OrScan,
    PostFilter, PreFilter, PrefixGraph, RangeGraph, Scratch, SerfConfig, Ung, UngConfig, VamanaConfig,
    Wanted, names,
};
use kokeshi_index::part::{self, Kind, Narrowed};
use kokeshi_index::{Effort, Found, Graph, GraphConfig, GraphIndex, Index, Part, Vectors};
use rayon::prelude::*;
use serde::Serialize;

use crate::attributes::Column;

/// ACORN's gamma: it serves selectivities from a twelfth on by its graph (the published default).
pub const GAMMA: usize = 12;

/// What collections search with, without parts and with them.
pub(crate) const PLANNER: &str = "Kokeshi's planner";
pub(crate) const PARTS: &str = "Kokeshi's parts";

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

/// A thing to build: its methods, the column that it is for, whether it has one setting, and how.
struct Job<'a> {
    names: &'static [&'static str],
    column: Option<String>,
    fixed: bool,
    build: Build<'a>,
}

/// Builds the methods that need no column and those that each of `columns` can have, several at a time; of these those whose
/// names have one of `only` in them, all if that is empty. Rows have unit length.
///
/// # Errors
/// Columns of other lengths than the rows; an interrupted build; `only` names none.
pub fn build(
    points: &Arc<Embeddings>,
    columns: &[(String, Column)],
    only: &[String],
    progress: &dyn Progress,
) -> Result<Vec<Ready>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
    let mut jobs = general(points, columns, wanted(PARTS));
    for (name, column) in columns {
        jobs.extend(special(points, name, column));
    }
    jobs.retain(|job| job.names.iter().any(|name| wanted(name)));
    if jobs.is_empty() {
        return Err(kokeshi_core::Error::Parse {
            what: "methods".into(),
            expected: "parts of the names of some".into(),
            found: only.join(", "),
        });
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
                .filter(|method| wanted(method.name()))
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
    names: &'static [&'static str],
    column: Option<&str>,
    build: impl Fn() -> Result<Vec<Box<dyn Method>>> + Send + Sync + 'a,
) -> Job<'a> {
    Job {
        names,
        column: column.map(str::to_owned),
        fixed: false,
        build: Box::new(build),
    }
}

fn general<'a>(points: &'a Arc<Embeddings>, columns: &'a [(String, Column)], parts: bool) -> Vec<Job<'a>> {
    let scan = Job {
        fixed: true,
        ..job(&[names::SCAN], None, || {
            Ok(vec![Box::new(PreFilter(points.clone()))])
        })
    };
    let planner = Job {
        fixed: true,
        ..job(&[PLANNER, PARTS], None, move || {
            let planner = Planner::build(points)?;
            let mut methods: Vec<Box<dyn Method>> = vec![Box::new(planner.clone())];
            if parts {
                methods.push(Box::new(Parts::build(points, columns, planner)?));
            }
            Ok(methods)
        })
    };
    vec![
        job(&[names::ACORN_GAMMA], None, || {
            let gamma = Acorn::build(points.clone(), AcornConfig::gamma(GAMMA));
            let gamma = OrScan::below(1.0 / GAMMA as f64, gamma, points.clone());
            Ok(vec![Box::new(gamma)])
        }),
        job(&[names::GATE, names::POST_FILTER], None, || {
            let hnsw = Arc::new(Hnsw::build(points.clone(), HnswConfig::default()));
            Ok(vec![Box::new(Gate(hnsw.clone())), Box::new(PostFilter(hnsw))])
        }),
        job(&[names::ACORN_1], None, || {
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
                job(&[names::FILTERED_VAMANA], name, move || {
                    let config = VamanaConfig::default();
                    let graph = LabelGraph::filtered(points.clone(), filtered.clone(), config)?;
                    Ok(vec![Box::new(graph)])
                }),
                job(&[names::STITCHED_VAMANA], name, move || {
                    let config = VamanaConfig::default();
                    let graph = LabelGraph::stitched(points.clone(), stitched.clone(), small, config)?;
                    Ok(vec![Box::new(graph)])
                }),
                job(&[names::UNG], name, move || {
                    Ok(vec![Box::new(Ung::build(points, &labels, UngConfig::default())?)])
                }),
            ]
        }
        Column::Number(numbers) => vec![
            job(&[names::SERF], name, move || {
                let config = SerfConfig::default();
                Ok(vec![Box::new(RangeGraph::build(points, numbers, config)?)])
            }),
            job(&[names::SERF_HALF], name, move || {
                let config = SerfConfig::default();
                Ok(vec![Box::new(PrefixGraph::build(points, numbers, config)?)])
            }),
        ],
    }
}

/// What collections search with: a graph on codes of half a byte a direction, which scans instead where that is cheaper. It looks at rows that
/// pass, not at why, and is asked at its default effort.
#[derive(Clone)]
struct Planner {
    index: GraphIndex,
    bytes: usize,
}

fn failed(error: kokeshi_index::Error) -> kokeshi_core::Error {
    kokeshi_core::Error::Parse {
        what: "building the graph of collections".into(),
        expected: "to finish".into(),
        found: error.to_string(),
    }
}

/// Of a graph of so many rows: adjacency, and two cache lines of code where rows are wide enough for one.
fn graph_bytes(rows: usize, dims: usize) -> usize {
    let code = if dims >= 128 { 128 } else { 0 };
    rows * (4 * GraphConfig::default().degree + code)
}

fn graph(vectors: &Vectors) -> Result<Graph> {
    Graph::build(vectors, Metric::Cosine, GraphConfig::default(), &Silent).map_err(failed)
}

fn put(found: Found, scratch: &mut Scratch, hits: &mut Vec<Near>) {
    scratch.counts.distances += found.cost.distances as u64;
    scratch.counts.visited += found.cost.visited as u64;
    // Of unit vectors: |a - b|^2 = 2 - 2 cos.
    let near = |hit: &kokeshi_core::Scored| Near::new((2.0 - 2.0 * hit.score).max(0.0), hit.id);
    hits.extend(found.hits.iter().map(near));
}

impl Planner {
    fn build(points: &Arc<Embeddings>) -> Result<Self> {
        let vectors = Vectors::from((**points).clone());
        let graph = graph(&vectors)?;
        let bytes = graph_bytes(points.rows(), points.dims());
        let index = GraphIndex::new(graph, vectors).map_err(failed)?;
        Ok(Self { index, bytes })
    }
}

impl Method for Planner {
    fn name(&self) -> &'static str {
        PLANNER
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
        let rows = &wanted.filter.rows;
        let found = self
            .index
            .search(wanted.query, wanted.k, Effort::Default, Some(rows));
        // The query was checked; nothing else can fail.
        if let Ok(found) = found {
            put(found, scratch, hits);
        }
    }
}

/// The parts of all attributes, as collections have them with `--index-attr`, and the planner over all rows for filters that no part holds.
struct Parts {
    planner: Planner,
    vectors: Vectors,
    /// The smallest first.
    parts: Vec<Part>,
    /// By the address of a filter's words: collections look for a filter's part once, too.
    known: Mutex<HashMap<usize, Option<Inside>>>,
}

/// The number of a part, and what a filter is there.
type Inside = Arc<(usize, Narrowed)>;

impl Parts {
    fn build(points: &Arc<Embeddings>, columns: &[(String, Column)], planner: Planner) -> Result<Self> {
        let rows = points.rows();
        let vectors = Vectors::from((**points).clone());
        let mut parts = Vec::new();
        for ids in columns.iter().flat_map(|(_, column)| chosen(column, rows)) {
            let ids: Arc<[u32]> = ids.into();
            let graph = graph(&vectors.pick(ids.clone())?)?;
            parts.push(Part::new(graph, ids, &vectors, rows).map_err(failed)?);
        }
        parts.sort_by_key(Part::len);
        Ok(Self {
            planner,
            vectors,
            parts,
            known: Mutex::default(),
        })
    }

    fn inside(&self, filter: &Filter) -> Option<Inside> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let look = || {
            let mut parts = self.parts.iter().enumerate();
            parts.find_map(|(at, part)| Some(Arc::new((at, part.narrow(&filter.rows)?))))
        };
        let address = filter.rows.words().as_ptr() as usize;
        known.entry(address).or_insert_with(look).clone()
    }
}

/// The rows of each part of a column.
fn chosen(column: &Column, rows: usize) -> Vec<Vec<u32>> {
    fn only<T>(parts: Vec<(part::Common<T>, Vec<u32>)>) -> Vec<Vec<u32>> {
        parts.into_iter().map(|(_, rows)| rows).collect()
    }
    match column {
        Column::Category(labels) | Column::Set(labels) => {
            let all = (0..rows as u32).flat_map(|row| labels.of(row).iter().map(move |&label| (label, row)));
            only(part::common(&all.collect::<Vec<_>>(), rows, Kind::Names))
        }
        Column::Number(numbers) => {
            let known = (0u32..).zip(numbers).filter(|(_, number)| !number.is_nan());
            let all: Vec<(i64, u32)> = known.map(|(row, &number)| (ordered(number), row)).collect();
            only(part::common(&all, rows, Kind::Amounts))
        }
    }
}

/// An integer that orders like a number.
fn ordered(number: f64) -> i64 {
    let bits = number.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

impl Method for Parts {
    fn name(&self) -> &'static str {
        PARTS
    }

    fn dims(&self) -> usize {
        self.vectors.dims()
    }

    /// Beside the planner.
    fn built(&self) -> Built {
        let rows: usize = self.parts.iter().map(Part::len).sum();
        Built {
            distances: 0,
            edges: rows * GraphConfig::default().degree,
            bytes: graph_bytes(rows, self.vectors.dims()) + 4 * rows,
        }
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let rows = &wanted.filter.rows;
        let Some(inside) = self.inside(wanted.filter) else {
            return self.planner.find(wanted, scratch, hits);
        };
        let part = &self.parts[inside.0];
        let found = part.search(
            &self.vectors,
            wanted.query,
            wanted.k,
            Effort::Default,
            rows,
            &inside.1,
        );
        if let Ok(found) = found {
            put(found, scratch, hits);
        }
    }
}
