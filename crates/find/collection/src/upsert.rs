//! Documents in: what changed is cut into passages, encoded and handed to the text index and the vector file.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Instant;

use kokeshi_core::{Embeddings, Metric, Progress, npy};
use kokeshi_sources::{Document, content_hash};
use rayon::prelude::*;
use tantivy::{TantivyDocument, Term};

use crate::embedder::Embedder;
use crate::fields::{Checked, Place};
use crate::known::{Known, document_key};
use crate::passages;
use crate::snapshot::TEXT;
use crate::state::State;
use crate::writer::{Counts, Pending, Writer};
use crate::{Error, Result};

/// Documents that are cut, encoded and handed on together: enough to keep all cores busy, few enough to hold in memory.
const BATCH: usize = 512;
/// A batch also ends after this much text.
const BATCH_BYTES: usize = 4 << 20;

/// Batches that are read before they are needed.
const READ_AHEAD: usize = 2;

/// A document that is new or changed, ready to be encoded.
struct Prepared<'a> {
    document: &'a Document,
    key: u64,
    hash: u64,
    known: Option<Known>,
    checked: Checked,
    passages: Vec<std::ops::Range<usize>>,
}

impl Writer {
    /// Adds documents, replaces those whose id is known, and skips those whose contents did not change. Of several with the same id
    /// the last counts. All or none of them are taken; other calls since the last commit are undone too if the disk is full.
    ///
    /// # Errors
    /// [`Error::Document`] for one that doesn't fit the schema or has no id; what the model or the system reports.
    pub fn upsert(&mut self, documents: &[Document]) -> Result<Counts> {
        let mut counts = Counts::default();
        let checked = self.check(documents)?;
        let mut start = 0;
        let mut checked = checked.into_iter();
        while start < documents.len() {
            let mut bytes = 0;
            let mut end = start;
            while end < documents.len() && end - start < BATCH && bytes < BATCH_BYTES {
                bytes += documents[end].text.len();
                end += 1;
            }
            let batch: Vec<_> = checked.by_ref().take(end - start).collect();
            counts += self.upsert_batch(&documents[start..end], batch)?;
            start = end;
        }
        Ok(counts)
    }

    fn check(&self, documents: &[Document]) -> Result<Vec<Checked>> {
        let check = |document: &Document| {
            if document.id.is_empty() || document.id.len() > 1024 {
                return Err(Error::Document {
                    id: document.id.chars().take(40).collect(),
                    origin: document.origin.to_string(),
                    problem: format!("expected an id of 1 to 1024 bytes, found {}", document.id.len()),
                });
            }
            self.fields.check(document)
        };
        documents.par_iter().map(check).collect()
    }

    fn upsert_batch(&mut self, documents: &[Document], checked: Vec<Checked>) -> Result<Counts> {
        let mut counts = Counts::default();
        let current = self.collection.current();
        let embedder = &*current.embedder;
        let keys: Vec<u64> = documents
            .iter()
            .map(|document| document_key(&document.id))
            .collect();
        let last: HashMap<u64, usize> = keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
        let options = self.state.passages;
        let known = &self.known;
        let prepared: Vec<Option<Prepared<'_>>> = documents
            .par_iter()
            .zip(checked)
            .enumerate()
            .map(|(at, (document, checked))| {
                let key = keys[at];
                if last.get(&key) != Some(&at) {
                    return None;
                }
                let hash = content_hash(document);
                let known = known.get(&key).copied();
                if known.is_some_and(|known| known.hash == hash) {
                    return None;
                }
                let passages = passages::cut(document, options, embedder);
                Some(Prepared {
                    document,
                    key,
                    hash,
                    known,
                    checked,
                    passages,
                })
            })
            .collect();
        let prepared: Vec<Prepared<'_>> = prepared.into_iter().flatten().collect();
        let unchanged = last.len() - prepared.len();
        counts.unchanged = unchanged as u64;
        let texts: Vec<String> = prepared
            .iter()
            .flat_map(|document| {
                document.passages.iter().map(|range| {
                    passages::encoded(&document.document.title, &document.document.text[range.clone()])
                })
            })
            .collect();
        if texts.is_empty() {
            return Ok(counts);
        }
        let vectors = encode(embedder, &texts, &self.state)?;
        let written = self.write(&prepared, &vectors);
        let (inserted, updated) = match written {
            Ok(counts) => counts,
            Err(error) => {
                // Half a batch may be in; the error that brought us here is the one to report.
                let _ = self.rollback();
                return Err(error);
            }
        };
        counts.inserted = inserted;
        counts.updated = updated;
        Ok(counts)
    }

    /// Hands prepared documents and their vectors on; returns how many are new and how many replace one.
    fn write(&mut self, prepared: &[Prepared<'_>], vectors: &Embeddings) -> Result<(u64, u64)> {
        self.changed = true;
        self.pending_file()?.append(vectors.as_slice())?;
        let (mut inserted, mut updated) = (0, 0);
        for document in prepared {
            match document.known {
                Some(known) => {
                    self.words
                        .delete_term(Term::from_field_text(self.fields.id, &document.document.id));
                    self.live -= u64::from(known.passages);
                    updated += 1;
                }
                None => inserted += 1,
            }
            for (number, range) in document.passages.iter().enumerate() {
                let place = Place {
                    document: document.key,
                    hash: document.hash,
                    row: self.next_row,
                    passage: number as u64,
                    passages: document.passages.len() as u64,
                    start: range.start as u64,
                };
                let text = &document.document.text[range.clone()];
                let entry = self
                    .fields
                    .passage(document.document, text, place, &document.checked);
                self.add(entry)?;
                self.next_row += 1;
            }
            self.live += document.passages.len() as u64;
            self.known.insert(
                document.key,
                Known {
                    hash: document.hash,
                    passages: document.passages.len() as u32,
                },
            );
        }
        Ok((inserted, updated))
    }

    pub(crate) fn add(&self, entry: TantivyDocument) -> Result<()> {
        let folder = self.collection.directory().join(TEXT);
        self.words
            .add_document(entry)
            .map(drop)
            .map_err(Error::words(&folder))
    }

    fn pending_file(&mut self) -> Result<&mut npy::Writer> {
        if self.pending.is_none() {
            let name = format!("vectors-{:06}-000.npy", self.state.generation + 1);
            let path = self.collection.directory().join(&name);
            let file = npy::Writer::create(&path, self.state.dims)?;
            self.pending = Some(Pending { name, path, file });
        }
        match &mut self.pending {
            Some(pending) => Ok(&mut pending.file),
            None => Err(Error::Request("no vector file".into())),
        }
    }

    /// Takes in documents until there are no more or `progress` says that the user wants to stop, committing now and then, so that a
    /// run that is interrupted in any way can be repeated and goes on where it was: what is there unchanged is skipped.
    ///
    /// # Errors
    /// As [`Self::upsert`] and [`Self::commit`]; what was committed stays.
    pub fn index<I>(&mut self, documents: I, progress: &dyn Progress) -> Result<Counts>
    where
        I: IntoIterator<Item = Document>,
        I::IntoIter: Send,
    {
        let documents = documents.into_iter();
        let (send, batches) = mpsc::sync_channel(READ_AHEAD);
        // Reading and parsing go on while documents are encoded and indexed.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut batch = Vec::with_capacity(BATCH);
                let mut bytes = 0;
                for document in documents {
                    bytes += document.text.len();
                    batch.push(document);
                    if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                        bytes = 0;
                        // Nobody listens any more after an error or an interruption.
                        if send
                            .send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))
                            .is_err()
                        {
                            return;
                        }
                    }
                }
                let _ = send.send(batch);
            });
            let mut counts = Counts::default();
            let mut committed = Instant::now();
            for batch in batches {
                counts += self.upsert(&batch)?;
                progress.advance(batch.len() as u64);
                if progress.interrupted() {
                    break;
                }
                if committed.elapsed().as_secs() >= self.options.commit_seconds {
                    self.commit()?;
                    committed = Instant::now();
                }
            }
            self.commit()?;
            Ok(counts)
        })
    }
}

/// The vectors of `texts`, as `state` wants them.
pub fn encode(embedder: &dyn Embedder, texts: &[String], state: &State) -> Result<Embeddings> {
    encode_as(embedder, texts, state.dims, state.metric)
}

/// The vectors of `texts`, `dims` wide and ready to be compared by `metric`.
pub fn encode_as(
    embedder: &dyn Embedder,
    texts: &[String],
    dims: usize,
    metric: Metric,
) -> Result<Embeddings> {
    let mut vectors = embedder.encode_documents(texts)?;
    if vectors.dims() != dims || vectors.rows() != texts.len() {
        return Err(Error::Core(kokeshi_core::Error::Dims {
            what: format!(
                "vectors of {} for {} texts ({} rows)",
                embedder.id(),
                texts.len(),
                vectors.rows()
            ),
            expected: dims,
            found: vectors.dims(),
        }));
    }
    vectors.check_finite(&format!("vectors of {}", embedder.id()))?;
    // What the index expects for cosine.
    if metric == Metric::Cosine {
        vectors.normalize();
    }
    Ok(vectors)
}
