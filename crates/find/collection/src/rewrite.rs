//! Writing a collection anew from what it stores: without its dead rows, or with the vectors of another model. All of it is one
//! commit: until then readers see the old generation, and a crash leaves it as it is.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_core::{Progress, Size, npy};
use kokeshi_sources::Document;
use tantivy::query::AllQuery;

use crate::collection::{Current, attributes, document};
use crate::data::vector_file;
use crate::embedder::Embedder;
use crate::fields::Place;
use crate::known::document_key;
use crate::snapshot::{Snapshot, TEXT};
use crate::state::{PassageOptions, State};
use crate::writer::Writer;
use crate::{Error, Result, passages};

/// Passages that are rewritten, or documents that are encoded, at a time.
const BATCH: usize = 512;

/// What changes.
pub enum Rewrite {
    /// Rows are numbered anew without the dead ones; vectors are copied.
    Compact,
    /// Documents are cut and encoded anew.
    Model {
        embedder: Arc<dyn Embedder>,
        size: Size,
        passages: PassageOptions,
    },
}

impl Writer {
    /// Gives the collection the vectors of another model, or of the same one at another size, from the stored text.
    ///
    /// # Errors
    /// What the model or the system reports; the collection is then as it was.
    pub fn reindex(
        &mut self,
        embedder: Arc<dyn Embedder>,
        size: Size,
        passages: Option<PassageOptions>,
        progress: &dyn Progress,
    ) -> Result<u64> {
        let passages = passages.unwrap_or_else(|| PassageOptions::for_model(&*embedder));
        passages.check()?;
        self.commit()?;
        let change = Rewrite::Model {
            embedder,
            size,
            passages,
        };
        self.rewrite(change, progress)
    }

    /// Carries out `change`; there must be nothing to commit. Interrupted, it changes nothing.
    pub(crate) fn rewrite(&mut self, change: Rewrite, progress: &dyn Progress) -> Result<u64> {
        match self.try_rewrite(change, progress) {
            Ok(Some(generation)) => Ok(generation),
            Ok(None) => {
                self.rollback()?;
                Ok(self.state().generation)
            }
            Err(error) => {
                // The error that brought us here is the one to report.
                let _ = self.rollback();
                Err(error)
            }
        }
    }

    fn try_rewrite(&mut self, change: Rewrite, progress: &dyn Progress) -> Result<Option<u64>> {
        let current = self.collection().current();
        let directory = self.collection().directory().to_path_buf();
        let mut state = self.state().clone();
        state.generation += 1;
        state.graph = None;
        state.forget_parts();
        // Rows get other numbers.
        if let Some(coded) = &mut state.codec {
            coded.codes = None;
        }
        let folder = directory.join(TEXT);
        // Whatever is added after this stays.
        self.words()
            .delete_query(Box::new(AllQuery))
            .map_err(Error::words(&folder))?;
        let embedder = match change {
            Rewrite::Compact => None,
            Rewrite::Model {
                embedder,
                size,
                passages,
            } => {
                state.model = embedder.id();
                state.fingerprint = embedder.fingerprint();
                state.dims = embedder.dims();
                state.metric = embedder.metric();
                state.calibration = None;
                state.migration = None;
                if let Some(coded) = &mut state.codec {
                    coded.chain = None;
                }
                state.size = size;
                state.passages = passages;
                Some(embedder)
            }
        };
        let name = format!("vectors-{:06}-000.npy", state.generation);
        let path = directory.join(&name);
        let mut file = npy::Writer::create(&path, state.dims)?;
        let done = match &embedder {
            None => {
                progress.start("compacting", Some(state.live), "passages");
                self.copy(&current, &mut file, progress)?
            }
            Some(embedder) => {
                progress.start("encoding", Some(state.documents), "documents");
                self.encode_again(&current, &state, &**embedder, &mut file, progress)?
            }
        };
        progress.finish();
        if !done {
            return Ok(None);
        }
        state.live = file.rows() as u64;
        state.vectors = vec![vector_file(&path, name, file.finish()?)?];
        self.calibrate(&mut state);
        let generation = self.publish_with(state, embedder)?;
        self.reload()?;
        Ok(Some(generation))
    }

    /// Copies every living passage; false if interrupted.
    fn copy(&self, current: &Current, file: &mut npy::Writer, progress: &dyn Progress) -> Result<bool> {
        let snapshot = &current.snapshot;
        let rows: Vec<u32> = snapshot.live.iter().collect();
        for batch in rows.chunks(BATCH) {
            for &row in batch {
                let Some(address) = snapshot.address(row) else {
                    continue;
                };
                let stored = snapshot.stored(address)?;
                let text_of = |column| snapshot.fields.stored_text(&stored, column).to_string();
                let document = Document {
                    id: text_of(snapshot.fields.id),
                    title: text_of(snapshot.fields.title),
                    attributes: attributes(snapshot, &stored),
                    ..Document::default()
                };
                let number = |name| snapshot.number(address, name);
                let place = Place {
                    document: number("_document"),
                    hash: number("_hash"),
                    row: file.rows() as u64,
                    passage: number("_passage"),
                    passages: number("_passages"),
                    start: number("_start"),
                };
                let checked = self.fields().check(&document)?;
                let text = snapshot.fields.stored_text(&stored, snapshot.fields.text);
                self.add(self.fields().passage(&document, text, place, &checked))?;
                file.append(snapshot.data.vectors.row(row))?;
            }
            progress.advance(batch.len() as u64);
            if progress.interrupted() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Cuts and encodes every document; false if interrupted.
    fn encode_again(
        &self,
        current: &Current,
        state: &State,
        embedder: &dyn Embedder,
        file: &mut npy::Writer,
        progress: &dyn Progress,
    ) -> Result<bool> {
        let snapshot = &current.snapshot;
        let rows: Vec<u32> = snapshot.live.iter().collect();
        let mut batch: Vec<(Document, u64)> = Vec::with_capacity(BATCH);
        let mut at = 0;
        while at < rows.len() {
            while at < rows.len() && batch.len() < BATCH {
                batch.extend(whole(snapshot, rows[at])?);
                at += 1;
            }
            let cut: Vec<Vec<Range<usize>>> = batch
                .iter()
                .map(|(document, _)| passages::cut(document, state.passages, embedder))
                .collect();
            let texts: Vec<String> = batch
                .iter()
                .zip(&cut)
                .flat_map(|((document, _), cut)| {
                    cut.iter()
                        .map(|range| passages::encoded(&document.title, &document.text[range.clone()]))
                })
                .collect();
            let vectors = crate::upsert::encode(embedder, &texts, state)?;
            let mut row = file.rows() as u64;
            for ((document, hash), cut) in batch.iter().zip(&cut) {
                let checked = self.fields().check(document)?;
                for (number, range) in cut.iter().enumerate() {
                    let place = Place {
                        document: document_key(&document.id),
                        hash: *hash,
                        row,
                        passage: number as u64,
                        passages: cut.len() as u64,
                        start: range.start as u64,
                    };
                    let text = &document.text[range.clone()];
                    self.add(self.fields().passage(document, text, place, &checked))?;
                    row += 1;
                }
            }
            file.append(vectors.as_slice())?;
            progress.advance(batch.len() as u64);
            batch.clear();
            if progress.interrupted() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The whole document whose first passage has `row`, with its content hash; nothing for other passages.
fn whole(snapshot: &Snapshot, row: u32) -> Result<Option<(Document, u64)>> {
    let Some(address) = snapshot.address(row) else {
        return Ok(None);
    };
    if snapshot.number(address, "_passage") != 0 {
        return Ok(None);
    }
    let stored = snapshot.stored(address)?;
    let id = snapshot.fields.stored_text(&stored, snapshot.fields.id);
    let found = document(snapshot, id)?;
    Ok(found.map(|document| (document, snapshot.number(address, "_hash"))))
}
