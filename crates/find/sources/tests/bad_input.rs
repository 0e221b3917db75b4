//! Every bad input has its message: what was expected, what was found, where, and a hint. None ends in a panic.
//!
//! `cargo test -p kokeshi-sources --test bad_input -- --nocapture` prints the table.

use std::io::Write;
use std::path::{Path, PathBuf};

use kokeshi_sources::{Format, OnError, Source, SourceOptions, StdinMode};

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

const CASES: &[Case] = &[
    Case {
        input: "a path that is not there",
        make: |folder| vec![folder.join("nothing.jsonl")],
        options: plain,
        refused: "DIR/nothing.jsonl: no such file or folder",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty folder",
        make: |folder| vec![folder.into()],
        options: plain,
        refused: "nothing to read in DIR: no files there (hidden files and those in .gitignore are left out)",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a folder with binary files only",
        make: |folder| {
            write(folder, "a.bin", [0, 1, 2, 3]);
            write(folder, "b.png", b"\x89PNG\r\n\x1a\n\0\0\0");
            vec![folder.into()]
        },
        options: plain,
        refused: "nothing to read in DIR: skipped 2 files, the first is DIR/a.bin: binary data",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a binary file by name",
        make: |folder| write(folder, "a.bin", [0, 1, 2, 3]),
        options: plain,
        refused: "DIR/a.bin: expected text or a known format, found binary data",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty JSONL file",
        make: |folder| write(folder, "a.jsonl", ""),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty text file",
        make: |folder| write(folder, "a.txt", " \n\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a CSV file with a header only",
        make: |folder| write(folder, "a.csv", "id,text\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "NaN in JSON",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\", \"score\": NaN}\n{\"id\": \"b\", \"text\": \"y\"}\n",
            )
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:1: expected a JSON object, found expected value at column 35; JSON has no NaN or Infinity: write null",
            "1 rows skipped",
        ],
    },
    Case {
        input: "the same with --on-error fail",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": NaN}\n{\"id\": \"c\", \"text\": \"y\"}\n",
            )
        },
        options: strict,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:2: expected a JSON object, found expected value at column 8; JSON has no NaN or Infinity: write null",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a number beyond 64-bit floats",
        make: |folder| write(folder, "a.jsonl", "{\"id\": \"a\", \"n\": 1e999}\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.jsonl:1: expected a JSON object, found number out of range at column 22; numbers must fit 64-bit floats",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a JSONL line cut off in the middle",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"b\", \"te",
            )
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:2: expected a JSON object, found EOF while parsing a string at column 15; the line ends in the middle of the object: one object must stand on one line",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a JSONL line that is no object",
        make: |folder| write(folder, "a.jsonl", "{\"id\": \"a\"}\nhello\n[1]\n"),
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:2: expected a JSON object, found \"hello\"",
            "DIR/a.jsonl:3: expected a JSON object, found \"[1]\"",
            "2 rows skipped",
            "1 documents have neither title nor text",
        ],
    },
    Case {
        input: "JSON nested 100,000 deep",
        make: |folder| {
            let deep = format!(
                "{{\"id\": \"a\", \"x\": {}{}}}\n{{\"id\": \"b\", \"text\": \"y\"}}\n",
                "[".repeat(100_000),
                "]".repeat(100_000)
            );
            write(folder, "a.jsonl", deep)
        },
        options: plain,
        refused: "",
        documents: 2,
        said: &[
            "field \"x\" is left out: it holds objects or lists of lists",
            "1 documents have neither title nor text",
        ],
    },
    Case {
        input: "a line longer than the limit",
        make: |folder| {
            let long = format!(
                "{{\"id\": \"a\", \"text\": \"{}\"}}\n{{\"id\": \"b\", \"text\": \"y\"}}\n",
                "x".repeat(50 << 20)
            );
            write(folder, "a.jsonl", long)
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:1: expected a line of at most 33554432 bytes, found 52428823 bytes (raise the limit with --max-line-bytes)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "bad UTF-8 in JSONL",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                b"{\"id\": \"a\", \"text\": \"caf\xE9\"}\n{\"id\": \"b\", \"text\": \"y\"}\n",
            )
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:1: expected UTF-8, found the byte 0xE9 at byte 25 of the line (convert the file with iconv)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "bad UTF-8 in a text file",
        make: |folder| write(folder, "a.txt", b"caf\xE9 and more"),
        options: plain,
        refused: "",
        documents: 1,
        said: &["1 files are not valid UTF-8: 1 sequences became U+FFFD; the first is DIR/a.txt"],
    },
    Case {
        input: "bad UTF-8 in CSV",
        make: |folder| write(folder, "a.csv", b"id,text\na,caf\xE9\nb,y\n"),
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.csv:2: column \"text\": expected UTF-8, found the byte 0xE9 after \"caf\" (convert the file with iconv)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a truncated gzip file",
        make: |folder| {
            let rows: String = (0..4000)
                .map(|row| {
                    format!(
                        "{{\"id\": \"d{row}\", \"text\": \"text {}\"}}\n",
                        row * 7919 % 4001
                    )
                })
                .collect();
            let packed = gzip(rows.as_bytes());
            write(folder, "a.jsonl.gz", &packed[..packed.len() - 3000])
        },
        options: plain,
        refused: "",
        documents: MOST,
        said: &[
            "DIR/a.jsonl.gz:LINE: expected the end of the gzip stream, found the end of the file: it is truncated; what was read before is kept",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a file called .gz that is not gzip",
        make: |folder| write(folder, "a.jsonl.gz", "{\"id\": \"a\"}\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.jsonl.gz:1: expected gzip data because of the name, found something else (invalid gzip header)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a truncated Parquet file",
        make: |folder| {
            let bytes = parquet(folder);
            write(folder, "a.parquet", &bytes[..bytes.len() / 2])
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet: expected a Parquet file, found a damaged or truncated one (Invalid Parquet file. Corrupt footer)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a Parquet file with damaged pages",
        make: |folder| {
            let mut bytes = parquet(folder);
            for byte in &mut bytes[4..40] {
                *byte = 0xFF;
            }
            write(folder, "a.parquet", bytes)
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet:1: expected row 1 of 2, found damaged data (*)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a text file called .parquet",
        make: |folder| write(folder, "a.parquet", "hello"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet: expected a Parquet file, found a damaged or truncated one (*)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "Parquet on stdin or packed",
        make: |folder| {
            let bytes = parquet(folder);
            write(folder, "a.parquet.gz", gzip(&bytes))
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet.gz: expected a stream of text, found Parquet, which is read from files that are not packed (unpack it first)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "--text with a field that is not there",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"body\": \"x\", \"year\": 2019}\n",
            )
        },
        options: || SourceOptions {
            text: vec!["abstract".into()],
            ..plain()
        },
        refused: "no field \"abstract\" for --text: the fields are id, body, year",
        documents: 0,
        said: &[],
    },
    Case {
        input: "--attr with a field that is not there",
        make: |folder| write(folder, "a.csv", "id,text\na,b\n"),
        options: || SourceOptions {
            attributes: Some(vec!["jahr:integer".into()]),
            ..plain()
        },
        refused: "no field \"jahr\" for --attr: the fields are id, text",
        documents: 0,
        said: &[],
    },
    Case {
        input: "--attr with an unknown type",
        make: |folder| write(folder, "a.csv", "id,text\na,b\n"),
        options: || SourceOptions {
            attributes: Some(vec!["text:colour".into()]),
            ..plain()
        },
        refused: "attribute \"text:colour\": expected name, name:type, name:type[] (a list), name:type[ ] or name:type[,] (a string that is split), where type is keyword, text, integer, float, date or bool",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a value of the wrong type",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\", \"year\": 2019}\n{\"id\": \"b\", \"text\": \"y\", \"year\": \"soon\"}\n",
            )
        },
        options: || SourceOptions {
            attributes: Some(vec!["year:integer".into()]),
            ..plain()
        },
        refused: "",
        documents: 2,
        said: &[
            "1 values of \"year\" left out, the first at DIR/a.jsonl:2: field \"year\": expected a whole number, found \"soon\"",
        ],
    },
    Case {
        input: "the same with --on-error fail",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\", \"year\": 2019}\n{\"id\": \"b\", \"text\": \"y\", \"year\": \"soon\"}\n",
            )
        },
        options: || SourceOptions {
            attributes: Some(vec!["year:integer".into()]),
            ..strict()
        },
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:2: field \"year\": expected a whole number, found \"soon\"",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a date that does not exist",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\", \"day\": \"2019-02-30\"}\n",
            )
        },
        options: || SourceOptions {
            attributes: Some(vec!["day:date".into()]),
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "1 values of \"day\" left out, the first at DIR/a.jsonl:1: field \"day\": expected a date (2019, 2019-05, 2019-05-01 or RFC 3339), found \"2019-02-30\"",
        ],
    },
    Case {
        input: "a list where one value is expected",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\", \"tag\": [\"p\", \"q\"]}\n",
            )
        },
        options: || SourceOptions {
            attributes: Some(vec!["tag:keyword".into()]),
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "1 values of \"tag\" left out, the first at DIR/a.jsonl:1: field \"tag\": expected one value, found a list of 2 (give it as tag:keyword[])",
        ],
    },
    Case {
        input: "text that is an object",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"b\", \"title\": \"t\", \"text\": {\"en\": \"y\"}}\n",
            )
        },
        options: plain,
        refused: "",
        documents: 2,
        said: &[
            "1 values of \"text\" left out, the first at DIR/a.jsonl:2: field \"text\": expected text, found an object",
        ],
    },
    Case {
        input: "rows without an id",
        make: |folder| write(folder, "a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"y\"}\n"),
        options: plain,
        refused: "",
        documents: 2,
        said: &["2 documents have no id and got file#line (name a field with --id)"],
    },
    Case {
        input: "a row without the id that --id names",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"key\": \"k\", \"text\": \"x\"}\n{\"text\": \"y\"}\n",
            )
        },
        options: || SourceOptions {
            id: Some("key".into()),
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:2: expected an id in the field that --id names, found nothing",
            "1 rows skipped",
        ],
    },
    Case {
        input: "duplicate ids",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"a\", \"text\": \"y\"}\n",
            )
        },
        options: plain,
        refused: "",
        documents: 2,
        said: &[
            "1 documents have the id of an earlier one, which they replace; the first is \"a\" at DIR/a.jsonl:2",
        ],
    },
    Case {
        input: "an id of 5,000 bytes",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                format!("{{\"id\": \"{}\", \"text\": \"x\"}}\n", "i".repeat(5000)),
            )
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.jsonl:1: expected an id of at most 4096 bytes, found 5000 bytes starting with \"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii…\" (choose another field with --id)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a CSV row with too few cells",
        make: |folder| write(folder, "a.csv", "id,title,text\na,b,c\nd,e\nf,\"g\nh\",i\n"),
        options: plain,
        refused: "",
        documents: 2,
        said: &[
            "DIR/a.csv:3: expected 3 cells as in the header, found 2 (cells are separated by ','; one that holds it must be quoted)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "a CSV quote that is never closed",
        make: |folder| {
            let mut text = String::from("id,text\na,b\nc,\"d\n");
            text.push_str(&"e,f\n".repeat(2000));
            write(folder, "a.csv", text)
        },
        options: || SourceOptions {
            max_line_bytes: 2000,
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.csv:3: expected a row of at most 2000 bytes, found a longer one: probably a quote that is never closed (raise the limit with --max-line-bytes)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "CSV with a byte order mark, CRLF and repeated names",
        make: |folder| write(folder, "a.csv", "\u{FEFF}id,text,tag,tag\r\na,b,c,d\r\n"),
        options: plain,
        refused: "",
        documents: 1,
        said: &[],
    },
    Case {
        input: "a JSON array that is cut off",
        make: |folder| {
            write(
                folder,
                "a.json",
                "[\n{\"id\": \"a\", \"text\": \"x\"},\n{\"id\": \"b\", \"text\"",
            )
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.json:3: expected ] at the end of the array, found the end of the file: it is truncated; the objects before are kept",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a JSON array with a bad element",
        make: |folder| {
            write(
                folder,
                "a.json",
                "[\n{\"id\": \"a\", \"text\": \"x\"},\n7,\n{\"id\": \"c\", \"text\": \"z\"}]",
            )
        },
        options: plain,
        refused: "",
        documents: 2,
        said: &[
            "DIR/a.json:3: expected a JSON object, found \"7\"",
            "1 rows skipped",
        ],
    },
    Case {
        input: "an object where --format json expects an array",
        make: |folder| write(folder, "a.json", "{\"id\": \"a\"}"),
        options: || SourceOptions {
            format: Some(Format::Json),
            ..plain()
        },
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.json:1: expected a JSON array of objects, found '{' at its start (one object a line is --format jsonl)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a file larger than the limit in a folder",
        make: |folder| {
            write(folder, "small.txt", "x");
            write(folder, "large.txt", "y".repeat(2000));
            vec![folder.into()]
        },
        options: || SourceOptions {
            max_file_bytes: 1000,
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "skipped DIR/large.txt: plain text of 2000 bytes is read whole, and --max-file-bytes is 1000",
        ],
    },
    Case {
        input: "a broken link",
        make: |folder| {
            write(folder, "a.txt", "x");
            std::os::unix::fs::symlink("nowhere", folder.join("b.txt")).unwrap();
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &["skipped DIR/b.txt: a broken link: No such file or directory (os error 2)"],
    },
    Case {
        input: "a loop of links",
        make: |folder| {
            write(folder, "a.txt", "x");
            std::os::unix::fs::symlink(".", folder.join("loop")).unwrap();
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &["skipped DIR/loop: a link to a folder; name it on the command line to read it"],
    },
    Case {
        input: "folders 200 deep",
        make: |folder| {
            write(folder, &format!("{}a.txt", "d/".repeat(200)), "x");
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[],
    },
    Case {
        input: "a field that the sample did not have",
        make: |folder| {
            let mut rows: String = (0..50)
                .map(|row| format!("{{\"id\": \"d{row}\", \"text\": \"x\"}}\n"))
                .collect();
            rows.push_str("{\"id\": \"e\", \"text\": \"y\", \"year\": 2019}\n");
            write(folder, "a.jsonl", rows)
        },
        options: || SourceOptions {
            sample_rows: 20,
            ..plain()
        },
        refused: "",
        documents: 51,
        said: &[
            "field \"year\" is in 1 rows but not in the sample, the first at DIR/a.jsonl:51: left out (name it with --attr)",
        ],
    },
];

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
    for case in CASES {
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
