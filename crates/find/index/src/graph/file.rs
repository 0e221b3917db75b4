//! A graph on disk: one of core's checksummed containers with 320 bytes of fields, then the adjacency and, if there are any, the codes: all
//! begin at multiples of 64 bytes, ready to be mapped.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kokeshi_core::file::{Mapped, Writer};
use kokeshi_core::{Error, Metric, Seed};

use super::calibrate::{LISTS, Measured, SHARES, SHARES_FOUND};
use super::cells::Cells;
use super::codes::Codes;
use super::projection::Projection;
use super::{Graph, GraphConfig, NONE, Words};
use crate::Result;

const MAGIC: &[u8; 8] = b"KKGRAPH\0";
const VERSION: u32 = 5;
/// metric, dims, degree, list, alpha (f32), nodes, entry, linked: 4 bytes each; seed: 8 bytes; the rows that lists were measured on, bytes of a
/// code's record (0 if there are none), the rows that the directions were learnt from: 4 bytes each; how many standard errors estimates
/// may be off (f32); cells (0 if there are none) and the rows that their centres were learnt from; from byte 64 on the recalls
/// that were measured, from byte 128 on the shares of the cells that hold the best, how far rows are from their centres,
/// and how many rows codes leave open (f32). Of the codes come the centre, the directions and
/// the records; of the cells the records of their centres, where each begins, and their rows, one for each linked row.
const FIELDS: usize = 320;
const RECALLS_AT: usize = 64;
const REACH_AT: usize = 128;
const APART_AT: usize = REACH_AT + 4 * SHARES.len() * SHARES_FOUND.len();
const OPEN_AT: usize = APART_AT + 8;
/// Rows that are wider have no codes: what a file claims must not overflow.
const MOST_DIMS: usize = 1 << 24;

impl Graph {
    /// Writes the graph to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let metric = match self.metric {
            Metric::Cosine => 0u32,
            Metric::Dot => 1,
            Metric::L2 => 2,
        };
        // Each fits: rows are fewer than u32::MAX, the configuration was checked, a wider row than u32::MAX can't be held.
        let mut fields: Vec<u8> = [
            metric,
            self.dims as u32,
            self.config.degree as u32,
            self.config.list as u32,
            self.config.alpha.to_bits(),
            self.nodes as u32,
            self.entry,
            self.linked as u32,
        ]
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
        fields.extend_from_slice(&self.config.seed.0.to_le_bytes());
        // They are among the nodes.
        fields.extend_from_slice(&(self.measured.rows as u32).to_le_bytes());
        let stride = self.codes.as_ref().map_or(0, Codes::stride);
        let learnt = self.codes.as_ref().map_or(0, |codes| codes.projection().rows);
        fields.extend_from_slice(&(stride as u32).to_le_bytes());
        fields.extend_from_slice(&(learnt as u32).to_le_bytes());
        fields.extend_from_slice(&self.measured.sure.to_le_bytes());
        let (cells, learnt) = self
            .cells
            .as_ref()
            .map_or((0, 0), |cells| (cells.len(), cells.learnt));
        fields.extend_from_slice(&(cells as u32).to_le_bytes());
        fields.extend_from_slice(&(learnt as u32).to_le_bytes());
        fields.resize(RECALLS_AT, 0);
        fields.extend(
            self.measured
                .recalls
                .iter()
                .flat_map(|recall| recall.to_le_bytes()),
        );
        let reach = self.measured.reach.iter().flatten();
        let open = self.measured.left_open.iter().flatten();
        let values = reach.chain(&self.measured.apart).chain(open);
        fields.extend(values.flat_map(|value| value.to_le_bytes()));
        fields.resize(FIELDS, 0);
        let mut writer = Writer::create(path, MAGIC, VERSION)?;
        writer.write_all(&fields).map_err(Error::io(path))?;
        write_words(&mut writer, self.adjacency.values()).map_err(Error::io(path))?;
        if let Some(codes) = &self.codes {
            let projection = codes.projection();
            for values in [&projection.centre, &projection.matrix] {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                writer.write_all(&bytes).map_err(Error::io(path))?;
                pad(&mut writer, bytes.len()).map_err(Error::io(path))?;
            }
            writer.write_all(codes.records()).map_err(Error::io(path))?;
        }
        if let Some(cells) = &self.cells {
            writer.write_all(cells.codes.records()).map_err(Error::io(path))?;
            for words in [&cells.starts, &cells.rows] {
                write_words(&mut writer, words.values()).map_err(Error::io(path))?;
            }
        }
        writer.finish()?;
        Ok(())
    }

    /// Maps the graph at `path`. The whole file is read once to check it.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] that names the file if it is not a graph, is damaged or of a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = Mapped::open(path, MAGIC, VERSION)?;
        parse(file).map_err(|problem| Error::file(path, problem).into())
    }

    /// The same in memory of the process's own ([`Mapped::load`]): searches are a tenth faster.
    ///
    /// # Errors
    /// As [`Graph::open`].
    pub fn load(path: &Path) -> Result<Self> {
        let file = Mapped::load(path, MAGIC, VERSION)?;
        parse(file).map_err(|problem| Error::file(path, problem).into())
    }
}

/// Numbers, and zeros up to a multiple of 64 bytes.
fn write_words(writer: &mut Writer, words: &[u32]) -> std::io::Result<()> {
    for some in words.chunks(4096) {
        let bytes: Vec<u8> = some.iter().flat_map(|word| word.to_le_bytes()).collect();
        writer.write_all(&bytes)?;
    }
    pad(writer, words.len() * 4)
}

/// Zeros after `written` bytes, up to a multiple of 64.
fn pad(writer: &mut Writer, written: usize) -> std::io::Result<()> {
    writer.write_all(&[0; 64][..written.next_multiple_of(64) - written])
}

fn parse(file: Mapped) -> Result<Graph, String> {
    let Some(fields) = file.get(..FIELDS) else {
        return Err(format!(
            "expected at least {FIELDS} bytes of fields, found {}",
            file.len()
        ));
    };
    let word = |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
    let metric = match word(0) {
        0 => Metric::Cosine,
        1 => Metric::Dot,
        2 => Metric::L2,
        other => return Err(format!("expected metric 0, 1 or 2, found {other}")),
    };
    let (dims, nodes, entry, linked) = (word(4) as usize, word(20) as usize, word(24), word(28) as usize);
    let config = GraphConfig {
        degree: word(8) as usize,
        list: word(12) as usize,
        alpha: f32::from_bits(word(16)),
        seed: Seed(u64::from(word(32)) | u64::from(word(36)) << 32),
    };
    let recalls = std::array::from_fn(|at| f32::from_bits(word(RECALLS_AT + 4 * at)));
    let reach: [[f32; SHARES_FOUND.len()]; SHARES.len()] = std::array::from_fn(|share| {
        std::array::from_fn(|found| f32::from_bits(word(REACH_AT + 4 * (share * SHARES_FOUND.len() + found))))
    });
    let apart = [0, 1].map(|at| f32::from_bits(word(APART_AT + 4 * at)));
    if !(apart[0].is_finite() && apart[1] >= 0.0 && apart[1].is_finite()) {
        return Err(format!(
            "expected how far rows are from their centres, found {apart:?}"
        ));
    }
    if !reach.iter().flatten().all(|reach| (0.0..=1.0).contains(reach)) {
        return Err(format!("expected shares of the cells, found {reach:?}"));
    }
    let left_open: [[f32; 2]; SHARES.len()] = std::array::from_fn(|share| {
        std::array::from_fn(|part| f32::from_bits(word(OPEN_AT + 4 * (2 * share + part))))
    });
    if !left_open.iter().flatten().all(|open| (0.0..=1.0).contains(open)) {
        return Err(format!(
            "expected shares of the rows that codes leave open, found {left_open:?}"
        ));
    }
    let measured = Measured {
        recalls,
        rows: word(40) as usize,
        sure: f32::from_bits(word(52)),
        reach,
        apart,
        left_open,
    };
    if !(measured.sure >= 0.0 && measured.sure.is_finite()) {
        return Err(format!(
            "expected a number of standard errors, found {}",
            measured.sure
        ));
    }
    config.check().map_err(|error| error.to_string())?;
    if linked > nodes || (entry == NONE) != (linked == 0) || (entry != NONE && entry as usize >= nodes) {
        return Err(format!(
            "entry {entry} and {linked} linked rows don't fit {nodes} nodes"
        ));
    }
    if measured.rows > nodes || !recalls.iter().all(|recall| (0.0..=1.0).contains(recall)) {
        return Err(format!(
            "recalls {recalls:?} of {} lists measured on {} rows don't fit {nodes} nodes",
            LISTS.len(),
            measured.rows
        ));
    }
    // Bytes of a record, numbers kept of a row, and rows they were learnt from.
    let coded = match (word(44) as usize, word(48) as usize) {
        (0, 0) => None,
        (stride, learnt) => {
            let fits = Codes::suit(dims) && dims <= MOST_DIMS && learnt <= nodes;
            let Some(kept) = Codes::kept(dims, stride).filter(|_| fits) else {
                return Err(format!(
                    "codes of {stride} bytes learnt from {learnt} rows don't fit {nodes} nodes of {dims} dims"
                ));
            };
            Some((stride, kept, learnt))
        }
    };
    let places = nodes as u64 * config.degree as u64 * 4;
    let centre_at = FIELDS as u64 + places.next_multiple_of(64);
    let line = |values: usize| (values as u64 * 4).next_multiple_of(64);
    let (matrix_at, records_at, centres_at) = match coded {
        None => (centre_at, centre_at, centre_at),
        Some((stride, kept, _)) => {
            let matrix_at = centre_at + line(dims);
            let records_at = matrix_at + line(dims * kept);
            (matrix_at, records_at, records_at + nodes as u64 * stride as u64)
        }
    };
    let (cells, centres_from) = (word(56) as usize, word(60) as usize);
    if cells > linked || (cells > 0 && coded.is_none()) || centres_from > nodes {
        return Err(format!(
            "{cells} cells learnt from {centres_from} rows don't fit {linked} linked rows of {nodes}"
        ));
    }
    let (starts_at, rows_at, expected) = match coded {
        Some((stride, ..)) if cells > 0 => {
            let starts_at = centres_at + cells as u64 * stride as u64;
            let rows_at = starts_at + line(cells + 1);
            (starts_at, rows_at, rows_at + line(linked))
        }
        _ => (centres_at, centres_at, centres_at),
    };
    if file.len() as u64 != expected {
        return Err(format!(
            "expected {expected} bytes for {nodes} nodes of degree {}, found {}",
            config.degree,
            file.len()
        ));
    }
    let file = Arc::new(file);
    let in_place = "the graph can't be read in place on a big-endian machine";
    let adjacency = Words::mapped(file.clone(), FIELDS, places as usize).ok_or(in_place)?;
    let floats = |at: u64, count: usize| -> Vec<f32> {
        let values = file[at as usize..][..count * 4].as_chunks::<4>().0;
        values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let codes = match coded {
        None => None,
        Some((stride, kept, rows)) => {
            let (centre, matrix) = (floats(centre_at, dims), floats(matrix_at, dims * kept));
            let projection = Projection::new(centre, matrix, kept, rows);
            let records = records_at as usize..centres_at as usize;
            Codes::mapped(metric, projection, stride, nodes, file.clone(), records)
        }
    };
    let cells = match &codes {
        Some(codes) if cells > 0 => {
            let centres = codes.also_mapped(cells, centres_at as usize..starts_at as usize);
            let centres = centres.ok_or("the cells' centres can't be read")?;
            let words =
                |at: u64, count: usize| Words::mapped(file.clone(), at as usize, 4 * count).ok_or(in_place);
            let (starts, rows) = (words(starts_at, cells + 1)?, words(rows_at, linked)?);
            Some(Cells::new(centres, starts, rows, centres_from, nodes)?)
        }
        _ => None,
    };
    // Checked once here, so that a search may trust every id.
    let outside = |&&id: &&u32| id != NONE && id as usize >= nodes;
    if let Some(id) = adjacency.values().iter().find(outside) {
        return Err(format!("neighbour {id} is not one of {nodes} nodes"));
    }
    Ok(Graph {
        adjacency,
        codes,
        cells,
        nodes,
        linked,
        dims,
        entry,
        metric,
        config,
        measured,
    })
}
