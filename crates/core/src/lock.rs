//! A lock file that the system releases when its holder ends, however it ends.

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
    /// Takes the lock of the file `path`, which is made if it is not there; or says who holds it, such as `process 4711`.
    ///
    /// # Errors
    /// [`Error::Io`], for instance on a read-only disk.
    pub fn take(path: &Path) -> Result<Result<Self, String>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for a message; without it the lock file's name must do.
                let _ = Read::take(&mut file, 32).read_to_string(&mut holder);
                return Ok(Err(match holder.trim() {
                    "" => "another process".into(),
                    pid => format!("process {pid}"),
                }));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io(path)(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::io(path))?;
        Ok(Ok(Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path).unwrap().unwrap();
        let holder = Lock::take(&path).unwrap().unwrap_err();
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(held);
        assert!(Lock::take(&path).unwrap().is_ok());
        assert!(matches!(
            Lock::take(&folder.path().join("none/lock")),
            Err(Error::Io { .. })
        ));
    }
}
