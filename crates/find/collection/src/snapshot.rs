//! One generation of a collection, open for reading. It stays whole until its last reader is done, whatever writers do meanwhile.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use kokeshi_core::Bitmap;
use tantivy::index::SegmentComponent;
use tantivy::{Directory, DocAddress, Index, ReloadPolicy, Searcher, TantivyDocument};

use crate::data::Data;
use crate::fields::Fields;
use crate::folder::Folder;
use crate::state::State;
use crate::{Error, Result, seal, words};

/// The folder of the word index inside a collection.
pub const TEXT: &str = "text";
/// Collections up to this size are checked byte by byte when they are opened; larger ones by their lengths and headers.
const CHECK_ALL_BELOW: u64 = 512 << 20;
/// The address of a row that no living passage has.
const DEAD: DocAddress = DocAddress {
    segment_ord: u32::MAX,
    doc_id: u32::MAX,
};

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Lengths and headers.
    Shape,
    /// Every byte if the collection is smaller than 512 MiB, otherwise lengths and headers.
    Affordable,
    /// Every byte.
    Bytes,
}

/// See the [module](self).
pub struct Snapshot {
    pub state: State,
    pub fields: Fields,
    pub searcher: Searcher,
    pub data: Data,
    /// Rows that belong to a passage that can be found.
    pub live: Bitmap,
    addresses: Vec<DocAddress>,
}

impl Snapshot {
    /// Opens the newest generation of the collection in `directory`; files that are open in `previous` are shared with it.
    ///
    /// # Errors
    /// [`Error::Damaged`] that names the file.
    pub fn open(directory: &Path, check: Check, previous: Option<&Data>) -> Result<Self> {
        // A writer may commit and remove the files of the generation that is being opened; then there is a newer one.
        let mut last = None;
        for _ in 0..5 {
            match Self::try_open(directory, check, previous) {
                Ok(Some(snapshot)) => return Ok(snapshot),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
            if last.is_some() && newest_generation(directory).is_err() {
                break;
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::Request(format!(
                "{}: commits follow each other too fast to open one",
                directory.display()
            ))
        }))
    }

    /// `None` if a commit came in between.
    fn try_open(directory: &Path, check: Check, previous: Option<&Data>) -> Result<Option<Self>> {
        let folder = directory.join(TEXT);
        // tantivy's readers panic on some contradictions in damaged files that no checksum covers when only lengths are checked.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Self::open_unprotected(directory, &folder, check, previous)
        }));
        opened.unwrap_or_else(|panic| {
            let said = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
            Err(Error::damaged(
                folder,
                format!("it can't be read: {}", said.unwrap_or_default()),
            ))
        })
    }

    fn open_unprotected(
        directory: &Path,
        folder: &Path,
        check: Check,
        previous: Option<&Data>,
    ) -> Result<Option<Self>> {
        let (index, state) = open_words(folder)?;
        let vectors_bytes: u64 = state.files().map(|file| file.bytes).sum();
        let bytes = match check {
            Check::Shape => false,
            Check::Bytes => true,
            Check::Affordable => vectors_bytes + folder_bytes(folder) <= CHECK_ALL_BELOW,
        };
        check_words(&index, folder, bytes)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(Error::words(folder))?;
        let searcher: Searcher = reader.searcher();
        if read_state(&index, folder)?.generation != state.generation {
            return Ok(None);
        }
        if searcher.num_docs() != state.live {
            return Err(Error::damaged(
                folder.join("meta.json"),
                format!("expected {} passages, found {}", state.live, searcher.num_docs()),
            ));
        }
        let data = Data::open(directory, &state, bytes, previous)?;
        let fields = Fields::new(&state.schema)?;
        let (addresses, live) = rows(&searcher, folder, data.vectors.rows())?;
        Ok(Some(Self {
            data,
            state,
            fields,
            searcher,
            live,
            addresses,
        }))
    }

    /// Where the passage with vector `row` is in the word index, if it lives.
    pub fn address(&self, row: u32) -> Option<DocAddress> {
        self.addresses
            .get(row as usize)
            .copied()
            .filter(|address| *address != DEAD)
    }

    /// The stored fields of a passage.
    pub fn stored(&self, address: DocAddress) -> Result<TantivyDocument> {
        self.searcher
            .doc(address)
            .map_err(|error| Error::Request(format!("a stored passage can't be read: {error}")))
    }

    /// A number of a passage from fast field `name`.
    pub fn number(&self, address: DocAddress, name: &str) -> u64 {
        self.searcher
            .segment_reader(address.segment_ord)
            .fast_fields()
            .u64(name)
            .ok()
            .and_then(|column| column.first(address.doc_id))
            .unwrap_or_default()
    }

    /// How many rows the vector index has, dead ones included.
    pub fn rows(&self) -> usize {
        self.data.vectors.rows()
    }
}

/// Opens the word index and reads its commit.
pub fn open_words(folder: &Path) -> Result<(Index, State)> {
    // tantivy takes a missing list for an empty one and would never remove a file again.
    let managed = folder.join(".managed.json");
    if !managed.is_file() {
        return Err(Error::damaged(managed, "missing"));
    }
    for name in ["meta.json", ".managed.json"] {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|error| Error::damaged(&path, error.to_string()))?;
        seal::unseal(&bytes).map_err(|problem| Error::damaged(&path, problem))?;
    }
    let directory = Folder::open(folder).map_err(Error::words(folder))?;
    let mut index = Index::open(directory)
        .map_err(|error| Error::damaged(folder.join("meta.json"), error.to_string()))?;
    index.set_tokenizers(words::tokenizers());
    let state = read_state(&index, folder)?;
    Ok((index, state))
}

fn read_state(index: &Index, folder: &Path) -> Result<State> {
    let meta = folder.join("meta.json");
    let metas = index
        .load_metas()
        .map_err(|error| Error::damaged(&meta, error.to_string()))?;
    let payload = metas
        .payload
        .ok_or_else(|| Error::damaged(&meta, "the commit has no payload"))?;
    State::from_payload(&payload).map_err(|problem| Error::damaged(&meta, format!("payload: {problem}")))
}

fn newest_generation(directory: &Path) -> Result<u64> {
    Ok(open_words(&directory.join(TEXT))?.1.generation)
}

/// Checks that the files of every segment are there, can be opened and, with `bytes`, that they are what was written.
fn check_words(index: &Index, folder: &Path, bytes: bool) -> Result<()> {
    let metas = index.load_metas().map_err(Error::words(folder))?;
    let managed = index.directory().list_managed_files();
    for segment in &metas.segments {
        let mut parts = vec![
            SegmentComponent::Postings,
            SegmentComponent::Positions,
            SegmentComponent::FastFields,
            SegmentComponent::FieldNorms,
            SegmentComponent::Terms,
            SegmentComponent::Store,
        ];
        if segment.has_deletes() {
            parts.push(SegmentComponent::Delete);
        }
        for part in parts {
            let name = segment.relative_path(part);
            let path = folder.join(&name);
            if !path.is_file() {
                return Err(Error::damaged(path, "missing"));
            }
            if !managed.contains(&name) {
                return Err(Error::damaged(
                    folder.join(".managed.json"),
                    format!("{} is not listed", name.display()),
                ));
            }
            // It would be opened later, too, but by tantivy, which does not always say which file it could not make sense of.
            let opened = index.directory().open_read(&name);
            opened.map_err(|error| Error::damaged(&path, error.to_string()))?;
            if bytes {
                match index.directory().validate_checksum(&name) {
                    Ok(true) => {}
                    Ok(false) => {
                        return Err(Error::damaged(path, "its checksum does not fit its contents"));
                    }
                    Err(error) => return Err(Error::damaged(path, error.to_string())),
                }
            }
        }
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

/// The address of every row, and which rows live.
fn rows(searcher: &Searcher, folder: &Path, count: usize) -> Result<(Vec<DocAddress>, Bitmap)> {
    let mut addresses = vec![DEAD; count];
    let mut live = Bitmap::empty(count);
    for (segment_ord, reader) in searcher.segment_readers().iter().enumerate() {
        let column = reader.fast_fields().u64("_row").map_err(Error::words(folder))?;
        for doc_id in reader.doc_ids_alive() {
            let row = column.first(doc_id).unwrap_or(u64::MAX);
            let place = usize::try_from(row).ok().and_then(|row| addresses.get_mut(row));
            match place {
                Some(place) if *place == DEAD => {
                    *place = DocAddress::new(segment_ord as u32, doc_id);
                    live.insert(row as u32);
                }
                Some(_) => {
                    return Err(Error::damaged(
                        folder,
                        format!("two passages share vector row {row}"),
                    ));
                }
                None => {
                    return Err(Error::damaged(
                        folder,
                        format!("a passage has vector row {row} of {count}"),
                    ));
                }
            }
        }
    }
    Ok((addresses, live))
}
