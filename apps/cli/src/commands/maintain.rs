//! `kokeshi check`, `optimize` and `reindex`.

use crate::args::{CollectionOnly, Reindex};
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

use super::index::load_model;
use super::info::open;

/// Verifies every file.
///
/// # Errors
/// A failure that names the damaged file.
pub fn check(args: &CollectionOnly, output: &Output) -> Result<()> {
    let collection = open(&args.collection)?;
    collection.check().map_err(Stop::failed)?;
    let info = collection.info();
    if output.json {
        return output.value(
            &serde_json::json!({"ok": true, "generation": info.generation, "documents": info.documents}),
        );
    }
    output.line(format!(
        "every file of {} is whole: commit {}, {} documents",
        info.name, info.generation, info.documents
    ))
}

/// Extends the graph, merges files, drops dead rows.
///
/// # Errors
/// A failure if the collection is being written or the disk refuses.
pub fn optimize(args: &CollectionOnly, output: &Output) -> Result<()> {
    catch_interrupts();
    let collection = open(&args.collection)?;
    let bar = Bar::new(output.quiet || output.json);
    collection
        .writer()
        .and_then(|mut writer| writer.optimize(&bar))
        .map_err(Stop::failed)?;
    done(&collection, output)
}

/// Embeds everything again.
///
/// # Errors
/// As [`optimize`], or bad usage for a model that can't be loaded.
pub fn reindex(args: &Reindex, output: &Output) -> Result<()> {
    catch_interrupts();
    let collection = open(&args.collection)?;
    let (embedder, size) = load_model(&args.model, output)?;
    let bar = Bar::new(output.quiet || output.json);
    let mut writer = collection.writer().map_err(Stop::failed)?;
    writer.reindex(embedder, size, None, &bar).map_err(Stop::failed)?;
    writer.optimize(&bar).map_err(Stop::failed)?;
    drop(writer);
    done(&collection, output)
}

fn done(collection: &kokeshi_collection::Collection, output: &Output) -> Result<()> {
    let info = collection.info();
    if output.json {
        return output.value(&info);
    }
    output.line(format!(
        "commit {}: {} documents, {} vectors of {} dims by {}, {} of them in the graph",
        info.generation, info.documents, info.rows, info.dims, info.model, info.graph_rows
    ))
}
