//! Moving a collection to another model behind a bridge.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{WordVotes, collection, document, documents, ids, request};
use kokeshi_codec::bridge::{Method, Side};
use kokeshi_codec::{Bridge, HeadConfig};
use kokeshi_collection::{Collection, Embedder, Mode, OpenOptions, SearchRequest, WriterOptions};
use kokeshi_core::{Embeddings, Metric, Progress, Seed, Silent, Size};

/// Votes on 48 dims instead of 64.
fn new_model() -> Arc<dyn Embedder> {
    Arc::new(WordVotes {
        dims: 48,
        name: "word-votes-again".into(),
    })
}

fn learn(old: &dyn Embedder, new: &dyn Embedder) -> Bridge {
    let mut texts: Vec<String> = (0..700)
        .map(|number| format!("{} {}", document(number).title, document(number).text))
        .collect();
    texts.extend((0..700).map(|number| format!("report number{number}")));
    let vectors = |model: &dyn Embedder| model.encode_documents(&texts).unwrap();
    let (new_rows, old_rows): (Embeddings, Embeddings) = (vectors(new), vectors(old));
    let config = HeadConfig::BRIDGE;
    let mut bridge = Bridge::train(
        Method::Linear,
        &new_rows,
        &old_rows,
        Metric::Cosine,
        &config,
        Seed(1),
    )
    .unwrap();
    let side = |model: &dyn Embedder| Side {
        model: model.id(),
        fingerprint: model.fingerprint(),
    };
    (bridge.old, bridge.new) = (side(old), side(new));
    bridge
}

fn dense(query: &str) -> SearchRequest {
    SearchRequest {
        mode: Mode::Dense,
        no_cut: true,
        ..request(query)
    }
}

/// Asks for document `number` by all its words.
fn whole(number: usize) -> SearchRequest {
    let document = document(number);
    dense(&format!("{} {}", document.title, document.text))
}

/// Of what `request` finds, how many are about the topic.
fn about(collection: &Collection, topic: &str) -> usize {
    let found = collection.search(&dense(topic)).unwrap();
    found.hits.iter().filter(|hit| hit.title.contains(topic)).count()
}

/// Stops when the work has been reported so often.
struct After(AtomicUsize);

impl Progress for After {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: u64) {
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    }
    fn finish(&self) {}
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

#[test]
fn searches_go_on_over_the_bridge_while_vectors_fill_in_and_the_new_model_takes_over_at_the_end() {
    let (_folder, collection) = collection(1300);
    let (old, new) = (WordVotes::shared(), new_model());
    let bridge = learn(&*old, &*new);
    let options = WriterOptions {
        commit_seconds: 0,
        ..WriterOptions::default()
    };
    let mut writer = collection.writer_with(options).unwrap();
    writer.delete_ids(&["doc-0007"]).unwrap();
    writer.begin_migration(&new, Size::FULL, &bridge).unwrap();
    let moving = collection.info().migration.unwrap();
    assert_eq!(
        (moving.model.as_str(), moving.dims, moving.rows),
        ("word-votes-again", 48, 0)
    );
    assert!((moving.kept - bridge.kept()).abs() < 1e-6);
    assert!(about(&collection, "violins") >= 8);
    // One commit of the two or three that it takes; then the user wants to stop.
    writer.migrate(&new, &After(AtomicUsize::new(2))).unwrap();
    let moving = collection.info().migration.unwrap();
    assert!(moving.rows > 0 && moving.rows < 1300, "{}", moving.rows);
    // Documents that come meanwhile are found, and rows keep their numbers.
    writer.upsert(&documents(1300..1400)).unwrap();
    writer.commit().unwrap();
    writer.compact(&Silent).unwrap();
    assert_eq!(collection.info().rows, 1400);
    assert!(about(&collection, "enzymes") >= 8);
    drop(writer);
    let directory = collection.directory().to_path_buf();
    drop(collection);
    // Another process needs the new model alone; the old one is refused.
    let with = |embedder: &Arc<dyn Embedder>| {
        let embedder = Some(embedder.clone());
        Collection::open(&directory, OpenOptions { embedder })
    };
    assert!(with(&old).err().unwrap().to_string().contains("word-votes-again"));
    let collection = with(&new).unwrap();
    collection.check().unwrap();
    assert!(about(&collection, "glaciers") >= 8);
    let mut writer = collection.writer().unwrap();
    let error = writer
        .begin_migration(&new, Size::FULL, &bridge)
        .unwrap_err()
        .to_string();
    assert!(error.contains("is taking over already"), "{error}");
    assert!(writer.migrate(&old, &Silent).is_err());
    writer.migrate(&new, &Silent).unwrap();
    let info = collection.info();
    assert!(info.migration.is_none());
    assert_eq!(
        (info.model.as_str(), info.dims, info.rows, info.documents),
        ("word-votes-again", 48, 1400, 1399)
    );
    assert_eq!(ids(&collection, &whole(1350))[0], "doc-1350");
    drop(writer);
    drop(collection);
    let collection = with(&new).unwrap();
    collection.check().unwrap();
    let mut writer = collection.writer().unwrap();
    writer.compact(&Silent).unwrap();
    assert_eq!(collection.info().rows, 1399);
    assert_eq!(ids(&collection, &whole(42))[0], "doc-0042");
    let left = std::fs::read_dir(&directory).unwrap().flatten();
    assert!(
        left.filter(|file| file.file_name().to_string_lossy().starts_with("bridge-"))
            .count()
            == 0
    );
}

/// Opens a collection that may be on either side of a migration, or in one.
fn open_either(directory: &std::path::Path) -> Collection {
    let with = |embedder: Arc<dyn Embedder>| {
        let embedder = Some(embedder);
        Collection::open(directory, OpenOptions { embedder })
    };
    with(WordVotes::shared())
        .or_else(|_| with(new_model()))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
#[ignore = "started by the test below as a process to be killed"]
fn migrating_writer() {
    let Some(directory) = std::env::var_os("KOKESHI_CRASH_DIRECTORY") else {
        return;
    };
    let collection = open_either(std::path::Path::new(&directory));
    let options = WriterOptions {
        commit_seconds: 0,
        ..WriterOptions::default()
    };
    let mut writer = collection.writer_with(options).unwrap();
    println!("writing");
    loop {
        let info = collection.info();
        let there = info
            .migration
            .as_ref()
            .map_or(&info.model, |moving| &moving.model)
            .clone();
        let (old, new) = match (info.migration.is_some(), there == "word-votes") {
            (true, true) | (false, false) => (new_model(), WordVotes::shared()),
            _ => (WordVotes::shared(), new_model()),
        };
        if info.migration.is_none() {
            writer
                .begin_migration(&new, Size::FULL, &learn(&*old, &*new))
                .unwrap();
        }
        writer.migrate(&new, &Silent).unwrap();
    }
}

#[test]
fn a_migration_survives_kill_9_at_any_instant() {
    let kills: usize = std::env::var("KOKESHI_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(8);
    let (_folder, collection) = collection(1300);
    let directory = collection.directory().to_path_buf();
    drop(collection);
    let mut seed = Seed(u64::from(std::process::id()));
    let (mut moving, mut generation) = (0, 0);
    for kill in 0..kills {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "migrating_writer",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("KOKESHI_CRASH_DIRECTORY", &directory)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(seed.below(1_500_000) as u64));
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            panic!("kill {kill}: the writer ended by itself, {status}: {said}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let collection = open_either(&directory);
        collection.check().unwrap();
        let info = collection.info();
        assert!(info.generation >= generation, "kill {kill}");
        generation = info.generation;
        moving += usize::from(info.migration.is_some());
        assert_eq!((info.documents, info.rows), (1300, 1300), "kill {kill}");
        assert_eq!(
            collection.document("doc-0042").unwrap().unwrap(),
            document(42),
            "kill {kill}"
        );
        assert!(about(&collection, "satellites") >= 8, "kill {kill}");
    }
    println!("{kills} kills, {moving} of them in a migration, {generation} commits");
    assert!(generation > 1, "nothing was ever written");
}

#[test]
fn a_bridge_between_other_models_is_refused_and_a_damaged_one_named() {
    let (_folder, collection) = collection(300);
    let (old, new) = (WordVotes::shared(), new_model());
    let good = learn(&*old, &*new);
    let mut writer = collection.writer().unwrap();
    let mut wrong = good.clone();
    wrong.old.fingerprint = "somebody-else".into();
    let error = writer
        .begin_migration(&new, Size::FULL, &wrong)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the bridge's old end: expected word-votes at 64 dims"),
        "{error}"
    );
    let error = writer
        .begin_migration(&old, Size::FULL, &good)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the bridge's new end"), "{error}");
    assert!(writer.migrate(&new, &Silent).is_err());
    assert!(collection.info().migration.is_none());
    writer.begin_migration(&new, Size::FULL, &good).unwrap();
    drop(writer);
    let directory = collection.directory().to_path_buf();
    let bridge = std::fs::read_dir(&directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("bridge-"))
        .unwrap();
    let bytes = std::fs::read(&bridge).unwrap();
    for bad in [
        bytes[..bytes.len() - 3].to_vec(),
        [&bytes[..300], &[bytes[300] ^ 4], &bytes[301..]].concat(),
    ] {
        std::fs::write(&bridge, bad).unwrap();
        let embedder = Some(new.clone());
        let error = Collection::open(&directory, OpenOptions { embedder })
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("bridge-"), "{error}");
    }
}
