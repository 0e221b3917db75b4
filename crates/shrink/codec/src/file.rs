//! Files: a trained chain (`KKCODEC`) and the codes of vectors (`KKCODES`), both checksummed containers of [`kokeshi_core::file`].
//!
//! The payload of codes begins with 64 bytes: the checksum of the chain's payload (so that codes are never read with another chain), the
//! bytes of a code, both u64, and zeros; the codes follow.

use std::io::Write;
use std::path::{Path, PathBuf};

use kokeshi_core::file::{Mapped, Writer, checksum};
use kokeshi_core::{Embeddings, Error, Metric, Result};

use crate::chain::Chain;
use crate::codec::Codec;

const CODEC_MAGIC: &[u8; 8] = b"KKCODEC\0";
const CODES_MAGIC: &[u8; 8] = b"KKCODES\0";
const VERSION: u32 = 1;
const HEADER: usize = 64;

/// How a metric is called in files and messages.
pub fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot",
        Metric::L2 => "l2",
    }
}

impl Chain {
    /// Writes what was trained, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut writer = Writer::create(path, CODEC_MAGIC, VERSION)?;
        writer.write_all(&self.to_bytes()).map_err(Error::io(path))?;
        writer.finish()?;
        Ok(())
    }

    /// Reads what [`Chain::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] with what was expected and found.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&Mapped::open(path, CODEC_MAGIC, VERSION)?, path)
    }

    /// What tells this chain from every other one: the checksum of its file's payload.
    pub fn fingerprint(&self) -> u64 {
        checksum(&self.to_bytes())
    }
}

/// Writes codes, block by block.
pub struct CodesWriter<'a> {
    chain: &'a Chain,
    writer: Writer,
    path: PathBuf,
    rows: usize,
}

impl<'a> CodesWriter<'a> {
    /// Begins a file of codes of `chain`.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be made.
    pub fn create(path: &Path, chain: &'a Chain) -> Result<Self> {
        let mut writer = Writer::create(path, CODES_MAGIC, VERSION)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&chain.fingerprint().to_le_bytes());
        header[8..16].copy_from_slice(&(chain.code_bytes() as u64).to_le_bytes());
        writer.write_all(&header).map_err(Error::io(path))?;
        Ok(Self {
            chain,
            writer,
            path: path.into(),
            rows: 0,
        })
    }

    /// Encodes and appends `vectors`.
    ///
    /// # Errors
    /// [`Error::Dims`] and [`Error::NotFinite`] as [`Chain::encode_all`] gives them, [`Error::Io`] if the system refuses.
    pub fn append(&mut self, vectors: &Embeddings) -> Result<()> {
        let codes = self.chain.encode_all(vectors)?;
        self.writer.write_all(&codes).map_err(Error::io(&self.path))?;
        self.rows += vectors.rows();
        Ok(())
    }

    /// Appends codes that the chain made before.
    ///
    /// # Errors
    /// [`Error::Dims`] if they are not whole codes, [`Error::Io`] if the system refuses.
    pub fn append_codes(&mut self, codes: &[u8]) -> Result<()> {
        let bytes = self.chain.code_bytes();
        if !codes.len().is_multiple_of(bytes) {
            return Err(Error::Dims {
                what: format!("codes of {} bytes in all, bytes a code", codes.len()),
                expected: bytes,
                found: codes.len() % bytes,
            });
        }
        self.writer.write_all(codes).map_err(Error::io(&self.path))?;
        self.rows += codes.len() / bytes;
        Ok(())
    }

    /// Puts the file in its place; gives the number of rows.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; what was there before is then still there.
    pub fn finish(self) -> Result<usize> {
        self.writer.finish()?;
        Ok(self.rows)
    }
}

/// What a file of codes says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodesHeader {
    /// The [`Chain::fingerprint`] of what made the codes.
    pub fingerprint: u64,
    /// Bytes of a code.
    pub code_bytes: usize,
    /// How many there are.
    pub rows: usize,
}

/// Looks at codes without the chain that made them.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] with what was expected and found.
pub fn inspect_codes(path: &Path) -> Result<CodesHeader> {
    header(&Mapped::open(path, CODES_MAGIC, VERSION)?, path)
}

fn header(map: &Mapped, path: &Path) -> Result<CodesHeader> {
    let numbers = map.get(..HEADER).map(|header| header.as_chunks::<8>().0);
    let Some(&[fingerprint, code_bytes, ..]) = numbers else {
        return Err(Error::file(
            path,
            format!("expected {HEADER} bytes of header, found {}", map.len()),
        ));
    };
    let (body, code_bytes) = (map.len() - HEADER, u64::from_le_bytes(code_bytes));
    match usize::try_from(code_bytes) {
        Ok(bytes) if bytes > 0 && body.is_multiple_of(bytes) => Ok(CodesHeader {
            fingerprint: u64::from_le_bytes(fingerprint),
            code_bytes: bytes,
            rows: body / bytes,
        }),
        _ => Err(Error::file(
            path,
            format!("expected whole codes, found {body} bytes in codes of {code_bytes}"),
        )),
    }
}

/// Codes in a file, memory-mapped.
#[derive(Debug)]
pub struct Codes {
    map: Mapped,
    code_bytes: usize,
}

impl Codes {
    /// Opens the codes that `chain` made.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] with what was expected and found: damage, or another chain.
    pub fn open(path: &Path, chain: &Chain) -> Result<Self> {
        let map = Mapped::open(path, CODES_MAGIC, VERSION)?;
        let found = header(&map, path)?;
        let wrong = |problem: String| Error::file(path, problem);
        let expected = chain.fingerprint();
        if found.fingerprint != expected {
            return Err(wrong(format!(
                "expected codes of the codec {expected:016x} ({}), found codes of {:016x}",
                chain.spec(),
                found.fingerprint
            )));
        }
        if found.code_bytes != chain.code_bytes() {
            return Err(wrong(format!(
                "expected codes of {} bytes, found codes of {}",
                chain.code_bytes(),
                found.code_bytes
            )));
        }
        Ok(Self {
            map,
            code_bytes: chain.code_bytes(),
        })
    }

    /// How many codes there are.
    pub fn rows(&self) -> usize {
        self.bytes().len() / self.code_bytes
    }

    /// All codes, one after another; aligned to 64 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map[HEADER..]
    }
}
