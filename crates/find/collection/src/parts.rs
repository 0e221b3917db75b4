//! Graphs for common filters (`--index-attr`): the rows of each frequent value of an attribute, and the upper and lower half, quarter, eighth
//! of its numbers, have a graph of their own ([`kokeshi_index::part`]). Choosing attributes is one commit, making their graphs another.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use kokeshi_core::{Bitmap, Error as CoreError, Progress, file};
use kokeshi_index::part::{self, Common, LEAST, Narrowed};
use kokeshi_index::{Effort, Found, Graph, GraphConfig, Part, Vectors};
use kokeshi_sources::{Field, Kind};
use tantivy::{DateTime, SegmentReader};

use crate::data::graph_file;
use crate::facets::{ordered, unordered};
use crate::snapshot::Snapshot;
use crate::state::{PartFile, Parted, State};
use crate::writer::Writer;
use crate::{Error, Result, dates};

const MAGIC: &[u8; 8] = b"KKROWS\0\0";
const VERSION: u32 = 1;

/// The parts of a generation, smallest first, each with the filter that it is.
#[derive(Default)]
pub struct Parts(Vec<(String, Part)>);

/// A filter that stays inside a part.
pub struct Inside {
    at: usize,
    narrowed: Narrowed,
}

impl Parts {
    /// Parts in any order.
    pub fn new(mut parts: Vec<(String, Part)>) -> Self {
        parts.sort_by_key(|(_, part)| part.len());
        Self(parts)
    }

    /// The smallest part that holds all rows of `filter`.
    pub fn inside(&self, filter: &Bitmap) -> Option<Inside> {
        let mut parts = self.0.iter().enumerate();
        parts.find_map(|(at, (_, part))| {
            let narrowed = part.narrow(filter)?;
            Some(Inside { at, narrowed })
        })
    }

    /// What the part that `inside` is about is called.
    pub fn name(&self, inside: &Inside) -> &str {
        &self.0[inside.at].0
    }

    /// [`Part::search`].
    pub fn search(
        &self,
        inside: &Inside,
        vectors: &Vectors,
        query: &[f32],
        k: usize,
        effort: Effort,
        filter: &Bitmap,
    ) -> kokeshi_index::Result<Found> {
        let part = &self.0[inside.at].1;
        part.search(vectors, query, k, effort, filter, &inside.narrowed)
    }
}

/// Whether the parts of an attribute are not made, or lack so many rows that searches feel it.
pub fn needs_parts(state: &State) -> bool {
    state.parted.iter().any(|parted| lacking(parted, state))
}

fn lacking(parted: &Parted, state: &State) -> bool {
    let fresh = state.rows() - parted.rows;
    fresh >= 2 * LEAST as u64 && fresh * 8 > parted.rows
}

impl Writer {
    /// Gives graphs of their own to common filters on these attributes, and to no others; they are made by [`Writer::optimize`]. What was not
    /// committed is committed first.
    ///
    /// # Errors
    /// [`Error::Request`] for an attribute that is unknown or a text; the collection is then as it was.
    pub fn set_parts(&mut self, attributes: &[String]) -> Result<u64> {
        for name in attributes {
            let (field, _) = self.fields().attribute(name).ok_or_else(|| {
                Error::Request(format!(
                    "index-attr `{name}`: unknown attribute; known: {}",
                    self.fields().known()
                ))
            })?;
            if field.kind == Kind::Text {
                return Err(Error::Request(format!(
                    "index-attr `{name}`: expected an attribute with values, found a text"
                )));
            }
        }
        self.commit()?;
        let mut state = self.state().clone();
        let mut parted: Vec<Parted> = Vec::with_capacity(attributes.len());
        for name in attributes {
            let known = state.parted.iter().find(|parted| parted.attribute == *name);
            if parted.iter().all(|parted| parted.attribute != *name) {
                parted.push(known.cloned().unwrap_or_else(|| Parted::wanted(name)));
            }
        }
        if parted == state.parted {
            return Ok(state.generation);
        }
        state.parted = parted;
        state.generation += 1;
        self.publish(state)
    }

    /// Makes the graphs that [`needs_parts`] misses.
    pub(crate) fn build_parts(&mut self, progress: &dyn Progress) -> Result<()> {
        let mut state = self.state().clone();
        state.generation += 1;
        for at in 0..state.parted.len() {
            if !lacking(&state.parted[at], &state) {
                continue;
            }
            match self.made(&state, at, progress)? {
                Some(parted) => state.parted[at] = parted,
                // The user wants to stop; searches work without.
                None => return Ok(()),
            }
        }
        self.publish(state)?;
        Ok(())
    }

    /// The parts of attribute number `at`, with their files written; `None` if interrupted.
    fn made(&self, state: &State, at: usize, progress: &dyn Progress) -> Result<Option<Parted>> {
        let current = self.collection().current();
        let (snapshot, directory) = (&current.snapshot, self.collection().directory());
        let (vectors, generation) = (&snapshot.data.vectors, state.generation);
        let mut parted = Parted::wanted(&state.parted[at].attribute);
        parted.rows = state.rows();
        let Some((field, _)) = snapshot.fields.attribute(&parted.attribute) else {
            return Ok(Some(parted));
        };
        let chosen = chosen(snapshot, field)?;
        let total = chosen.iter().map(|(_, rows)| rows.len() as u64).sum();
        let mut all: Vec<u8> = Vec::new();
        for (number, (name, rows)) in chosen.into_iter().enumerate() {
            progress.start(&format!("graph of {name}"), Some(total), "vectors");
            all.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
            let picked = vectors.pick(rows.into())?;
            let graph = match Graph::build(&picked, state.metric, GraphConfig::default(), progress) {
                Ok(graph) => graph,
                Err(kokeshi_index::Error::Interrupted) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            progress.finish();
            let file = format!("part-{generation:06}-{at:02}-{number:03}.bin");
            let path = directory.join(&file);
            graph.save(&path)?;
            let graph = graph_file(&path, file, graph.nodes())?;
            parted.parts.push(PartFile { name, graph });
        }
        let file = format!("rows-{generation:06}-{at:02}.bin");
        let path = directory.join(&file);
        save(&path, &all)?;
        parted.ids = Some(graph_file(&path, file, all.len() / 4)?);
        Ok(Some(parted))
    }
}

fn save(path: &Path, ids: &[u8]) -> Result<()> {
    let mut writer = file::Writer::create(path, MAGIC, VERSION)?;
    std::io::Write::write_all(&mut writer, ids).map_err(CoreError::io(path))?;
    writer.finish()?;
    Ok(())
}

/// The rows of each part of `parted` from the file at `path`.
///
/// # Errors
/// What is wrong with the file.
pub fn read(path: &Path, parted: &Parted) -> std::result::Result<Vec<Arc<[u32]>>, CoreError> {
    let mapped = file::Mapped::open(path, MAGIC, VERSION)?;
    let expected: u64 = parted.parts.iter().map(|part| part.graph.rows).sum();
    let (ids, rest) = mapped.as_chunks::<4>();
    if ids.len() as u64 != expected || !rest.is_empty() {
        return Err(CoreError::File {
            path: path.into(),
            problem: format!("expected {expected} rows, found {} bytes", mapped.len()),
        });
    }
    let mut ids = ids.iter().map(|id| u32::from_le_bytes(*id));
    let lists = parted.parts.iter();
    Ok(lists
        .map(|part| ids.by_ref().take(part.graph.rows as usize).collect())
        .collect())
}

/// A value of an attribute; numbers as integers that order like them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(Arc<str>),
    Number(i64),
}

/// The parts that an attribute deserves: each as a filter, and its rows.
fn chosen(snapshot: &Snapshot, field: &Field) -> Result<Vec<(String, Vec<u32>)>> {
    let mut entries = Vec::new();
    for reader in snapshot.searcher.segment_readers() {
        segment(reader, field, &mut entries).map_err(|error| {
            Error::Request(format!("the values of `{}` can't be read: {error}", field.name))
        })?;
    }
    let kind = match field.kind {
        Kind::Keyword | Kind::Bool | Kind::Text => part::Kind::Names,
        Kind::Integer => part::Kind::Steps,
        Kind::Float | Kind::Date => part::Kind::Amounts,
    };
    let shown = |value: &Value| match (value, field.kind) {
        (Value::Text(text), _) => format!("{text:?}"),
        (Value::Number(number), Kind::Float) => unordered(*number).to_string(),
        (Value::Number(number), Kind::Bool) => (*number != 0).to_string(),
        (Value::Number(number), Kind::Date) => dates::written(*number),
        (Value::Number(number), _) => number.to_string(),
    };
    let parts = part::common(&entries, snapshot.live.count(), kind);
    let named = parts.into_iter().map(|(common, rows)| {
        let filter = match &common {
            Common::Value(value) => shown(value),
            Common::AtMost(value) => format!("[* TO {}]", shown(value)),
            Common::AtLeast(value) => format!("[{} TO *]", shown(value)),
        };
        (format!("{}:{filter}", field.name), rows)
    });
    Ok(named.collect())
}

/// The living rows of a segment with their values.
fn segment(reader: &SegmentReader, field: &Field, entries: &mut Vec<(Value, u32)>) -> tantivy::Result<()> {
    let (fast, name) = (reader.fast_fields(), field.name.as_str());
    let row = fast.u64("_row")?;
    let mut put = |values: &dyn Fn(u32) -> Vec<Value>| {
        for doc in reader.doc_ids_alive() {
            let Some(row) = row.first(doc) else { continue };
            entries.extend(values(doc).into_iter().map(|value| (value, row as u32)));
        }
    };
    match field.kind {
        Kind::Text => {}
        Kind::Keyword => {
            if let Some(column) = fast.str(name)? {
                let mut texts: HashMap<u64, Arc<str>> = HashMap::new();
                let mut text = String::new();
                for doc in reader.doc_ids_alive() {
                    for ord in column.ords().values_for_doc(doc) {
                        if let std::collections::hash_map::Entry::Vacant(place) = texts.entry(ord) {
                            text.clear();
                            column.ord_to_str(ord, &mut text)?;
                            place.insert(text.as_str().into());
                        }
                    }
                }
                put(&|doc| {
                    let ords = column.ords().values_for_doc(doc);
                    ords.map(|ord| Value::Text(texts[&ord].clone())).collect()
                });
            }
        }
        Kind::Integer => {
            if let Some(column) = fast.column_opt::<i64>(name)? {
                put(&|doc| column.values_for_doc(doc).map(Value::Number).collect());
            }
        }
        Kind::Float => {
            if let Some(column) = fast.column_opt::<f64>(name)? {
                put(&|doc| {
                    let numbers = column.values_for_doc(doc).map(ordered);
                    numbers.map(Value::Number).collect()
                });
            }
        }
        Kind::Bool => {
            if let Some(column) = fast.column_opt::<bool>(name)? {
                put(&|doc| {
                    let numbers = column.values_for_doc(doc).map(i64::from);
                    numbers.map(Value::Number).collect()
                });
            }
        }
        Kind::Date => {
            if let Some(column) = fast.column_opt::<DateTime>(name)? {
                put(&|doc| {
                    let micros = column.values_for_doc(doc).map(DateTime::into_timestamp_micros);
                    micros.map(Value::Number).collect()
                });
            }
        }
    }
    Ok(())
}
