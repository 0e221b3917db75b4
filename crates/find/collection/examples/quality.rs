//! How good search is on a BEIR data set, by mode and by way of fusion: nDCG@10 with trec_eval's definition.
//!
//! `cargo run --release -p kokeshi-collection --example quality -- ../shared/data/scifact test [MODEL]`

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use kokeshi_collection::{Collection, CreateOptions, Fusion, Mode, SearchRequest};
use kokeshi_core::{Silent, Size};
use kokeshi_sources::{Source, SourceOptions};

type Failure = Box<dyn std::error::Error>;
type Judgements = BTreeMap<String, HashMap<String, i32>>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, split, model @ ..] = &arguments[..] else {
        return Err("usage: quality BEIR_DIRECTORY SPLIT [MODEL]".into());
    };
    let data = Path::new(data);
    let folder = tempfile::tempdir()?;
    let options = match model.first() {
        Some(model) => CreateOptions::model(model, Size::FULL)?,
        None => CreateOptions::compiled_in()?,
    };
    let collection = Collection::create(folder.path().join("c"), options)?;
    let source = Source::open(&[data.into()], SourceOptions::default())?;
    let mut writer = collection.writer()?;
    writer.index(
        source.documents().filter_map(Result::ok).map(|mut document| {
            document.attributes.clear();
            document
        }),
        &Silent,
    )?;
    println!(
        "{} documents, {} passages",
        collection.info().documents,
        collection.info().passages
    );
    let queries = queries(&data.join("queries.jsonl"))?;
    let judged = judgements(&data.join(format!("qrels/{split}.tsv")))?;
    let modes = [("lexical", Mode::Lexical), ("dense", Mode::Dense)];
    for (name, mode) in modes {
        println!(
            "{name:24} {:.4}",
            mean(&collection, &queries, &judged, mode, Fusion::Default)?
        );
    }
    println!(
        "{:24} {:.4}",
        "hybrid default",
        mean(&collection, &queries, &judged, Mode::Hybrid, Fusion::Default)?
    );
    for k in [10.0, 60.0] {
        let fusion = Fusion::Rrf { k };
        println!(
            "hybrid rrf {k:13} {:.4}",
            mean(&collection, &queries, &judged, Mode::Hybrid, fusion)?
        );
    }
    for alpha in [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
        let fusion = Fusion::Convex { alpha };
        println!(
            "hybrid convex {alpha:10} {:.4}",
            mean(&collection, &queries, &judged, Mode::Hybrid, fusion)?
        );
    }
    let mut kept = [0usize; 2];
    for (id, relevant) in &judged {
        let request = |no_cut| SearchRequest {
            query: queries[id].clone(),
            k: 10,
            no_cut,
            ..SearchRequest::default()
        };
        let hits = |no_cut| -> Result<bool, Failure> {
            let found = collection.search(&request(no_cut))?;
            Ok(found
                .hits
                .iter()
                .any(|hit| relevant.get(&hit.id).is_some_and(|&grade| grade > 0)))
        };
        if hits(true)? {
            kept[0] += 1;
            kept[1] += usize::from(hits(false)?);
        }
    }
    println!(
        "relevance cut: {} of {} queries keep a relevant document of their top 10",
        kept[1], kept[0]
    );
    Ok(())
}

fn mean(
    collection: &Collection,
    queries: &HashMap<String, String>,
    judged: &Judgements,
    mode: Mode,
    fusion: Fusion,
) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for (id, relevant) in judged {
        let found = collection.search(&SearchRequest {
            query: queries.get(id).cloned().ok_or("a judged query is missing")?,
            mode,
            fusion,
            k: 10,
            no_cut: true,
            ..SearchRequest::default()
        })?;
        let gain = |at: usize, grade: i32| f64::from(grade.max(0)) / (at as f64 + 2.0).log2();
        let hits = found.hits.iter().enumerate();
        let reached: f64 = hits
            .map(|(at, hit)| gain(at, relevant.get(&hit.id).copied().unwrap_or(0)))
            .sum();
        let mut grades: Vec<i32> = relevant.values().copied().collect();
        grades.sort_unstable_by(|a, b| b.cmp(a));
        let ideal: f64 = grades
            .iter()
            .take(10)
            .enumerate()
            .map(|(at, &grade)| gain(at, grade))
            .sum();
        if ideal > 0.0 {
            sum += reached / ideal;
        }
    }
    Ok(sum / judged.len() as f64)
}

fn queries(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let mut queries = HashMap::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let query: serde_json::Value = serde_json::from_str(line)?;
        let text = |field: &str| query[field].as_str().unwrap_or_default().to_string();
        queries.insert(text("_id"), text("text"));
    }
    Ok(queries)
}

fn judgements(path: &Path) -> Result<Judgements, Failure> {
    let mut judged = Judgements::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let parts: Vec<&str> = line.split('\t').collect();
        let [query, document, grade] = parts[..] else {
            return Err("qrels: expected three columns".into());
        };
        judged
            .entry(query.into())
            .or_default()
            .insert(document.into(), grade.trim().parse()?);
    }
    // Queries without a relevant document are left out, as trec_eval does.
    judged.retain(|_, grades| grades.values().any(|&grade| grade > 0));
    Ok(judged)
}
