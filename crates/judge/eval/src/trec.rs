//! TREC's files: judgements (`query iteration document grade`) and runs (`query Q0 document rank score tag`).

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use crate::{
    error::{Error, Result},
    lines::Lines,
    ranking::{Qrels, Run},
};

/// Reads judgements, TREC's four columns or BEIR's three (with or without its header), separated by tabs or spaces.
///
/// # Errors
/// A file that can't be read, a line with another number of columns, a grade that is no whole number, a document judged twice.
pub fn read_qrels(path: &Path) -> Result<Qrels> {
    let mut lines = Lines::open(path)?;
    let mut made = Qrels::default();
    while let Some((number, line)) = lines.next()? {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (query, document, grade) = match fields[..] {
            [query, _, document, grade] => (query, document, grade),
            ["query-id", "corpus-id", "score"] if number == 1 => continue,
            [query, document, grade] => (query, document, grade),
            _ => {
                return Err(Error::line(
                    path,
                    number,
                    "query, iteration, document and grade",
                    line,
                ));
            }
        };
        let whole = grade
            .parse::<f64>()
            .ok()
            .filter(|grade| grade.fract() == 0.0 && grade.abs() < 1e9);
        let Some(grade) = whole else {
            return Err(Error::line(path, number, "a whole number as grade", grade));
        };
        if made.insert(query, document, grade as i32).is_some() {
            return Err(Error::line(
                path,
                number,
                format!("document {document:?} judged once for query {query:?}"),
                line,
            ));
        }
    }
    Ok(made)
}

/// Reads anyone's run: six columns, separated by tabs or spaces, in any order of lines. The rank column is ignored, as in trec_eval.
///
/// # Errors
/// A file that can't be read, a line with other columns, a score that is not a number, a document found twice for a query.
pub fn read_run(path: &Path) -> Result<Run> {
    let mut lines = Lines::open(path)?;
    let mut made = Run::default();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    while let Some((number, line)) = lines.next()? {
        let mut fields = line.split_whitespace();
        let (Some(query), Some(_), Some(document), Some(_), Some(score), Some(_)) = (
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
        ) else {
            return Err(Error::line(
                path,
                number,
                "query, Q0, document, rank, score and tag",
                line,
            ));
        };
        let score = match score.parse::<f64>() {
            Ok(parsed) if !parsed.is_nan() => parsed,
            _ => return Err(Error::line(path, number, "a number as score", score)),
        };
        if !seen.insert((query.to_owned(), document.to_owned())) {
            return Err(Error::line(
                path,
                number,
                format!("document {document:?} once for query {query:?}"),
                line,
            ));
        }
        made.insert(query, document, score);
    }
    Ok(made)
}

/// Writes a run that trec_eval reads, each query's documents in their order. White space in ids becomes `_`, since the format has no other way.
///
/// # Errors
/// [`Error::Io`].
pub fn write_run(path: &Path, run: &Run, tag: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let tag = plain(tag);
        for query in run.queries() {
            let Some(ranked) = run.ranked(query) else { continue };
            let scores: std::collections::HashMap<&str, f64> = run
                .documents(query)
                .unwrap_or_default()
                .iter()
                .map(|(document, score)| (document.as_str(), *score))
                .collect();
            for (document, rank) in ranked.iter().zip(1usize..) {
                let score = scores.get(document).copied().unwrap_or_default();
                writeln!(
                    file,
                    "{} Q0 {} {rank} {score} {tag}",
                    plain(query),
                    plain(document)
                )?;
            }
        }
        file.into_inner().map_err(|error| error.into_error())?.sync_all()
    };
    write().map_err(Error::io(path))
}

fn plain(id: &str) -> String {
    if id.is_empty() {
        return "_".into();
    }
    id.chars()
        .map(|character| if character.is_whitespace() { '_' } else { character })
        .collect()
}
