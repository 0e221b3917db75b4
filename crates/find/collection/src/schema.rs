//! Adding columns to a word index that has segments already.

use std::path::Path;

use tantivy::Directory;
use tantivy::schema::Schema as Columns;

use crate::folder::Folder;
use crate::{Error, Result};

/// Has `meta.json` say that the columns are `columns`; those there were must come first and be unchanged. Segments without a column
/// are to tantivy segments in which no document has it.
pub fn replace(folder: &Path, columns: &Columns) -> Result<()> {
    let name = Path::new("meta.json");
    let meta = folder.join(name);
    let damaged = |problem: String| Error::damaged(&meta, problem);
    let directory = Folder::open(folder).map_err(Error::words(folder))?;
    let bytes = directory
        .atomic_read(name)
        .map_err(|error| damaged(error.to_string()))?;
    let mut json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    json["schema"] = serde_json::to_value(columns).map_err(|error| damaged(error.to_string()))?;
    let bytes = serde_json::to_vec_pretty(&json).map_err(|error| damaged(error.to_string()))?;
    directory
        .atomic_write(name, &bytes)
        .and_then(|()| directory.sync_directory())
        .map_err(kokeshi_core::Error::io(&meta))?;
    Ok(())
}
