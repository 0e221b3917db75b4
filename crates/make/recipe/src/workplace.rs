//! Where a run keeps what it needs until its model is written: one run at a time in one directory.

use std::path::{Path, PathBuf};

use kokeshi_core::{Error as CoreError, Lock};

use crate::error::{Error, Result};

/// A folder within the directory that will be written.
#[derive(Debug)]
pub(crate) struct Workplace {
    out: PathBuf,
    /// The folder.
    pub folder: PathBuf,
    /// Whether the directory was made for this run.
    made: bool,
    _lock: Lock,
}

impl Workplace {
    /// The folder of `out`, with what an earlier run left there.
    ///
    /// # Errors
    /// [`Error::Busy`] if another run has it; a disk that refuses.
    pub fn open(out: &Path) -> Result<Self> {
        let folder = out.join(".training");
        let made = !out.exists();
        std::fs::create_dir_all(&folder).map_err(CoreError::io(&folder))?;
        let lock = Lock::take(&folder.join(LOCK))?.map_err(|holder| Error::Busy {
            out: out.into(),
            holder,
        })?;
        remove_unfinished(&folder);
        Ok(Self {
            out: out.into(),
            folder,
            made,
            _lock: lock,
        })
    }

    /// Where a base of random weights is made.
    pub fn base(&self) -> PathBuf {
        self.folder.join("base")
    }

    /// The model is written: nothing of it is needed any more.
    pub fn clear(self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const LOCK: &str = "lock";

impl Drop for Workplace {
    /// Leaves no empty folders behind a recipe that could not be, but the user's own. A base of random weights is made anew each time.
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.base());
        let _ = std::fs::remove_file(self.folder.join(LOCK));
        let _ = std::fs::remove_dir(&self.folder);
        if self.made {
            let _ = std::fs::remove_dir(&self.out);
        }
    }
}

/// Files that a killed run was writing; if one stays, it only takes room.
fn remove_unfinished(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().contains(".tmp-")) {
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_wrote_nothing_leaves_what_was_there() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("new");
        drop(Workplace::open(&out).unwrap());
        assert!(!out.exists());
        std::fs::create_dir(&out).unwrap();
        drop(Workplace::open(&out).unwrap());
        let left: Vec<_> = std::fs::read_dir(&out).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
