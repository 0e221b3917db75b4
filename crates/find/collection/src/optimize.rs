//! Making a collection faster and smaller without changing what it holds: a graph over its vectors, few vector files, no dead rows.

use kokeshi_codec::Codec;
use kokeshi_core::{Progress, npy};
use kokeshi_index::{Graph, GraphConfig};

use crate::codes::needs_codes;
use crate::data::{Data, graph_file, vector_file};
use crate::parts::needs_parts;
use crate::rewrite::Rewrite;
use crate::state::{DataFile, State};
use crate::writer::Writer;
use crate::{Error, Result, chance};

/// Values (rows times dims) that are scanned faster than a graph is walked with all that belongs to it: some 3 ms on one core.
const SCANNED: u64 = 8 << 20;
/// Vector files that a collection may have before neighbours are joined.
const FILES: usize = 8;
/// Compaction begins when this share of the rows is dead (in percent) ...
const DEAD_PERCENT: u64 = 30;
/// ... and these are at least so many.
const DEAD_ROWS: u64 = 1000;

impl Writer {
    /// Whether [`Writer::optimize`] has something to do that is worth the time.
    pub fn needs_optimizing(&self) -> bool {
        let state = self.state();
        needs_compacting(state)
            || needs_codes(state)
            || needs_graph(state, self.code_bytes())
            || needs_parts(state)
    }

    /// Commits, drops dead rows when there are many, gives rows their codes if the collection has a codec, and builds or extends the graph
    /// when so many rows are without that searches feel it, those of common filters too, and measures where the relevance cut belongs. Every step is a commit of its own: what is interrupted can be repeated.
    ///
    /// # Errors
    /// If the system refuses; the collection is then as before the step.
    pub fn optimize(&mut self, progress: &dyn Progress) -> Result<u64> {
        self.commit()?;
        if needs_compacting(self.state()) {
            self.rewrite(Rewrite::Compact, progress)?;
        }
        if needs_codes(self.state()) && !progress.interrupted() {
            self.build_codes(progress)?;
        }
        if needs_graph(self.state(), self.code_bytes()) && !progress.interrupted() {
            self.build_graph(progress)?;
        }
        if needs_parts(self.state()) && !progress.interrupted() {
            self.build_parts(progress)?;
        }
        if !progress.interrupted() {
            self.measure_chance()?;
        }
        Ok(self.state().generation)
    }

    /// Measures how far queries about nothing get, if that was not done since the last calibration.
    fn measure_chance(&mut self) -> Result<()> {
        let mut state = self.state().clone();
        if let Some(calibration) = state.calibration.as_mut()
            && calibration.bar.is_none()
        {
            calibration.bar = chance::bar(self.collection())?;
            state.generation += 1;
            self.publish(state)?;
        }
        Ok(())
    }

    /// Commits, and drops dead rows now, be they many or few; not while another model takes over, when rows must keep their numbers.
    ///
    /// # Errors
    /// If the system refuses; the collection is then as before.
    pub fn compact(&mut self, progress: &dyn Progress) -> Result<u64> {
        self.commit()?;
        if self.state().migration.is_some() {
            return Ok(self.state().generation);
        }
        self.rewrite(Rewrite::Compact, progress)
    }

    /// Bytes of a code, once there are codes.
    pub(crate) fn code_bytes(&self) -> Option<usize> {
        let current = self.collection().current();
        current.snapshot.data.chain().map(|chain| chain.code_bytes())
    }

    fn build_graph(&mut self, progress: &dyn Progress) -> Result<()> {
        let current = self.collection().current();
        let data = &current.snapshot.data;
        let mut state = self.state().clone();
        let known = data.graph().map_or(0, Graph::nodes);
        progress.start(
            "building the graph",
            Some((data.vectors.rows() - known) as u64),
            "vectors",
        );
        let built = match data.graph() {
            None => Graph::build(&data.vectors, state.metric, GraphConfig::default(), progress),
            Some(graph) => {
                let mut graph = graph.clone();
                graph.extend(&data.vectors, progress).map(|()| graph)
            }
        };
        progress.finish();
        let graph = match built {
            Ok(graph) => graph,
            // The user wants to stop; searches work without a graph.
            Err(kokeshi_index::Error::Interrupted) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let name = format!("graph-{:06}.bin", state.generation + 1);
        let path = self.collection().directory().join(&name);
        graph.save(&path)?;
        state.graph = Some(graph_file(&path, name, graph.nodes())?);
        state.generation += 1;
        self.publish(state)?;
        Ok(())
    }
}

fn needs_compacting(state: &State) -> bool {
    // New vectors are in the order of the old rows until they take over.
    if state.migration.is_some() {
        return false;
    }
    let dead = state.rows() - state.live;
    dead >= DEAD_ROWS && dead * 100 > state.rows() * DEAD_PERCENT
}

/// Whether a scan of what the graph does not cover is felt: of codes where there are any, of vectors otherwise.
pub fn needs_graph(state: &State, code_bytes: Option<usize>) -> bool {
    let covered = state.graph.as_ref().map_or(0, |graph| graph.rows);
    let bytes = code_bytes.map_or(4 * state.dims as u64, |bytes| bytes as u64);
    (state.rows() - covered) * bytes > 4 * SCANNED
}

/// Joins the last vector files of `state` into one when there are many, so that there are never more than [`FILES`] and a logarithm:
/// a file is copied when what follows it has grown to half its size.
pub fn join_files(directory: &std::path::Path, state: &mut State) -> Result<()> {
    if state.vectors.len() <= FILES {
        return Ok(());
    }
    let mut first = state.vectors.len() - 1;
    let mut rows = state.vectors[first].rows;
    while first > 0 && state.vectors[first - 1].rows <= rows * 2 {
        first -= 1;
        rows += state.vectors[first].rows;
    }
    let tail: Vec<DataFile> = state.vectors.split_off(first);
    if tail.len() < 2 {
        state.vectors.extend(tail);
        return Ok(());
    }
    let part = State {
        vectors: tail,
        graph: None,
        codec: None,
        parted: Vec::new(),
        migration: None,
        ..state.clone()
    };
    let name = format!("vectors-{:06}-001.npy", state.generation);
    state.vectors.push(join(directory, &part, name)?);
    Ok(())
}

/// Copies all vectors of `part`, a state without anything else, into the file `name`.
pub fn join(directory: &std::path::Path, part: &State, name: String) -> Result<DataFile> {
    let data = Data::open(directory, part, true, None)?;
    let path = directory.join(&name);
    let mut file = npy::Writer::create(&path, part.dims)?;
    let mut at = 0;
    while at < data.vectors.rows() {
        let run = data.vectors.run(at, data.vectors.rows());
        if run.is_empty() {
            return Err(Error::damaged(&path, "a vector file without rows"));
        }
        file.append(run)?;
        at += run.len() / part.dims;
    }
    vector_file(&path, name, file.finish()?)
}
