//! Rows, fields and values.

use kokeshi_sources::{Format, SourceOptions};

use super::{Case, plain, strict, write};

pub(crate) const CASES: &[Case] = &[
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
            "DIR/a.jsonl:1: expected a line of at most 33554432 bytes, found 52428823 bytes (make several documents of it)",
            "1 rows skipped",
        ],
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
            "DIR/a.csv:3: expected a row of at most 2000 bytes, found a longer one: probably a quote that is never closed",
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
