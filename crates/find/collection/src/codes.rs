//! The codec of a collection: choosing and changing it, and giving rows their codes. Each is one commit; a crash leaves what was there.

use std::path::Path;

use kokeshi_codec::file::Codes;
use kokeshi_codec::{Chain, Codec, CodesWriter, Spec};
use kokeshi_core::{Embeddings, Progress, Seed};

use crate::data::{Data, graph_file};
use crate::measured::{self, Measured};
use crate::optimize::needs_graph;
use crate::state::{Coded, State};
use crate::writer::Writer;
use crate::{Error, Result};

/// Fewer rows are compared by their vectors, which is as fast, and no codec learns from less; nor from fewer rows than dimensions.
const LEAST_ROWS: u64 = 256;
/// Rows that a codec learns from, at most; what `pq` wants for 256 centroids is half of it.
const TRAINING_ROWS: usize = 32_768;
/// Where the random choice of these begins.
const SEED: u64 = 42;
/// Rows that are encoded together.
const BLOCK: usize = 8192;
/// A codec learns anew when there are so many times as many rows as when it learnt.
const GROWTH: u64 = 4;

/// A codec that has not seen a row yet.
pub fn asked(spec: &Spec) -> Coded {
    Coded {
        spec: spec.to_string(),
        chain: None,
        codes: None,
        measured: None,
    }
}

/// Whether rows are without codes, and they are many enough to be felt.
pub fn needs_codes(state: &State) -> bool {
    let without = state.rows() - state.coded_rows();
    let enough = state.rows() >= LEAST_ROWS.max(state.dims as u64);
    state.codec.is_some() && enough && without * 10 > state.rows() || outgrown(state)
}

fn outgrown(state: &State) -> bool {
    let chain = state.codec.as_ref().and_then(|coded| coded.chain.as_ref());
    chain.is_some_and(|chain| state.rows() >= GROWTH * chain.rows.max(1))
}

impl Writer {
    /// Changes the codec whose codes searches scan; `None`: searches use the vectors themselves and a graph again. Codes are made at once,
    /// if there are rows enough to learn from. What was not committed is committed first.
    ///
    /// # Errors
    /// [`Error::Core`] for a codec that does not fit the vectors; what the system reports. The collection is then as it was.
    pub fn set_codec(&mut self, spec: Option<&Spec>, progress: &dyn Progress) -> Result<u64> {
        if let Some(spec) = spec {
            spec.check(self.state().dims, self.state().metric)?;
        }
        self.commit()?;
        let mut state = self.state().clone();
        state.generation += 1;
        state.codec = spec.map(asked);
        if needs_codes(&state) && !self.encode(&mut state, progress)? {
            return Ok(self.state().generation);
        }
        self.publish(state)
    }

    /// Gives codes to the rows that are without, and learns the codec first if it has not or has outgrown what it learnt from.
    pub(crate) fn build_codes(&mut self, progress: &dyn Progress) -> Result<()> {
        let mut state = self.state().clone();
        state.generation += 1;
        if outgrown(&state)
            && let Some(coded) = &mut state.codec
        {
            (coded.chain, coded.codes) = (None, None);
        }
        if self.encode(&mut state, progress)? {
            self.publish(state)?;
        }
        Ok(())
    }

    /// Writes the files of the codec of `state` and names them there; false if the user wants to stop.
    fn encode(&self, state: &mut State, progress: &dyn Progress) -> Result<bool> {
        let Some(coded) = state.codec.clone() else {
            return Ok(true);
        };
        let current = self.collection().current();
        let (data, directory) = (&current.snapshot.data, self.collection().directory());
        let generation = state.generation;
        progress.start("making codes", Some(data.vectors.rows() as u64), "vectors");
        let (chain, file, asking) = match (data.chain(), coded.chain) {
            (Some(chain), Some(file)) => {
                let new = file.rows as u32..data.vectors.rows() as u32;
                (chain.clone(), file, new.collect())
            }
            _ => {
                let (chain, asking) = train(&coded.spec, data, state)?;
                let name = format!("codec-{generation:06}.bin");
                let path = directory.join(&name);
                chain.save(&path)?;
                let file = graph_file(&path, name, data.vectors.rows())?;
                (chain.into(), file, asking)
            }
        };
        let before = data.codes().filter(|_| coded.codes.is_some());
        let name = format!("codes-{generation:06}.bin");
        let path = directory.join(&name);
        let mut writer = CodesWriter::create(&path, &chain)?;
        let mut at = 0;
        if let Some(codes) = before {
            writer.append_codes(codes.bytes())?;
            at = codes.rows();
            progress.advance(at as u64);
        }
        while at < data.vectors.rows() {
            let run = data.vectors.run(at, data.vectors.rows().min(at + BLOCK));
            if run.is_empty() {
                return Err(Error::damaged(path, "a vector file without rows"));
            }
            writer.append(&Embeddings::from_vec(run.to_vec(), state.dims)?)?;
            at += run.len() / state.dims;
            progress.advance((run.len() / state.dims) as u64);
            if progress.interrupted() {
                progress.finish();
                return Ok(false);
            }
        }
        let rows = writer.finish()?;
        progress.finish();
        let code_bytes = chain.code_bytes();
        let measured = match measure(&chain, &path, data, state, asking)? {
            Some(measured) => Some(measured),
            None => coded.measured,
        };
        state.codec = Some(Coded {
            spec: coded.spec,
            chain: Some(file),
            codes: Some(graph_file(&path, name, rows)?),
            measured,
        });
        drop_graph(state, code_bytes);
        Ok(true)
    }
}

/// Forgets a graph that codes make superfluous: its memory is what they save.
fn drop_graph(state: &mut State, code_bytes: usize) {
    let graph = state.graph.take();
    if needs_graph(state, Some(code_bytes)) {
        state.graph = graph;
    }
}

/// Measures the codes at `path` by some of the rows `asking`, which the chain did not learn from; nothing where they are too few.
fn measure(
    chain: &Chain,
    path: &Path,
    data: &Data,
    state: &State,
    mut asking: Vec<u32>,
) -> Result<Option<Measured>> {
    Seed(SEED).shuffle(&mut asking);
    asking.truncate(measured::questions(data.vectors.rows()));
    if asking.len() < measured::LEAST {
        return Ok(None);
    }
    let codes = Codes::open(path, chain)?;
    measured::measure(chain, codes.bytes(), &data.vectors, state.metric, &asking).map(Some)
}

/// Learns the codec from a random part of the rows; gives rows that it did not learn from.
fn train(spec: &str, data: &Data, state: &State) -> Result<(Chain, Vec<u32>)> {
    let spec: Spec = spec.parse()?;
    let (rows, mut seed) = (data.vectors.rows(), Seed(SEED));
    let mut order: Vec<u32> = (0..rows as u32).collect();
    seed.shuffle(&mut order);
    let aside = order.split_off(rows - measured::questions(rows));
    order.truncate(TRAINING_ROWS);
    order.sort_unstable();
    let mut sample = Embeddings::new(state.dims);
    for row in order {
        sample.push(data.vectors.row(row))?;
    }
    Ok((spec.train(&sample, state.metric, seed)?, aside))
}
