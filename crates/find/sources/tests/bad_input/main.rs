//! Every bad input has its message: what was expected, what was found, where, and a hint. None ends in a panic.
//!
//! `cargo test -p kokeshi-sources --test bad_input -- --nocapture` prints the table.

mod files;
mod rows;

use std::io::Write;
use std::path::{Path, PathBuf};

use kokeshi_sources::{OnError, Source, SourceOptions, StdinMode};

/// One input and what must be said about it; `DIR/` stands for the folder.
struct Case {
    input: &'static str,
    make: fn(&Path) -> Vec<PathBuf>,
    options: fn() -> SourceOptions,
    /// The error of `open`, or nothing.
    refused: &'static str,
    /// Documents that still come out.
    documents: u64,
    /// Errors of rows and files, then the report's and the notices' lines.
    said: &'static [&'static str],
}

/// Most of 4,000 documents: how much of a truncated stream can be read depends on the inflater.
const MOST: u64 = u64::MAX;

fn plain() -> SourceOptions {
    SourceOptions::default()
}

fn strict() -> SourceOptions {
    SourceOptions {
        on_error: OnError::Fail,
        ..plain()
    }
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> Vec<PathBuf> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    std::fs::write(&path, bytes).unwrap();
    vec![path]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parquet(folder: &Path) -> Vec<u8> {
    let path = folder.join("whole.parquet");
    let mut writer =
        kokeshi_sources::vectors::create(&path, kokeshi_sources::vectors::VectorFormat::Parquet, 2).unwrap();
    writer.append(&["a", "b"], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    writer.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

/// `found` equals `expected`, in which `*` stands for anything and `LINE` for a number.
fn matches(expected: &str, found: &str) -> bool {
    let expected = expected.replace("LINE", "*");
    match expected.split_once('*') {
        None => expected == found,
        Some((before, after)) => found.starts_with(before) && found.ends_with(after),
    }
}

#[test]
fn every_bad_input_has_its_message() {
    let mut wrong = Vec::new();
    println!("| input | what is said |\n|---|---|");
    for case in files::CASES.iter().chain(rows::CASES) {
        let folder = tempfile::tempdir().unwrap();
        let shorten = |text: String| text.replace(&*folder.path().to_string_lossy(), "DIR");
        let paths = (case.make)(folder.path());
        let (refused, documents, said) = match Source::open(&paths, (case.options)()) {
            Err(error) => (shorten(error.to_string()), 0, Vec::new()),
            Ok(source) => {
                let mut said: Vec<String> = source.detected().notices.clone();
                let mut documents = 0;
                for document in source.documents() {
                    match document {
                        Ok(_) => documents += 1,
                        Err(error) => said.push(error.to_string()),
                    }
                }
                said.extend(source.report().lines());
                (String::new(), documents, said.into_iter().map(shorten).collect())
            }
        };
        println!("| {} | {refused}{} |", case.input, said.join("<br>"));
        let counted = match case.documents {
            MOST => (1000..4000).contains(&documents),
            exactly => documents == exactly,
        };
        let same = said.len() == case.said.len()
            && case
                .said
                .iter()
                .zip(&said)
                .all(|(expected, found)| matches(expected, found));
        if refused != case.refused || !counted || !same {
            wrong.push(format!(
                "{}:\n  expected {:?} {} {:#?}\n  found    {refused:?} {documents} {said:#?}",
                case.input, case.refused, case.documents, case.said
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn streams_are_recognised_and_bad_ones_refused() {
    let read = |bytes: &'static [u8], mode: StdinMode| {
        let options = SourceOptions {
            stdin: mode,
            ..plain()
        };
        Source::from_reader(bytes, options).map(|source| {
            source
                .documents()
                .map(|document| document.unwrap())
                .collect::<Vec<_>>()
        })
    };
    let lines = read(b"one\n\ntwo\n", StdinMode::Auto).unwrap();
    assert_eq!(
        lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(lines[1].id, "<stdin>#3");
    let rows = read(b"\n{\"id\": 7, \"text\": \"x\"}\n", StdinMode::Auto).unwrap();
    assert_eq!((rows[0].id.as_str(), rows[0].text.as_str()), ("7", "x"));
    assert_eq!(read(b"one\n\ntwo\n", StdinMode::Whole).unwrap().len(), 1);
    assert!(read(b"", StdinMode::Auto).unwrap().is_empty());
    let error = read(b"\x1F\x8B\x08\0\0\0", StdinMode::Auto).unwrap_err();
    assert_eq!(
        error.to_string(),
        "<stdin>: expected JSON Lines or text, found binary data (unpack it first)"
    );
}
