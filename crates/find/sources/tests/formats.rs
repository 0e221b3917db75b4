//! What good inputs become: fields, types, folders, packing.

use std::io::Write;
use std::path::Path;

use kokeshi_sources::{Attribute, Document, Kind, Role, Source, SourceOptions};

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn read(folder: &Path, options: SourceOptions) -> (Source, Vec<Document>) {
    let source = Source::open(&[folder.into()], options).unwrap();
    let documents = source.documents().map(|document| document.unwrap()).collect();
    (source, documents)
}

fn text(text: &str) -> Attribute {
    Attribute::Text(text.into())
}

#[test]
fn types_are_found_and_shown_and_can_be_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..60)
        .map(|row| {
            format!(
                "{{\"_id\": \"d{row}\", \"title\": \"T{row}\", \"abstract\": \"Words of {row}\", \"year\": {}, \"score\": {}.5, \"created\": \"20{:02}-05-01\", \
                 \"authors\": [\"A\", \"B{row}\"], \"categories\": \"{}\", \"open\": true, \"doi\": null, \"nested\": {{\"x\": 1}}, \"number\": \"00{row}\"}}\n",
                1950 + row,
                row,
                row % 20,
                ["cs.CL cs.IR", "cs.IR", "q-bio.NC cs.CL stat.ML"][row % 3],
            )
        })
        .collect();
    write(folder.path(), "a.jsonl", &rows);
    let (source, documents) = read(folder.path(), SourceOptions::default());
    let kinds: Vec<(String, Kind, bool)> = source
        .detected()
        .schema
        .fields
        .iter()
        .map(|field| (field.name.clone(), field.kind, field.list))
        .collect();
    let expected = [
        ("year", Kind::Integer, false),
        ("score", Kind::Float, false),
        ("created", Kind::Date, false),
        ("authors", Kind::Keyword, true),
        ("categories", Kind::Keyword, true),
        ("open", Kind::Bool, false),
        ("number", Kind::Keyword, false),
    ];
    assert_eq!(
        kinds,
        expected.map(|(name, kind, list)| (name.to_string(), kind, list))
    );
    let shown = source.detected().to_string();
    assert!(
        shown.contains("categories  attribute  keyword[ ]   100 %  cs.CL cs.IR"),
        "{shown}"
    );
    assert!(
        shown.contains("note: field \"nested\" is left out: it holds objects or lists of lists"),
        "{shown}"
    );
    let first = &documents[0];
    assert_eq!(
        (first.id.as_str(), first.title.as_str(), first.text.as_str()),
        ("d0", "T0", "Words of 0")
    );
    assert_eq!(first.attributes["created"], text("2000-05-01T00:00:00Z"));
    assert_eq!(
        first.attributes["categories"],
        Attribute::List(vec![text("cs.CL"), text("cs.IR")])
    );
    assert_eq!(first.attributes["number"], text("000"), "a leading zero is kept");
    assert_eq!(
        first.origin.to_string(),
        format!("{}/a.jsonl:1", folder.path().display())
    );

    let options = SourceOptions {
        text: vec!["title".into(), "abstract".into(), "categories".into()],
        attributes: Some(vec![
            "year:keyword".into(),
            "number:integer".into(),
            "categories:keyword".into(),
        ]),
        ..SourceOptions::default()
    };
    let (source, documents) = read(folder.path(), options);
    assert_eq!(documents[1].text, "Words of 1\n\ncs.IR");
    assert_eq!(documents[1].title, "T1");
    assert_eq!(documents[1].attributes["year"], text("1951"));
    assert_eq!(documents[1].attributes["number"], Attribute::Integer(1));
    assert_eq!(documents[1].attributes.len(), 3);
    assert_eq!(
        source
            .detected()
            .fields
            .iter()
            .filter(|field| field.role == Role::Text)
            .count(),
        2
    );
}

#[test]
fn cells_without_types_are_typed_and_quoted_line_ends_stay() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a.csv",
        "id;name;description;year;price;ok\r\n7;A;\"one\r\ntwo; \"\"three\"\"\";2019;1.5;true\r\n8;B;x;;2;FALSE\r\n",
    );
    let (source, documents) = read(folder.path(), SourceOptions::default());
    let kinds: Vec<Kind> = source
        .detected()
        .schema
        .fields
        .iter()
        .map(|field| field.kind)
        .collect();
    assert_eq!(kinds, [Kind::Integer, Kind::Float, Kind::Bool]);
    assert_eq!(documents[0].text, "one\r\ntwo; \"three\"");
    assert_eq!(documents[1].attributes["ok"], Attribute::Bool(false));
    assert!(
        !documents[1].attributes.contains_key("year"),
        "an empty cell is no value"
    );
    assert_eq!(documents[1].origin.line, 4);

    write(folder.path(), "a.csv", "");
    write(folder.path(), "b.tsv", "id\ttext\n1\ta \"lone quote\n2\t\"also\n");
    let (_, documents) = read(folder.path(), SourceOptions::default());
    assert_eq!(documents[1].text, "\"also");
}

#[test]
fn a_folder_is_read_in_name_order_without_what_is_hidden_ignored_or_made_by_tools() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b.txt",
        "a/z.md",
        "a/code.rs",
        "c.html",
        ".hidden.txt",
        "target/x.txt",
        "node_modules/x.js",
        "ignored.txt",
        ".git/config",
    ] {
        write(folder.path(), name, format!("# words of {name}"));
    }
    write(folder.path(), ".gitignore", "ignored.txt\n");
    let (source, documents) = read(folder.path(), SourceOptions::default());
    let names: Vec<String> = documents
        .iter()
        .map(|document| document.id.replace(&format!("{}/", folder.path().display()), ""))
        .collect();
    assert_eq!(names, ["a/code.rs", "a/z.md", "b.txt", "c.html"]);
    assert!(documents[0].title.ends_with("a/code.rs"));
    assert_eq!(documents[1].title, "words of a/z.md");
    let (read, total) = source.progress();
    assert_eq!(read, total);
}

#[test]
fn shards_packed_in_any_way_are_one_source() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |from: usize| -> String {
        (from..from + 20_000)
            .map(|row| {
                format!(
                    "{{\"id\": \"d{row}\", \"text\": \"{:x}\"}}\n",
                    row * 2_654_435_761
                )
            })
            .collect()
    };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(rows(0).as_bytes()).unwrap();
    write(folder.path(), "s.00.jsonl.gz", gz.finish().unwrap());
    write(folder.path(), "s.01.jsonl", rows(20_000));
    write(
        folder.path(),
        "s.02.jsonl.zst",
        zstd::encode_all(rows(40_000).as_bytes(), 1).unwrap(),
    );
    let (source, documents) = read(folder.path(), SourceOptions::default());
    assert_eq!(documents.len(), 60_000);
    assert!(
        documents
            .iter()
            .enumerate()
            .all(|(row, document)| document.id == format!("d{row}"))
    );
    let (read, total) = source.progress();
    assert_eq!(read, total);
    assert!(source.report().lines().is_empty());
}

#[test]
fn of_a_beir_folder_only_the_corpus_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "corpus.jsonl",
        "{\"_id\": \"1\", \"title\": \"t\", \"text\": \"x\", \"metadata\": {}}\n",
    );
    write(
        folder.path(),
        "queries.jsonl",
        "{\"_id\": \"q\", \"text\": \"y\"}\n",
    );
    write(
        folder.path(),
        "qrels/test.tsv",
        "query-id\tcorpus-id\tscore\nq\t1\t1\n",
    );
    let (source, documents) = read(folder.path(), SourceOptions::default());
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0].id, "1");
    assert!(
        source
            .detected()
            .notices
            .iter()
            .any(|notice| notice.contains("beside the corpus of a BEIR data set"))
    );
}

#[test]
fn front_matter_becomes_attributes() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a.md",
        "---\ntitle: On size\ndate: 2024-05-01\ntags: [a, b]\n---\n# Heading\n\nText.\n",
    );
    let (_, documents) = read(folder.path(), SourceOptions::default());
    assert_eq!(
        (documents[0].title.as_str(), documents[0].text.as_str()),
        ("On size", "Text.")
    );
    assert_eq!(documents[0].attributes["date"], text("2024-05-01T00:00:00Z"));
    assert_eq!(
        documents[0].attributes["tags"],
        Attribute::List(vec![text("a"), text("b")])
    );
}

#[test]
fn any_bytes_in_any_format_are_read_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let pieces: [&[u8]; 20] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b",",
        b":",
        b"\n",
        b"\r\n",
        b"\xFF\xFE",
        b"\xEF\xBB\xBF",
        b"<script>",
        b"<p",
        b"---\n",
        b"# ",
        b"\xE9",
        b"\t",
        b"1e9",
        b"word ",
    ];
    for format in kokeshi_sources::Format::ALL {
        for _ in 0..60 {
            let bytes: Vec<u8> = (0..below(300))
                .flat_map(|_| pieces[below(pieces.len())])
                .copied()
                .collect();
            let path = folder.path().join("input");
            std::fs::write(&path, &bytes).unwrap();
            let options = SourceOptions {
                format: Some(format),
                max_line_bytes: 200,
                ..SourceOptions::default()
            };
            if let Ok(source) = Source::open(&[path], options) {
                let _ = source.documents().count();
            }
        }
    }
}
