//! Killed at any instant, a collection opens, holds every commit that was acknowledged, and nothing half.
//!
//! The test starts itself as another process that writes ([`crash_writer`]) and kills that. KOKESHI_KILLS sets how often.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{WordVotes, document, open, schema};
use kokeshi_collection::{Collection, CreateOptions, SearchRequest};
use kokeshi_core::{Seed, Silent, Size};
use kokeshi_sources::Document;

/// How many documents a round touches.
const ROUND: usize = 12;

/// What round `round` does to the documents: some are new, some change, some go.
fn round_of(round: usize) -> (Vec<Document>, Vec<String>) {
    let mut seed = Seed(round as u64);
    let mut upserts = BTreeMap::new();
    for _ in 0..ROUND {
        let number = seed.below(300);
        let mut new = document(number);
        new.text = format!(
            "{} Revision {round}. {}",
            new.text,
            "More of it. ".repeat(seed.below(40))
        );
        upserts.insert(number, new);
    }
    let deletes = (0..4)
        .map(|_| seed.below(300))
        .filter(|number| !upserts.contains_key(number))
        .map(|number| format!("doc-{number:04}"))
        .collect();
    (upserts.into_values().collect(), deletes)
}

/// The documents after `rounds` rounds.
fn expected(rounds: usize) -> BTreeMap<String, Document> {
    let mut documents = BTreeMap::new();
    for round in 1..=rounds {
        let (upserts, deletes) = round_of(round);
        for document in upserts {
            documents.insert(document.id.clone(), document);
        }
        for id in deletes {
            documents.remove(&id);
        }
    }
    documents
}

/// The generation of round n is not n, since optimizing commits too; so each round leaves its number in a document.
fn marker(round: usize) -> Document {
    Document {
        id: "marker".into(),
        text: format!("round {round}"),
        ..Document::default()
    }
}

fn round_in(collection: &Collection) -> usize {
    let marker = collection.document("marker").unwrap();
    marker.map_or(0, |marker| marker.text["round ".len()..].parse().unwrap())
}

#[test]
#[ignore = "started by the test below as a process to be killed"]
fn crash_writer() {
    let Some(directory) = std::env::var_os("KOKESHI_CRASH_DIRECTORY") else {
        return;
    };
    let collection = open(Path::new(&directory)).unwrap();
    let mut writer = collection.writer().unwrap();
    let mut round = round_in(&collection);
    loop {
        round += 1;
        let (upserts, deletes) = round_of(round);
        writer.upsert(&upserts[..upserts.len() / 2]).unwrap();
        writer.delete_ids(&deletes).unwrap();
        writer.upsert(&upserts[upserts.len() / 2..]).unwrap();
        writer.upsert(&[marker(round)]).unwrap();
        writer.commit().unwrap();
        println!("round {round} is committed");
        if round.is_multiple_of(5) {
            writer.compact(&Silent).unwrap();
        }
        // Codes are made, extended, changed and given up.
        if round.is_multiple_of(3) {
            let codec = [Some("rabitq:2"), Some("pca:16|int8"), None][round / 3 % 3];
            let codec = codec.map(|text| text.parse().unwrap());
            writer.set_codec(codec.as_ref(), &Silent).unwrap();
        }
        writer.optimize(&Silent).unwrap();
    }
}

#[test]
fn every_acknowledged_commit_survives_kill_9_at_any_instant() {
    let kills: usize = std::env::var("KOKESHI_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("crash.kokeshi");
    let options = CreateOptions {
        schema: schema(),
        ..CreateOptions::with(WordVotes::shared(), Size::FULL)
    };
    drop(Collection::create(&directory, options).unwrap());
    let mut seed = Seed(u64::from(std::process::id()));
    let mut acknowledged = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash_writer",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("KOKESHI_CRASH_DIRECTORY", &directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || {
            let mut last = 0;
            for line in lines.map_while(Result::ok) {
                // The test harness puts the name of the test before the first line.
                let number = line
                    .split_once("round ")
                    .and_then(|(_, rest)| rest.strip_suffix(" is committed"));
                if let Some(number) = number {
                    last = number.parse().unwrap();
                }
            }
            last
        });
        // From the start of the process to some commits later.
        std::thread::sleep(Duration::from_micros(seed.below(600_000) as u64));
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            panic!("kill {kill}: the writer ended by itself, {status}: {said}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = acknowledged.max(reading.join().unwrap());
        let collection = open(&directory).unwrap();
        collection.check().unwrap();
        let round = round_in(&collection);
        assert!(
            round == acknowledged || round == acknowledged + 1,
            "kill {kill}: round {acknowledged} was acknowledged, found {round}"
        );
        // A commit that was not acknowledged in time may be there, but only whole.
        acknowledged = round;
        let mut expected = expected(round);
        if round > 0 {
            expected.insert("marker".into(), marker(round));
        }
        let info = collection.info();
        assert_eq!(info.documents as usize, expected.len(), "kill {kill}");
        let all = collection
            .search(&SearchRequest {
                k: 1000,
                ..SearchRequest::default()
            })
            .unwrap();
        let found: Vec<&str> = all.hits.iter().map(|hit| hit.id.as_str()).collect();
        assert_eq!(found, expected.keys().collect::<Vec<_>>(), "kill {kill}");
        for (id, document) in &expected {
            assert_eq!(
                collection.document(id).unwrap().as_ref(),
                Some(document),
                "kill {kill}"
            );
        }
    }
    println!("{kills} kills, {acknowledged} rounds");
    assert!(acknowledged > 0, "no round was ever finished");
}
