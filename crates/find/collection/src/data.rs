//! The collection's own files: vectors, graph, codes and a bridge, opened and checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kokeshi_codec::file::Codes;
use kokeshi_codec::{Bridge, Chain};
use kokeshi_core::{Embeddings, Metric, npy};
use kokeshi_index::{FlatIndex, Graph, GraphIndex, Index, Part, Vectors};

use crate::coded::CodedIndex;
use crate::parts::Parts;
use crate::state::{DataFile, Parted, State};
use crate::{Error, Result};

/// The head of a container (graph, codec, codes, bridge), which holds the checksum of the rest.
const GRAPH_HEAD: u64 = 64;

/// An attribute's parts as they are open: the file of their rows with these, and their graphs.
struct OpenParted {
    ids: (DataFile, Vec<Arc<[u32]>>),
    graphs: Vec<(DataFile, Graph)>,
}

/// The files of a generation.
pub struct Data {
    /// Every row, dead ones included.
    pub vectors: Vectors,
    /// What searches them.
    pub index: Box<dyn Index>,
    /// Graphs for common filters.
    pub parts: Parts,
    parted: Vec<OpenParted>,
    segments: Vec<(DataFile, Embeddings)>,
    graph: Option<(DataFile, Graph)>,
    chain: Option<(DataFile, Arc<Chain>)>,
    codes: Option<(DataFile, Arc<Codes>)>,
    /// Vectors of a model that is taking over, and the bridge to it.
    filling: Vec<(DataFile, Embeddings)>,
    bridge: Option<(DataFile, Arc<Bridge>)>,
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
        let known = |file: &DataFile| {
            let all = |data: &Self| {
                data.segments
                    .iter()
                    .chain(&data.filling)
                    .cloned()
                    .collect::<Vec<_>>()
            };
            let open = previous.map(all).unwrap_or_default();
            open.into_iter().find(|(known, _)| known == file)
        };
        let open = |file: &DataFile, dims| -> Result<_> {
            Ok(match known(file) {
                Some(open) => open,
                None => (
                    file.clone(),
                    open_vectors(&directory.join(&file.name), file, dims, bytes)?,
                ),
            })
        };
        for file in &state.vectors {
            let (file, segment) = open(file, state.dims)?;
            vectors.push_segment(segment.clone())?;
            segments.push((file, segment));
        }
        let (mut filling, mut bridge) = (Vec::new(), None);
        if let Some(moving) = &state.migration {
            for file in &moving.vectors {
                filling.push(open(file, moving.dims)?);
            }
            let open = previous.and_then(|data| data.bridge.clone());
            bridge = Some(shared(open, &moving.bridge, |file| {
                open_bridge(directory, state, file)
            })?);
        }
        let graph = match &state.graph {
            None => None,
            Some(file) => {
                let open = previous.and_then(|data| data.graph.as_ref().filter(|(known, _)| known == file));
                let graph = match open {
                    Some((_, graph)) => graph.clone(),
                    None => {
                        let open = if file.bytes <= LOADED {
                            Graph::load
                        } else {
                            Graph::open
                        };
                        open_graph(&directory.join(&file.name), file, open)?
                    }
                };
                Some((file.clone(), graph))
            }
        };
        let mut index = index(directory, &vectors, graph.as_ref(), state.metric)?;
        let (mut chain, mut codes) = (None, None);
        if let Some(coded) = &state.codec {
            if let Some(file) = &coded.chain {
                let open = previous.and_then(|data| data.chain.clone());
                chain = Some(shared(open, file, |file| open_chain(directory, state, file))?);
            }
            if let (Some(file), Some((_, chain))) = (&coded.codes, &chain) {
                let open = previous.and_then(|data| data.codes.clone());
                let opened = shared(open, file, |file| open_codes(directory, chain, file))?;
                let graph = graph.is_some().then_some(index);
                index = Box::new(CodedIndex::new(
                    chain.clone(),
                    opened.1.clone(),
                    vectors.clone(),
                    state.metric,
                    graph,
                    coded.measured.clone(),
                ));
                codes = Some(opened);
            }
        }
        let before = previous.map_or(&[][..], |data| &data.parted);
        let (mut parts, mut parted) = (Vec::new(), Vec::new());
        for wanted in &state.parted {
            parted.extend(open_parted(
                directory, state, wanted, before, &vectors, &mut parts,
            )?);
        }
        Ok(Self {
            vectors,
            index,
            parts: Parts::new(parts),
            parted,
            segments,
            graph,
            chain,
            codes,
            filling,
            bridge,
        })
    }

    /// The trained codec, if there is one.
    pub fn chain(&self) -> Option<&Arc<Chain>> {
        self.chain.as_ref().map(|(_, chain)| chain)
    }

    /// Codes of the first rows, if there are any.
    pub fn codes(&self) -> Option<&Arc<Codes>> {
        self.codes.as_ref().map(|(_, codes)| codes)
    }

    /// The bridge to a model that is taking over.
    pub fn bridge(&self) -> Option<&Arc<Bridge>> {
        self.bridge.as_ref().map(|(_, bridge)| bridge)
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

/// Graphs up to so many bytes, of a million rows or so, are read into memory; larger ones are mapped, so that the system may take that memory
/// back, and so are those of parts, which few searches ask for.
const LOADED: u64 = 256 << 20;

fn open_graph(
    path: &Path,
    expected: &DataFile,
    open: fn(&Path) -> kokeshi_index::Result<Graph>,
) -> Result<Graph> {
    check_length(path, expected)?;
    let found = graph_checksum(path)?;
    if found != expected.checksum {
        return Err(Error::damaged(path, "it is not the graph that was committed"));
    }
    open(path).map_err(|error| match error {
        kokeshi_index::Error::Core(error) => damaged(path, error),
        other => Error::damaged(path, other.to_string()),
    })
}

/// Opens the parts of an attribute, if they are made, and puts them into `parts`.
fn open_parted(
    directory: &Path,
    state: &State,
    wanted: &Parted,
    before: &[OpenParted],
    vectors: &Vectors,
    parts: &mut Vec<(String, Part)>,
) -> Result<Option<OpenParted>> {
    let Some(file) = &wanted.ids else {
        return Ok(None);
    };
    let lists = match before.iter().find(|open| open.ids.0 == *file) {
        Some(open) => open.ids.1.clone(),
        None => {
            let path = container(directory, file, "file of rows")?;
            crate::parts::read(&path, wanted).map_err(|error| damaged(&path, error))?
        }
    };
    let mut graphs = Vec::with_capacity(wanted.parts.len());
    for (part, ids) in wanted.parts.iter().zip(&lists) {
        let path = directory.join(&part.graph.name);
        let known = before.iter().flat_map(|open| &open.graphs);
        let graph = match known.into_iter().find(|(known, _)| *known == part.graph) {
            Some((_, graph)) => graph.clone(),
            None => open_graph(&path, &part.graph, Graph::open)?,
        };
        if graph.nodes() as u64 != part.graph.rows
            || graph.metric() != state.metric
            || graph.dims() != state.dims
        {
            let problem = format!(
                "expected a graph of {} rows of {} dims by {:?}, found {} of {} by {:?}",
                part.graph.rows,
                state.dims,
                state.metric,
                graph.nodes(),
                graph.dims(),
                graph.metric()
            );
            return Err(Error::damaged(path, problem));
        }
        let opened = Part::new(graph.clone(), ids.clone(), vectors, wanted.rows as usize);
        let opened = opened.map_err(|error| Error::damaged(directory.join(&file.name), error.to_string()))?;
        parts.push((part.name.clone(), opened));
        graphs.push((part.graph.clone(), graph));
    }
    let ids = (file.clone(), lists);
    Ok(Some(OpenParted { ids, graphs }))
}

/// What is open already if it is `file`, or what `open` makes of it.
fn shared<T>(
    before: Option<(DataFile, Arc<T>)>,
    file: &DataFile,
    open: impl FnOnce(&DataFile) -> Result<T>,
) -> Result<(DataFile, Arc<T>)> {
    match before.filter(|(known, _)| known == file) {
        Some(before) => Ok(before),
        None => Ok((file.clone(), Arc::new(open(file)?))),
    }
}

/// The path of a container after a look at its length and its head.
fn container(directory: &Path, file: &DataFile, what: &str) -> Result<PathBuf> {
    let path = directory.join(&file.name);
    check_length(&path, file)?;
    if graph_checksum(&path)? != file.checksum {
        return Err(Error::damaged(
            path,
            format!("it is not the {what} that was committed"),
        ));
    }
    Ok(path)
}

fn open_chain(directory: &Path, state: &State, file: &DataFile) -> Result<Chain> {
    let path = container(directory, file, "codec")?;
    let chain = Chain::load(&path).map_err(|error| damaged(&path, error))?;
    let (dims, metric) = (
        kokeshi_codec::Codec::dims(&chain),
        kokeshi_codec::Codec::metric(&chain),
    );
    match (dims, metric) == (state.dims, state.metric) {
        true => Ok(chain),
        false => Err(Error::damaged(
            path,
            format!(
                "expected a codec of {} dims by {:?}, found {dims} by {metric:?}",
                state.dims, state.metric
            ),
        )),
    }
}

fn open_codes(directory: &Path, chain: &Chain, file: &DataFile) -> Result<Codes> {
    let path = container(directory, file, "file of codes")?;
    let codes = Codes::open(&path, chain).map_err(|error| damaged(&path, error))?;
    match codes.rows() as u64 == file.rows {
        true => Ok(codes),
        false => Err(Error::damaged(
            path,
            format!("expected {} codes, found {}", file.rows, codes.rows()),
        )),
    }
}

fn open_bridge(directory: &Path, state: &State, file: &DataFile) -> Result<Bridge> {
    let path = container(directory, file, "bridge")?;
    let bridge = Bridge::load(&path).map_err(|error| damaged(&path, error))?;
    match bridge.old_dims() == state.dims {
        true => Ok(bridge),
        false => Err(Error::damaged(
            path,
            format!(
                "expected a bridge to {} dims, found one to {}",
                state.dims,
                bridge.old_dims()
            ),
        )),
    }
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

/// A finished container (graph, codec, codes, bridge) as a commit names it.
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
    let needed: Vec<PathBuf> = state.files().map(|file| PathBuf::from(&file.name)).collect();
    let entries = std::fs::read_dir(directory).map_err(kokeshi_core::Error::io(directory))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = (name.starts_with("vectors-") && name.ends_with(".npy"))
            || ["graph-", "codec-", "codes-", "bridge-", "part-", "rows-"]
                .iter()
                .any(|kind| name.starts_with(kind))
            || name.contains(".tmp-");
        if ours && !needed.iter().any(|file| file.as_os_str() == entry.file_name()) {
            std::fs::remove_file(entry.path()).map_err(kokeshi_core::Error::io(entry.path()))?;
        }
    }
    Ok(())
}
