//! Real data sets come out whole and typed.

use std::path::PathBuf;

use kokeshi_sources::{Document, Kind, Source, SourceOptions};
use kokeshi_testing::{data, workspace};

fn read(path: PathBuf) -> (Source, Vec<Document>) {
    let source = Source::open(&[path], SourceOptions::default()).unwrap();
    let documents = source.documents().map(|document| document.unwrap()).collect();
    (source, documents)
}

fn kinds(source: &Source) -> Vec<(String, Kind, bool)> {
    source
        .detected()
        .schema
        .fields
        .iter()
        .map(|field| (field.name.clone(), field.kind, field.list))
        .collect()
}

fn expected(fields: &[(&str, Kind, bool)]) -> Vec<(String, Kind, bool)> {
    fields
        .iter()
        .map(|(name, kind, list)| (name.to_string(), *kind, *list))
        .collect()
}

#[test]
#[ignore = "needs ../shared/data"]
fn arxiv_is_one_source_of_eleven_shards() {
    let (source, documents) = read(data("arxiv"));
    assert_eq!(documents.len(), 68_695);
    assert_eq!(
        kinds(&source),
        expected(&[
            ("authors", Kind::Keyword, true),
            ("categories", Kind::Keyword, true),
            ("primary", Kind::Keyword, false),
            ("created", Kind::Date, false),
            ("updated", Kind::Date, false),
            ("doi", Kind::Keyword, false),
            ("comments", Kind::Keyword, false),
        ])
    );
    assert!(
        documents
            .iter()
            .all(|document| !document.title.is_empty() && !document.text.is_empty())
    );
    assert!(
        source.report().lines().is_empty(),
        "{:?}",
        source.report().lines()
    );
}

#[test]
#[ignore = "needs ../shared/data"]
fn beir_folders_are_their_corpora() {
    for (name, count) in [("scifact", 5183), ("nfcorpus", 3395), ("cacm", 3204)] {
        let (source, documents) = read(data(name));
        assert_eq!(documents.len(), count, "{name}");
        if name == "cacm" {
            assert_eq!(
                kinds(&source),
                expected(&[("date", Kind::Date, false), ("extra", Kind::Keyword, false)])
            );
            assert_eq!(
                source.report().dropped_values(),
                0,
                "{:?}",
                source.report().lines()
            );
        }
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn a_mail_of_daily_papers_is_76_papers() {
    let (source, documents) = read(workspace().join("../shared/seeds-daily-papers.txt"));
    assert_eq!(documents.len(), 76, "{}", source.detected());
    assert_eq!(
        documents[0].title,
        "Starbucks: Improved Training for 2D Matryoshka Embeddings"
    );
    assert_eq!(
        documents[75].title,
        "Escaping the Big Data Paradigm with Compact Transformers"
    );
    assert!(documents.iter().all(|document| document.text.len() > 300));
    assert!(
        documents
            .iter()
            .all(|document| document.attributes.contains_key("day"))
    );
}
