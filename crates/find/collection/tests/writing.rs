//! What a writer does to a collection, and when others see it.

mod common;

use std::sync::Arc;

use common::{WordVotes, collection, document, documents, ids, open, request, schema};
use kokeshi_collection::{Collection, Counts, CreateOptions, Error, SearchRequest};
use kokeshi_core::{Progress, Silent, Size};
use kokeshi_sources::{Attribute, Document, Field, Kind, Schema};

fn counts(inserted: u64, updated: u64, unchanged: u64) -> Counts {
    Counts {
        inserted,
        updated,
        unchanged,
    }
}

#[test]
fn unchanged_documents_are_skipped_and_changed_ones_replaced() {
    let (_folder, collection) = collection(0);
    let mut writer = collection.writer().unwrap();
    assert_eq!(writer.upsert(&documents(0..50)).unwrap(), counts(50, 0, 0));
    writer.commit().unwrap();
    let mut again = documents(0..60);
    again[7].text = "Now about something else: marmalade.".into();
    assert_eq!(writer.upsert(&again).unwrap(), counts(10, 1, 49));
    writer.commit().unwrap();
    assert_eq!(collection.info().documents, 60);
    assert_eq!(collection.info().passages, 60);
    assert_eq!(ids(&collection, &request("marmalade")), ["doc-0007"]);
    assert_eq!(
        collection.document("doc-0007").unwrap().unwrap().text,
        again[7].text
    );
    assert!(!ids(&collection, &request("report number7")).contains(&"doc-0007".to_string()));
}

#[test]
fn of_several_documents_with_one_id_the_last_counts() {
    let (_folder, collection) = collection(0);
    let mut writer = collection.writer().unwrap();
    let mut twice = documents(0..2);
    twice[1].id = twice[0].id.clone();
    assert_eq!(writer.upsert(&twice).unwrap(), counts(1, 0, 0));
    let third = Document {
        id: twice[0].id.clone(),
        ..document(2)
    };
    assert_eq!(
        writer.upsert(std::slice::from_ref(&third)).unwrap(),
        counts(0, 1, 0)
    );
    writer.commit().unwrap();
    assert_eq!(collection.document(&third.id).unwrap().unwrap(), third);
    assert_eq!(collection.info().documents, 1);
}

#[test]
fn a_commit_without_changes_is_no_new_generation() {
    let (_folder, collection) = collection(5);
    let mut writer = collection.writer().unwrap();
    let generation = writer.commit().unwrap();
    writer.upsert(&documents(0..5)).unwrap();
    writer.delete_ids(&["not there"]).unwrap();
    assert_eq!(writer.commit().unwrap(), generation);
}

#[test]
fn documents_are_deleted_by_id_and_by_filter() {
    let (_folder, collection) = collection(100);
    let mut writer = collection.writer().unwrap();
    assert_eq!(
        writer
            .delete_ids(&["doc-0003", "doc-0004", "nobody", "doc-0003"])
            .unwrap(),
        2
    );
    assert_eq!(writer.delete_filter("category:topic.violins").unwrap(), 20);
    let before = writer.commit().unwrap();
    assert_eq!(writer.delete_filter("category:topic.violins").unwrap(), 0);
    assert_eq!(writer.commit().unwrap(), before);
    assert_eq!(collection.info().documents, 78);
    assert!(collection.document("doc-0003").unwrap().is_none());
    let some = SearchRequest {
        no_cut: true,
        k: 100,
        ..request("violins in winter")
    };
    assert_eq!(ids(&collection, &some).len(), 78);
    assert_eq!(
        writer.upsert(&documents(3..4)).unwrap(),
        counts(1, 0, 0),
        "a deleted document is new again"
    );
}

#[test]
fn a_wrong_filter_deletes_nothing() {
    let (_folder, collection) = collection(10);
    let mut writer = collection.writer().unwrap();
    let error = writer.delete_filter("yeer:2000").unwrap_err();
    assert!(error.is_bad_request());
    writer.commit().unwrap();
    assert_eq!(collection.info().documents, 10);
}

#[test]
fn a_dropped_writer_leaves_nothing_behind() {
    let (_folder, collection) = collection(10);
    let mut writer = collection.writer().unwrap();
    writer.upsert(&documents(10..40)).unwrap();
    writer.delete_ids(&["doc-0001"]).unwrap();
    drop(writer);
    drop(collection.writer().unwrap());
    let again = open(collection.directory()).unwrap();
    assert_eq!(again.info().documents, 10);
    let files = std::fs::read_dir(collection.directory()).unwrap().flatten();
    let vectors = files.filter(|file| file.file_name().to_string_lossy().starts_with("vectors-"));
    assert_eq!(vectors.count(), 1, "the file of the lost commit is gone");
}

#[test]
fn rollback_undoes_what_was_not_committed() {
    let (_folder, collection) = collection(10);
    let mut writer = collection.writer().unwrap();
    writer.upsert(&documents(10..40)).unwrap();
    writer.delete_ids(&["doc-0001"]).unwrap();
    writer.rollback().unwrap();
    assert_eq!(writer.documents(), 10);
    assert_eq!(writer.upsert(&documents(9..11)).unwrap(), counts(1, 0, 1));
    writer.commit().unwrap();
    assert_eq!(collection.info().documents, 11);
    assert_eq!(collection.document("doc-0001").unwrap().unwrap(), document(1));
}

#[test]
fn a_second_writer_is_told_who_holds_the_lock() {
    let (_folder, collection) = collection(1);
    let writer = collection.writer().unwrap();
    let other = open(collection.directory()).unwrap();
    let error = other.writer().map(drop).unwrap_err().to_string();
    assert!(error.contains("writer.lock"), "{error}");
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(writer);
    other.writer().unwrap();
}

#[test]
fn a_reader_keeps_its_generation_until_it_refreshes() {
    let (_folder, collection) = collection(20);
    let reader = open(collection.directory()).unwrap();
    let mut writer = collection.writer().unwrap();
    for round in 1..20 {
        writer.delete_ids(&[format!("doc-{:04}", round - 1)]).unwrap();
        writer.upsert(&documents(round * 20..round * 20 + 20)).unwrap();
        writer.commit().unwrap();
        assert_eq!(reader.info().documents, 20);
        assert_eq!(
            ids(&reader, &request("report number0 whales"))[0],
            "doc-0000",
            "files of the old generation can still be read"
        );
    }
    let generation = reader.refresh().unwrap();
    assert_eq!(generation, collection.info().generation);
    assert_eq!(reader.info().documents, 20 + 19 * 19);
}

#[test]
fn searches_go_on_while_commits_are_made() {
    let (_folder, collection) = collection(200);
    let reader = open(collection.directory()).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut writer = collection.writer().unwrap();
            for round in 1..15 {
                writer.upsert(&documents(round * 200..round * 200 + 40)).unwrap();
                writer.commit().unwrap();
            }
        });
        while !writing.is_finished() {
            reader.refresh().unwrap();
            let hits = ids(&reader, &request("report number42 about violins"));
            assert_eq!(hits[0], "doc-0042");
            let documents = reader.info().documents;
            assert!(
                (documents - 200).is_multiple_of(40),
                "{documents} documents: half a commit was seen"
            );
        }
    });
}

#[test]
fn attributes_can_be_added_but_not_change_their_type() {
    let (_folder, collection) = collection(30);
    let mut writer = collection.writer().unwrap();
    let field = |name: &str, kind| Schema {
        fields: vec![Field {
            name: name.into(),
            kind,
            list: false,
        }],
    };
    let mut new = document(30);
    new.attributes
        .insert("language".into(), Attribute::Text("tr".into()));
    let error = writer.upsert(std::slice::from_ref(&new)).unwrap_err().to_string();
    assert!(
        error.contains("`language` is not in the schema") && error.contains("year (integer)"),
        "{error}"
    );
    writer.extend_schema(&field("language", Kind::Keyword)).unwrap();
    writer.upsert(std::slice::from_ref(&new)).unwrap();
    writer.commit().unwrap();
    let by_language = SearchRequest {
        filter: Some("language:tr".into()),
        ..request("")
    };
    assert_eq!(ids(&collection, &by_language), ["doc-0030"]);
    let without = SearchRequest {
        filter: Some("NOT language:* AND year:2001".into()),
        ..request("")
    };
    assert_eq!(ids(&collection, &without), ["doc-0001", "doc-0026"]);
    assert_eq!(collection.document("doc-0030").unwrap().unwrap(), new);
    let error = writer.extend_schema(&field("year", Kind::Keyword)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attribute `year` is integer in this collection and can't become keyword; give it another name or make a new collection"
    );
    drop(writer);
    let again = open(collection.directory()).unwrap();
    assert!(again.info().schema.field("language").is_some());
    // Old and new segments are merged.
    let mut writer = again.writer().unwrap();
    for round in 0..20 {
        writer.upsert(&documents(100 + round..101 + round)).unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(ids(&again, &by_language), ["doc-0030"]);
}

#[test]
fn documents_that_do_not_fit_are_refused_whole_with_a_reason() {
    let (_folder, collection) = collection(3);
    let mut writer = collection.writer().unwrap();
    let with = |name: &str, value: Attribute| {
        let mut wrong = document(5);
        wrong.attributes.insert(name.into(), value);
        wrong
    };
    for (wrong, expected) in [
        (
            with("year", Attribute::Text("soon".into())),
            "attribute `year`: expected an integer, found \"soon\"",
        ),
        (
            with("created", Attribute::Text("yesterday".into())),
            "expected a date such as",
        ),
        (
            with("score", Attribute::Float(f64::NAN)),
            "expected a finite number",
        ),
        (
            with(
                "year",
                Attribute::List(vec![Attribute::Integer(1), Attribute::Integer(2)]),
            ),
            "expected one value, found 2",
        ),
        (
            Document {
                id: String::new(),
                ..document(5)
            },
            "expected an id of 1 to 1024 bytes, found 0",
        ),
    ] {
        let error = writer.upsert(&[document(4), wrong]).unwrap_err();
        assert!(error.is_bad_request());
        assert!(error.to_string().contains(expected), "{error}");
    }
    writer.commit().unwrap();
    assert_eq!(collection.info().documents, 3);
}

#[test]
fn many_small_commits_leave_few_vector_files() {
    let (_folder, collection) = collection(0);
    let mut writer = collection.writer().unwrap();
    for number in 0..60 {
        writer.upsert(&documents(number..number + 1)).unwrap();
        writer.commit().unwrap();
    }
    let files = std::fs::read_dir(collection.directory()).unwrap().flatten();
    let vectors = files.filter(|file| file.file_name().to_string_lossy().starts_with("vectors-"));
    assert!(vectors.count() <= 12);
    for number in [0, 31, 59] {
        let query = request(&format!("report number{number}"));
        assert_eq!(ids(&collection, &query)[0], format!("doc-{number:04}"));
    }
    collection.check().unwrap();
}

#[test]
fn a_collection_is_made_only_in_an_empty_place() {
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &std::path::Path| {
        Collection::create(path, CreateOptions::with(WordVotes::shared(), Size::FULL))
    };
    std::fs::write(folder.path().join("letter.txt"), "keep me").unwrap();
    let error = create(folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert!(error.to_string().contains("letter.txt"));
    create(&folder.path().join("new/deep")).unwrap();
    let error = create(&folder.path().join("new/deep")).map(drop).unwrap_err();
    assert!(error.to_string().contains("found a collection"), "{error}");
    let error = open(folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, Error::NotACollection { .. }), "{error}");
}

#[test]
fn another_model_is_refused_and_named() {
    let (_folder, collection) = collection(3);
    let other = Arc::new(WordVotes {
        dims: 32,
        name: "other".into(),
    });
    let error = Collection::open(
        collection.directory(),
        kokeshi_collection::OpenOptions {
            embedder: Some(other),
        },
    )
    .map(drop)
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("word-votes") && error.contains("other") && error.contains("reindex"),
        "{error}"
    );
}

#[test]
fn reindexing_gives_all_documents_the_vectors_of_another_model_at_once() {
    let (_folder, collection) = collection(60);
    let reader = collection.clone();
    let mut writer = collection.writer().unwrap();
    writer.delete_ids(&["doc-0050"]).unwrap();
    let other = Arc::new(WordVotes {
        dims: 32,
        name: "other".into(),
    });
    writer.reindex(other.clone(), Size::FULL, None, &Silent).unwrap();
    let info = reader.info();
    assert_eq!((info.documents, info.dims, info.rows), (59, 32, 59));
    assert_eq!(info.model, "other");
    assert_eq!(
        ids(&reader, &request("report number42 about violins"))[0],
        "doc-0042"
    );
    assert_eq!(writer.upsert(&documents(0..50)).unwrap(), counts(0, 0, 50));
    drop(writer);
    let options = kokeshi_collection::OpenOptions {
        embedder: Some(other),
    };
    let again = Collection::open(collection.directory(), options).unwrap();
    again.check().unwrap();
    assert_eq!(again.document("doc-0007").unwrap().unwrap(), document(7));
    assert!(
        open(collection.directory()).is_err(),
        "the old model no longer fits"
    );
}

#[test]
fn optimizing_drops_dead_rows_and_changes_no_answer() {
    let (_folder, collection) = collection(3000);
    let mut writer = collection.writer().unwrap();
    assert!(!writer.needs_optimizing());
    writer.delete_filter("year:[2000 TO 2009]").unwrap();
    writer.commit().unwrap();
    // Words that one document has: among equal scores the order of documents decides, and that changes.
    let answers = || -> Vec<(String, String)> {
        let best = [16, 21, 36, 296, 571].map(|number| {
            // Optimizing also measures where the relevance cut belongs, which may change what is cut.
            let query = SearchRequest {
                k: 1,
                no_cut: true,
                ..request(&format!("report number{number}"))
            };
            let hits = collection.search(&query).unwrap().hits;
            assert_eq!(hits[0].id, format!("doc-{number:04}"));
            (hits[0].id.clone(), format!("{:.4}", hits[0].score))
        });
        best.to_vec()
    };
    let before = answers();
    assert!(writer.needs_optimizing());
    writer.optimize(&Silent).unwrap();
    let info = collection.info();
    assert_eq!((info.documents, info.rows), (1800, 1800));
    assert_eq!(before, answers());
    assert_eq!(writer.upsert(&documents(10..25)).unwrap(), counts(0, 0, 15));
    collection.check().unwrap();
}

/// Wants to stop after some documents.
struct StopAfter(std::sync::atomic::AtomicU64, u64);

impl Progress for StopAfter {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, done: u64) {
        self.0.fetch_add(done, std::sync::atomic::Ordering::Relaxed);
    }
    fn finish(&self) {}
    fn interrupted(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) >= self.1
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let (_folder, collection) = collection(0);
    let mut writer = collection.writer().unwrap();
    let first = writer
        .index(documents(0..2000), &StopAfter(0.into(), 600))
        .unwrap();
    assert!(first.inserted >= 600 && first.inserted < 2000, "{first:?}");
    let second = writer.index(documents(0..2000), &Silent).unwrap();
    assert_eq!(second, counts(2000 - first.inserted, 0, first.inserted));
    assert_eq!(collection.info().documents, 2000);
}

#[test]
fn the_schema_of_a_new_collection_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("title", "taken by the document itself"),
        ("_row", "starting with a letter"),
        ("a b", "letters, digits"),
        ("", "letters, digits"),
    ] {
        let mut wrong = schema();
        wrong.fields.push(Field {
            name: name.into(),
            kind: Kind::Keyword,
            list: false,
        });
        let options = CreateOptions {
            schema: wrong,
            ..CreateOptions::with(WordVotes::shared(), Size::FULL)
        };
        let error = Collection::create(folder.path().join("c"), options)
            .map(drop)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
