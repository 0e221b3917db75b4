//! What people do every day: pipes that close early, lists of texts, files that change from week to week.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kokeshi"));
    command.args(arguments).current_dir(folder);
    command
        .env("HF_HUB_OFFLINE", "1")
        .env_remove("KOKESHI_MODEL")
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What a command that works prints.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn place(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn notes_that_nobody_reads_do_not_stop_the_work() {
    let place = place(&[("a.jsonl", "{\"id\":\"a\",\"text\":\"one\"}\nnot JSON\n")]);
    // A pipe whose reading end is closed, as `2>&1 | head -1` leaves it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(place.path(), &["index", "a.jsonl", "--to", "c"])
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let info = printed(place.path(), &["info", "c", "--json"]);
    assert!(info.contains("\"documents\": 1"), "{info}");
}

#[test]
fn fields_whose_attributes_would_be_one_are_two() {
    let place = place(&[(
        "a.jsonl",
        "{\"doi\":\"x\",\"text\":\"one\",\"id\":\"left\",\"_id\":\"right\"}\n",
    )]);
    printed(
        place.path(),
        &["index", "a.jsonl", "--to", "c", "--id", "doi", "--text", "text"],
    );
    for value in ["left", "right"] {
        let found = ["field-id", "field-id-2"].map(|name| {
            let filter = format!("{name}:{value}");
            printed(
                place.path(),
                &["search", "one", "--in", "c", "--filter", &filter, "--json"],
            )
            .contains("\"x\"")
        });
        assert_eq!(found.iter().filter(|found| **found).count(), 1, "{value}");
    }
}

#[test]
fn a_file_of_lines_is_embedded_line_by_line_as_standard_input_is() {
    let place = place(&[
        ("plain.txt", "a dog\n\na fox\n"),
        ("dos.txt", "\u{feff}a dog\r\n\r\na fox\r\n"),
    ]);
    let vectors = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_once("\"embedding\":").unwrap().1.to_string())
            .collect()
    };
    let piped = {
        let file = std::fs::File::open(place.path().join("plain.txt")).unwrap();
        let output = command(place.path(), &["embed", "-"])
            .stdin(file)
            .output()
            .unwrap();
        vectors(&String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(piped.len(), 3, "the empty line is a text too");
    assert_ne!(piped[0], piped[2]);
    for name in ["plain.txt", "dos.txt"] {
        let named = printed(place.path(), &["embed", name]);
        assert_eq!(vectors(&named), piped, "{name}");
        assert!(named.starts_with(&format!("{{\"id\":\"{name}#1\"")), "{named}");
    }
    std::fs::write(place.path().join("wide.txt"), b"\xff\xfea\0\n\0").unwrap();
    let refused = run(place.path(), &["embed", "wide.txt"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("wide.txt") && said.contains("UTF-16"), "{said}");
}

#[test]
fn later_files_have_the_types_of_the_collection() {
    let place = place(&[
        // One year is a string, so that all are keywords.
        (
            "1.jsonl",
            "{\"id\":\"a\",\"text\":\"one\",\"year\":2001,\"n\":1}\n{\"id\":\"b\",\"text\":\"two\",\"year\":\"n. d.\",\"n\":2}\n",
        ),
        // Here they look like whole numbers, and one n is no number.
        (
            "2.jsonl",
            "{\"id\":\"a\",\"text\":\"uno\",\"year\":1999,\"n\":\"many\"}\n{\"id\":\"c\",\"text\":\"three\",\"year\":2003,\"n\":3}\n",
        ),
    ]);
    printed(place.path(), &["index", "1.jsonl", "--to", "c"]);
    let again = run(place.path(), &["index", "2.jsonl", "--to", "c"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(said.contains("1 values of \"n\" left out"), "{said}");
    let found = |filter: &str| -> Vec<String> {
        let json = printed(
            place.path(),
            &[
                "search", "one", "--in", "c", "--no-cut", "--json", "--filter", filter,
            ],
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut ids: Vec<String> = json["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["id"].as_str().unwrap().to_string())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(found("year:1999"), ["a"]);
    assert_eq!(found("n:>=2"), ["b", "c"]);
    // A filter may start with a hyphen, which is tantivy's NOT.
    assert_eq!(found("-n:3"), ["a", "b"]);
    // Another type that is asked for by name is still refused.
    let refused = run(
        place.path(),
        &["index", "2.jsonl", "--to", "c", "--attr", "year:integer"],
    );
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("attribute `year` is keyword"), "{said}");
}

#[test]
fn the_compiled_in_model_has_a_name() {
    let place = place(&[("a.txt", "a wooden doll\n")]);
    let named = printed(place.path(), &["embed", "a.txt", "--model", "kokeshi-static"]);
    assert_eq!(named, printed(place.path(), &["embed", "a.txt"]));
}

#[test]
fn any_field_can_be_the_id_or_the_text_and_any_name_an_attribute() {
    let row = r#"{"id": "1", "doi": "10.1/x", "title": "one", "abstract": "a wooden doll", "yıl": 1999}"#;
    let place = place(&[("a.jsonl", row)]);
    let flags = ["--id", "doi", "--text", "abstract"];
    let output = run(
        place.path(),
        &[&["index", "a.jsonl", "--to", "c"][..], &flags].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("field \"yıl\" is the attribute yu131l"), "{said}");
    let filter = "yu131l:1999 AND field-id:1 AND field-title:one";
    let found = printed(
        place.path(),
        &[
            "search", "doll", "--in", "c", "--no-cut", "--json", "--filter", filter,
        ],
    );
    assert!(found.contains("\"id\": \"10.1/x\""), "{found}");
}
