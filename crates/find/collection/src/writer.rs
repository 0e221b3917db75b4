//! The one writer of a collection.
//!
//! What it does becomes real in one step. Vectors go to a new file while documents go to tantivy; [`Writer::commit`] finishes and
//! syncs the file, syncs the folder, and then has tantivy replace its `meta.json`, whose payload names the vector files with their
//! checksums ([`State`]). A crash before that leaves the old generation with some files that nobody names, which the next writer
//! removes; a crash after it leaves the new generation. Merges that tantivy does in the background keep the payload.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use kokeshi_core::file::sync_folder;
use kokeshi_core::{Embeddings, Metric, Progress, npy};
use kokeshi_sources::{Document, Schema, content_hash};
use rayon::prelude::*;
use tantivy::{Index, IndexWriter, TantivyDocument, Term};

use crate::collection::Collection;
use crate::cut::Calibration;
use crate::data::{Data, remove_strangers, vector_file};
use crate::embedder::Embedder;
use crate::fields::{Checked, Fields, Place};
use crate::known::{self, Known, KnownDocuments, document_key};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::optimize::join_files;
use crate::passages;
use crate::snapshot::{Check, Snapshot, TEXT, open_words};
use crate::state::State;
use crate::{Error, Result, filter};

/// Documents that are cut, encoded and handed on together: enough to keep all cores busy, few enough to hold in memory.
const BATCH: usize = 512;
/// A batch also ends after this much text.
const BATCH_BYTES: usize = 4 << 20;

/// Batches that are read before they are needed.
const READ_AHEAD: usize = 2;

/// How a writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Bytes that tantivy may hold before it writes a segment.
    pub memory: usize,
    /// Threads that index words, at most.
    pub threads: usize,
    /// [`Writer::index`] commits when this many seconds have passed since the last commit.
    pub commit_seconds: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            memory: 64 << 20,
            threads: cores.clamp(1, 4),
            commit_seconds: 10,
        }
    }
}

/// What became of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// New ids.
    pub inserted: u64,
    /// Known ids with other contents.
    pub updated: u64,
    /// Known ids with the same contents: neither encoded nor written.
    pub unchanged: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }
}

/// Dropped without [`Writer::commit`], what it did since the last commit never happened.
pub struct Writer {
    collection: Collection,
    options: WriterOptions,
    words: IndexWriter,
    fields: Fields,
    /// The last commit, with a schema that may be newer.
    state: State,
    known: KnownDocuments,
    live: u64,
    pending: Option<Pending>,
    next_row: u64,
    changed: bool,
    _lock: Lock,
}

/// The vector file of the commit that is being made.
struct Pending {
    name: String,
    path: PathBuf,
    file: npy::Writer,
}

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
    pub(crate) fn open(collection: Collection, options: WriterOptions) -> Result<Self> {
        let directory = collection.directory();
        let lock = Lock::take(directory)?;
        // Another process may have committed since the collection was opened.
        collection.refresh()?;
        let current = collection.current();
        let state = current.snapshot.state.clone();
        remove_strangers(directory, &state)?;
        let manifest = Manifest::new(&state, collection.created().to_string());
        if Manifest::read(directory)? != manifest {
            manifest.write(directory)?;
        }
        let fields = Fields::new(&state.schema)?;
        let words = open_writer(directory, &fields, options)?;
        Ok(Self {
            known: known::load(&current.snapshot)?,
            live: state.live,
            next_row: state.rows(),
            pending: None,
            changed: false,
            collection,
            options,
            words,
            fields,
            state,
            _lock: lock,
        })
    }

    /// The attributes that documents may have now.
    pub fn schema(&self) -> &Schema {
        &self.state.schema
    }

    /// How many documents there will be after the next commit.
    pub fn documents(&self) -> u64 {
        self.known.len() as u64
    }

    /// Adds attributes; those that are there already are left alone. Commits first if there is something to commit.
    ///
    /// # Errors
    /// [`Error::Schema`] if an attribute is there with another type.
    pub fn extend_schema(&mut self, more: &Schema) -> Result<()> {
        let mut schema = self.state.schema.clone();
        for field in &more.fields {
            match schema.field(&field.name) {
                None => schema.fields.push(field.clone()),
                Some(there) if there.kind == field.kind => {
                    if field.list
                        && let Some(there) = schema.fields.iter_mut().find(|there| there.name == field.name)
                    {
                        there.list = true;
                    }
                }
                Some(there) => {
                    return Err(Error::Schema(format!(
                        "attribute `{}` is {} in this collection and can't become {}; give it another name or make a new collection",
                        field.name,
                        crate::fields::kind_name(there.kind),
                        crate::fields::kind_name(field.kind)
                    )));
                }
            }
        }
        if schema == self.state.schema {
            return Ok(());
        }
        let fields = Fields::new(&schema)?;
        self.commit()?;
        self.reopen_words(fields)?;
        self.state.schema = schema;
        self.changed = true;
        Ok(())
    }

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

    /// Deletes documents; returns how many of the ids were known.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn delete_ids<T: AsRef<str>>(&mut self, ids: &[T]) -> Result<u64> {
        let mut deleted = 0;
        for id in ids {
            if let Some(known) = self.known.remove(&document_key(id.as_ref())) {
                self.words
                    .delete_term(Term::from_field_text(self.fields.id, id.as_ref()));
                self.live -= u64::from(known.passages);
                self.changed = true;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes the documents that pass `filter`; returns how many. Commits first if there is something to commit, so that documents
    /// that were just added are found too.
    ///
    /// # Errors
    /// [`Error::Filter`].
    pub fn delete_filter(&mut self, filter: &str) -> Result<u64> {
        // Before the commit: a filter that is wrong changes nothing.
        drop(filter::compile(filter, &self.fields)?);
        self.commit()?;
        let current = self.collection.current();
        let snapshot = &current.snapshot;
        let mut ids = Vec::new();
        for row in current.passing(filter)?.iter() {
            if let Some(address) = snapshot.address(row) {
                let stored = snapshot.stored(address)?;
                let id = snapshot.fields.stored_text(&stored, snapshot.fields.id);
                if self.known.contains_key(&document_key(id)) {
                    ids.push(id.to_string());
                }
            }
        }
        self.delete_ids(&ids)
    }

    /// Makes everything since the last commit real; returns the number of the generation. Without changes nothing is written.
    ///
    /// # Errors
    /// If the system refuses, such as for a full disk; then everything since the last commit is undone.
    pub fn commit(&mut self) -> Result<u64> {
        if !self.changed {
            return Ok(self.state.generation);
        }
        match self.try_commit() {
            Ok(generation) => Ok(generation),
            Err(error) => {
                // The error that brought us here is the one to report.
                let _ = self.rollback();
                Err(error)
            }
        }
    }

    fn try_commit(&mut self) -> Result<u64> {
        let directory = self.collection.directory().to_path_buf();
        let mut state = self.state.clone();
        state.generation += 1;
        state.documents = self.known.len() as u64;
        state.live = self.live;
        if let Some(pending) = self.pending.take() {
            let finished = pending.file.finish()?;
            state
                .vectors
                .push(vector_file(&pending.path, pending.name, finished)?);
            join_files(&directory, &mut state)?;
        }
        sync_folder(&directory)?;
        self.calibrate(&mut state);
        self.publish(state)
    }

    /// Measures the scores of random pairs if the collection has changed much in size since that was done, from the vectors of the
    /// commit that is being made. Rows that died meanwhile may be drawn too: they came from the same kind of text.
    pub(crate) fn calibrate(&self, state: &mut State) {
        let made = state.calibration.map_or(0, |calibration| calibration.passages);
        if state.live <= made * 3 / 2 && state.live >= made / 2 {
            return;
        }
        let current = self.collection.current();
        let directory = self.collection.directory();
        // Files that can't be read are reported when the commit is opened.
        if let Ok(data) = Data::open(directory, state, false, Some(&current.snapshot.data)) {
            state.calibration = Calibration::measure(&data.vectors, state.live, state.metric);
        }
    }

    /// The commit point, and the cleaning after it.
    pub(crate) fn publish(&mut self, state: State) -> Result<u64> {
        self.publish_with(state, None)
    }

    /// As [`Self::publish`], with the model of the new generation if it is another one.
    pub(crate) fn publish_with(&mut self, state: State, embedder: Option<Arc<dyn Embedder>>) -> Result<u64> {
        let directory = self.collection.directory().to_path_buf();
        let folder = directory.join(TEXT);
        let payload = state.to_payload().map_err(Error::words(&folder))?;
        sync_folder(&directory)?;
        let mut commit = self.words.prepare_commit().map_err(Error::words(&folder))?;
        commit.set_payload(&payload);
        commit.commit().map_err(Error::words(&folder))?;
        self.state = state;
        self.changed = false;
        let old = self.collection.current();
        let snapshot = Snapshot::open(&directory, Check::Shape, Some(&old.snapshot.data))?;
        remove_strangers(&directory, &self.state)?;
        let manifest = Manifest::new(&self.state, self.collection.created().to_string());
        if Manifest::read(&directory)? != manifest {
            manifest.write(&directory)?;
        }
        self.collection.install(snapshot, embedder)
    }

    /// Ends the writer after its merges in the background are done, so that no file of the collection changes any more. What was not
    /// committed never happened, as when the writer is dropped, which doesn't wait.
    ///
    /// # Errors
    /// [`Error::Words`] if a merge failed.
    pub fn close(self) -> Result<()> {
        let folder = self.collection.directory().join(TEXT);
        self.words.wait_merging_threads().map_err(Error::words(&folder))
    }

    /// Undoes everything since the last commit.
    ///
    /// # Errors
    /// If the last generation can't be read.
    pub fn rollback(&mut self) -> Result<()> {
        let directory = self.collection.directory().to_path_buf();
        self.pending = None;
        self.words
            .rollback()
            .map_err(Error::words(&directory.join(TEXT)))?;
        self.collection.refresh()?;
        self.reload()?;
        remove_strangers(&directory, &self.state)
    }

    /// Takes over what the open generation says; added attributes stay.
    pub(crate) fn reload(&mut self) -> Result<()> {
        let current = self.collection.current();
        let snapshot = &current.snapshot;
        self.known = known::load(snapshot)?;
        self.live = snapshot.state.live;
        self.next_row = snapshot.state.rows();
        self.state = State {
            schema: self.state.schema.clone(),
            ..snapshot.state.clone()
        };
        self.changed = false;
        Ok(())
    }

    pub(crate) fn collection(&self) -> &Collection {
        &self.collection
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(crate) fn words(&self) -> &IndexWriter {
        &self.words
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

    /// Reopens tantivy's writer with the columns of `fields`, which begin with those there are.
    fn reopen_words(&mut self, fields: Fields) -> Result<()> {
        let directory = self.collection.directory().to_path_buf();
        let folder = directory.join(TEXT);
        // The old writer's lock must be free before a new one takes it; a writer in memory stands in meanwhile.
        let stand_in: IndexWriter = Index::create_in_ram(fields.columns.clone())
            .writer_with_num_threads(1, 16 << 20)
            .map_err(Error::words(&folder))?;
        let old = std::mem::replace(&mut self.words, stand_in);
        old.wait_merging_threads().map_err(Error::words(&folder))?;
        self.words = open_writer(&directory, &fields, self.options)?;
        self.fields = fields;
        Ok(())
    }
}

/// Opens tantivy's writer. If its schema isn't that of `fields`, attributes were added: they come last, so that the columns of
/// existing segments stay what they were, and only `meta.json` has to say so.
fn open_writer(directory: &Path, fields: &Fields, options: WriterOptions) -> Result<IndexWriter> {
    let folder = directory.join(TEXT);
    let (mut index, _) = open_words(&folder)?;
    if index.schema() != fields.columns {
        crate::schema::replace(&folder, &fields.columns)?;
        index = open_words(&folder)?.0;
    }
    let least = 16 << 20;
    let threads = options.threads.min(options.memory / least).max(1);
    let words: IndexWriter = index
        .writer_with_num_threads(threads, options.memory.max(least))
        .map_err(Error::words(&folder))?;
    // A process that was killed in a commit leaves files of that commit behind, and the next commit may want to use their names.
    words
        .garbage_collect_files()
        .wait()
        .map_err(Error::words(&folder))?;
    Ok(words)
}

/// The vectors of `texts`, as `state` wants them.
pub fn encode(embedder: &dyn Embedder, texts: &[String], state: &State) -> Result<Embeddings> {
    let mut vectors = embedder.encode_documents(texts)?;
    if vectors.dims() != state.dims || vectors.rows() != texts.len() {
        return Err(Error::Core(kokeshi_core::Error::Dims {
            what: format!(
                "vectors of {} for {} texts ({} rows)",
                embedder.id(),
                texts.len(),
                vectors.rows()
            ),
            expected: state.dims,
            found: vectors.dims(),
        }));
    }
    vectors.check_finite(&format!("vectors of {}", embedder.id()))?;
    // What the index expects for cosine.
    if state.metric == Metric::Cosine {
        vectors.normalize();
    }
    Ok(vectors)
}
