//! A collection from code: make it, add documents, search with a filter, change one, delete one.

use kokeshi_collection::{Collection, CreateOptions, SearchRequest};
use kokeshi_sources::{Attribute, Document, Field, Kind, Schema};

fn document(id: &str, title: &str, text: &str, year: i64) -> Document {
    let attributes = [("year".to_string(), Attribute::Integer(year))].into();
    Document {
        id: id.into(),
        title: title.into(),
        text: text.into(),
        attributes,
        ..Document::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut options = CreateOptions::compiled_in()?;
    options.schema = Schema {
        fields: vec![Field {
            name: "year".into(),
            kind: Kind::Integer,
            list: false,
        }],
    };
    let collection = Collection::create(folder.path().join("papers.kokeshi"), options)?;

    let mut writer = collection.writer()?;
    writer.upsert(&[
        document(
            "starbucks",
            "Starbucks",
            "Improved training for two-dimensional Matryoshka embeddings.",
            2024,
        ),
        document(
            "mrl",
            "Matryoshka Representation Learning",
            "Nested representations whose prefixes work alone.",
            2022,
        ),
        document(
            "bm25",
            "The probabilistic relevance framework",
            "BM25 and beyond: ranking by words.",
            2009,
        ),
    ])?;
    // Nothing is there for readers, or after a crash, before this line.
    writer.commit()?;

    let request = SearchRequest {
        query: "embeddings of several sizes".into(),
        filter: Some("year:[2010 TO *]".into()),
        k: 2,
        ..SearchRequest::default()
    };
    for hit in collection.search(&request)?.hits {
        println!("{:.3}  {}  {}", hit.score, hit.id, hit.passage.text);
    }

    writer.upsert(&[document("bm25", "BM25", "Ranking by words, revised.", 2009)])?;
    writer.delete_ids(&["mrl"])?;
    writer.commit()?;
    println!(
        "{} documents after one update and one deletion",
        collection.info().documents
    );
    Ok(())
}
