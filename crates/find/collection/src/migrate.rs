//! Moving to another model while searches go on: the new model asks over a bridge, the old vectors answer, and new vectors fill in.
//!
//! Three kinds of commits, each with all that it needs: the first names the bridge, and from then on queries and new documents come from
//! the new model alone; each of the others adds new vectors of some rows, in row order; the last makes them the collection's vectors. A
//! process that dies in between loses at most the rows since the last of them, and [`Writer::migrate`] goes on where that was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kokeshi_codec::Bridge;
use kokeshi_core::{Progress, Size, npy};

use crate::data::{graph_file, vector_file};
use crate::embedder::Embedder;
use crate::optimize::join;
use crate::snapshot::Snapshot;
use crate::state::{Migration, State, bridged};
use crate::writer::Writer;
use crate::{Error, Result, passages, upsert};

/// Rows that are encoded together.
const BATCH: usize = 512;

impl Writer {
    /// Begins to move to the model `embedder`: from now on it asks, over `bridge`. Passages stay as they are cut.
    ///
    /// # Errors
    /// [`Error::Request`] if another model is taking over already, or if the bridge does not lead from `embedder` to the collection's model.
    pub fn begin_migration(
        &mut self,
        embedder: &Arc<dyn Embedder>,
        size: Size,
        bridge: &Bridge,
    ) -> Result<u64> {
        self.commit()?;
        let mut state = self.state().clone();
        if let Some(moving) = &state.migration {
            return Err(Error::Request(format!(
                "{} is taking over already, {} of {} rows are done",
                moving.model,
                moving.rows(),
                state.rows()
            )));
        }
        check_bridge(bridge, &state, &**embedder)?;
        state.generation += 1;
        let name = format!("bridge-{:06}.bin", state.generation);
        let path = self.collection().directory().join(&name);
        bridge.save(&path)?;
        let bridge_file = graph_file(&path, name, 0)?;
        let behind = crate::embedder::BridgedEmbedder::shared(
            embedder.clone(),
            Arc::new(bridge.clone()),
            bridged(&embedder.fingerprint(), bridge_file.checksum),
        );
        state.migration = Some(Migration {
            model: embedder.id(),
            fingerprint: embedder.fingerprint(),
            size,
            dims: embedder.dims(),
            metric: embedder.metric(),
            bridge: bridge_file,
            vectors: Vec::new(),
        });
        // Scores over a bridge are other scores.
        state.calibration = None;
        self.calibrate(&mut state);
        self.publish_with(state, Some(behind))
    }

    /// Goes on with a migration until all rows have new vectors, and then lets the new model take over. `embedder` is the new model itself.
    /// Interrupted, it keeps what is done.
    ///
    /// # Errors
    /// [`Error::Request`] if no migration has begun, or with another model; what the model or the system reports.
    pub fn migrate(&mut self, embedder: &Arc<dyn Embedder>, progress: &dyn Progress) -> Result<u64> {
        self.commit()?;
        let moving = self.state().migration.clone();
        let Some(moving) = moving.filter(|moving| moving.fingerprint == embedder.fingerprint()) else {
            return Err(Error::Request(format!(
                "{} is not taking over from another model here",
                embedder.id()
            )));
        };
        progress.start("encoding", Some(self.state().rows()), "passages");
        progress.advance(moving.rows());
        let pause = Duration::from_secs(self.options.commit_seconds);
        loop {
            let done = self.state().migration.as_ref().map_or(0, Migration::rows);
            if done >= self.state().rows() {
                break;
            }
            self.fill(&**embedder, done as usize, pause, progress)?;
            if progress.interrupted() {
                progress.finish();
                return Ok(self.state().generation);
            }
        }
        progress.finish();
        self.take_over(embedder.clone())
    }

    /// Encodes rows from `first` on for about as long as `pause`, and commits them.
    fn fill(
        &mut self,
        embedder: &dyn Embedder,
        first: usize,
        pause: Duration,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut state = self.state().clone();
        state.generation += 1;
        let generation = state.generation;
        let Some(moving) = &mut state.migration else {
            return Ok(());
        };
        let current = self.collection().current();
        let snapshot = &current.snapshot;
        let name = format!("vectors-{generation:06}-002.npy");
        let path = self.collection().directory().join(&name);
        let mut file = npy::Writer::create(&path, moving.dims)?;
        let started = Instant::now();
        let mut at = first;
        while at < snapshot.rows() && (at == first || started.elapsed() < pause) {
            let rows = at..snapshot.rows().min(at + BATCH);
            file.append(&encoded(snapshot, embedder, moving, rows.clone())?)?;
            progress.advance(rows.len() as u64);
            at = rows.end;
            if progress.interrupted() {
                break;
            }
        }
        moving.vectors.push(vector_file(&path, name, file.finish()?)?);
        self.publish(state)?;
        Ok(())
    }

    /// Makes the new vectors the collection's.
    fn take_over(&mut self, embedder: Arc<dyn Embedder>) -> Result<u64> {
        let mut state = self.state().clone();
        let Some(moving) = state.migration.take() else {
            return Ok(state.generation);
        };
        state.generation += 1;
        (state.model, state.fingerprint) = (moving.model, moving.fingerprint);
        (state.size, state.dims, state.metric) = (moving.size, moving.dims, moving.metric);
        (state.graph, state.calibration, state.vectors) = (None, None, moving.vectors);
        if let Some(coded) = &mut state.codec {
            (coded.chain, coded.codes) = (None, None);
        }
        state.forget_parts();
        if state.vectors.len() > 1 {
            let part = State {
                codec: None,
                ..state.clone()
            };
            let name = format!("vectors-{:06}-001.npy", state.generation);
            state.vectors = vec![join(self.collection().directory(), &part, name)?];
        }
        self.calibrate(&mut state);
        self.publish_with(state, Some(embedder))
    }
}

/// New vectors of `rows`; zeros for those that nobody can find.
fn encoded(
    snapshot: &Snapshot,
    embedder: &dyn Embedder,
    moving: &Migration,
    rows: std::ops::Range<usize>,
) -> Result<Vec<f32>> {
    let (mut places, mut texts) = (Vec::new(), Vec::new());
    for (place, row) in rows.clone().enumerate() {
        let Some(address) = snapshot.address(row as u32) else {
            continue;
        };
        let stored = snapshot.stored(address)?;
        let text = snapshot.fields.stored_text(&stored, snapshot.fields.text);
        let title = snapshot.fields.stored_text(&stored, snapshot.fields.title);
        places.push(place);
        texts.push(passages::encoded(title, text));
    }
    let mut all = vec![0.0; rows.len() * moving.dims];
    if !texts.is_empty() {
        let vectors = upsert::encode_as(embedder, &texts, moving.dims, moving.metric)?;
        for (place, vector) in places.into_iter().zip(vectors.iter()) {
            all[place * moving.dims..][..moving.dims].copy_from_slice(vector);
        }
    }
    Ok(all)
}

/// That a bridge leads from `embedder` to the model of `state`.
fn check_bridge(bridge: &Bridge, state: &State, embedder: &dyn Embedder) -> Result<()> {
    let wrong = |end: &str, expected: String, found: String| {
        Err(Error::Request(format!(
            "the bridge's {end} end: expected {expected}, found {found}"
        )))
    };
    let named = |model: &str, dims: usize| match model {
        "" => format!("vectors of {dims} dims"),
        model => format!("{model} at {dims} dims"),
    };
    // Bridges that were learnt from files of vectors know widths alone.
    let fits = |known: &str, fingerprint: &str| known.is_empty() || known == fingerprint;
    if bridge.old_dims() != state.dims || !fits(&bridge.old.fingerprint, &state.fingerprint) {
        return wrong(
            "old",
            named(&state.model, state.dims),
            named(&bridge.old.model, bridge.old_dims()),
        );
    }
    if bridge.new_dims() != embedder.dims() || !fits(&bridge.new.fingerprint, &embedder.fingerprint()) {
        return wrong(
            "new",
            named(&embedder.id(), embedder.dims()),
            named(&bridge.new.model, bridge.new_dims()),
        );
    }
    if bridge.metric() != state.metric {
        return wrong(
            "old",
            format!("{:?}", state.metric),
            format!("{:?}", bridge.metric()),
        );
    }
    Ok(())
}
