//! Which documents a collection holds, with their content hashes: how a writer skips what did not change.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// What is remembered of a document: 24 bytes with its key, so a million documents take some 50 MB of the writer's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its content hash.
    pub hash: u64,
    /// How many passages it has.
    pub passages: u32,
}

/// Documents by [`document_key`].
pub type KnownDocuments = HashMap<u64, Known, BuildHasherDefault<AlreadyHashed>>;

/// The key of a document: XXH3 of its id.
pub fn document_key(id: &str) -> u64 {
    kokeshi_core::file::checksum(id.as_bytes())
}

/// Keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The documents of `snapshot`.
pub fn load(snapshot: &Snapshot) -> Result<KnownDocuments> {
    let unreadable =
        |error: tantivy::TantivyError| Error::Request(format!("the word index can't be read: {error}"));
    let mut known = KnownDocuments::default();
    known.reserve(usize::try_from(snapshot.state.documents).unwrap_or(0));
    for reader in snapshot.searcher.segment_readers() {
        let fast = reader.fast_fields();
        let document = fast.u64("_document").map_err(unreadable)?;
        let hash = fast.u64("_hash").map_err(unreadable)?;
        let number = fast.u64("_passage").map_err(unreadable)?;
        let passages = fast.u64("_passages").map_err(unreadable)?;
        for at in reader.doc_ids_alive() {
            if number.first(at) != Some(0) {
                continue;
            }
            let entry = Known {
                hash: hash.first(at).unwrap_or_default(),
                passages: passages.first(at).unwrap_or_default() as u32,
            };
            known.insert(document.first(at).unwrap_or_default(), entry);
        }
    }
    Ok(known)
}
