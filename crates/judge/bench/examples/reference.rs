//! Our side of `bench/filtered/reference.py`: recall of the gate and the label graphs by the length of the list, for the rows that it takes.
//! `cargo run --release -p kokeshi-bench --example reference -- DATA/debian 10 20 40`

use std::path::Path;
use std::sync::Arc;

use kokeshi_bench::attributes::{Column, Kind, read};
use kokeshi_bench::measure::ask;
use kokeshi_bench::questions::Questions;
use kokeshi_core::npy;
use kokeshi_filtered::{
    Acorn, AcornConfig, Filter, Gate, Hnsw, HnswConfig, LabelGraph, Method, VamanaConfig,
};

const K: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, lists @ ..] = &arguments[..] else {
        return Err("usage: reference FOLDER LIST ...".into());
    };
    let folder = Path::new(folder);
    let all = npy::open(&folder.join("vectors.npy"))?;
    let columns = read(&folder.join("attributes.jsonl"), &[("section", Kind::Category)])?;
    let base: Vec<u32> = (0..all.rows() as u32).step_by(3).collect();
    let asking: Vec<u32> = (1..all.rows() as u32).step_by(300).collect();
    let (Column::Category(labels), Column::Category(own)) =
        (columns[0].gather(&base), columns[0].gather(&asking))
    else {
        return Err("sections are a category".into());
    };
    let (points, queries) = (Arc::new(all.gather(&base)?), Arc::new(all.gather(&asking)?));
    let filters: Vec<Arc<Filter>> = (0..labels.count().max(own.count()) as u32)
        .map(|label| Arc::new(labels.containing(&[label])))
        .collect();
    let asked = (0..queries.rows() as u32).filter_map(|query| {
        let filter = &filters[*own.of(query).first()? as usize];
        (filter.rows.count() >= K).then(|| (query, filter.clone()))
    });
    let questions = Questions::new(&points, queries.clone(), asked, K)?;
    let labels = Arc::new(labels);
    let config = VamanaConfig::default();
    let methods: [Box<dyn Method>; 5] = [
        Box::new(Gate(Arc::new(Hnsw::build(points.clone(), HnswConfig::default())))),
        Box::new(LabelGraph::filtered(points.clone(), labels.clone(), config)?),
        Box::new(LabelGraph::stitched(points.clone(), labels, config, config)?),
        Box::new(Acorn::build(points.clone(), AcornConfig::one())),
        Box::new(Acorn::build(points, AcornConfig::gamma(12))),
    ];
    for method in methods {
        print!("| {} |", method.name());
        for list in lists {
            let point = ask(&*method, &questions, list.parse()?)?;
            print!(" {:.3} ({:.0}) |", point.recall, point.distances);
        }
        println!();
    }
    Ok(())
}
