//! Files that are written whole or not at all, and say if they were damaged.
//!
//! Two tools: [`write_atomic`] for small texts (manifests), and a checksummed container ([`Writer`], [`Mapped`]) for binary data
//! such as graphs and codes. A container is a 64-byte header and its payload, all numbers little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | magic: eight ASCII letters that say what the payload is |
//! | 8..12 | format version of the payload |
//! | 12..16 | zero |
//! | 16..24 | payload length in bytes |
//! | 24..32 | XXH3-64 of the payload |
//! | 32..40 | XXH3-64 of the bytes 0..32 |
//! | 40..64 | zero, so that the payload starts at a multiple of 64 |

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::Xxh3;

use crate::{Error, Result};

/// Bytes of a container's header; the payload starts here and is aligned to 64.
pub const HEADER_BYTES: usize = 64;

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
    let mut temporary = Temporary::create(path)?;
    temporary.file.write_all(bytes).map_err(Error::io(path))?;
    temporary.publish()
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

/// A file beside `target` that takes its place when it is published, and is removed when it is not.
pub(crate) struct Temporary {
    pub(crate) file: std::fs::File,
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Temporary {
    pub(crate) fn create(target: &Path) -> Result<Self> {
        /// Tells apart the temporary files of one process.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".tmp-{}-{next}", std::process::id()));
        let path = target.with_file_name(name);
        let file = std::fs::OpenOptions::new()
            .write(true)
            .read(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io(target))?;
        Ok(Self {
            file,
            path,
            target: target.into(),
            published: false,
        })
    }

    pub(crate) fn publish(mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.target))?;
        std::fs::rename(&self.path, &self.target).map_err(Error::io(&self.target))?;
        self.published = true;
        sync_folder(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // The error that kept the file from being published is the one that is reported; what is left behind is harmless.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes a container; nothing is at `path` until [`Writer::finish`]. Writes are buffered (64 KiB).
///
/// ```
/// use std::io::Write;
/// use kokeshi_core::file::{Mapped, Writer};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("graph-1.bin");
/// let mut writer = Writer::create(&path, b"KKGRAPH\0", 1)?;
/// writer.write_all(b"neighbours")?;
/// writer.finish()?;
/// assert_eq!(&*Mapped::open(&path, b"KKGRAPH\0", 1)?, b"neighbours");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    temporary: Temporary,
    buffer: Vec<u8>,
    magic: [u8; 8],
    version: u32,
    length: u64,
    hash: Xxh3,
}

/// What is gathered before it goes to the system.
const BUFFER_BYTES: usize = 64 << 10;

impl Writer {
    /// Begins a container that will be at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be made.
    pub fn create(path: &Path, magic: &[u8; 8], version: u32) -> Result<Self> {
        let mut temporary = Temporary::create(path)?;
        temporary
            .file
            .write_all(&[0; HEADER_BYTES])
            .map_err(Error::io(path))?;
        Ok(Self {
            temporary,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            magic: *magic,
            version,
            length: 0,
            hash: Xxh3::new(),
        })
    }

    /// Writes the header, makes the file survive a power cut, and puts it at its path. Returns the payload's checksum.
    ///
    /// # Errors
    /// [`Error::Io`]; what was at the path before is then still there.
    pub fn finish(mut self) -> Result<u64> {
        let checksum = self.hash.digest();
        let header = header(&self.magic, self.version, self.length, checksum);
        self.flush()
            .and_then(|()| self.temporary.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.temporary.file.write_all(&header))
            .map_err(Error::io(&self.temporary.target))?;
        self.temporary.publish()?;
        Ok(checksum)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.temporary.file.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.temporary.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn header(magic: &[u8; 8], version: u32, length: u64, payload: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(magic);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[16..24].copy_from_slice(&length.to_le_bytes());
    header[24..32].copy_from_slice(&payload.to_le_bytes());
    let own = checksum(&header[..32]);
    header[32..40].copy_from_slice(&own.to_le_bytes());
    header
}

/// A container's payload, memory-mapped and verified; dereferences to its bytes, whose start is aligned to 64.
#[derive(Debug)]
pub struct Mapped {
    map: memmap2::Mmap,
}

impl std::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[HEADER_BYTES..]
    }
}

impl Mapped {
    /// Maps the container at `path` and verifies every byte of it (some 10 GB/s once it is in the page cache).
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] which says what was expected and what was found: another magic or version, a wrong length,
    /// a wrong checksum.
    pub fn open(path: &Path, magic: &[u8; 8], version: u32) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: a container is never changed in place (Writer renames a finished file); a file that somebody else truncates
        // meanwhile is outside our contract.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        check(&map, magic, version).map_err(|problem| Error::file(path, problem))?;
        Ok(Self { map })
    }

    /// The same in memory of the process's own, on large pages where the system has them: what is read here and there, a few bytes each
    /// time, is then found a tenth faster or so.
    ///
    /// # Errors
    /// As [`Mapped::open`], and [`Error::Io`] if there is too little memory.
    pub fn load(path: &Path, magic: &[u8; 8], version: u32) -> Result<Self> {
        let Self { map } = Self::open(path, magic, version)?;
        let mut own = memmap2::MmapMut::map_anon(map.len()).map_err(Error::io(path))?;
        // A wish: without large pages it is as good as mapped.
        #[cfg(target_os = "linux")]
        let _ = own.advise(memmap2::Advice::HugePage);
        own.copy_from_slice(&map);
        let map = own.make_read_only().map_err(Error::io(path))?;
        Ok(Self { map })
    }
}

fn check(bytes: &[u8], magic: &[u8; 8], version: u32) -> std::result::Result<(), String> {
    let Some((head, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(format!(
            "truncated: expected a header of {HEADER_BYTES} bytes, found {} bytes",
            bytes.len()
        ));
    };
    let number = |at: usize| {
        head[at..at + 8]
            .iter()
            .rev()
            .fold(0, |sum, &b| sum << 8 | u64::from(b))
    };
    if &head[..8] != magic {
        return Err(format!(
            "expected the file to start with \"{}\", found \"{}\"",
            magic.escape_ascii(),
            head[..8].escape_ascii()
        ));
    }
    if number(32) != checksum(&head[..32]) || head[40..].iter().any(|&byte| byte != 0) {
        return Err(format!(
            "damaged header: expected checksum {:016x}, found {:016x}",
            checksum(&head[..32]),
            number(32)
        ));
    }
    let found = number(8) as u32;
    if found != version {
        let hint = if found > version {
            " (written by a newer Kokeshi)"
        } else {
            ""
        };
        return Err(format!("expected format version {version}, found {found}{hint}"));
    }
    if number(16) != payload.len() as u64 {
        return Err(format!(
            "wrong length: expected {} bytes after the header, found {}",
            number(16),
            payload.len()
        ));
    }
    let found = checksum(payload);
    if number(24) != found {
        return Err(format!(
            "damaged: expected checksum {:016x}, found {found:016x}",
            number(24)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"KKTEST\0\0";

    fn container(path: &Path, payload: &[u8]) {
        let mut writer = Writer::create(path, MAGIC, 3).unwrap();
        writer.write_all(payload).unwrap();
        assert_eq!(writer.finish().unwrap(), checksum(payload));
    }

    #[test]
    fn a_container_gives_back_its_payload_aligned_to_64() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, 63, 64, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 5] {
            let path = folder.path().join(format!("{length}.bin"));
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let mut writer = Writer::create(&path, MAGIC, 3).unwrap();
            for part in payload.chunks(1000) {
                writer.write_all(part).unwrap();
            }
            writer.finish().unwrap();
            let mapped = Mapped::open(&path, MAGIC, 3).unwrap();
            assert_eq!(&*mapped, &payload[..]);
            assert_eq!(mapped.as_ptr() as usize % 64, 0);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.bin");
        container(&path, b"some neighbours");
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let error = Mapped::open(&path, MAGIC, 3).unwrap_err().to_string();
            assert!(
                error.contains("graph.bin") && error.contains("expected"),
                "{error}"
            );
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(Mapped::open(&path, MAGIC, 3).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn another_kind_and_a_newer_version_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.bin");
        container(&path, b"x");
        let error = Mapped::open(&path, b"KKGRAPH\0", 3).unwrap_err().to_string();
        assert!(error.contains("KKGRAPH") && error.contains("KKTEST"), "{error}");
        let error = Mapped::open(&path, MAGIC, 2).unwrap_err().to_string();
        assert!(
            error.contains("version 2, found 3 (written by a newer"),
            "{error}"
        );
    }

    #[test]
    fn an_unfinished_container_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.bin");
        container(&path, b"old");
        let mut writer = Writer::create(&path, MAGIC, 3).unwrap();
        writer.write_all(b"new").unwrap();
        drop(writer);
        assert_eq!(&*Mapped::open(&path, MAGIC, 3).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_atomic_write_replaces_and_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        write_atomic(&path, b"1").unwrap();
        write_atomic(&path, b"2").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_atomic(&folder.path().join("none/x"), b"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("none"), "{error}");
    }
}
