//! Graphs for common filters: what is found through them, what becomes of them when rows come and go, and damaged files.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{collection, documents, ids, open, refuses_damage, request};
use kokeshi_collection::{Collection, Mode, SearchRequest};
use kokeshi_core::{Seed, Silent};
use kokeshi_index::Effort;

/// So many that the half with a parity, and the upper half of the years, have graphs.
const ROWS: usize = 5000;

fn wanted(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}

fn dense(query: &str, filter: &str) -> SearchRequest {
    SearchRequest {
        mode: Mode::Dense,
        no_cut: true,
        explain: true,
        filter: Some(filter.into()),
        ..request(query)
    }
}

/// The part that answered, after a look whether it finds what comparing everything does.
fn part(collection: &Collection, filter: &str) -> Option<String> {
    let mut same = 0;
    for number in [4, 250, 1600, 2333] {
        let quick = dense(&format!("report number{number} about glaciers"), filter);
        let exact = SearchRequest {
            effort: Effort::Exact,
            ..quick.clone()
        };
        let (quick, exact) = (ids(collection, &quick), ids(collection, &exact));
        assert_eq!(quick.len(), exact.len(), "{filter}");
        same += quick.iter().filter(|id| exact.contains(id)).count();
    }
    assert!(same >= 36, "{filter}: {same} of 40");
    let explain = collection
        .search(&dense("violins", filter))
        .unwrap()
        .explain
        .unwrap();
    assert!(explain.dense_us > 0.0 && explain.dense.is_some());
    explain.part
}

/// A collection with parts for three attributes.
fn parted() -> (tempfile::TempDir, Collection) {
    let (folder, collection) = collection(ROWS);
    let mut writer = collection.writer().unwrap();
    writer.set_parts(&wanted(&["category", "year", "score"])).unwrap();
    assert!(writer.needs_optimizing());
    writer.optimize(&Silent).unwrap();
    assert!(!writer.needs_optimizing());
    drop(writer);
    (folder, collection)
}

#[test]
fn a_filter_whose_rows_have_a_graph_of_their_own_is_answered_by_it() {
    let (_folder, collection) = parted();
    let info = collection.info();
    let made: Vec<_> = info
        .indexed
        .iter()
        .map(|one| (one.attribute.as_str(), one.parts))
        .collect();
    assert_eq!(made, [("category", 2), ("year", 2), ("score", 2)]);
    assert_eq!(info.indexed[0].part_rows, ROWS as u64);
    assert_eq!(
        info.bytes["parts"],
        info.indexed.iter().map(|one| one.bytes).sum::<u64>()
    );
    let parity = Some("category:\"parity.1\"".to_string());
    assert_eq!(part(&collection, "category:parity.1"), parity);
    // Not its words but its rows decide.
    let both = "category:parity.1 AND category:topic.whales";
    assert_eq!(part(&collection, both), parity);
    assert_eq!(
        part(&collection, "score:[325 TO *]"),
        Some("score:[250 TO *]".into())
    );
    assert_eq!(
        part(&collection, "score:{* TO 245}"),
        Some("score:[* TO 249.9]".into())
    );
    for all in ["category:topic.whales", "score:[200 TO 300]", "open:true"] {
        assert_eq!(part(&collection, all), None, "{all}");
    }
}

#[test]
fn rows_that_come_go_or_are_numbered_anew_are_never_missed() {
    let (_folder, collection) = parted();
    let parity = Some("category:\"parity.0\"".to_string());
    let mut writer = collection.writer().unwrap();
    // Some are replaced, some are new, some are gone.
    writer.upsert(&documents(ROWS - 100..ROWS + 300)).unwrap();
    let gone: Vec<String> = (0..300).map(|number| format!("doc-{number:04}")).collect();
    writer.delete_ids(&gone).unwrap();
    writer.commit().unwrap();
    assert_eq!(part(&collection, "category:parity.0"), parity);
    let whole = common::document(ROWS + 200);
    let newest = dense(&format!("{} {}", whole.title, whole.text), "category:parity.0");
    assert_eq!(ids(&collection, &newest)[0], whole.id);
    writer.compact(&Silent).unwrap();
    assert_eq!(collection.info().indexed[0].parts, 0);
    assert_eq!(part(&collection, "category:parity.0"), None);
    writer.optimize(&Silent).unwrap();
    assert_eq!(part(&collection, "category:parity.0"), parity);
    // Many more rows: the graphs are made anew, and the files of the old ones are gone.
    writer.upsert(&documents(ROWS + 300..2 * ROWS + 300)).unwrap();
    writer.optimize(&Silent).unwrap();
    let info = collection.info();
    assert_eq!((info.indexed[0].rows, info.indexed[0].parts), (info.rows, 2));
    let files = std::fs::read_dir(collection.directory()).unwrap().flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("part-"));
    assert_eq!(
        files.count(),
        info.indexed.iter().map(|one| one.parts).sum::<usize>()
    );
    // Other attributes, and none.
    writer.set_parts(&wanted(&["category"])).unwrap();
    assert_eq!(collection.info().indexed.len(), 1);
    assert_eq!(part(&collection, "category:parity.0"), parity);
    for (names, expected) in [(["colour"], "unknown attribute"), (["venue"], "found a text")] {
        let error = writer.set_parts(&wanted(&names)).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(names[0]), "{error}");
    }
    writer.set_parts(&[]).unwrap();
    assert!(!collection.info().bytes.contains_key("parts"));
    assert_eq!(part(&collection, "category:parity.0"), None);
    drop(writer);
    collection.check().unwrap();
}

#[test]
fn a_damaged_or_missing_file_of_a_part_is_refused_by_name() {
    let (_folder, collection) = parted();
    let directory = collection.directory().to_path_buf();
    drop(collection);
    let mut tried = [0, 0];
    for entry in std::fs::read_dir(&directory).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(kind) = ["part-", "rows-"].iter().position(|kind| name.starts_with(kind)) else {
            continue;
        };
        tried[kind] += 1;
        refuses_damage(&directory, &entry.path(), 12);
    }
    assert_eq!(tried, [6, 3]);
}

#[test]
#[ignore = "started by the test below as a process to be killed"]
fn parts_writer() {
    let Some(directory) = std::env::var_os("KOKESHI_PARTS_DIRECTORY") else {
        return;
    };
    let collection = open(Path::new(&directory)).unwrap();
    let mut writer = collection.writer().unwrap();
    loop {
        // Those of one attribute stay while others are made.
        for names in [&["category", "score"][..], &["category", "year"], &[]] {
            writer.set_parts(&wanted(names)).unwrap();
            writer.optimize(&Silent).unwrap();
        }
    }
}

#[test]
fn killed_while_parts_are_made_a_collection_finds_what_it_found() {
    let (_folder, collection) = collection(ROWS);
    let directory = collection.directory().to_path_buf();
    // How long making them takes here, which says when to kill.
    let started = Instant::now();
    let mut writer = collection.writer().unwrap();
    writer.set_parts(&wanted(&["category", "score"])).unwrap();
    writer.optimize(&Silent).unwrap();
    writer.set_parts(&[]).unwrap();
    let longest = 2 * started.elapsed().as_micros() as usize + 900_000;
    drop((writer, collection));
    let (mut seed, mut made) = (Seed(u64::from(std::process::id())), 0);
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["parts_writer", "--exact", "--ignored", "--nocapture"])
            .env("KOKESHI_PARTS_DIRECTORY", &directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(100_000 + seed.below(longest) as u64));
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let collection = open(&directory).unwrap();
        collection.check().unwrap();
        assert_eq!(collection.info().documents as usize, ROWS);
        made += usize::from(collection.info().bytes.contains_key("parts"));
        part(&collection, "category:parity.1");
        part(&collection, "score:[325 TO *]");
    }
    assert!(made > 0, "no part was ever made");
}
