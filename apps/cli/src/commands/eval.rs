//! `kokeshi eval`: ranked retrieval on BEIR directories and run files, similarity on sentence pairs.

use std::path::{Path, PathBuf};

use kokeshi_collection::{Collection, CreateOptions, Mode, PassageOptions, SearchRequest};
use kokeshi_core::{Progress, Size};
use kokeshi_encode::Options;
use kokeshi_eval::{
    Beir, Evaluation, Measure, Missing, Qrels, Report, Row, Run, bootstrap_mean_difference, evaluate,
    paired_randomisation, pearson, read_run, read_sts, spearman, wilcoxon, write_run,
};
use kokeshi_index::Effort;
use kokeshi_sources::Document;

use crate::args::{Eval, EvalTask, PairedTest};
use crate::output::{Output, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

use super::index::load_model;

/// What is printed, in this order; trec_eval's definitions.
const MEASURES: [&str; 6] = ["nDCG@10", "MAP", "recall@10", "recall@100", "MRR", "P@10"];
/// Rounds of resampling for intervals and tests, and where they start.
const ROUNDS: usize = 2000;
const SEED: u64 = 42;

/// Judges what the arguments name.
///
/// # Errors
/// Bad usage for files that are missing or malformed, with file and line.
pub fn run(args: &Eval, output: &Output) -> Result<()> {
    catch_interrupts();
    match &args.data {
        _ if args.task == Some(EvalTask::Longembed) => super::eval_long::run(args, output),
        Some(data) if is_pairs(data) => similarity(args, data, output),
        Some(data) => retrieval(args, data, output),
        None => Err(Stop::usage("expected a directory to judge with")),
    }
}

/// Whether a path is a file of sentence pairs or a directory of them, not a BEIR directory.
fn is_pairs(path: &Path) -> bool {
    path.is_file() || (!path.join("qrels").is_dir() && pairs_file(path, "test").is_some())
}

fn pairs_file(folder: &Path, split: &str) -> Option<PathBuf> {
    ["tsv", "csv", "tsv.gz", "csv.gz"]
        .iter()
        .map(|ending| folder.join(format!("{split}.{ending}")))
        .find(|file| file.is_file())
}

fn split_of(folder: &Path, split: &str) -> Result<PathBuf> {
    pairs_file(folder, split)
        .ok_or_else(|| Stop::usage(format!("{}: no {split}.tsv or .csv", folder.display())))
}

/// The file of sentence pairs at `path`; `None` if it is something else.
///
/// # Errors
/// Bad usage if it is a directory of pairs without that split.
pub(super) fn pairs(path: &Path, split: &str) -> Result<Option<PathBuf>> {
    match (is_pairs(path), path.is_file()) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(path.to_path_buf())),
        (true, false) => split_of(path, split).map(Some),
    }
}

fn similarity(args: &Eval, data: &Path, output: &Output) -> Result<()> {
    let file = match pairs(data, &args.split)? {
        Some(file) => file,
        None => data.to_path_buf(),
    };
    let pairs = read_sts(&file).map_err(Stop::usage)?;
    let model = super::sizes::model(args)?;
    let texts: Vec<&str> = pairs
        .iter()
        .flat_map(|pair| [pair.first.as_str(), pair.second.as_str()])
        .collect();
    let options = Options {
        normalize: Some(true),
        ..Options::default()
    };
    let sizes = match args.sizes.is_empty() {
        true => vec![args.model.size.unwrap_or(Size::FULL)],
        false => args.sizes.clone(),
    };
    let encoded = model
        .encode_sizes(&texts, &sizes, &options)
        .map_err(Stop::usage)?;
    let wanted: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    let none = || {
        Stop::usage(format!(
            "{}: fewer than two different scores: nothing to correlate",
            file.display()
        ))
    };
    let mut reports = Vec::with_capacity(sizes.len());
    for (size, vectors) in sizes.iter().zip(encoded) {
        let cosine = |pair| kokeshi_core::distance::cosine(vectors.row(2 * pair), vectors.row(2 * pair + 1));
        let found: Vec<f64> = (0..pairs.len()).map(|pair| f64::from(cosine(pair))).collect();
        let at = match args.sizes.is_empty() {
            true => format!("{} dims", vectors.dims()),
            false => size.to_string(),
        };
        reports.push(Report {
            name: format!("{} · {} · {at}", file.display(), model.id()),
            queries: pairs.len(),
            rows: vec![
                Row::new("Spearman", spearman(&found, &wanted).ok_or_else(none)?),
                Row::new("Pearson", pearson(&found, &wanted).ok_or_else(none)?),
            ],
        });
    }
    match (&reports[..], output.json) {
        ([report], true) => output.value(report),
        ([report], false) => output.line(report.table().trim_end()),
        (_, true) => output.value(&reports),
        (_, false) => {
            let rows = sizes.iter().zip(&reports).map(|(size, report)| {
                let figures = report.rows.iter().map(|row| format!("{:.4}", row.mean));
                std::iter::once(size.to_string()).chain(figures).collect()
            });
            output.line(format!("{} · {}", file.display(), model.id()))?;
            output.line(table(&["size", "Spearman", "Pearson"], rows, 1))
        }
    }
}

fn retrieval(args: &Eval, data: &Path, output: &Output) -> Result<()> {
    let beir = Beir::open(data).map_err(Stop::usage)?;
    let qrels = beir.qrels(&args.split).map_err(Stop::usage)?;
    let measures = MEASURES
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Measure>, _>>()
        .map_err(Stop::failed)?;
    let mut judged: Vec<(String, Evaluation)> = Vec::new();
    let mut runs = Vec::new();
    if let Some(file) = &args.run {
        runs.push((file.display().to_string(), read_run(file).map_err(Stop::usage)?));
    } else if !args.sizes.is_empty() {
        runs = super::sizes::runs(args, &beir, &qrels, output)?;
    } else {
        runs = search(args, &beir, &qrels, output)?;
    }
    for (name, run) in &runs {
        if let Some(file) = &args.run_to {
            let file = if runs.len() > 1 {
                suffixed(file, name)
            } else {
                file.clone()
            };
            write_run(&file, run, "kokeshi").map_err(Stop::failed)?;
        }
        judged.push((name.clone(), evaluate(&qrels, run, &measures, Missing::Zero)));
    }
    let baseline = match &args.baseline {
        None => None,
        Some(file) => Some((
            file,
            evaluate(
                &qrels,
                &read_run(file).map_err(Stop::usage)?,
                &measures,
                Missing::Zero,
            ),
        )),
    };
    if output.json {
        let reports: Vec<Report> = judged
            .iter()
            .map(|(name, found)| found.report_with_intervals(name, ROUNDS, SEED))
            .collect();
        let compared = baseline
            .as_ref()
            .map(|(file, base)| comparison(args.test, &judged, base, &measures, &file.display().to_string()));
        return output.value(&serde_json::json!({
            "data": data, "split": args.split, "queries": qrels.len(), "results": reports, "comparison": compared,
        }));
    }
    let mut header = vec![if args.sizes.is_empty() { "search" } else { "size" }];
    header.extend(MEASURES);
    let rows = judged.iter().map(|(name, found)| {
        let means = (0..measures.len()).map(|at| format!("{:.4}", found.mean(at)));
        std::iter::once(name.clone()).chain(means).collect()
    });
    output.line(format!(
        "{}, split {}, {} queries",
        data.display(),
        args.split,
        qrels.len()
    ))?;
    output.line(table(&header, rows, 1))?;
    for (name, found) in &judged {
        let report = found.report_with_intervals(name, ROUNDS, SEED);
        if let Some([low, high]) = report.rows.first().and_then(|row| row.interval) {
            output.note(format!("{name}: 95 % interval of nDCG@10 [{low:.4}, {high:.4}]"));
        }
    }
    if let Some((file, base)) = &baseline {
        let compared = comparison(args.test, &judged, base, &measures, &file.display().to_string());
        let rows = compared.iter().map(|row| {
            vec![
                row.run.clone(),
                row.measure.clone(),
                format!("{:+.4}", row.difference),
                format!("[{:+.4}, {:+.4}]", row.interval[0], row.interval[1]),
                row.differing.to_string(),
                format!("{:.4}", row.p),
            ]
        });
        output.line(table(
            &["search", "measure", "difference", "95 % interval", "differ", "p"],
            rows,
            2,
        ))?;
    }
    Ok(())
}

/// One measure of one run against the baseline.
#[derive(serde::Serialize)]
struct Compared {
    run: String,
    baseline: String,
    measure: String,
    difference: f64,
    interval: [f64; 2],
    /// Queries whose values differ.
    differing: usize,
    p: f64,
}

fn comparison(
    test: PairedTest,
    judged: &[(String, Evaluation)],
    base: &Evaluation,
    measures: &[Measure],
    file: &str,
) -> Vec<Compared> {
    let one = |name: &String, found: &Evaluation, at: usize, measure: &Measure| {
        let (ours, theirs) = (found.values(at), base.values(at));
        let interval = bootstrap_mean_difference(&ours, &theirs, 0.95, ROUNDS, SEED)?;
        Some(Compared {
            run: name.clone(),
            baseline: file.to_string(),
            measure: measure.to_string(),
            difference: found.mean(at) - base.mean(at),
            interval: [interval.low, interval.high],
            differing: ours.iter().zip(&theirs).filter(|(a, b)| a != b).count(),
            p: match test {
                PairedTest::Randomisation => paired_randomisation(&ours, &theirs, ROUNDS, SEED)?,
                PairedTest::Wilcoxon => wilcoxon(&ours, &theirs)?.p,
            },
        })
    };
    judged
        .iter()
        .flat_map(|(name, found)| {
            measures
                .iter()
                .enumerate()
                .filter_map(move |(at, measure)| one(name, found, at, measure))
        })
        .collect()
}

/// Indexes the corpus into a temporary collection and runs the queries in each mode.
fn search(args: &Eval, beir: &Beir, qrels: &Qrels, output: &Output) -> Result<Vec<(String, Run)>> {
    let folder = std::env::temp_dir().join(format!("kokeshi-eval-{}", std::process::id()));
    let result = search_in(&folder, args, beir, qrels, output);
    // What a temporary folder leaves behind is the system's to clear.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn search_in(
    folder: &Path,
    args: &Eval,
    beir: &Beir,
    qrels: &Qrels,
    output: &Output,
) -> Result<Vec<(String, Run)>> {
    let (embedder, size) = load_model(&args.model, output)?;
    let mut options = CreateOptions::with(embedder, size);
    options.passages = Some(PassageOptions::of_tokens(args.passage_tokens));
    let collection = Collection::create(folder, options).map_err(Stop::failed)?;
    let bar = Bar::new(output.quiet || output.json);
    let documents = beir.documents().map_err(Stop::usage)?;
    bar.start("indexing", Some(documents.len() as u64), "documents");
    let documents = documents.into_iter().map(|document| Document {
        id: document.id,
        title: document.title,
        text: document.text,
        ..Document::default()
    });
    let mut writer = collection.writer().map_err(Stop::failed)?;
    writer.index(documents, &bar).map_err(Stop::failed)?;
    drop(writer);
    bar.finish();
    let queries = beir.queries().map_err(Stop::usage)?;
    let queries: Vec<_> = queries
        .into_iter()
        .filter(|query| qrels.judged(&query.id).is_some())
        .collect();
    let modes = match args.mode {
        Some(mode) => vec![Mode::from(mode)],
        None => vec![Mode::Lexical, Mode::Dense, Mode::Hybrid],
    };
    let mut runs = Vec::new();
    for mode in modes {
        let name = format!("{mode:?}").to_lowercase();
        bar.start(&name, Some(queries.len() as u64), "queries");
        let mut run = Run::default();
        for query in &queries {
            if bar.interrupted() {
                return Err(Stop::failed("stopped before the end"));
            }
            let request = SearchRequest {
                query: query.text.clone(),
                mode,
                k: args.depth.into(),
                effort: Effort::Exact,
                no_cut: !args.cut,
                ..SearchRequest::default()
            };
            run.insert_query(&query.id);
            for hit in collection.search(&request).map_err(Stop::failed)?.hits {
                run.insert(&query.id, &hit.id, f64::from(hit.score));
            }
            bar.advance(1);
        }
        bar.finish();
        runs.push((name, run));
    }
    Ok(runs)
}

/// `dir/a.run` and `dense` to `dir/a.dense.run`.
fn suffixed(file: &Path, name: &str) -> PathBuf {
    match file.extension() {
        Some(ending) => file.with_extension(format!("{name}.{}", ending.to_string_lossy())),
        None => file.with_extension(name),
    }
}
