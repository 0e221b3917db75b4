//! What a search finds, by words and by meaning.

mod common;

use common::{collection, document, documents, ids, request};
use kokeshi_collection::{Fusion, Mode, SearchRequest};

#[test]
fn every_mode_finds_the_document_that_was_meant() {
    let (_folder, collection) = collection(200);
    for mode in [Mode::Hybrid, Mode::Dense, Mode::Lexical] {
        let request = SearchRequest {
            mode,
            ..request("report number42 about violins")
        };
        assert_eq!(ids(&collection, &request)[0], "doc-0042", "{mode:?}");
    }
    let rrf = SearchRequest {
        fusion: Fusion::Rrf { k: 60.0 },
        ..request("report number42 about violins")
    };
    assert_eq!(ids(&collection, &rrf)[0], "doc-0042");
}

#[test]
fn a_hit_shows_its_passage_with_the_words_that_matched() {
    let (_folder, collection) = collection(50);
    let response = collection
        .search(&SearchRequest {
            explain: true,
            ..request("habit of violin number7")
        })
        .unwrap();
    let hit = &response.hits[0];
    assert_eq!(hit.id, "doc-0007");
    let marked: Vec<&str> = hit
        .passage
        .highlights
        .iter()
        .map(|&[from, to]| &hit.passage.text[from..to])
        .collect();
    assert_eq!(marked, ["number7", "violins", "habits"]);
    assert_eq!(hit.attributes, document(7).attributes);
    let why = hit.why.as_ref().unwrap();
    assert_eq!(why.lexical.unwrap().rank, 1);
    assert!((0.0..=1.0).contains(&why.chance.unwrap()));
    assert!(response.explain.unwrap().bar.is_some());
}

#[test]
fn a_query_about_nothing_in_the_collection_finds_nothing_and_says_so() {
    let (_folder, collection) = collection(200);
    let response = collection.search(&request("zxqv blorptang mwfp")).unwrap();
    assert!(response.hits.is_empty());
    assert!(response.cut > 0);
    assert!(response.note.unwrap().contains("nothing in this collection"));
    let uncut = SearchRequest {
        no_cut: true,
        ..request("zxqv blorptang mwfp")
    };
    assert_eq!(ids(&collection, &uncut).len(), 10);
}

#[test]
fn no_text_is_an_error_as_a_query() {
    let (_folder, collection) = collection(30);
    for query in [
        "\"",
        "(((",
        "AND OR NOT",
        "field:value]",
        "a^b~2*",
        "\\",
        "🦀",
        "\0",
        &"word ".repeat(20_000),
    ] {
        collection.search(&request(query)).unwrap();
    }
}

#[test]
fn a_long_document_is_found_by_each_part_and_comes_back_whole() {
    let (_folder, collection) = collection(20);
    let text: String = (0..500)
        .map(|number| format!("Wort{number} stands beside café {number}.  "))
        .collect();
    let long = kokeshi_sources::Document {
        id: "long".into(),
        title: "A long one".into(),
        text: text.clone(),
        ..Default::default()
    };
    let mut writer = collection.writer().unwrap();
    writer.upsert(std::slice::from_ref(&long)).unwrap();
    writer.commit().unwrap();
    let response = collection.search(&request("wort400 beside")).unwrap();
    let hit = &response.hits[0];
    assert_eq!(hit.id, "long");
    assert!(hit.passage.text.contains("Wort400 "));
    assert!(hit.passage.of > 50 && hit.passage.number > 0);
    assert_eq!(
        response.hits.iter().filter(|hit| hit.id == "long").count(),
        1,
        "one hit a document"
    );
    assert_eq!(collection.document("long").unwrap().unwrap(), long);
}

#[test]
fn an_empty_query_lists_documents_by_id() {
    let (_folder, collection) = collection(40);
    let all = SearchRequest {
        offset: 5,
        k: 3,
        ..request("")
    };
    assert_eq!(ids(&collection, &all), ["doc-0005", "doc-0006", "doc-0007"]);
    let some = SearchRequest {
        filter: Some("year:[2003 TO 2004] OR open:true".into()),
        k: 4,
        ..request("")
    };
    assert_eq!(
        ids(&collection, &some),
        ["doc-0000", "doc-0003", "doc-0004", "doc-0006"]
    );
}

#[test]
fn documents_come_back_as_they_were_given() {
    let (_folder, collection) = collection(30);
    assert_eq!(collection.document("doc-0011").unwrap().unwrap(), document(11));
    assert_eq!(collection.document("unknown").unwrap(), None);
}

#[test]
fn similar_documents_are_about_the_same_and_leave_out_the_one_asked_for() {
    let (_folder, collection) = collection(100);
    let response = collection.similar("doc-0010", 5, None).unwrap().unwrap();
    assert_eq!(response.hits.len(), 5);
    for hit in &response.hits {
        assert!(hit.title.contains("whales") && hit.id != "doc-0010");
    }
    assert!(collection.similar("unknown", 5, None).unwrap().is_none());
}

#[test]
fn pages_follow_each_other() {
    let (_folder, collection) = collection(100);
    let page = |offset| {
        ids(
            &collection,
            &SearchRequest {
                offset,
                k: 5,
                no_cut: true,
                ..request("glaciers in winter")
            },
        )
    };
    let (first, second) = (page(0), page(5));
    let both = ids(
        &collection,
        &SearchRequest {
            k: 10,
            no_cut: true,
            ..request("glaciers in winter")
        },
    );
    assert_eq!([first, second].concat(), both);
}

#[test]
fn an_empty_collection_answers_everything_with_nothing() {
    let (_folder, collection) = collection(0);
    assert!(collection.search(&request("anything")).unwrap().hits.is_empty());
    assert!(collection.search(&request("")).unwrap().hits.is_empty());
    assert_eq!(collection.info().documents, 0);
    let mut writer = collection.writer().unwrap();
    writer.upsert(&documents(0..1)).unwrap();
    assert!(
        collection.search(&request("whales")).unwrap().hits.is_empty(),
        "not before the commit"
    );
    writer.commit().unwrap();
    assert_eq!(ids(&collection, &request("whales")), ["doc-0000"]);
}
