//! The collection's own files: vectors and graph, opened and checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use kokeshi_core::{Embeddings, Metric, npy};
use kokeshi_index::{FlatIndex, Graph, GraphIndex, Index, Vectors};

use crate::state::{DataFile, State};
use crate::{Error, Result};

/// The head of a graph file, which holds the checksum of the rest.
const GRAPH_HEAD: u64 = 64;

/// The files of a generation.
pub struct Data {
    /// Every row, dead ones included.
    pub vectors: Vectors,
    /// What searches them.
    pub index: Box<dyn Index>,
    segments: Vec<(DataFile, Embeddings)>,
    graph: Option<(DataFile, Graph)>,
}

impl Data {
    /// Opens the files that `state` names. Those that `previous` has open already are shared with it, not opened and checked again.
    /// With `bytes`, every byte is checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] that names the file.
    pub fn open(directory: &Path, state: &State, bytes: bool, previous: Option<&Self>) -> Result<Self> {
        let mut vectors = Vectors::new(state.dims);
        let mut segments = Vec::with_capacity(state.vectors.len());
        for file in &state.vectors {
            let open = previous.and_then(|data| data.segments.iter().find(|(known, _)| known == file));
            let segment = match open {
                Some((_, segment)) => segment.clone(),
                None => open_vectors(&directory.join(&file.name), file, state.dims, bytes)?,
            };
            vectors.push_segment(segment.clone())?;
            segments.push((file.clone(), segment));
        }
        let graph = match &state.graph {
            None => None,
            Some(file) => {
                let open = previous.and_then(|data| data.graph.as_ref().filter(|(known, _)| known == file));
                let graph = match open {
                    Some((_, graph)) => graph.clone(),
                    None => open_graph(&directory.join(&file.name), file)?,
                };
                Some((file.clone(), graph))
            }
        };
        let index = index(directory, &vectors, graph.as_ref(), state.metric)?;
        Ok(Self {
            vectors,
            index,
            segments,
            graph,
        })
    }

    /// The graph, if there is one.
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref().map(|(_, graph)| graph)
    }
}

fn index(
    directory: &Path,
    vectors: &Vectors,
    graph: Option<&(DataFile, Graph)>,
    metric: Metric,
) -> Result<Box<dyn Index>> {
    let Some((file, graph)) = graph else {
        return Ok(Box::new(FlatIndex::new(vectors.clone(), metric)));
    };
    let path = directory.join(&file.name);
    if graph.nodes() as u64 != file.rows || graph.metric() != metric {
        return Err(Error::damaged(
            path,
            format!(
                "expected a graph of {} rows by {metric:?}, found {} by {:?}",
                file.rows,
                graph.nodes(),
                graph.metric()
            ),
        ));
    }
    let joined = GraphIndex::new(graph.clone(), vectors.clone());
    Ok(Box::new(
        joined.map_err(|error| Error::damaged(&path, error.to_string()))?,
    ))
}

/// Maps a vector file after looking at its length, its header and, with `bytes`, its checksum.
fn open_vectors(path: &Path, expected: &DataFile, dims: usize, bytes: bool) -> Result<Embeddings> {
    check_length(path, expected)?;
    if head(path, npy::HEADER_BYTES as u64)? != npy::header(expected.rows as usize, dims) {
        return Err(Error::damaged(
            path,
            format!(
                "expected the header of an array of shape ({}, {dims})",
                expected.rows
            ),
        ));
    }
    let opened = if bytes {
        npy::verify(path, expected.checksum)
    } else {
        npy::open(path)
    };
    opened.map_err(|error| damaged(path, error))
}

fn open_graph(path: &Path, expected: &DataFile) -> Result<Graph> {
    check_length(path, expected)?;
    let found = graph_checksum(path)?;
    if found != expected.checksum {
        return Err(Error::damaged(path, "it is not the graph that was committed"));
    }
    Graph::open(path).map_err(|error| match error {
        kokeshi_index::Error::Core(error) => damaged(path, error),
        other => Error::damaged(path, other.to_string()),
    })
}

/// What tells one graph file from another: the checksum of its head, which holds that of the rest.
pub fn graph_checksum(path: &Path) -> Result<u64> {
    Ok(kokeshi_core::file::checksum(&head(path, GRAPH_HEAD)?))
}

fn head(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes).read_to_end(&mut head))
        .map_err(|error| Error::damaged(path, error.to_string()))?;
    Ok(head)
}

fn damaged(path: &Path, error: kokeshi_core::Error) -> Error {
    match error {
        kokeshi_core::Error::File { problem, .. } => Error::damaged(path, problem),
        other => Error::damaged(path, other.to_string()),
    }
}

fn check_length(path: &Path, expected: &DataFile) -> Result<()> {
    let length = length(path).map_err(|error| Error::damaged(path, error.to_string()))?;
    if length != expected.bytes {
        return Err(Error::damaged(
            path,
            format!("expected {} bytes, found {length}", expected.bytes),
        ));
    }
    Ok(())
}

fn length(path: &Path) -> std::io::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

/// A finished vector file as a commit names it.
pub fn vector_file(path: &Path, name: String, (rows, checksum): (usize, u64)) -> Result<DataFile> {
    Ok(DataFile {
        name,
        rows: rows as u64,
        bytes: length(path).map_err(kokeshi_core::Error::io(path))?,
        checksum,
    })
}

/// A finished graph file as a commit names it.
pub fn graph_file(path: &Path, name: String, rows: usize) -> Result<DataFile> {
    Ok(DataFile {
        name,
        rows: rows as u64,
        bytes: length(path).map_err(kokeshi_core::Error::io(path))?,
        checksum: graph_checksum(path)?,
    })
}

/// Removes data files that `state` doesn't name: of generations that were never committed, or that are over.
pub fn remove_strangers(directory: &Path, state: &State) -> Result<()> {
    let needed: Vec<PathBuf> = state
        .vectors
        .iter()
        .chain(&state.graph)
        .map(|file| PathBuf::from(&file.name))
        .collect();
    let entries = std::fs::read_dir(directory).map_err(kokeshi_core::Error::io(directory))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = (name.starts_with("vectors-") && name.ends_with(".npy"))
            || name.starts_with("graph-")
            || name.contains(".tmp-");
        if ours && !needed.iter().any(|file| file.as_os_str() == entry.file_name()) {
            std::fs::remove_file(entry.path()).map_err(kokeshi_core::Error::io(entry.path()))?;
        }
    }
    Ok(())
}
