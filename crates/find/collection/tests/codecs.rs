//! Collections with a codec: what they find, how the codec is changed, and what becomes of it when rows come and go.

mod common;

use common::{collection, documents, ids, open, refuses_damage, request, schema};
use kokeshi_codec::Spec;
use kokeshi_collection::{Collection, CreateOptions, Mode, SearchRequest};
use kokeshi_core::{Silent, Size};
use kokeshi_index::{Effort, Plan};

fn spec(text: &str) -> Spec {
    text.parse().unwrap()
}

fn dense(query: &str) -> SearchRequest {
    SearchRequest {
        mode: Mode::Dense,
        no_cut: true,
        explain: true,
        ..request(query)
    }
}

fn plan(collection: &Collection, request: &SearchRequest) -> Plan {
    let response = collection.search(request).unwrap();
    response.explain.unwrap().dense.unwrap().plan
}

/// Asks for document `number` by all its words: its vector is the query's, so that nothing comes before it.
fn whole(number: usize) -> SearchRequest {
    let document = common::document(number);
    dense(&format!("{} {}", document.title, document.text))
}

/// Searches by codes and by all vectors agree, with and without a filter.
fn agrees(collection: &Collection, what: &str) {
    for number in [3, 250, 640] {
        for filter in [None, Some("year:[2003 TO 2020]".to_string())] {
            // On so few rows some codecs are measured to need all of them.
            let quick = SearchRequest {
                filter,
                effort: Effort::List(400),
                ..dense(&format!("report number{number} about glaciers"))
            };
            let exact = SearchRequest {
                effort: Effort::Exact,
                ..quick.clone()
            };
            assert_eq!(plan(collection, &quick), Plan::Codes, "{what}");
            let (quick, exact) = (ids(collection, &quick), ids(collection, &exact));
            let shared = quick.iter().filter(|id| exact.contains(id)).count();
            assert!(shared >= 9, "{what}: {quick:?} {exact:?}");
        }
    }
}

#[test]
fn a_collection_made_with_a_codec_finds_by_codes_what_its_vectors_say() {
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions {
        schema: schema(),
        codec: Some(spec("rabitq:4")),
        ..CreateOptions::with(common::WordVotes::shared(), Size::FULL)
    };
    let collection = Collection::create(folder.path().join("c"), options).unwrap();
    let mut writer = collection.writer().unwrap();
    writer.upsert(&documents(0..200)).unwrap();
    writer.optimize(&Silent).unwrap();
    // Too few to learn from: everything is compared.
    assert_eq!(collection.info().codec.unwrap().rows, 0);
    assert_eq!(plan(&collection, &dense("violins")), Plan::Scan);
    writer.upsert(&documents(200..700)).unwrap();
    writer.optimize(&Silent).unwrap();
    let info = collection.info();
    let codec = info.codec.unwrap();
    assert_eq!(
        (codec.codec.as_str(), codec.code_bytes, codec.rows),
        ("rabitq:4", 42, 700)
    );
    assert!(info.bytes["codes"] > 700 * 42);
    // How many candidates it takes was measured, and a recall can be asked for.
    assert!(codec.candidates.unwrap() >= 100 && codec.recall.unwrap() > 0.9);
    let asked = |recall| SearchRequest {
        effort: Effort::Recall(recall),
        ..dense("violins")
    };
    assert_eq!(plan(&collection, &asked(0.5)), Plan::Codes);
    assert_eq!(plan(&collection, &asked(1.0)), Plan::Scan);
    agrees(&collection, "made");
    // Rows without a code yet are compared by their vectors, and get one when it is worth it.
    writer.upsert(&documents(700..720)).unwrap();
    writer.commit().unwrap();
    assert_eq!(ids(&collection, &whole(705))[0], "doc-0705");
    assert!(!writer.needs_optimizing());
    writer.upsert(&documents(720..900)).unwrap();
    writer.commit().unwrap();
    assert!(writer.needs_optimizing());
    writer.optimize(&Silent).unwrap();
    assert_eq!(collection.info().codec.unwrap().rows, 900);
    // Deleted rows are never found, and compaction gives codes to what is left.
    writer.delete_ids(&["doc-0705"]).unwrap();
    writer.commit().unwrap();
    assert_ne!(ids(&collection, &whole(705))[0], "doc-0705");
    writer.compact(&Silent).unwrap();
    writer.optimize(&Silent).unwrap();
    assert_eq!(collection.info().codec.unwrap().rows, 899);
    agrees(&collection, "compacted");
    drop(writer);
    agrees(&open(collection.directory()).unwrap(), "opened again");
    collection.check().unwrap();
}

#[test]
fn a_codec_is_changed_in_place_and_one_that_does_not_fit_changes_nothing() {
    let (_folder, collection) = collection(700);
    let mut writer = collection.writer().unwrap();
    for text in ["int8", "pca:32|rabitq:2", "opq:16", "rotate|sign", "pq:16x6"] {
        writer.set_codec(Some(&spec(text)), &Silent).unwrap();
        let codec = collection.info().codec.unwrap();
        assert_eq!((codec.codec.as_str(), codec.rows), (text, 700));
        agrees(&collection, text);
        let files = std::fs::read_dir(collection.directory()).unwrap().flatten();
        let codes = files.filter(|file| file.file_name().to_string_lossy().starts_with("codes-"));
        assert_eq!(codes.count(), 1, "{text}: the codes before are gone");
    }
    let before = collection.info();
    for (text, expected) in [
        ("pca:65|int8", "at most 64"),
        ("opq:99", "at most 64 parts"),
        ("rbe:32", "pairs to learn from"),
    ] {
        let error = writer
            .set_codec(Some(&spec(text)), &Silent)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(collection.info().codec, before.codec);
    }
    writer.set_codec(None, &Silent).unwrap();
    assert!(collection.info().codec.is_none() && !collection.info().bytes.contains_key("codes"));
    assert_eq!(plan(&collection, &dense("violins")), Plan::Scan);
}

#[test]
fn a_damaged_or_missing_file_of_a_codec_is_refused_by_name() {
    let (_folder, collection) = collection(300);
    collection
        .writer()
        .unwrap()
        .set_codec(Some(&spec("rabitq:2")), &Silent)
        .unwrap();
    let directory = collection.directory().to_path_buf();
    drop(collection);
    let files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let mut tried = 0;
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("codec-") && !name.starts_with("codes-") {
            continue;
        }
        refuses_damage(&directory, &file, 24);
        tried += 1;
    }
    assert_eq!(tried, 2);
}
