//! A graph on disk: one of core's checksummed containers with 64 bytes of fields, then the adjacency and, if there are any, the codes: all
//! begin at multiples of 64 bytes, ready to be mapped.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kokeshi_core::file::{Mapped, Writer};
use kokeshi_core::{Error, Metric, Seed};

use super::codes::Codes;
use super::{Adjacency, Graph, GraphConfig, LEAST_LIST, Measured, NONE};
use crate::Result;

const MAGIC: &[u8; 8] = b"KKGRAPH\0";
const VERSION: u32 = 2;
/// metric, dims, degree, list, alpha (f32), nodes, entry, linked: 4 bytes each; seed: 8 bytes; default list ([`NONE`] if scanning is
/// as good) and the rows it was measured on: 4 bytes each; whether there are codes, 1 or 0: 4 bytes; zeros up to here.
const FIELDS: usize = 64;
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
        // A measured list is short, and its rows are among the nodes.
        let list = self.measured.list.map_or(NONE, |list| list as u32);
        fields.extend_from_slice(&list.to_le_bytes());
        fields.extend_from_slice(&(self.measured.rows as u32).to_le_bytes());
        fields.extend_from_slice(&u32::from(self.codes.is_some()).to_le_bytes());
        fields.resize(FIELDS, 0);
        let mut writer = Writer::create(path, MAGIC, VERSION)?;
        writer.write_all(&fields).map_err(Error::io(path))?;
        for places in self.adjacency.places().chunks(4096) {
            let bytes: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
            writer.write_all(&bytes).map_err(Error::io(path))?;
        }
        let places = self.adjacency.places().len() * 4;
        pad(&mut writer, places).map_err(Error::io(path))?;
        if let Some(codes) = &self.codes {
            let centre: Vec<u8> = codes
                .centre()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            writer.write_all(&centre).map_err(Error::io(path))?;
            pad(&mut writer, centre.len()).map_err(Error::io(path))?;
            for words in codes.records().chunks(4096) {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                writer.write_all(&bytes).map_err(Error::io(path))?;
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
    let measured = match word(44) as usize {
        0 => Measured::NOT_YET,
        rows => Measured {
            list: (word(40) != NONE).then_some(word(40) as usize),
            rows,
        },
    };
    config.check().map_err(|error| error.to_string())?;
    if linked > nodes || (entry == NONE) != (linked == 0) || (entry != NONE && entry as usize >= nodes) {
        return Err(format!(
            "entry {entry} and {linked} linked rows don't fit {nodes} nodes"
        ));
    }
    if measured.rows > nodes || measured.list.is_some_and(|list| list > nodes.max(LEAST_LIST)) {
        return Err(format!(
            "a default list of {} measured on {} rows doesn't fit {nodes} nodes",
            word(40),
            measured.rows
        ));
    }
    let coded = match word(48) {
        0 => false,
        1 if Codes::suit(dims) && dims <= MOST_DIMS => true,
        other => return Err(format!("expected 1 or 0 for codes of {dims} dims, found {other}")),
    };
    let places = nodes as u64 * config.degree as u64 * 4;
    let codes_at = FIELDS as u64 + places.next_multiple_of(64);
    let records_at = codes_at
        + if coded {
            (dims as u64 * 4).next_multiple_of(64)
        } else {
            0
        };
    let expected = records_at
        + if coded {
            Codes::record_bytes(nodes, dims)
        } else {
            0
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
    let adjacency = Adjacency::mapped(file.clone(), FIELDS, places as usize).ok_or(in_place)?;
    let codes = if coded {
        let values = file[codes_at as usize..][..dims * 4].as_chunks::<4>().0;
        let centre: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let codes = Codes::mapped(metric, centre, nodes, file, records_at as usize);
        Some(codes.ok_or(in_place)?)
    } else {
        None
    };
    // Checked once here, so that a search may trust every id.
    let outside = |&&id: &&u32| id != NONE && id as usize >= nodes;
    if let Some(id) = adjacency.places().iter().find(outside) {
        return Err(format!("neighbour {id} is not one of {nodes} nodes"));
    }
    Ok(Graph {
        adjacency,
        codes,
        nodes,
        linked,
        dims,
        entry,
        metric,
        config,
        measured,
    })
}
