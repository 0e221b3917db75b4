//! A collection that is open: a directory, its model, and the newest generation that was seen.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use kokeshi_codec::{Codec, Spec};
use kokeshi_core::file::sync_folder;
use kokeshi_core::{Bitmap, Embeddings, Seed, Size};
use kokeshi_sources::{Attribute, Document, Schema};
use tantivy::collector::DocSetCollector;
use tantivy::query::TermQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, IndexSettings, Term};

use crate::coded::LEAST_CANDIDATES;
use crate::embedder::{BridgedEmbedder, Embedder, ModelEmbedder};
use crate::fields::Fields;
use crate::folder::Folder;
use crate::lock;
use crate::manifest::{FORMAT, MANIFEST, Manifest};
use crate::measured::Measured;
use crate::parts::Inside;
use crate::snapshot::{Check, Snapshot, TEXT};
use crate::state::{DataFile, Parted, PassageOptions, State};
use crate::writer::{Writer, WriterOptions};
use crate::{CodecInfo, Error, Fusion, IndexedInfo, Info, MigrationInfo, Result, filter, words};

/// How a collection is made.
pub struct CreateOptions {
    /// Attributes; more can be added later.
    pub schema: Schema,
    /// The model.
    pub embedder: Arc<dyn Embedder>,
    /// The size at which the model is used, as it was given to [`ModelEmbedder::load`].
    pub size: Size,
    /// How long texts are cut; `None`: what suits the model.
    pub passages: Option<PassageOptions>,
    /// How hybrid search joins its lists by default.
    pub fusion: Fusion,
    /// The codec whose codes searches scan; `None`: the vectors themselves and a graph.
    pub codec: Option<Spec>,
}

impl CreateOptions {
    /// With the model that is part of the program at full size, and no attributes.
    ///
    /// # Errors
    /// If the model can't be loaded.
    pub fn compiled_in() -> Result<Self> {
        Self::model(ModelEmbedder::COMPILED_IN, Size::FULL)
    }

    /// With the model `id` (a directory, a hub id, or [`ModelEmbedder::COMPILED_IN`]) at `size`, and no attributes.
    ///
    /// # Errors
    /// If the model can't be loaded at that size.
    pub fn model(id: &str, size: Size) -> Result<Self> {
        Ok(Self::with(Arc::new(ModelEmbedder::load(id, size)?), size))
    }

    /// With an embedder at hand, and no attributes.
    pub fn with(embedder: Arc<dyn Embedder>, size: Size) -> Self {
        Self {
            schema: Schema::default(),
            embedder,
            size,
            passages: None,
            fusion: Fusion::Default,
            codec: None,
        }
    }
}

/// How a collection is opened.
#[derive(Default)]
pub struct OpenOptions {
    /// The model, if it is at hand already; otherwise the one that the collection names is loaded.
    pub embedder: Option<Arc<dyn Embedder>>,
}

/// An open collection. Cloning is cheap; clones share what is open, and may be used from any thread.
#[derive(Clone)]
pub struct Collection {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    created: String,
    current: RwLock<Arc<Current>>,
}

/// A generation with the model that made its vectors.
pub struct Current {
    pub snapshot: Snapshot,
    pub embedder: Arc<dyn Embedder>,
    /// The filters that were asked for last, newest at the end.
    filters: Mutex<Vec<(String, Arc<Passing>)>>,
}

/// What a filter lets through.
pub struct Passing {
    /// The living rows.
    pub rows: Arc<Bitmap>,
    /// The part that holds them all, if there is one.
    pub inside: Option<Inside>,
}

fn indexed(parted: &Parted) -> IndexedInfo {
    IndexedInfo {
        attribute: parted.attribute.clone(),
        parts: parted.parts.len(),
        part_rows: parted.ids.as_ref().map_or(0, |ids| ids.rows),
        rows: parted.rows,
        bytes: size_of_files(parted.files()),
    }
}

/// How many filters a generation remembers.
const REMEMBERED_FILTERS: usize = 16;

impl Current {
    fn new(snapshot: Snapshot, embedder: Arc<dyn Embedder>) -> Self {
        Self {
            snapshot,
            embedder,
            filters: Mutex::new(Vec::new()),
        }
    }

    /// The living rows that pass `filter`.
    ///
    /// # Errors
    /// [`Error::Filter`].
    pub fn passing(&self, text: &str) -> Result<Arc<Passing>> {
        if let Ok(mut filters) = self.filters.lock()
            && let Some(at) = filters.iter().position(|(known, _)| known == text)
        {
            let entry = filters.remove(at);
            let passing = entry.1.clone();
            filters.push(entry);
            return Ok(passing);
        }
        let query = filter::compile(text, &self.snapshot.fields)?;
        let rows = Arc::new(filter::rows(&*query, &self.snapshot)?);
        let inside = self.snapshot.data.parts.inside(&rows);
        let passing = Arc::new(Passing { rows, inside });
        if let Ok(mut filters) = self.filters.lock() {
            if filters.len() >= REMEMBERED_FILTERS {
                filters.remove(0);
            }
            filters.push((text.to_string(), passing.clone()));
        }
        Ok(passing)
    }
}

impl Collection {
    /// Makes an empty collection in `directory`, which must be new or empty.
    ///
    /// # Errors
    /// [`Error::Exists`], or if the system refuses.
    pub fn create(directory: impl AsRef<Path>, options: CreateOptions) -> Result<Self> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory).map_err(kokeshi_core::Error::io(directory))?;
        check_free(directory)?;
        let _lock = lock::take(directory)?;
        let fields = Fields::new(&options.schema)?;
        let embedder = options.embedder;
        let passages = options
            .passages
            .unwrap_or_else(|| PassageOptions::for_model(&*embedder));
        passages.check()?;
        if let Some(spec) = &options.codec {
            spec.check(embedder.dims(), embedder.metric())?;
        }
        let state = State {
            generation: 0,
            schema: options.schema,
            model: embedder.id(),
            fingerprint: embedder.fingerprint(),
            size: options.size,
            dims: embedder.dims(),
            metric: embedder.metric(),
            passages,
            fusion: options.fusion,
            vectors: Vec::new(),
            graph: None,
            codec: options.codec.as_ref().map(crate::codes::asked),
            parted: Vec::new(),
            migration: None,
            documents: 0,
            live: 0,
            calibration: None,
        };
        let folder = directory.join(TEXT);
        // What a creation that was killed left behind.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(kokeshi_core::Error::io(&folder))?;
        }
        std::fs::create_dir(&folder).map_err(kokeshi_core::Error::io(&folder))?;
        make_words(&folder, &fields, &state)?;
        sync_folder(directory)?;
        let created = now();
        // The manifest comes last: without it the directory is no collection yet.
        Manifest::new(&state, created).write(directory)?;
        Self::open(
            directory,
            OpenOptions {
                embedder: Some(embedder),
            },
        )
    }

    /// Opens the collection in `directory` at its newest generation.
    ///
    /// # Errors
    /// [`Error::NotACollection`], [`Error::Newer`], [`Error::Damaged`] that names the file, [`Error::OtherModel`], or what the model's
    /// loader reports.
    pub fn open(directory: impl AsRef<Path>, options: OpenOptions) -> Result<Self> {
        let directory = directory.as_ref();
        let manifest = Manifest::read(directory)?;
        let snapshot = Snapshot::open(directory, Check::Affordable, None)?;
        let embedder = match options.embedder {
            Some(embedder) => over_bridge(embedder, &snapshot),
            None => load_model(&snapshot)?,
        };
        check_model(directory, &snapshot.state, &*embedder)?;
        Ok(Self {
            inner: Arc::new(Inner {
                directory: directory.into(),
                created: manifest.created,
                current: RwLock::new(Arc::new(Current::new(snapshot, embedder))),
            }),
        })
    }

    /// Whether `directory` holds a collection.
    pub fn exists(directory: impl AsRef<Path>) -> bool {
        directory.as_ref().join(MANIFEST).is_file()
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// The directory's name.
    pub fn name(&self) -> String {
        let name = self.inner.directory.file_name();
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The model that made the vectors.
    pub fn embedder(&self) -> Arc<dyn Embedder> {
        self.current().embedder.clone()
    }

    /// The generation that is open now; it stays whole while the caller holds it.
    pub(crate) fn current(&self) -> Arc<Current> {
        match self.inner.current.read() {
            Ok(current) => current.clone(),
            // Only ever replaced as a whole, so that a panic elsewhere can't have left it half done.
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Looks for a newer generation; returns the number of the one that is open now. Searches that run keep theirs.
    ///
    /// # Errors
    /// As [`Self::open`]; the old generation then stays open.
    pub fn refresh(&self) -> Result<u64> {
        let current = self.current();
        let snapshot = Snapshot::open(&self.inner.directory, Check::Shape, Some(&current.snapshot.data))?;
        self.install(snapshot, None)
    }

    /// Makes `snapshot` the open generation, with `embedder` or the one there is.
    pub(crate) fn install(&self, snapshot: Snapshot, embedder: Option<Arc<dyn Embedder>>) -> Result<u64> {
        let embedder = match embedder {
            Some(embedder) => embedder,
            None => {
                let open = self.embedder();
                if open.fingerprint() == snapshot.state.asks_by() && open.dims() == snapshot.state.dims {
                    open
                } else {
                    load_model(&snapshot)?
                }
            }
        };
        check_model(&self.inner.directory, &snapshot.state, &*embedder)?;
        let generation = snapshot.state.generation;
        let current = Arc::new(Current::new(snapshot, embedder));
        match self.inner.current.write() {
            Ok(mut place) => *place = current,
            Err(poisoned) => *poisoned.into_inner() = current,
        }
        Ok(generation)
    }

    /// Becomes the collection's one writer.
    ///
    /// # Errors
    /// [`Error::Busy`] that names the lock file and the process that holds it.
    pub fn writer(&self) -> Result<Writer> {
        self.writer_with(WriterOptions::default())
    }

    /// As [`Self::writer`], with options.
    ///
    /// # Errors
    /// As [`Self::writer`].
    pub fn writer_with(&self, options: WriterOptions) -> Result<Writer> {
        Writer::open(self.clone(), options)
    }

    pub(crate) fn created(&self) -> &str {
        &self.inner.created
    }

    /// Reads every byte of the newest generation and compares checksums.
    ///
    /// # Errors
    /// [`Error::Damaged`] that names the first file that is not what was committed.
    pub fn check(&self) -> Result<()> {
        Manifest::read(&self.inner.directory)?;
        Snapshot::open(&self.inner.directory, Check::Bytes, None).map(drop)
    }

    /// What the collection is.
    pub fn info(&self) -> Info {
        let current = self.current();
        let state = &current.snapshot.state;
        let of = |files: Vec<PathBuf>| -> u64 {
            files
                .iter()
                .filter_map(|file| std::fs::metadata(file).ok())
                .map(|meta| meta.len())
                .sum()
        };
        let inside = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let (text, all) = (
            of(inside(&self.inner.directory.join(TEXT))),
            inside(&self.inner.directory),
        );
        let starting = |prefix: &str| {
            let named = |path: &&PathBuf| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            };
            of(all.iter().filter(named).cloned().collect())
        };
        let coded = state.codec.as_ref();
        let ordered = |measured: &Measured| measured.usual().max(LEAST_CANDIDATES);
        let moving = state.migration.as_ref();
        let codes = coded
            .into_iter()
            .flat_map(|coded| coded.chain.iter().chain(&coded.codes));
        let parts = [
            ("text", text),
            ("vectors", size_of_files(&state.vectors)),
            ("graph", size_of_files(&state.graph)),
            ("codes", size_of_files(codes)),
            (
                "new vectors",
                size_of_files(moving.into_iter().flat_map(|moving| &moving.vectors)),
            ),
            ("bridge", size_of_files(moving.map(|moving| &moving.bridge))),
            (
                "parts",
                size_of_files(state.parted.iter().flat_map(Parted::files)),
            ),
        ];
        let total = parts.iter().map(|(_, bytes)| bytes).sum::<u64>() + starting(MANIFEST);
        // What every collection has, and what this one has besides.
        let usual = ["text", "vectors", "graph"];
        let bytes = parts
            .into_iter()
            .filter(|(name, bytes)| usual.contains(name) || *bytes > 0);
        let bytes = bytes.chain([("total", total)]);
        Info {
            name: self.name(),
            format: FORMAT,
            generation: state.generation,
            documents: state.documents,
            passages: state.live,
            schema: state.schema.clone(),
            model: state.model.clone(),
            fingerprint: state.fingerprint.clone(),
            dims: state.dims,
            size: state.size.to_string(),
            bytes: bytes.map(|(name, bytes)| (name.to_string(), bytes)).collect(),
            rows: state.rows(),
            graph_rows: state.graph.as_ref().map_or(0, |graph| graph.rows),
            codec: coded.map(|coded| CodecInfo {
                codec: coded.spec.clone(),
                code_bytes: current
                    .snapshot
                    .data
                    .chain()
                    .map_or(0, |chain| chain.code_bytes()),
                rows: state.coded_rows(),
                candidates: coded.measured.as_ref().map(ordered),
                recall: coded
                    .measured
                    .as_ref()
                    .map(|measured| measured.recall(ordered(measured))),
            }),
            indexed: state.parted.iter().map(indexed).collect(),
            migration: moving.map(|moving| MigrationInfo {
                model: moving.model.clone(),
                dims: moving.dims,
                size: moving.size.to_string(),
                rows: moving.rows(),
                kept: current.snapshot.data.bridge().map_or(0.0, |bridge| bridge.kept()),
            }),
        }
    }

    /// Vectors of at most `most` random passages that can be found, in random order.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn sample_vectors(&self, most: usize, seed: &mut Seed) -> Result<Embeddings> {
        let current = self.current();
        let snapshot = &current.snapshot;
        let mut rows: Vec<u32> = snapshot.live.iter().collect();
        seed.shuffle(&mut rows);
        rows.truncate(most);
        let mut sample = Embeddings::new(snapshot.state.dims);
        for row in rows {
            sample.push(snapshot.data.vectors.row(row))?;
        }
        Ok(sample)
    }

    /// Document `id` as it was given, its passages joined again; `None` if there is none.
    ///
    /// # Errors
    /// If the word index can't be read.
    pub fn document(&self, id: &str) -> Result<Option<Document>> {
        document(&self.current().snapshot, id)
    }
}

/// Document `id` of a generation.
pub fn document(snapshot: &Snapshot, id: &str) -> Result<Option<Document>> {
    let query = TermQuery::new(
        Term::from_field_text(snapshot.fields.id, id),
        IndexRecordOption::Basic,
    );
    let found = snapshot
        .searcher
        .search(&query, &DocSetCollector)
        .map_err(|error| Error::Request(format!("document {id:?} can't be looked up: {error}")))?;
    let mut passages = Vec::with_capacity(found.len());
    for address in found {
        let start = usize::try_from(snapshot.number(address, "_start")).unwrap_or(usize::MAX);
        passages.push((start, snapshot.stored(address)?));
    }
    passages.sort_by_key(|(start, _)| *start);
    let Some((_, first)) = passages.first() else {
        return Ok(None);
    };
    let mut document = Document {
        id: id.into(),
        title: snapshot.fields.stored_text(first, snapshot.fields.title).into(),
        attributes: attributes(snapshot, first),
        ..Document::default()
    };
    for (start, passage) in &passages {
        let text = snapshot.fields.stored_text(passage, snapshot.fields.text);
        // Neighbours overlap: what is there already is skipped.
        let known = document.text.len().saturating_sub(*start);
        document.text.push_str(text.get(known..).unwrap_or_default());
    }
    Ok(Some(document))
}

/// The attributes stored with a passage.
pub fn attributes(
    snapshot: &Snapshot,
    passage: &tantivy::TantivyDocument,
) -> std::collections::BTreeMap<String, Attribute> {
    let json = snapshot.fields.stored_text(passage, snapshot.fields.stored);
    serde_json::from_str(json).unwrap_or_default()
}

/// The commit of generation 0: an empty word index whose payload is `state`.
fn make_words(folder: &Path, fields: &Fields, state: &State) -> Result<()> {
    let directory = Folder::open(folder).map_err(Error::words(folder))?;
    let index = Index::create(directory, fields.columns.clone(), IndexSettings::default())
        .map_err(Error::words(folder))?;
    let mut index = index;
    index.set_tokenizers(words::tokenizers());
    let mut writer = index
        .writer_with_num_threads::<tantivy::TantivyDocument>(1, 16 << 20)
        .map_err(Error::words(folder))?;
    let mut commit = writer.prepare_commit().map_err(Error::words(folder))?;
    commit.set_payload(&state.to_payload().map_err(Error::words(folder))?);
    commit.commit().map_err(Error::words(folder))?;
    Ok(())
}

fn size_of_files<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> u64 {
    files.into_iter().map(|file| file.bytes).sum()
}

fn check_free(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(kokeshi_core::Error::io(directory))?;
    let exists = |found: &str| Error::Exists {
        path: directory.into(),
        found: found.into(),
    };
    if directory.join(MANIFEST).exists() {
        return Err(exists("a collection"));
    }
    // A creation that was killed before its last step may be repeated: it left the lock file, and a folder that tantivy began.
    let ours = directory.join("writer.lock").is_file();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let begun = ours && (is_empty(&entry.path()) || entry.path().join(".managed.json").is_file());
        if name != "writer.lock" && !(name == TEXT && begun) {
            return Err(exists(&name));
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The model that the generation asks by, behind its bridge if there is one.
fn load_model(snapshot: &Snapshot) -> Result<Arc<dyn Embedder>> {
    let state = &snapshot.state;
    let (model, size) = match &state.migration {
        None => (&state.model, state.size),
        Some(moving) => (&moving.model, moving.size),
    };
    Ok(over_bridge(Arc::new(ModelEmbedder::load(model, size)?), snapshot))
}

/// Puts the model that is taking over behind its bridge; others stay what they are.
fn over_bridge(embedder: Arc<dyn Embedder>, snapshot: &Snapshot) -> Arc<dyn Embedder> {
    match (&snapshot.state.migration, snapshot.data.bridge()) {
        (Some(moving), Some(bridge)) if embedder.fingerprint() == moving.fingerprint => {
            BridgedEmbedder::shared(embedder, bridge.clone(), snapshot.state.asks_by())
        }
        _ => embedder,
    }
}

fn check_model(directory: &Path, state: &State, embedder: &dyn Embedder) -> Result<()> {
    if embedder.fingerprint() != state.asks_by() || embedder.dims() != state.dims {
        let moving = state.migration.as_ref().map(|moving| &moving.model);
        return Err(Error::OtherModel {
            path: directory.into(),
            expected_id: moving.unwrap_or(&state.model).clone(),
            expected: format!("{} at {} dimensions", state.asks_by(), state.dims),
            found_id: embedder.id(),
            found: format!("{} at {} dimensions", embedder.fingerprint(), embedder.dims()),
        });
    }
    Ok(())
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = now.map_or(0, |time| time.as_secs() as i64 * 1_000_000);
    crate::dates::written(micros)
}
