//! Counting the values of attributes.

use std::collections::{BTreeMap, HashMap};

use kokeshi_sources::{Attribute, Kind};
use tantivy::collector::DocSetCollector;
use tantivy::query::TermQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{DateTime, DocAddress, DocId, SegmentReader, Term};

use crate::snapshot::Snapshot;
use crate::{Error, Facet, Result, dates};

/// Values that are told of a facet, at most.
const VALUES: usize = 20;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Request(format!("values can't be counted: {error}"))
}

/// The vector rows of document `id`, in passage order.
pub fn rows_of(snapshot: &Snapshot, id: &str) -> Result<Vec<u32>> {
    let term = Term::from_field_text(snapshot.fields.id, id);
    let found = snapshot
        .searcher
        .search(&TermQuery::new(term, IndexRecordOption::Basic), &DocSetCollector)
        .map_err(failed)?;
    let mut rows: Vec<u32> = found
        .into_iter()
        .map(|address| snapshot.number(address, "_row") as u32)
        .collect();
    rows.sort_unstable();
    Ok(rows)
}

/// Counts the values of the attributes `names` among the documents at `addresses` (one address each), or all documents.
///
/// # Errors
/// [`Error::Request`] for an attribute that is unknown or a text.
pub fn count(
    snapshot: &Snapshot,
    names: &[String],
    addresses: Option<&[DocAddress]>,
) -> Result<BTreeMap<String, Facet>> {
    let mut by_segment: Vec<Vec<DocId>> = vec![Vec::new(); snapshot.searcher.segment_readers().len()];
    match addresses {
        Some(addresses) => {
            for address in addresses {
                by_segment[address.segment_ord as usize].push(address.doc_id);
            }
        }
        None => {
            for (docs, reader) in by_segment.iter_mut().zip(snapshot.searcher.segment_readers()) {
                let passage = reader.fast_fields().u64("_passage").map_err(failed)?;
                docs.extend(
                    reader
                        .doc_ids_alive()
                        .filter(|&doc| passage.first(doc) == Some(0)),
                );
            }
        }
    }
    let mut facets = BTreeMap::new();
    for name in names {
        let (field, _) = snapshot.fields.attribute(name).ok_or_else(|| {
            Error::Request(format!(
                "facet `{name}`: unknown attribute; known: {}",
                snapshot.fields.known()
            ))
        })?;
        let mut counter = Counter::default();
        for (reader, docs) in snapshot.searcher.segment_readers().iter().zip(&by_segment) {
            if !docs.is_empty() {
                counter.segment(reader, docs, name, field.kind)?;
            }
        }
        facets.insert(name.clone(), counter.facet(field.kind));
    }
    Ok(facets)
}

/// Counts of one attribute over segments.
#[derive(Default)]
struct Counter {
    texts: HashMap<String, u64>,
    /// Numbers and dates as integers that order like them.
    numbers: HashMap<i64, u64>,
}

impl Counter {
    fn segment(&mut self, reader: &SegmentReader, docs: &[DocId], name: &str, kind: Kind) -> Result<()> {
        let fast = reader.fast_fields();
        match kind {
            Kind::Text => {
                return Err(Error::Request(format!(
                    "facet `{name}`: a text has no values to count"
                )));
            }
            Kind::Keyword => {
                let Some(column) = fast.str(name).map_err(failed)? else {
                    return Ok(());
                };
                let mut counts: HashMap<u64, u64> = HashMap::new();
                for &doc in docs {
                    for ord in column.ords().values_for_doc(doc) {
                        *counts.entry(ord).or_insert(0) += 1;
                    }
                }
                let mut value = String::new();
                let mut counts: Vec<(u64, u64)> = counts.into_iter().collect();
                counts.sort_unstable();
                for (ord, count) in counts {
                    value.clear();
                    if column.ord_to_str(ord, &mut value).map_err(failed)? {
                        *self.texts.entry(value.clone()).or_insert(0) += count;
                    }
                }
            }
            Kind::Integer => {
                if let Some(column) = fast.column_opt::<i64>(name).map_err(failed)? {
                    self.add(docs, |doc| column.values_for_doc(doc).collect());
                }
            }
            Kind::Float => {
                if let Some(column) = fast.column_opt::<f64>(name).map_err(failed)? {
                    self.add(docs, |doc| column.values_for_doc(doc).map(ordered).collect());
                }
            }
            Kind::Bool => {
                if let Some(column) = fast.column_opt::<bool>(name).map_err(failed)? {
                    self.add(docs, |doc| column.values_for_doc(doc).map(i64::from).collect());
                }
            }
            Kind::Date => {
                if let Some(column) = fast.column_opt::<DateTime>(name).map_err(failed)? {
                    self.add(docs, |doc| {
                        column
                            .values_for_doc(doc)
                            .map(DateTime::into_timestamp_micros)
                            .collect()
                    });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, docs: &[DocId], values: impl Fn(DocId) -> Vec<i64>) {
        for &doc in docs {
            for value in values(doc) {
                *self.numbers.entry(value).or_insert(0) += 1;
            }
        }
    }

    fn facet(self, kind: Kind) -> Facet {
        let shown = |number: i64| match kind {
            Kind::Float => Attribute::Float(unordered(number)),
            Kind::Bool => Attribute::Bool(number != 0),
            Kind::Date => Attribute::Text(dates::written(number)),
            _ => Attribute::Integer(number),
        };
        if kind == Kind::Keyword {
            let mut values: Vec<(String, u64)> = self.texts.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            values.truncate(VALUES);
            return Facet {
                values: values
                    .into_iter()
                    .map(|(value, count)| (Attribute::Text(value), count))
                    .collect(),
                range: None,
            };
        }
        let range = match (self.numbers.keys().min(), self.numbers.keys().max()) {
            (Some(&low), Some(&high)) if kind != Kind::Bool => Some([shown(low), shown(high)]),
            _ => None,
        };
        let mut values: Vec<(i64, u64)> = self.numbers.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        values.truncate(VALUES);
        Facet {
            values: values
                .into_iter()
                .map(|(value, count)| (shown(value), count))
                .collect(),
            range,
        }
    }
}

/// The bits of a float as an integer that orders like it (for finite numbers).
pub fn ordered(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The float that [`ordered`] made this of.
pub fn unordered(value: i64) -> f64 {
    f64::from_bits((value ^ (((value >> 63) as u64) >> 1) as i64) as u64)
}
