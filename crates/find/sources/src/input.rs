//! Opened files: bytes that come off the disk, decompressed on a second thread, and counted for the progress bar.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the ending of the name; the name without it comes back, too.
    pub(crate) fn of(name: &str) -> (Self, &str) {
        for (ending, packing) in [(".gz", Self::Gzip), (".zst", Self::Zstd), (".zstd", Self::Zstd)] {
            if let Some(stem) = name.len().checked_sub(ending.len()).filter(|at| {
                *at > 0 && name.is_char_boundary(*at) && name[*at..].eq_ignore_ascii_case(ending)
            }) {
                return (packing, &name[..stem]);
            }
        }
        (Self::Plain, name)
    }
}

/// Bytes of one decompressed block that travels between the threads.
const BLOCK: usize = 256 << 10;
/// Blocks that may wait: enough to even out the two threads, little memory.
const BLOCKS: usize = 4;
/// A packed file smaller than this is unpacked where it is read: a thread costs more than it saves.
const WORTH_A_THREAD: u64 = 128 << 10;

/// Opens `path`; bytes read from the disk are added to `counter`.
pub(crate) fn open(
    path: &Path,
    packing: Packing,
    counter: &Arc<AtomicU64>,
) -> std::io::Result<Box<dyn BufRead + Send>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let counted = Counted {
        inner: file,
        counter: Arc::clone(counter),
    };
    if packing == Packing::Plain {
        return Ok(Box::new(BufReader::with_capacity(BLOCK, counted)));
    }
    let packed = BufReader::with_capacity(BLOCK, counted);
    let unpacked: Box<dyn Read + Send> = match packing {
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
        _ => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
    };
    if size < WORTH_A_THREAD {
        return Ok(Box::new(BufReader::with_capacity(BLOCK, unpacked)));
    }
    Ok(Box::new(Threaded::start(unpacked)?))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    counter: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counter.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads on a second thread, which ends when this is dropped.
struct Threaded {
    blocks: Receiver<std::io::Result<Vec<u8>>>,
    /// Emptied blocks go back, so that nothing is allocated on the way.
    empty: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    used: usize,
    ended: bool,
}

impl Threaded {
    fn start(mut source: Box<dyn Read + Send>) -> std::io::Result<Self> {
        let (send, blocks) = sync_channel::<std::io::Result<Vec<u8>>>(BLOCKS);
        let (empty, returned) = sync_channel::<Vec<u8>>(BLOCKS);
        std::thread::Builder::new().name("unpack".into()).spawn(move || {
            loop {
                let mut block = returned.try_recv().unwrap_or_default();
                block.resize(BLOCK, 0);
                let mut filled = 0;
                let mut failed = None;
                while filled < BLOCK {
                    match source.read(&mut block[filled..]) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                let last = filled < BLOCK;
                block.truncate(filled);
                // A receiver that is gone means that nobody wants the rest.
                if filled > 0 && send.send(Ok(block)).is_err() {
                    return;
                }
                if let Some(error) = failed {
                    let _ = send.send(Err(error));
                    return;
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(Self {
            blocks,
            empty,
            block: Vec::new(),
            used: 0,
            ended: false,
        })
    }
}

impl Read for Threaded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Threaded {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.used == self.block.len() && !self.ended {
            match self.blocks.recv() {
                Ok(Ok(block)) => {
                    let old = std::mem::replace(&mut self.block, block);
                    self.used = 0;
                    // A full queue only means that this block is freed instead.
                    let _ = self.empty.try_send(old);
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                // The thread is done.
                Err(_) => self.ended = true,
            }
        }
        Ok(&self.block[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.block.len());
    }
}

/// Says what an I/O error of a packed file means.
pub(crate) fn explain(error: &std::io::Error, packing: Packing) -> String {
    match (packing, error.kind()) {
        (Packing::Gzip, std::io::ErrorKind::UnexpectedEof) => {
            "expected the end of the gzip stream, found the end of the file: it is truncated; what was read before is kept".into()
        }
        (Packing::Zstd, std::io::ErrorKind::UnexpectedEof) => {
            "expected the end of the zstd frame, found the end of the file: it is truncated; what was read before is kept".into()
        }
        (Packing::Gzip, std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) => {
            format!("expected gzip data because of the name, found something else ({error})")
        }
        (Packing::Zstd, _) => format!("expected zstd data because of the name, found something else ({error})"),
        _ => format!("can't be read: {error}"),
    }
}
