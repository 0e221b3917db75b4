//! `kokeshi check`, `optimize` and `reindex`.

use std::sync::Arc;

use kokeshi_codec::Bridge;
use kokeshi_collection::{Embedder, ModelEmbedder, Writer};
use kokeshi_core::{Progress, Size};

use crate::args::{CollectionOnly, Optimize, Reindex};
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

/// Extends the graph, merges files, drops dead rows, makes the graphs of common filters.
///
/// # Errors
/// Bad usage for an attribute that is not there; a failure if the collection is being written or the disk refuses.
pub fn optimize(args: &Optimize, output: &Output) -> Result<()> {
    catch_interrupts();
    let collection = open(&args.collection)?;
    let bar = Bar::new(output.quiet || output.json);
    let mut writer = collection.writer().map_err(Stop::failed)?;
    if let Some(names) = &args.index_attr {
        set_parts(&mut writer, names)?;
    }
    writer.optimize(&bar).map_err(Stop::failed)?;
    drop(writer);
    done(&collection, output)
}

/// Embeds everything again.
///
/// # Errors
/// As [`optimize`], or bad usage for a model that can't be loaded.
pub fn reindex(args: &Reindex, output: &Output) -> Result<()> {
    catch_interrupts();
    let collection = open(&args.collection)?;
    let moving = collection.info().migration;
    let named = args.model.model.is_some() || args.model.size.is_some() || args.model.load.given();
    let bar = Bar::new(output.quiet || output.json);
    let mut writer = collection.writer().map_err(Stop::failed)?;
    match (moving, &args.bridge) {
        (Some(moving), None) if !named => {
            output.note(format!(
                "going on with {}: {} of {} rows are done",
                moving.model,
                moving.rows,
                collection.info().rows
            ));
            let size: Size = moving.size.parse().map_err(Stop::failed)?;
            let embedder: Arc<dyn Embedder> =
                Arc::new(ModelEmbedder::load(&moving.model, size).map_err(Stop::usage)?);
            writer.migrate(&embedder, &bar).map_err(Stop::failed)?;
        }
        (_, Some(file)) => {
            let bridge = Bridge::load(file).map_err(Stop::usage)?;
            let (embedder, size) = load_model(&args.model, output)?;
            writer
                .begin_migration(&embedder, size, &bridge)
                .map_err(request)?;
            output.note(format!(
                "searches ask by {} over the bridge from now on; it kept {:.3} of ten neighbours when it was learnt",
                embedder.id(),
                bridge.kept()
            ));
            writer.migrate(&embedder, &bar).map_err(Stop::failed)?;
        }
        (_, None) => {
            let (embedder, size) = load_model(&args.model, output)?;
            writer.reindex(embedder, size, None, &bar).map_err(Stop::failed)?;
        }
    }
    if bar.interrupted() && collection.info().migration.is_some() {
        return Err(Stop::failed(
            "stopped before the end; what is encoded stays, and searches go on over the bridge",
        )
        .hint("kokeshi reindex DIR goes on"));
    }
    writer.optimize(&bar).map_err(Stop::failed)?;
    drop(writer);
    done(&collection, output)
}

/// Chooses the attributes whose common filters have graphs; `none` for none.
pub(super) fn set_parts(writer: &mut Writer, names: &[String]) -> Result<()> {
    let names = match names {
        [only] if only == "none" => &[][..],
        names => names,
    };
    writer.set_parts(names).map(drop).map_err(request)
}

/// What is asked wrongly is bad usage; the rest are failures.
pub(super) fn request(error: kokeshi_collection::Error) -> Stop {
    match error {
        kokeshi_collection::Error::Request(_)
        | kokeshi_collection::Error::Core(kokeshi_core::Error::Parse { .. }) => Stop::usage(error),
        other => Stop::failed(other),
    }
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
