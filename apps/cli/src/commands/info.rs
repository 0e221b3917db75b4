//! `kokeshi info`, and opening collections for all commands that read.

use std::path::Path;

use kokeshi_collection::Collection;

use crate::args::Info;
use crate::output::{Output, bytes, table};
use crate::stop::{Result, Stop};

/// Opens a collection for reading.
///
/// # Errors
/// Bad usage if there is none, or it can't be opened.
pub fn open(folder: &Path) -> Result<Collection> {
    Collection::open(folder, kokeshi_collection::OpenOptions::default()).map_err(Stop::usage)
}

/// Prints what a collection is.
///
/// # Errors
/// Bad usage if there is none.
pub fn run(args: &Info, output: &Output) -> Result<()> {
    let info = open(&args.collection)?.info();
    if output.json {
        return output.value(&info);
    }
    output.line(output.bold(&info.name))?;
    let mut rows = vec![
        ("documents", info.documents.to_string()),
        ("passages", info.passages.to_string()),
        (
            "model",
            format!("{} at {} ({} dims)", info.model, info.size, info.dims),
        ),
        (
            "vectors",
            format!("{} rows, {} of them in the graph", info.rows, info.graph_rows),
        ),
        ("commit", format!("{} (format {})", info.generation, info.format)),
    ];
    let sizes: Vec<String> = info
        .bytes
        .iter()
        .map(|(part, count)| format!("{part} {}", bytes(*count)))
        .collect();
    rows.push(("on disk", sizes.join(", ")));
    output.line(table(
        &["what", "value"],
        rows.into_iter().map(|(what, value)| vec![what.into(), value]),
        2,
    ))?;
    if !info.schema.fields.is_empty() {
        let fields = info.schema.fields.iter().map(|field| {
            let kind = format!("{:?}", field.kind).to_lowercase();
            vec![
                field.name.clone(),
                if field.list { format!("{kind}[]") } else { kind },
            ]
        });
        output.line(table(&["attribute", "type"], fields, 2))?;
    }
    Ok(())
}
