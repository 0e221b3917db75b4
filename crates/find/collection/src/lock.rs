//! One writer at a time.

use std::path::Path;

use kokeshi_core::Lock;

use crate::{Error, Result};

/// Takes the lock of the collection in `directory`.
///
/// # Errors
/// [`Error::Busy`] that names the lock file and its holder; an input/output error on a read-only disk.
pub(crate) fn take(directory: &Path) -> Result<Lock> {
    let lock = directory.join("writer.lock");
    Lock::take(&lock)?.map_err(|holder| Error::Busy { lock, holder })
}
