//! Filters of every kind, and what a wrong one is told.

mod common;

use common::{collection, documents, ids, request};
use kokeshi_collection::{Mode, SearchRequest};
use kokeshi_sources::{Attribute, Document};

fn attribute<'a>(document: &'a Document, name: &str) -> &'a Attribute {
    &document.attributes[name]
}

fn integer(document: &Document) -> i64 {
    match attribute(document, "year") {
        Attribute::Integer(year) => *year,
        other => panic!("{other:?}"),
    }
}

fn text(document: &Document, name: &str) -> String {
    match attribute(document, name) {
        Attribute::Text(text) => text.clone(),
        Attribute::List(values) => format!("{values:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_kind_of_filter_lets_through_what_it_says() {
    let (_folder, collection) = collection(100);
    type Passes = fn(&Document) -> bool;
    let cases: [(&str, Passes); 28] = [
        ("year:2003", |d| integer(d) == 2003),
        ("year:[2003 TO 2005]", |d| (2003..=2005).contains(&integer(d))),
        ("year:{2003 TO 2005}", |d| integer(d) == 2004),
        ("year:[2020 TO *]", |d| integer(d) >= 2020),
        ("year:[* TO 2001}", |d| integer(d) < 2001),
        ("year:>=2022", |d| integer(d) >= 2022),
        ("year:<2002", |d| integer(d) < 2002),
        ("year: IN [2001 2002]", |d| [2001, 2002].contains(&integer(d))),
        ("category:topic.whales", |d| {
            text(d, "category").contains("topic.whales")
        }),
        ("category:\"topic.whales\"", |d| {
            text(d, "category").contains("topic.whales")
        }),
        ("category: IN [topic.whales topic.enzymes]", |d| {
            text(d, "category").contains("whales") || text(d, "category").contains("enzymes")
        }),
        ("category:topic.w*", |d| text(d, "category").contains("whales")),
        ("category:TOPIC.WHALES", |_| false),
        ("created:2003", |d| text(d, "created").starts_with("2003")),
        ("created:2003-04", |d| text(d, "created").starts_with("2003-04")),
        ("created:[2003 TO 2004]", |d| {
            text(d, "created").starts_with("2003") || text(d, "created").starts_with("2004")
        }),
        ("created:{2003 TO 2005}", |d| {
            text(d, "created").starts_with("2004")
        }),
        ("created:[2003-01-01T00:00:00Z TO 2003-12-31T23:59:59Z]", |d| {
            text(d, "created").starts_with("2003")
        }),
        ("created: IN [2003 2009]", |d| {
            text(d, "created").starts_with("2003") || text(d, "created").starts_with("2009")
        }),
        ("open:true", |d| *attribute(d, "open") == Attribute::Bool(true)),
        (
            "score:[1.5 TO 2.5]",
            |d| matches!(attribute(d, "score"), Attribute::Float(score) if (1.5..=2.5).contains(score)),
        ),
        ("venue:meetings", |_| true),
        ("venue:\"meeting on violins\"", |d| {
            text(d, "venue").contains("violins")
        }),
        ("year:2003 category:parity.1", |d| {
            integer(d) == 2003 && text(d, "category").contains("parity.1")
        }),
        ("year:2003 AND NOT category:parity.1", |d| {
            integer(d) == 2003 && !text(d, "category").contains("parity.1")
        }),
        ("-year:2003", |d| integer(d) != 2003),
        ("(year:2003 OR year:2004) AND open:true", |d| {
            (2003..=2004).contains(&integer(d)) && *attribute(d, "open") == Attribute::Bool(true)
        }),
        ("id:doc-0012 OR text:number13", |d| {
            d.id == "doc-0012" || d.id == "doc-0013"
        }),
    ];
    for (filter, passes) in cases {
        let expected: Vec<String> = documents(0..100)
            .into_iter()
            .filter(passes)
            .map(|document| document.id)
            .collect();
        let found = ids(
            &collection,
            &SearchRequest {
                filter: Some(filter.into()),
                k: 100,
                ..request("")
            },
        );
        assert_eq!(found, expected, "{filter}");
        for mode in [Mode::Hybrid, Mode::Dense, Mode::Lexical] {
            let mut found = ids(
                &collection,
                &SearchRequest {
                    filter: Some(filter.into()),
                    mode,
                    no_cut: true,
                    k: 100,
                    ..request("This report in winter")
                },
            );
            found.sort();
            assert_eq!(found, expected, "{filter} with {mode:?} search");
        }
    }
}

#[test]
fn a_wrong_filter_is_answered_with_what_was_expected() {
    let (_folder, collection) = collection(5);
    let deep = format!("{}year:1{}", "(".repeat(200), ")".repeat(200));
    let long = "year:1 OR ".repeat(3000) + "year:1";
    for (filter, expected) in [
        (
            "yeer:2000",
            "unknown attribute `yeer`; known: id, text, year (integer), category (keyword)",
        ),
        ("2000", "expected `attribute:value`"),
        ("year:soon", "`year`: expected an integer, found `soon`"),
        ("year:[a TO b]", "`year`: expected an integer"),
        ("year:[2000 TO", "year:[2020 TO *]"),
        ("(year:2000", "write it like"),
        ("created:yesterday", "expected a date such as 2019"),
        ("open:maybe", "expected true or false"),
        ("score:x", "expected a finite number"),
        ("venue:[a TO b]", "which has no ranges"),
        ("year:20*", "only keywords can be searched by their start"),
        ("category:/a.*/", "regular expressions"),
        (&deep, "at most 16 deep, found 200"),
        (&long, "at most 16384 bytes"),
    ] {
        let error = collection
            .search(&SearchRequest {
                filter: Some(filter.into()),
                ..request("x")
            })
            .unwrap_err();
        assert!(error.is_bad_request(), "{filter}");
        assert!(error.to_string().contains(expected), "{filter}: {error}");
    }
}

#[test]
fn facets_count_documents_once_and_give_the_range_of_numbers() {
    let (_folder, collection) = collection(100);
    let response = collection
        .search(&SearchRequest {
            facets: vec!["category".into(), "year".into(), "open".into(), "created".into()],
            ..request("")
        })
        .unwrap();
    let category = &response.facets["category"];
    assert_eq!(category.values[0], (Attribute::Text("parity.0".into()), 50));
    assert_eq!(category.values[2], (Attribute::Text("topic.enzymes".into()), 20));
    let year = &response.facets["year"];
    assert_eq!(
        year.range,
        Some([Attribute::Integer(2000), Attribute::Integer(2024)])
    );
    assert_eq!(year.values.len(), 20);
    assert_eq!(
        response.facets["open"].values,
        [(Attribute::Bool(false), 66), (Attribute::Bool(true), 34)]
    );
    assert_eq!(
        response.facets["created"].range.as_ref().unwrap()[0],
        Attribute::Text("2000-01-15".into())
    );
    let filtered = collection
        .search(&SearchRequest {
            facets: vec!["open".into()],
            filter: Some("category:topic.whales".into()),
            ..request("whales")
        })
        .unwrap();
    let total: u64 = filtered.facets["open"]
        .values
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(total, 20);
    let error = collection
        .search(&SearchRequest {
            facets: vec!["colour".into()],
            ..request("")
        })
        .unwrap_err();
    assert!(
        error.to_string().contains("facet `colour`: unknown attribute"),
        "{error}"
    );
}
