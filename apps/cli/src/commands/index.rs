//! `kokeshi index`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kokeshi_collection::{
    Collection, Counts, CreateOptions, Embedder, ModelEmbedder, OpenOptions, PassageOptions, WriterOptions,
};
use kokeshi_core::{Progress, Size};
use kokeshi_sources::{Detected, Source, SourceOptions};

use crate::args::{Index, ModelArgs, OnError, ReadArgs};
use crate::output::{Output, bytes, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// How many unreadable rows are named one by one.
const NAMED_ERRORS: usize = 20;

/// What a run did.
#[derive(Debug, serde::Serialize)]
struct Done {
    collection: String,
    #[serde(flatten)]
    counts: Counts,
    documents: u64,
    skipped: u64,
    interrupted: bool,
    seconds: f64,
    documents_per_second: f64,
}

/// Reads, cuts, embeds and stores; what is unchanged is skipped.
///
/// # Errors
/// Bad usage for paths, fields, types or a collection that don't fit; a failure if the disk does.
pub fn run(args: &Index, output: &Output) -> Result<()> {
    catch_interrupts();
    // Before a collection's model is loaded.
    if let Some(path) = args
        .paths
        .iter()
        .find(|path| path.as_os_str() != "-" && !path.exists())
    {
        return Err(Stop::usage(kokeshi_sources::Error::NotFound {
            path: path.clone(),
        }));
    }
    let there = match Collection::exists(&args.to) {
        true => Some(Collection::open(&args.to, OpenOptions::default()).map_err(Stop::usage)?),
        false => None,
    };
    let mut options = source_options(&args.read);
    if let Some(collection) = &there {
        options.known = collection.info().schema;
    }
    let source = Source::open(&args.paths, options).map_err(Stop::usage)?;
    if args.dry_run && output.json {
        return output.value(source.detected());
    }
    show_detected(source.detected(), output);
    if args.dry_run {
        return Ok(());
    }
    let new = there.is_none();
    let collection = match there {
        Some(collection) => fitting(collection, args, output)?,
        None => create(args, source.detected(), output)?,
    };
    let started = Instant::now();
    let (counts, trouble, interrupted) = fill(&collection, &source, args, output)?;
    let seconds = started.elapsed().as_secs_f64();
    let handled = counts.inserted + counts.updated + counts.unchanged;
    if handled == 0 && !interrupted {
        drop(collection);
        if new {
            // Made a moment ago, and nothing is in it; if it can't be removed it is an empty collection.
            let _ = std::fs::remove_dir_all(&args.to);
        }
        let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
        let why = trouble.first.map_or(String::new(), |first| format!(": {first}"));
        return Err(Stop::usage(format!(
            "nothing to read: no documents in {}{why}",
            paths.join(", ")
        )));
    }
    let done = Done {
        collection: args.to.display().to_string(),
        counts,
        documents: collection.info().documents,
        skipped: trouble.count,
        interrupted,
        seconds,
        documents_per_second: handled as f64 / seconds.max(1e-9),
    };
    if output.json {
        output.value(&done)?;
    } else {
        for line in source.report().lines() {
            output.note(format!("note: {line}"));
        }
        output.line(format!(
            "{} new, {} updated, {} unchanged in {seconds:.1} s ({:.0} documents/s); {} holds {} documents",
            done.counts.inserted,
            done.counts.updated,
            done.counts.unchanged,
            done.documents_per_second,
            done.collection,
            done.documents
        ))?;
    }
    if interrupted {
        return Err(Stop::failed("stopped before the end; what is committed stays")
            .hint("run the same command again to go on: unchanged documents are skipped"));
    }
    Ok(())
}

/// The reader's options from the flags.
pub fn source_options(read: &ReadArgs) -> SourceOptions {
    SourceOptions {
        id: read.id.clone(),
        text: read.text.clone(),
        attributes: read.attr.clone(),
        on_error: match read.on_error {
            OnError::Skip => kokeshi_sources::OnError::Skip,
            OnError::Fail => kokeshi_sources::OnError::Fail,
        },
        ..SourceOptions::default()
    }
}

/// Loads the model that the flags name.
///
/// # Errors
/// Bad usage if there is no such model or it has no such size.
pub fn load_model(args: &ModelArgs, output: &Output) -> Result<(Arc<dyn Embedder>, Size)> {
    let size = args.size.unwrap_or(Size::FULL);
    if args.model.is_none() {
        output
            .note("using the small compiled-in model; for better results name a larger one: --model DIR|ID");
    }
    // A directory is kept as an absolute path, so that the collection opens from anywhere.
    let absolute = args.model.as_deref().map(|id| {
        let path = Path::new(id)
            .is_dir()
            .then(|| std::path::absolute(id).ok())
            .flatten();
        path.map_or(id.into(), |path| path.to_string_lossy().into_owned())
    });
    let model = super::model::load(absolute.as_deref(), &args.load)?;
    Ok((
        Arc::new(ModelEmbedder::new(model, size).map_err(Stop::usage)?),
        size,
    ))
}

/// The collection, if it is as the flags ask for.
fn fitting(collection: Collection, args: &Index, output: &Output) -> Result<Collection> {
    let embedder = collection.embedder();
    if args.model.model.is_some() || args.model.size.is_some() || args.model.load.given() {
        let (asked, _) = load_model(&args.model, output)?;
        if asked.fingerprint() != embedder.fingerprint() || asked.dims() != embedder.dims() {
            return Err(Stop::usage(format!(
                "{}: made with model {} at {} dims, not with {} at {} dims",
                args.to.display(),
                embedder.id(),
                embedder.dims(),
                asked.id(),
                asked.dims()
            ))
            .hint("leave the model's flags out, or change the collection with `kokeshi reindex`"));
        }
    }
    if let Some(spec) = &args.codec
        && collection
            .info()
            .codec
            .is_none_or(|codec| codec.codec != spec.to_string())
    {
        return Err(Stop::usage("a codec is set when a collection is made")
            .hint("kokeshi shrink --in DIR --codec CODEC changes it"));
    }
    if args.passage_tokens.is_some() || args.passage_overlap.is_some() {
        return Err(
            Stop::usage("passages are set when a collection is made").hint("index into a new directory")
        );
    }
    Ok(collection)
}

fn create(args: &Index, detected: &Detected, output: &Output) -> Result<Collection> {
    let (embedder, size) = load_model(&args.model, output)?;
    let mut options = CreateOptions::with(embedder, size);
    options.schema = detected.schema.clone();
    options.codec = args.codec.clone();
    if args.passage_tokens.is_some() || args.passage_overlap.is_some() {
        let usual = || PassageOptions::for_model(options.embedder.as_ref());
        let mut passages = args.passage_tokens.map_or_else(usual, PassageOptions::of_tokens);
        passages.overlap = args.passage_overlap.unwrap_or(passages.overlap);
        if passages.overlap >= passages.tokens {
            return Err(Stop::usage(format!(
                "--passage-overlap {}: expected less than the passage's {} tokens",
                passages.overlap, passages.tokens
            )));
        }
        options.passages = Some(passages);
    }
    Collection::create(&args.to, options).map_err(|error| match error {
        kokeshi_collection::Error::Busy { .. } => Stop::failed(error),
        _ => Stop::usage(error),
    })
}

/// Counts, rows that could not be read, and whether the user stopped it.
fn fill(
    collection: &Collection,
    source: &Source,
    args: &Index,
    output: &Output,
) -> Result<(Counts, Trouble, bool)> {
    let options = WriterOptions {
        memory: (args.memory as usize) << 20,
        ..WriterOptions::default()
    };
    let mut writer = collection.writer_with(options).map_err(Stop::failed)?;
    writer
        .extend_schema(&source.detected().schema)
        .map_err(Stop::usage)?;
    if let Some(names) = &args.index_attr {
        super::maintain::set_parts(&mut writer, names)?;
    }
    let bar = Bar::new(output.quiet || output.json);
    let (_, total) = source.progress();
    bar.start("indexing", (total > 0).then_some(total), "bytes");
    let trouble = Mutex::new(Trouble::default());
    let read = AtomicU64::new(0);
    let documents = source.documents().map_while(|row| {
        let (now, _) = source.progress();
        bar.advance(now.saturating_sub(read.swap(now, Ordering::Relaxed)));
        match row {
            Ok(document) => Some(Some(document)),
            Err(error) => {
                let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                trouble.count += 1;
                trouble.first.get_or_insert_with(|| error.to_string());
                if args.read.on_error == OnError::Fail {
                    trouble.fatal = Some(error.to_string());
                    return None;
                }
                if trouble.count <= NAMED_ERRORS as u64 {
                    output.note(format!("skipped: {error}"));
                }
                Some(None)
            }
        }
    });
    // The bar counts bytes read, so the writer's own count of documents is not shown.
    let counts = writer
        .index(documents.flatten(), &Quiet(&bar))
        .map_err(Stop::failed)?;
    bar.finish();
    let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
    if trouble.count > NAMED_ERRORS as u64 {
        output.note(format!(
            "... and {} more rows that could not be read",
            trouble.count - NAMED_ERRORS as u64
        ));
    }
    if let Some(message) = &trouble.fatal {
        return Err(
            Stop::usage(message).hint("what came before is committed; --on-error skip goes on past bad rows")
        );
    }
    let interrupted = bar.interrupted();
    if !interrupted {
        writer.optimize(&bar).map_err(Stop::failed)?;
    }
    Ok((counts, trouble, interrupted))
}

/// Rows that could not be read.
#[derive(Default)]
struct Trouble {
    count: u64,
    first: Option<String>,
    fatal: Option<String>,
}

/// Passes on only whether the user wants to stop.
struct Quiet<'a>(&'a Bar);

impl Progress for Quiet<'_> {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

fn show_detected(detected: &Detected, output: &Output) {
    let inputs: Vec<String> = detected
        .inputs
        .iter()
        .map(|input| {
            let size = if input.bytes > 0 {
                format!(", {}", bytes(input.bytes))
            } else {
                String::new()
            };
            format!("{} {}{size}", input.files, input.format)
        })
        .collect();
    output.note(format!("reading {}", inputs.join("; ")));
    if !detected.fields.is_empty() {
        let rows = detected.fields.iter().map(|field| {
            let example: String = field.example.chars().take(48).collect();
            vec![
                field.name.clone(),
                field.role.to_string(),
                field.kind(),
                example,
                format!("{:.0} %", 100.0 * field.filled),
            ]
        });
        output.note(table(&["field", "used as", "type", "example", "filled"], rows, 4));
    }
    for notice in &detected.notices {
        output.note(format!("note: {notice}"));
    }
}
