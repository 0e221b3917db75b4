//! `kokeshi bridge`: queries of a new model on the vectors of an old one.

mod judge;
mod texts;

use std::path::Path;

use kokeshi_codec::bridge::{Method, Side};
use kokeshi_codec::{HeadConfig, bridge::Bridge as Learnt, file};
use kokeshi_core::{Embeddings, Metric, Progress, Seed};
use kokeshi_encode::Model;
use kokeshi_sources::vectors::{self, VectorFormat};

use crate::args::{Bridge, BridgeApply, BridgeInspect, BridgeLearn, BridgeStep, LoadArgs};
use crate::output::{Output, bytes, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

use super::shrink::read;

/// Learns a bridge, or carries out one step.
///
/// # Errors
/// Bad usage for models, texts or vectors that can't be read or don't fit; a failure if the result can't be written.
pub fn run(args: &Bridge, output: &Output) -> Result<()> {
    match &args.step {
        None => learn(&args.learn, output),
        Some(BridgeStep::Apply(args)) => apply(args, output),
        Some(BridgeStep::Inspect(args)) => inspect(args, output),
    }
}

/// What both ends say of the same texts.
struct Pairs {
    old: Embeddings,
    new: Embeddings,
    metric: Metric,
    sides: [Side; 2],
    models: Option<[Model; 2]>,
}

fn learn(args: &BridgeLearn, output: &Output) -> Result<()> {
    catch_interrupts();
    let (Some(from), Some(to)) = (&args.from, &args.to) else {
        return Err(
            Stop::usage("expected --from OLD and --to NEW: two models, or two files of vectors").hint(
                "kokeshi bridge --from kokeshi-static --to ./all-MiniLM-L6-v2 --pairs docs/ --out bridge.bin",
            ),
        );
    };
    let bar = Bar::new(output.quiet || output.json);
    let pairs = match args.pairs.is_empty() {
        true => from_files(from, to, args, output)?,
        false => from_models(from, to, args, &bar)?,
    };
    let methods: Vec<Method> = match args.method {
        Some(method) => vec![method],
        None => Method::ALL
            .into_iter()
            .filter(|method| *method != Method::Learned || pairs.metric == Metric::Cosine)
            .collect(),
    };
    bar.start("learning", Some(methods.len() as u64), "bridges");
    let mut learnt = Vec::with_capacity(methods.len());
    for method in methods {
        let config = HeadConfig::BRIDGE;
        let mut bridge = Learnt::train(
            method,
            &pairs.new,
            &pairs.old,
            pairs.metric,
            &config,
            Seed(args.metric.seed),
        )
        .map_err(Stop::usage)?;
        let [old, new] = pairs.sides.clone();
        (bridge.old, bridge.new) = (old, new);
        learnt.push(bridge);
        bar.advance(1);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was written"));
        }
    }
    bar.finish();
    let judged = match &pairs.models {
        Some([old, new]) => args
            .judge
            .iter()
            .map(|data| judge::judge(data, old, new, &learnt, &bar))
            .collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    // What keeps most of the judged retrieval; without judgements the balanced rotation: neighbours kept say little about retrieval (docs/bridge.md).
    let best = (0..learnt.len())
        .rev()
        .max_by(|a, b| judge::kept(&judged, *a).total_cmp(&judge::kept(&judged, *b)))
        .map(|at| &learnt[at])
        .ok_or_else(|| Stop::failed("no bridge was learnt"))?;
    if let Some(file) = &args.out {
        best.save(file).map_err(Stop::failed)?;
    }
    if output.json {
        let bridges: Vec<_> = learnt
            .iter()
            .map(|bridge| serde_json::json!({"method": bridge.method().to_string(), "kept": bridge.kept()}))
            .collect();
        return output.value(&serde_json::json!({
            "from": from, "to": to, "pairs": pairs.new.rows(), "bridges": bridges, "chosen": best.method().to_string(),
            "judged": judged, "file": args.out,
        }));
    }
    output.line(format!(
        "{} pairs of {to} ({} dims) on {from} ({} dims)",
        pairs.new.rows(),
        best.new_dims(),
        best.old_dims()
    ))?;
    output.line(table(
        &["bridge", "neighbours kept"],
        learnt
            .iter()
            .map(|bridge| vec![bridge.method().to_string(), format!("{:.3}", bridge.kept())]),
        1,
    ))?;
    judge::print(&judged, output)?;
    if args.method.is_none() {
        let why = match judged.is_empty() {
            true => "the one that is safest without --judge",
            false => "it keeps most of the judged retrieval",
        };
        output.line(format!("chosen: {} ({why})", best.method()))?;
    }
    match &args.out {
        Some(file) => output.line(format!("wrote {} ({})", file.display(), best.method())),
        None => {
            output.note("nothing was written: --out FILE writes the bridge that was chosen");
            Ok(())
        }
    }
}

fn from_files(from: &str, to: &str, args: &BridgeLearn, output: &Output) -> Result<Pairs> {
    for name in [from, to] {
        if !Path::new(name).is_file() {
            return Err(
                Stop::usage(format!("{name}: expected a file of vectors, found none"))
                    .hint("two models learn from texts that both read: --pairs PATH"),
            );
        }
    }
    let [old, new] = [from, to].map(|name| read(Path::new(name), args.metric.on_error, output));
    let (old, new) = (old?, new?);
    if let (Some(a), Some(b)) = (&old.ids, &new.ids)
        && let Some(at) = a.iter().zip(b).position(|(a, b)| a != b)
    {
        return Err(Stop::usage(format!(
            "{to}: expected the rows of {from} in their order, found {:?} at row {at} where that has {:?}",
            b[at], a[at]
        )));
    }
    Ok(Pairs {
        old: old.vectors,
        new: new.vectors,
        metric: args.metric.metric,
        sides: [Side::default(), Side::default()],
        models: None,
    })
}

fn from_models(from: &str, to: &str, args: &BridgeLearn, bar: &Bar) -> Result<Pairs> {
    let load = |name: &str| super::model::load(Some(name), &LoadArgs::default());
    let (old, new) = (load(from)?, load(to)?);
    let texts = texts::draw(&args.pairs, args.sample as usize, Seed(args.metric.seed), bar)?;
    let [old_rows, new_rows] = [&old, &new].map(|model| texts::encode(model, &texts, bar));
    let side = |model: &Model| Side {
        model: model.id().into(),
        fingerprint: model.fingerprint(),
    };
    Ok(Pairs {
        old: old_rows?,
        new: new_rows?,
        metric: old.metric(),
        sides: [side(&old), side(&new)],
        models: Some([old, new]),
    })
}

fn apply(args: &BridgeApply, output: &Output) -> Result<()> {
    let bridge = Learnt::load(&args.bridge).map_err(Stop::usage)?;
    let format = VectorFormat::of(&args.to).map_err(Stop::usage)?;
    let read = read(&args.vectors, args.on_error, output)?;
    if read.vectors.dims() != bridge.new_dims() {
        return Err(Stop::usage(format!(
            "{}: expected {} dimensions, those of the new side of {}, found {}",
            args.vectors.display(),
            bridge.new_dims(),
            args.bridge.display(),
            read.vectors.dims()
        )));
    }
    let mapped = bridge.apply(&read.vectors).map_err(Stop::failed)?;
    let names: Vec<String> = match read.ids {
        Some(ids) => ids,
        None => (0..mapped.rows()).map(|row| row.to_string()).collect(),
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = vectors::create(&args.to, format, mapped.dims()).map_err(Stop::failed)?;
    writer.append(&names, mapped.as_slice()).map_err(Stop::failed)?;
    writer.finish().map_err(Stop::failed)?;
    if output.json {
        return output
            .value(&serde_json::json!({"file": args.to, "rows": mapped.rows(), "dims": mapped.dims()}));
    }
    output.line(format!(
        "{} rows of {} dims in {}",
        mapped.rows(),
        mapped.dims(),
        args.to.display()
    ))
}

fn inspect(args: &BridgeInspect, output: &Output) -> Result<()> {
    let bridge = Learnt::load(&args.file).map_err(Stop::usage)?;
    let size = std::fs::metadata(&args.file).map_or(0, |data| data.len());
    let metric = file::metric_name(bridge.metric());
    if output.json {
        return output.value(&serde_json::json!({
            "file": args.file, "kind": "bridge", "method": bridge.method().to_string(), "metric": metric, "kept": bridge.kept(),
            "from": {"model": bridge.old.model, "fingerprint": bridge.old.fingerprint, "dims": bridge.old_dims()},
            "to": {"model": bridge.new.model, "fingerprint": bridge.new.fingerprint, "dims": bridge.new_dims()},
        }));
    }
    let named = |side: &Side, dims: usize| match side.model.as_str() {
        "" => format!("vectors of {dims} dims"),
        model => format!("{model} ({dims} dims)"),
    };
    output.line(table(
        &["what", "value"],
        [
            vec!["bridge".into(), bridge.method().to_string()],
            vec!["asks by".into(), named(&bridge.new, bridge.new_dims())],
            vec![
                "on vectors of".into(),
                format!("{}, {metric}", named(&bridge.old, bridge.old_dims())),
            ],
            vec!["neighbours kept".into(), format!("{:.3}", bridge.kept())],
            vec![
                "file".into(),
                format!("{} ({})", args.file.display(), bytes(size)),
            ],
        ],
        2,
    ))
}
