//! What the tests share: a tiny embedder that needs no model.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kokeshi_collection::{Collection, CreateOptions, Embedder, OpenOptions, Result, SearchRequest};
use kokeshi_core::{Embeddings, Metric, Size};
use kokeshi_sources::{Attribute, Document, Field, Kind, Schema};

/// Every word votes with a pseudo-random sign pattern: texts that share words are near, others are not.
pub struct WordVotes {
    pub dims: usize,
    pub name: String,
}

impl WordVotes {
    pub fn shared() -> Arc<dyn Embedder> {
        Arc::new(Self {
            dims: 64,
            name: "word-votes".into(),
        })
    }

    fn encode(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; self.dims];
        for word in text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            let mut seed = kokeshi_core::Seed(kokeshi_core::file::checksum(word.to_lowercase().as_bytes()));
            for value in &mut vector {
                *value += seed.normal() as f32;
            }
        }
        vector
    }
}

impl Embedder for WordVotes {
    fn id(&self) -> String {
        self.name.clone()
    }
    fn fingerprint(&self) -> String {
        format!("{}-{}", self.name, self.dims)
    }
    fn dims(&self) -> usize {
        self.dims
    }
    fn metric(&self) -> Metric {
        Metric::Cosine
    }
    fn max_tokens(&self) -> Option<usize> {
        Some(34)
    }
    fn encode_documents(&self, texts: &[String]) -> Result<Embeddings> {
        let values = texts.iter().flat_map(|text| self.encode(text)).collect();
        Ok(Embeddings::from_vec(values, self.dims)?)
    }
    fn encode_query(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.encode(text))
    }
    fn token_ranges(&self, text: &str) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut start = None;
        for (at, character) in text.char_indices() {
            match (character.is_alphanumeric(), start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    ranges.push(from..at);
                    start = None;
                }
                _ => {}
            }
        }
        ranges.extend(start.map(|from| from..text.len()));
        ranges
    }
}

pub fn schema() -> Schema {
    let field = |name: &str, kind, list| Field {
        name: name.into(),
        kind,
        list,
    };
    Schema {
        fields: vec![
            field("year", Kind::Integer, false),
            field("category", Kind::Keyword, true),
            field("score", Kind::Float, false),
            field("created", Kind::Date, false),
            field("open", Kind::Bool, false),
            field("venue", Kind::Text, false),
        ],
    }
}

/// Document `number` of a small, regular world.
pub fn document(number: usize) -> Document {
    let topics = ["whales", "glaciers", "violins", "enzymes", "satellites"];
    let topic = topics[number % topics.len()];
    let attributes = BTreeMap::from([
        ("year".into(), Attribute::Integer(2000 + (number % 25) as i64)),
        (
            "category".into(),
            Attribute::List(vec![
                Attribute::Text(format!("topic.{topic}")),
                Attribute::Text(format!("parity.{}", number % 2)),
            ]),
        ),
        ("score".into(), Attribute::Float(number as f64 / 10.0)),
        (
            "created".into(),
            Attribute::Text(format!("{}-0{}-15", 2000 + number % 25, 1 + number % 9)),
        ),
        ("open".into(), Attribute::Bool(number.is_multiple_of(3))),
        (
            "venue".into(),
            Attribute::Text(format!("Annual Meeting on {topic}, part {}", number % 4)),
        ),
    ]);
    Document {
        id: format!("doc-{number:04}"),
        title: format!("About {topic}, volume {number}"),
        text: format!(
            "This report number{number} tells what is known of {topic} and of their habits in winter."
        ),
        attributes,
        ..Document::default()
    }
}

pub fn documents(numbers: Range<usize>) -> Vec<Document> {
    numbers.map(document).collect()
}

/// A collection in a new temporary folder, with `count` documents.
pub fn collection(count: usize) -> (tempfile::TempDir, Collection) {
    let folder = tempfile::tempdir().unwrap();
    let collection = Collection::create(
        folder.path().join("test.kokeshi"),
        CreateOptions {
            schema: schema(),
            ..CreateOptions::with(WordVotes::shared(), Size::FULL)
        },
    )
    .unwrap();
    if count > 0 {
        let mut writer = collection.writer().unwrap();
        writer.upsert(&documents(0..count)).unwrap();
        writer.commit().unwrap();
    }
    (folder, collection)
}

pub fn open(directory: &std::path::Path) -> Result<Collection> {
    Collection::open(
        directory,
        OpenOptions {
            embedder: Some(WordVotes::shared()),
        },
    )
}

pub fn request(query: &str) -> SearchRequest {
    SearchRequest {
        query: query.into(),
        k: 10,
        ..SearchRequest::default()
    }
}

/// Ids of what `request` finds.
pub fn ids(collection: &Collection, request: &SearchRequest) -> Vec<String> {
    let response = collection.search(request).unwrap();
    response.hits.into_iter().map(|hit| hit.id).collect()
}

/// Damages `file` of the collection in `directory` by so many flipped bits, one at a time, by cuts, by a byte more, and takes it away: opening
/// refuses each by the file's name. Leaves it as it was.
pub fn refuses_damage(directory: &std::path::Path, file: &std::path::Path, flips: usize) {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let good = std::fs::read(file).unwrap();
    let mut seed = kokeshi_core::Seed(3);
    let flipped = (0..flips).map(|_| {
        let mut bad = good.clone();
        bad[seed.below(good.len())] ^= 1 << seed.below(8);
        bad
    });
    let mut damaged: Vec<Vec<u8>> = flipped.collect();
    damaged.extend([0, 63, good.len() / 2, good.len() - 1].map(|length| good[..length].to_vec()));
    damaged.push([&good[..], b"x"].concat());
    for bad in damaged {
        std::fs::write(file, bad).unwrap();
        let error = open(directory).err().expect("damage goes unnoticed").to_string();
        assert!(error.contains(&name), "{error}");
    }
    std::fs::remove_file(file).unwrap();
    let error = open(directory).err().expect("it is gone").to_string();
    assert!(error.contains(&name), "{error}");
    std::fs::write(file, good).unwrap();
    open(directory).unwrap();
}
