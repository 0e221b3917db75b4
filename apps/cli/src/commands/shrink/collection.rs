//! `kokeshi shrink --in`: the codec of a collection, changed in place.

use kokeshi_codec::Spec;
use kokeshi_codec::Trial;
use kokeshi_codec::front::{Wish, pick};
use kokeshi_core::{Embeddings, Progress, Seed};

use super::choose::{nothing_fits, specs};
use crate::args::Choose;
use crate::commands::info::open;
use crate::commands::maintain::request;
use crate::output::{Output, list};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Rows that become questions.
const QUERIES: usize = 300;

/// Tries codecs on a sample of the collection's vectors and takes one; or takes the one that is named.
pub(super) fn run(args: &Choose, output: &Output) -> Result<()> {
    catch_interrupts();
    let Some(folder) = &args.collection else {
        return Err(Stop::usage("expected --in DIR"));
    };
    if args.queries.is_some() || args.plot.is_some() {
        return Err(Stop::usage(
            "--queries, --qrels and --plot are for files of vectors",
        ));
    }
    let collection = open(folder)?;
    let bar = Bar::new(output.quiet || output.json);
    let spec: Option<Spec> = match args.codec.as_deref() {
        Some("none") => None,
        Some(text) => Some(text.parse().map_err(Stop::usage)?),
        None => choose(args, &collection, &bar, output)?,
    };
    if args.codec.is_none() && spec.is_none() {
        output.note("nothing was chosen: --bytes-per-vector, --budget or --min-recall says what it may cost or must keep, --codec names one");
        return Ok(());
    }
    let mut writer = collection.writer().map_err(Stop::failed)?;
    writer.set_codec(spec.as_ref(), &bar).map_err(request)?;
    writer.optimize(&bar).map_err(Stop::failed)?;
    drop(writer);
    let info = collection.info();
    if output.json {
        return output.value(&info);
    }
    output.line(match &info.codec {
        None => format!("commit {}: no codec; searches use the vectors", info.generation),
        Some(codec) if codec.code_bytes == 0 => {
            format!(
                "commit {}: {}; {} rows are too few to learn from, codes are made when there are more",
                info.generation, codec.codec, info.rows
            )
        }
        Some(codec) => format!(
            "commit {}: {}, {} bytes a code for {} of {} rows; vectors of {} bytes on disk order the best",
            info.generation,
            codec.codec,
            codec.code_bytes,
            codec.rows,
            info.rows,
            4 * info.dims
        ),
    })
}

fn choose(
    args: &Choose,
    collection: &kokeshi_collection::Collection,
    bar: &Bar,
    output: &Output,
) -> Result<Option<Spec>> {
    let metric = collection.embedder().metric();
    let seed = Seed(args.metric.seed);
    let (rows, queries) = sample(collection, args.sample as usize, seed)?;
    let specs = specs(args, &rows, collection.info().rows as usize, metric)?;
    let trial = Trial::new(&rows, &queries, metric, seed, None).map_err(Stop::usage)?;
    bar.start("trying", Some(specs.len() as u64), "codecs");
    let mut points = Vec::new();
    for spec in &specs {
        // Those that don't fit these rows are not candidates.
        points.extend(trial.measure(spec));
        bar.advance(1);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was changed"));
        }
    }
    bar.finish();
    let wish = Wish {
        rows: collection.info().rows as usize,
        bytes: args.budget,
        code_bytes: args.bytes_per_vector,
        recall: args.min_recall,
        rescored: true,
    };
    let asked = args.budget.is_some() || args.bytes_per_vector.is_some() || args.min_recall.is_some();
    let chosen = if asked { pick(&points, &wish) } else { None };
    if asked && chosen.is_none() {
        return Err(nothing_fits(&points, &wish));
    }
    if !output.json {
        let lines = kokeshi_codec::front::front(&points, true)
            .into_iter()
            .map(|point| {
                let mark = if chosen.is_some_and(|chosen| chosen.spec == point.spec) {
                    "*"
                } else {
                    ""
                };
                vec![
                    format!("{}{mark}", point.spec),
                    point.bytes.to_string(),
                    format!("{:.3}", point.recall.codes.mean),
                    format!("{:.3}", point.recall.rescored.mean),
                    format!("{:.0}", point.queries_per_cpu_second),
                ]
            });
        output.line(list(
            &[
                "codec",
                "bytes",
                "recall@10",
                "best 100 rescored",
                "queries/CPU-s",
            ],
            lines,
            1,
        ))?;
    }
    Ok(chosen.map(|point| point.spec.clone()))
}

/// Random rows of the collection's vectors, and others as questions.
fn sample(
    collection: &kokeshi_collection::Collection,
    most: usize,
    mut seed: Seed,
) -> Result<(Embeddings, Embeddings)> {
    let drawn = collection
        .sample_vectors(most + QUERIES, &mut seed)
        .map_err(Stop::failed)?;
    let aside = QUERIES.min(drawn.rows() / 5);
    if aside == 0 {
        return Err(Stop::usage(format!(
            "expected at least 5 passages to keep some aside as questions, found {}",
            drawn.rows()
        )));
    }
    let split = aside * drawn.dims();
    let part = |values: &[f32]| Embeddings::from_vec(values.to_vec(), drawn.dims()).map_err(Stop::failed);
    Ok((
        part(&drawn.as_slice()[split..])?,
        part(&drawn.as_slice()[..split])?,
    ))
}
