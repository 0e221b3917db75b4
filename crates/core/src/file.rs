//! Files that are written whole or not at all, and say if they were damaged.

use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// The XXH3 checksum of `bytes`, 64 bits.
pub fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Writes `bytes` to `path` so that a reader, or a crash at any instant, sees the old file or the new one, never a part:
/// temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// [`Error::Io`] if the system refuses; the old file is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(source) = written {
        // The first error is the one to report; a temporary file that can't be removed either is harmless.
        let _ = std::fs::remove_file(&temporary);
        return Err(Error::Io {
            path: path.into(),
            source,
        });
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the entries of `folder` (created, renamed, removed files) survive a power cut.
///
/// # Errors
/// [`Error::Io`] if the system refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io(folder))
}
