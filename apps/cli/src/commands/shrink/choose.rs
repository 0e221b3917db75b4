//! Tries chains on a sample, shows what each loses, takes one and writes it.

use std::path::{Path, PathBuf};

use kokeshi_codec::front::{Point, Wish, pick};
use kokeshi_codec::{Chain, CodesWriter, Spec, Trial, trial};
use kokeshi_core::{Embeddings, Metric, Progress, Seed};

use super::report::Report;
use super::sample::Sample;
use crate::args::Choose;
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Rows that a codec is trained on, at most: what `pq` asks for with 256 centroids is a fourth of it.
const TRAINING_ROWS: usize = 65_536;
/// Rows that are encoded together.
const BLOCK: usize = 16_384;

/// Tries, shows, chooses, writes.
pub(super) fn run(args: &Choose, output: &Output) -> Result<()> {
    catch_interrupts();
    let Some(path) = &args.vectors else {
        return Err(Stop::usage("expected a file of vectors")
            .hint("kokeshi shrink docs.npy --queries queries.npy --bytes-per-vector 64 --out small/"));
    };
    let vectors = super::read(path, args.metric.on_error, output)?;
    let sample = Sample::draw(args, &vectors, output)?;
    let (metric, seed) = (args.metric.metric, Seed(args.metric.seed));
    let specs = specs(args, &vectors.vectors, vectors.vectors.rows(), metric)?;
    let judge = sample.judge();
    let judge = judge.as_ref().map(|judge| judge as &trial::Judge<'_>);
    let trial = Trial::new(&sample.rows, &sample.queries, metric, seed, judge).map_err(Stop::usage)?;
    let bar = Bar::new(output.quiet || output.json);
    bar.start("trying", Some(specs.len() as u64), "codecs");
    let (mut points, mut left_out) = (Vec::new(), Vec::new());
    for spec in &specs {
        match trial.measure(spec) {
            Ok(point) => points.push(point),
            Err(error) => left_out.push((spec.to_string(), error.to_string())),
        }
        bar.advance(1);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was written"));
        }
    }
    bar.finish();
    if let (true, Some((codec, reason))) = (points.is_empty(), left_out.first()) {
        return Err(Stop::usage(format!("no codec could be tried; {codec}: {reason}")));
    }
    let wish = Wish {
        rows: vectors.vectors.rows(),
        bytes: args.budget,
        code_bytes: args.bytes_per_vector,
        recall: args.min_recall,
        rescored: args.rescore,
    };
    let asked = args.budget.is_some() || args.bytes_per_vector.is_some() || args.min_recall.is_some();
    let chosen = if asked { pick(&points, &wish) } else { None };
    let report = Report::new(
        &sample,
        &vectors.vectors,
        args,
        trial.best(),
        &points,
        left_out,
        chosen,
    );
    if !output.json {
        report.print(output)?;
    }
    if let Some(file) = &args.plot {
        write(
            file,
            &kokeshi_plot::file::bytes(file, &report.svg()).map_err(Stop::failed)?,
        )?;
        output.note(format!("plot: {}", file.display()));
    }
    if asked && chosen.is_none() {
        return Err(nothing_fits(&points, &wish));
    }
    let mut files = Vec::new();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .map_err(|error| Stop::failed(format!("{}: {error}", folder.display())))?;
        write(&folder.join("front.svg"), report.svg().as_bytes())?;
        write(&folder.join("front.json"), report.json().as_bytes())?;
        files.extend(["front.svg", "front.json"].map(|name| folder.join(name)));
        if let Some(point) = chosen {
            files.extend(encode(&point.spec, &vectors.vectors, metric, seed, folder, &bar)?);
        }
    }
    if output.json {
        return output.value(&report.with_files(&files));
    }
    for file in &files {
        output.line(format!("wrote {}", file.display()))?;
    }
    if !asked {
        output.note("nothing was chosen: --bytes-per-vector, --budget or --min-recall says what it may cost or must keep");
    } else if args.out.is_none() {
        output.note("nothing was written: --out DIR writes the codec and the codes");
    }
    Ok(())
}

/// How much smaller than what may be spent a chain can be and still be worth a try.
const MUCH_SMALLER: usize = 5;

/// The chains to try: those asked for, or those that can be afforded and are not much smaller.
pub(super) fn specs(args: &Choose, vectors: &Embeddings, rows: usize, metric: Metric) -> Result<Vec<Spec>> {
    if !args.codecs.is_empty() {
        return args
            .codecs
            .iter()
            .map(|text| text.parse().map_err(Stop::usage))
            .collect();
    }
    let mut specs = trial::candidates(vectors.dims(), metric);
    let budget = args
        .budget
        .map(|bytes| usize::try_from(bytes / rows.max(1) as u64).unwrap_or(usize::MAX));
    if let Some(most) = budget.into_iter().chain(args.bytes_per_vector).min() {
        let least = specs
            .iter()
            .map(|spec| spec.code_bytes(vectors.dims()))
            .min()
            .unwrap_or(0);
        if least > most {
            return Err(Stop::usage(format!(
                "{most} bytes a vector are too few: the smallest codec that would be tried takes {least}"
            ))
            .hint("--codecs names other chains, such as pca:32|rabitq:1"));
        }
        let largest = specs
            .iter()
            .map(|spec| spec.code_bytes(vectors.dims()))
            .max()
            .unwrap_or(0);
        let enough = most.min(largest) / MUCH_SMALLER;
        specs.retain(|spec| (enough..=most).contains(&spec.code_bytes(vectors.dims())));
    }
    Ok(specs)
}

/// What would have been possible.
pub(super) fn nothing_fits(points: &[Point], wish: &Wish) -> Stop {
    let small: Vec<&Point> = points.iter().filter(|point| wish.affords(point)).collect();
    let best = small
        .iter()
        .map(|point| point.recall.of(wish.rescored).mean)
        .fold(f64::NEG_INFINITY, f64::max);
    match (points.iter().map(|point| point.bytes).min(), small.is_empty()) {
        (None, _) => Stop::usage("no codec fits these vectors"),
        (Some(least), true) => Stop::usage(format!("nothing is small enough: the smallest codec that was tried takes {least} bytes a vector")),
        (Some(_), false) => Stop::usage(format!("nothing that is small enough reaches that recall: the best is {best:.3}"))
            .hint("a larger budget, --rescore (the vectors stay on disk and rank the best hundred again), or a lower --min-recall"),
    }
}

/// Trains the choice and encodes all rows.
fn encode(
    spec: &Spec,
    vectors: &Embeddings,
    metric: Metric,
    seed: Seed,
    folder: &Path,
    bar: &Bar,
) -> Result<[PathBuf; 2]> {
    let chain = train(spec, vectors, metric, seed)?;
    let [codec, codes] = ["codec.bin", "codes.bin"].map(|name| folder.join(name));
    write_codes(&chain, vectors, &codes, bar)?;
    chain.save(&codec).map_err(Stop::failed)?;
    Ok([codec, codes])
}

/// Trains on all rows, or on a random part if there are many.
pub(super) fn train(spec: &Spec, vectors: &Embeddings, metric: Metric, seed: Seed) -> Result<Chain> {
    if vectors.rows() <= TRAINING_ROWS {
        return spec.train(vectors, metric, seed).map_err(Stop::usage);
    }
    let mut random = seed;
    let mut sample = Embeddings::new(vectors.dims());
    for _ in 0..TRAINING_ROWS {
        sample
            .push(vectors.row(random.below(vectors.rows())))
            .map_err(Stop::failed)?;
    }
    spec.train(&sample, metric, seed).map_err(Stop::usage)
}

/// Encodes all rows into a file, block by block.
pub(super) fn write_codes(chain: &Chain, vectors: &Embeddings, path: &Path, bar: &Bar) -> Result<()> {
    let mut writer = CodesWriter::create(path, chain).map_err(Stop::failed)?;
    bar.start("encoding", Some(vectors.rows() as u64), "rows");
    for rows in vectors.as_slice().chunks(BLOCK * vectors.dims()) {
        let block = Embeddings::from_vec(rows.to_vec(), vectors.dims()).map_err(Stop::failed)?;
        writer.append(&block).map_err(Stop::usage)?;
        bar.advance(block.rows() as u64);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: no codes were written"));
        }
    }
    bar.finish();
    writer.finish().map_err(Stop::failed)?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    kokeshi_core::file::write_atomic(path, bytes).map_err(Stop::failed)
}
