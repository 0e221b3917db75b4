//! `kokeshi delete`.

use crate::args::Delete;
use crate::output::Output;
use crate::stop::{Result, Stop};

use super::info::open;

/// Removes documents and commits.
///
/// # Errors
/// Bad usage for a bad filter or no collection; a failure if another process is writing.
pub fn run(args: &Delete, output: &Output) -> Result<()> {
    let collection = open(&args.collection)?;
    let mut writer = collection.writer().map_err(Stop::failed)?;
    let deleted = match &args.filter {
        Some(filter) => writer.delete_filter(filter).map_err(Stop::usage)?,
        None => writer.delete_ids(&args.ids).map_err(Stop::failed)?,
    };
    writer.commit().map_err(Stop::failed)?;
    let left = collection.info().documents;
    if output.json {
        return output.value(&serde_json::json!({"deleted": deleted, "documents": left}));
    }
    output.line(format!("{deleted} documents deleted, {left} left"))
}
