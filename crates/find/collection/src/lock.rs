//! One writer at a time: a lock file that the system releases when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Error, Result};

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the collection in `directory`.
    ///
    /// # Errors
    /// [`Error::Busy`] that names the lock file and its holder; an input/output error on a read-only disk.
    pub fn take(directory: &Path) -> Result<Self> {
        let path = directory.join("writer.lock");
        let refused = |source| {
            Error::Core(kokeshi_core::Error::Io {
                path: path.clone(),
                source,
            })
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; without it the lock file's name must do.
                let _ = Read::take(&mut file, 32).read_to_string(&mut holder);
                return Err(Error::Busy {
                    holder: match holder.trim() {
                        "" => "another process".into(),
                        pid => format!("process {pid}"),
                    },
                    lock: path,
                });
            }
            Err(TryLockError::Error(source)) => return Err(refused(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(refused)?;
        Ok(Self { _file: file })
    }
}
