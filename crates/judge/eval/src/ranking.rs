//! Judgements and rankings, keyed by query.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

/// Relevance judgements: how relevant each judged document is to each query. Grades above 0 are relevant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qrels {
    queries: BTreeMap<String, HashMap<String, i32>>,
}

impl Qrels {
    /// Adds a judgement; gives back the grade that it replaces.
    pub fn insert(&mut self, query: &str, document: &str, grade: i32) -> Option<i32> {
        match self.queries.get_mut(query) {
            Some(judged) => judged.insert(document.to_owned(), grade),
            None => {
                self.queries
                    .insert(query.to_owned(), HashMap::from([(document.to_owned(), grade)]));
                None
            }
        }
    }

    /// The judged queries, in order of their bytes.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }

    /// The grade of each judged document of a query.
    pub fn judged(&self, query: &str) -> Option<&HashMap<String, i32>> {
        self.queries.get(query)
    }

    /// How many queries have judgements.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

/// What a system found: documents with scores for each query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    queries: BTreeMap<String, Vec<(String, f64)>>,
}

impl Run {
    /// Adds a document that was found for a query. A document may be added once; [`crate::read_run`] refuses files with duplicates.
    pub fn insert(&mut self, query: &str, document: &str, score: f64) {
        let found = (document.to_owned(), score);
        match self.queries.get_mut(query) {
            Some(documents) => documents.push(found),
            None => {
                self.queries.insert(query.to_owned(), vec![found]);
            }
        }
    }

    /// Adds a query for which nothing was found, if nothing was.
    pub fn insert_query(&mut self, query: &str) {
        if !self.queries.contains_key(query) {
            self.queries.insert(query.to_owned(), Vec::new());
        }
    }

    /// The queries that were answered, in order of their bytes.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }

    /// The documents of a query as they were added.
    pub fn documents(&self, query: &str) -> Option<&[(String, f64)]> {
        self.queries.get(query).map(Vec::as_slice)
    }

    /// The documents of a query as trec_eval ranks them: highest score first, scores compared in single precision, and of two with the
    /// same score the one whose id is greater, byte by byte. A NaN comes last.
    pub fn ranked(&self, query: &str) -> Option<Vec<&str>> {
        let mut ranked: Vec<(f32, &str)> = self
            .queries
            .get(query)?
            .iter()
            .map(|(document, score)| (*score as f32, document.as_str()))
            .collect();
        ranked.sort_unstable_by(|a, b| {
            b.0.partial_cmp(&a.0)
                .unwrap_or_else(|| nan_last(a.0, b.0))
                .then_with(|| b.1.cmp(a.1))
        });
        Some(ranked.into_iter().map(|(_, document)| document).collect())
    }

    /// How many queries were answered.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

fn nan_last(a: f32, b: f32) -> Ordering {
    a.is_nan().cmp(&b.is_nan())
}
