//! The words' side of a search: BM25 over passages.

use kokeshi_core::{Bitmap, Scored};
use tantivy::collector::{FilterCollector, TopDocs};
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, TantivyError, Term};

use crate::snapshot::Snapshot;
use crate::{Error, Result, words};

/// The words of a query.
pub struct Words {
    /// Each with its inverse document frequency, as in BM25.
    pub terms: Vec<(String, f32)>,
    /// The share of their weight (idf) that belongs to words which are in the collection, in [0, 1]; 0 without words.
    pub known: f32,
    query: BooleanQuery,
}

fn failed(error: TantivyError) -> Error {
    Error::Request(format!("the word index can't be searched: {error}"))
}

impl Words {
    /// Takes the words out of `text`; whatever else is in it has no meaning, so that no text is an error.
    pub fn new(text: &str, snapshot: &Snapshot) -> Result<Self> {
        let total = snapshot.searcher.num_docs() as f32;
        let mut terms = Vec::new();
        let (mut known, mut weight) = (0.0, 0.0);
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (word, count) in words::counts(text) {
            let term = Term::from_field_text(snapshot.fields.words, &word);
            let holding = snapshot.searcher.doc_freq(&term).map_err(failed)? as f32;
            let idf = (1.0 + (total - holding + 0.5).max(0.5) / (holding + 0.5)).ln();
            terms.push((word, idf));
            weight += idf;
            known += if holding > 0.0 { idf } else { 0.0 };
            let one = TermQuery::new(term, IndexRecordOption::WithFreqs);
            // A word that is said twice counts twice.
            let clause: Box<dyn Query> = if count > 1 {
                Box::new(BoostQuery::new(Box::new(one), count as f32))
            } else {
                Box::new(one)
            };
            clauses.push((Occur::Should, clause));
        }
        Ok(Self {
            terms,
            known: if weight > 0.0 { known / weight } else { 0.0 },
            query: BooleanQuery::new(clauses),
        })
    }

    /// The `depth` best passages among the rows in `filter`.
    pub fn search(
        &self,
        snapshot: &Snapshot,
        depth: usize,
        filter: Option<&std::sync::Arc<Bitmap>>,
    ) -> Result<Vec<Scored>> {
        if self.terms.is_empty() || depth == 0 {
            return Ok(Vec::new());
        }
        let top = TopDocs::with_limit(depth).order_by_score();
        let found = match filter {
            None => snapshot.searcher.search(&self.query, &top),
            Some(rows) => {
                let rows = rows.clone();
                let passes = move |row: u64| u32::try_from(row).is_ok_and(|row| rows.contains(row));
                snapshot
                    .searcher
                    .search(&self.query, &FilterCollector::new("_row".into(), passes, top))
            }
        };
        let found = found.map_err(failed)?;
        let scored = found.into_iter().map(|(score, address)| Scored {
            id: snapshot.number(address, "_row") as u32,
            score,
        });
        Ok(scored.collect())
    }

    /// The scores of passages at `addresses`, 0 where no word of the query is.
    pub fn scores(&self, snapshot: &Snapshot, addresses: &[DocAddress]) -> Result<Vec<f32>> {
        let mut scores = vec![0.0; addresses.len()];
        if self.terms.is_empty() {
            return Ok(scores);
        }
        let weight = self
            .query
            .weight(EnableScoring::enabled_from_searcher(&snapshot.searcher))
            .map_err(failed)?;
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_by_key(|&at| addresses[at]);
        let mut next = 0;
        while next < order.len() {
            let segment = addresses[order[next]].segment_ord;
            let mut scorer = weight
                .scorer(snapshot.searcher.segment_reader(segment), 1.0)
                .map_err(failed)?;
            while let Some(&at) = order
                .get(next)
                .filter(|&&at| addresses[at].segment_ord == segment)
            {
                let target = addresses[at].doc_id;
                if scorer.doc() < target {
                    scorer.seek(target);
                }
                if scorer.doc() == target {
                    scores[at] = scorer.score();
                }
                next += 1;
            }
        }
        Ok(scores)
    }
}
