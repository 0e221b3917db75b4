//! Graphs on disk: the same after opening, and never trusted.

use kokeshi_core::file::Writer;
use kokeshi_core::{Bitmap, Metric, Silent};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Plan, Vectors};
use std::io::Write;

use crate::support::{Clustered, build};

#[test]
fn an_opened_graph_gives_the_same_hits_and_can_be_extended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.bin");
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        // Rows so narrow have no codes, the others have.
        let dims = if metric == Metric::Dot { 16 } else { 128 };
        let data = Clustered::new(2000, dims, 10, 20, 1);
        let index = build(&data.rows, metric);
        index.graph().save(&path).unwrap();
        let mut opened = Graph::open(&path).unwrap();
        assert_eq!(opened.config(), index.graph().config());
        assert_eq!((opened.metric(), opened.dims()), (metric, dims));
        assert_eq!(opened.default_list(), index.graph().default_list());
        let again = GraphIndex::new(opened.clone(), index.vectors().clone()).unwrap();
        for query in data.queries.iter() {
            let (a, b) = (
                index.search(query, 10, Effort::List(30), None).unwrap(),
                again.search(query, 10, Effort::List(30), None).unwrap(),
            );
            assert_eq!((a.hits, a.cost.distances), (b.hits, b.cost.distances));
        }
        let mut vectors = index.vectors().clone();
        vectors
            .push_segment(Clustered::new(100, dims, 10, 1, 2).rows)
            .unwrap();
        opened.extend(&vectors, &Silent).unwrap();
        // Over the file that it was mapped from.
        opened.save(&path).unwrap();
        assert_eq!(Graph::open(&path).unwrap().nodes(), 2100);
    }
}

#[test]
fn an_empty_graph_can_be_saved_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.bin");
    let vectors = Vectors::new(7);
    let graph = Graph::build(&vectors, Metric::L2, GraphConfig::default(), &Silent).unwrap();
    graph.save(&path).unwrap();
    assert_eq!(Graph::open(&path).unwrap().nodes(), 0);
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph-7.bin");
    let data = Clustered::new(60, 130, 3, 1, 3);
    build(&data.rows, Metric::Cosine).graph().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = Graph::open(&path).unwrap_err().to_string();
        assert!(error.contains("graph-7.bin"), "{error}");
    };
    for length in (0..good.len()).step_by(97).chain([good.len() - 1]) {
        refused(&good[..length]);
    }
    for at in (0..good.len() * 8).step_by(131) {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        refused(&bad);
    }
    let error = Graph::open(&folder.path().join("none.bin"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("none.bin"), "{error}");
}

#[test]
fn cells_that_are_hostile_are_refused_and_a_graph_in_memory_is_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.bin");
    let data = Clustered::new(1600, 128, 10, 5, 4);
    let index = build(&data.rows, Metric::Cosine);
    index.graph().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap()[64..].to_vec();
    let word = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().unwrap()) as usize;
    let cells = word(56);
    assert!(cells > 50, "{cells} cells");
    // From the end: the rows, one for each node, before them where each cell begins, before them the centres.
    let line = |bytes: usize| bytes.next_multiple_of(64);
    let rows_at = good.len() - line(4 * 1600);
    let starts_at = rows_at - line(4 * (cells + 1));
    let write = |at: usize, value: [u8; 4]| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value);
        let mut writer = Writer::create(&path, b"KKGRAPH\0", 5).unwrap();
        writer.write_all(&bytes).unwrap();
        writer.finish().unwrap();
        Graph::open(&path)
    };
    for (at, value) in [
        (rows_at, 1600),
        (rows_at + 400, u32::MAX),
        (starts_at, 1),
        (starts_at + 4, 0),
        (starts_at + 8, u32::MAX),
        (starts_at + 4 * cells, 1601),
        (56, cells as u32 + 1),
        (56, u32::MAX),
        (60, 1601),
        (128, f32::NAN.to_bits()),
        (128, 2.0f32.to_bits()),
        (248, f32::INFINITY.to_bits()),
        (252, (-1.0f32).to_bits()),
        (256, f32::NAN.to_bits()),
        (292, 1.5f32.to_bits()),
    ] {
        let error = write(at, value.to_le_bytes()).unwrap_err().to_string();
        assert!(error.contains("cells.bin"), "byte {at}: {error}");
    }
    // One cell of all rows whose file says that a tenth of it is enough: a strange one, which serves nevertheless.
    let mut one = good[..starts_at - (cells - 1) * word(44)].to_vec();
    one[56..60].copy_from_slice(&1u32.to_le_bytes());
    (128..248)
        .step_by(4)
        .for_each(|at| one[at..at + 4].copy_from_slice(&0.1f32.to_le_bytes()));
    one.extend([0, 1600u32].iter().flat_map(|start| start.to_le_bytes()));
    one.resize(one.len().next_multiple_of(64), 0);
    one.extend_from_slice(&good[rows_at..]);
    let mut writer = Writer::create(&path, b"KKGRAPH\0", 5).unwrap();
    writer.write_all(&one).unwrap();
    writer.finish().unwrap();
    let strange = GraphIndex::new(Graph::open(&path).unwrap(), index.vectors().clone()).unwrap();
    let some = Bitmap::from_sorted(1600, (0..1600).step_by(2));
    for query in data.queries.iter() {
        let found = strange.search_by(query, 10, Effort::Default, Some(&some), Some(Plan::Codes));
        assert_eq!(found.unwrap().hits.len(), 10);
    }
    write(0, good[..4].try_into().unwrap()).unwrap();
    let loaded = GraphIndex::new(Graph::load(&path).unwrap(), index.vectors().clone()).unwrap();
    for query in data.queries.iter() {
        let search = |index: &GraphIndex| index.search(query, 10, Effort::Default, None).unwrap().hits;
        assert_eq!(search(&loaded), search(&index));
    }
}

#[test]
fn a_hostile_file_with_a_right_checksum_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.bin");
    // metric, dims, degree, list, alpha, nodes, entry, linked, seed (two words), rows that lists were measured on, bytes of a code, rows
    // that codes were learnt from, how far estimates are off, cells, rows that those were learnt from; from word 16 on the recalls that were measured.
    let with_recall = |fields: [u32; 16], places: &[u32], recall: f32| {
        let mut writer = Writer::create(&path, b"KKGRAPH\0", 5).unwrap();
        let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        bytes.resize(64, 0);
        bytes.extend(recall.to_le_bytes());
        bytes.resize(320, 0);
        bytes.extend(places.iter().flat_map(|place| place.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        writer.write_all(&bytes).unwrap();
        writer.finish().unwrap();
        Graph::open(&path)
    };
    let write = |fields: [u32; 16], places: &[u32]| with_recall(fields, places, 0.9);
    let (none, alpha) = (u32::MAX, 1.2f32.to_bits());
    let good = [0, 2, 4, 10, alpha, 2, 0, 2, 1, 0, 2, 0, 0, 0, 0, 0];
    let places = [1, none, none, none, 0, none, none, none];
    assert!(write(good, &places).is_ok());
    for (field, value) in [
        (0, 3),
        (2, 0),
        (2, 40),
        (2, u32::MAX),
        (3, 0),
        (4, f32::NAN.to_bits()),
        (5, 1),
        (5, u32::MAX),
        (6, 2),
        (6, none),
        (7, 3),
        (7, 0),
        (10, 3),
        // Rows of two values have no codes.
        (11, 64),
        (11, 63),
        (12, 1),
        // Nor have they cells.
        (14, 1),
        (15, 3),
    ] {
        let mut fields = good;
        fields[field] = value;
        let error = write(fields, &places).unwrap_err().to_string();
        assert!(error.contains("hostile.bin"), "field {field}: {error}");
    }
    let error = write(good, &[2, none, none, none, 0, none, none, none]).unwrap_err();
    assert!(
        error.to_string().contains("neighbour 2 is not one of 2 nodes"),
        "{error}"
    );
    assert!(write(good, &[0; 17]).is_err());
    for recall in [f32::NAN, -0.1, 1.5] {
        assert!(with_recall(good, &places, recall).is_err());
    }
    // Codes of rows so wide would be longer than the file, and than memory.
    let mut fields = good;
    (fields[1], fields[11]) = (u32::MAX, 64);
    assert!(write(fields, &places).is_err());
    (fields[1], fields[11]) = (1 << 24, 64);
    assert!(write(fields, &places).is_err());
}
