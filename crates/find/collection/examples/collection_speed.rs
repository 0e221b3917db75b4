//! How fast documents go in and queries come back, and in how much memory.
//!
//! `cargo run --release -p kokeshi-collection --example collection_speed -- COLLECTION FILE...` indexes the files (or goes on with what is there)
//! and then asks 1,000 queries made of their titles.

use std::path::PathBuf;
use std::time::Instant;

use kokeshi_collection::{Collection, CreateOptions, Mode, OpenOptions, SearchRequest};
use kokeshi_core::Silent;
use kokeshi_sources::{Source, SourceOptions};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [directory, files @ ..] = &arguments[..] else {
        return Err("usage: speed COLLECTION FILE...".into());
    };
    let source = Source::open(files, SourceOptions::default())?;
    let collection = if Collection::exists(directory) {
        Collection::open(directory, OpenOptions::default())?
    } else {
        let mut options = CreateOptions::compiled_in()?;
        options.schema = source.detected().schema.clone();
        Collection::create(directory, options)?
    };
    let start = Instant::now();
    let mut writer = collection.writer()?;
    let counts = writer.index(source.documents().filter_map(Result::ok), &Silent)?;
    let indexed = start.elapsed().as_secs_f64();
    let total = counts.inserted + counts.updated + counts.unchanged;
    println!(
        "{counts:?} in {indexed:.2} s: {:.0} documents/s",
        total as f64 / indexed
    );
    writer.optimize(&Silent)?;
    println!(
        "with the graph {:.2} s, peak memory {}",
        start.elapsed().as_secs_f64(),
        peak_memory()
    );
    drop(writer);
    let titles: Vec<String> = source
        .documents()
        .filter_map(Result::ok)
        .map(|document| document.title)
        .filter(|title| !title.is_empty())
        .step_by(67)
        .take(1000)
        .collect();
    for (name, mode, filter) in [
        ("hybrid", Mode::Hybrid, None),
        ("hybrid filtered", Mode::Hybrid, Some("created:[2015 TO *]")),
        ("dense", Mode::Dense, None),
        ("lexical", Mode::Lexical, None),
    ] {
        let mut times = Vec::with_capacity(titles.len());
        let mut stages: Vec<(String, f64)> = Vec::new();
        for query in &titles {
            let request = SearchRequest {
                query: query.clone(),
                mode,
                filter: filter.map(String::from),
                k: 10,
                explain: true,
                ..SearchRequest::default()
            };
            let response = collection.search(&request)?;
            times.push(response.took_ms);
            for (name, ms) in response.explain.map(|explain| explain.stages).unwrap_or_default() {
                match stages.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += ms,
                    None => stages.push((name, ms)),
                }
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let shown: Vec<String> = stages
            .iter()
            .map(|(name, sum)| format!("{name} {:.2}", sum / times.len() as f64))
            .collect();
        println!(
            "{name:16} p50 {:.2} ms, p99 {:.2} ms; mean {}",
            at(0.5),
            at(0.99),
            shown.join(", ")
        );
    }
    Ok(())
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_string()
}
