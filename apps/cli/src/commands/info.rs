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
    if let Some(codec) = &info.codec {
        rows.push((
            "codec",
            match codec.code_bytes {
                0 => format!("{}, which has not seen enough rows yet", codec.codec),
                each => format!(
                    "{}: {each} bytes a code, {} rows have one{}",
                    codec.codec,
                    codec.rows,
                    match (codec.candidates, codec.recall) {
                        (Some(candidates), Some(recall)) => format!(
                            "; vectors order the best {candidates}, which hold {recall:.3} of the ten nearest"
                        ),
                        _ => String::new(),
                    }
                ),
            },
        ));
    }
    if !info.indexed.is_empty() {
        let each = info.indexed.iter().map(|one| match one.rows {
            0 => format!("{} (not yet)", one.attribute),
            _ => format!(
                "{} ({} filters, {} rows in all, {})",
                one.attribute,
                one.parts,
                one.part_rows,
                bytes(one.bytes)
            ),
        });
        rows.push(("own graphs", each.collect::<Vec<_>>().join(", ")));
    }
    if let Some(moving) = &info.migration {
        rows.push((
            "moving to",
            format!(
                "{} at {} ({} dims): {} of {} rows; it asks over a bridge that kept {:.3} of ten neighbours",
                moving.model, moving.size, moving.dims, moving.rows, info.rows, moving.kept
            ),
        ));
    }
    output.line(table(
        &["what", "value"],
        rows.into_iter().map(|(what, value)| vec![what.into(), value]),
        2,
    ))?;
    let each = |count: u64| count as f64 / info.rows.max(1) as f64;
    // The sum comes last.
    let (total, parts): (Vec<_>, Vec<_>) = info.bytes.iter().partition(|(part, _)| *part == "total");
    let parts = parts.into_iter().chain(total).map(|(part, count)| {
        let read = match part.as_str() {
            "codes" | "graph" => "by every search",
            "vectors" if info.codec.is_some() || info.graph_rows > 0 => "the best candidates'",
            "vectors" => "by every search",
            "text" => "words asked for, hits shown",
            "new vectors" => "not yet",
            "bridge" => "when opened",
            "parts" => "by searches with their filters",
            _ => "",
        };
        vec![
            part.clone(),
            read.into(),
            bytes(*count),
            format!("{:.1}", each(*count)),
        ]
    });
    output.line(table(&["on disk", "read", "size", "bytes a vector"], parts, 2))?;
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
