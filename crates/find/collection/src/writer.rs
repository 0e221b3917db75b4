//! The one writer of a collection: opening, deleting, committing, going back. Adding is in `upsert.rs`.
//!
//! What it does becomes real in one step. Vectors go to a new file while documents go to tantivy; [`Writer::commit`] finishes and
//! syncs the file, syncs the folder, and then has tantivy replace its `meta.json`, whose payload names the vector files with their
//! checksums ([`State`]). A crash before that leaves the old generation with some files that nobody names, which the next writer
//! removes; a crash after it leaves the new generation. Merges that tantivy does in the background keep the payload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kokeshi_core::Lock;
use kokeshi_core::file::sync_folder;
use kokeshi_core::npy;
use kokeshi_sources::Schema;
use tantivy::{Index, IndexWriter, Term};

use crate::collection::Collection;
use crate::cut::Calibration;
use crate::data::{Data, remove_strangers, vector_file};
use crate::embedder::Embedder;
use crate::fields::Fields;
use crate::known::{self, KnownDocuments, document_key};
use crate::lock;
use crate::manifest::Manifest;
use crate::optimize::join_files;
use crate::snapshot::{Check, Snapshot, TEXT, open_words};
use crate::state::State;
use crate::{Error, Result, filter};

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
    pub(crate) collection: Collection,
    pub(crate) options: WriterOptions,
    pub(crate) words: IndexWriter,
    pub(crate) fields: Fields,
    /// The last commit, with a schema that may be newer.
    pub(crate) state: State,
    pub(crate) known: KnownDocuments,
    pub(crate) live: u64,
    pub(crate) pending: Option<Pending>,
    pub(crate) next_row: u64,
    pub(crate) changed: bool,
    _lock: Lock,
}

/// The vector file of the commit that is being made.
pub(crate) struct Pending {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: npy::Writer,
}

impl Writer {
    pub(crate) fn open(collection: Collection, options: WriterOptions) -> Result<Self> {
        let directory = collection.directory();
        let lock = lock::take(directory)?;
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
        for row in current.passing(filter)?.rows.iter() {
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
