//! `kokeshi shrink train`, `apply` and `inspect`.

use kokeshi_codec::{Chain, Codec, Spec, file};
use kokeshi_core::{Embeddings, Progress, Seed};
use kokeshi_sources::vectors::{self, VectorFormat};

use super::choose::{train as train_on, write_codes};
use crate::args::{Apply, Inspect, Train};
use crate::output::{Output, bytes, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Rows that are encoded and decoded together.
const BLOCK: usize = 4096;

/// Learns a codec from vectors.
pub(super) fn train(args: &Train, output: &Output) -> Result<()> {
    let spec: Spec = args.codec.parse().map_err(Stop::usage)?;
    let read = super::read(&args.vectors, args.metric.on_error, output)?;
    let chain = train_on(&spec, &read.vectors, args.metric.metric, Seed(args.metric.seed))?;
    chain.save(&args.to).map_err(Stop::failed)?;
    show(&chain, &args.to, output)
}

/// Encodes vectors; or gives the vectors that their codes stand for.
pub(super) fn apply(args: &Apply, output: &Output) -> Result<()> {
    catch_interrupts();
    let chain = Chain::load(&args.codec).map_err(Stop::usage)?;
    let read = super::read(&args.vectors, args.on_error, output)?;
    if read.vectors.dims() != chain.dims() {
        return Err(Stop::usage(format!(
            "{}: expected {} dimensions, those of {}, found {}",
            args.vectors.display(),
            chain.dims(),
            args.codec.display(),
            read.vectors.dims()
        )));
    }
    let bar = Bar::new(output.quiet || output.json);
    match VectorFormat::of(&args.to) {
        Ok(format) => {
            let mut writer = vectors::create(&args.to, format, chain.dims()).map_err(Stop::failed)?;
            bar.start("encoding", Some(read.vectors.rows() as u64), "rows");
            for (block, rows) in read.vectors.as_slice().chunks(BLOCK * chain.dims()).enumerate() {
                let rows = Embeddings::from_vec(rows.to_vec(), chain.dims()).map_err(Stop::failed)?;
                let decoded = chain
                    .encode_all(&rows)
                    .and_then(|codes| chain.decode_all(&codes))
                    .map_err(Stop::failed)?;
                let names: Vec<String> = (block * BLOCK..)
                    .take(rows.rows())
                    .map(|row| match &read.ids {
                        Some(ids) => ids[row].clone(),
                        None => row.to_string(),
                    })
                    .collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                writer.append(&names, decoded.as_slice()).map_err(Stop::failed)?;
                bar.advance(rows.rows() as u64);
                if bar.interrupted() {
                    return Err(Stop::failed("stopped before the end: nothing was written"));
                }
            }
            bar.finish();
            writer.finish().map_err(Stop::failed)?;
        }
        Err(_) => write_codes(&chain, &read.vectors, &args.to, &bar)?,
    }
    let size = std::fs::metadata(&args.to).map_or(0, |data| data.len());
    if output.json {
        return output.value(&serde_json::json!({
            "file": args.to, "rows": read.vectors.rows(), "codec": chain.spec(), "bytes": size, "code_bytes": chain.code_bytes(),
        }));
    }
    output.line(format!(
        "{} rows by {} in {} ({})",
        read.vectors.rows(),
        chain.spec(),
        args.to.display(),
        bytes(size)
    ))
}

/// Shows what a file is.
pub(super) fn inspect(args: &Inspect, output: &Output) -> Result<()> {
    match Chain::load(&args.file) {
        Ok(chain) => show(&chain, &args.file, output),
        Err(no_codec) => {
            let Ok(codes) = file::inspect_codes(&args.file) else {
                return Err(Stop::usage(no_codec));
            };
            if output.json {
                return output.value(&serde_json::json!({
                    "file": args.file, "kind": "codes", "codec": format!("{:016x}", codes.fingerprint), "rows": codes.rows, "code_bytes": codes.code_bytes,
                }));
            }
            output.line(table(
                &["what", "value"],
                [
                    vec!["codes of the codec".into(), format!("{:016x}", codes.fingerprint)],
                    vec!["rows".into(), codes.rows.to_string()],
                    vec!["bytes a code".into(), codes.code_bytes.to_string()],
                ],
                2,
            ))
        }
    }
}

fn show(chain: &Chain, path: &std::path::Path, output: &Output) -> Result<()> {
    let size = std::fs::metadata(path).map_or(0, |data| data.len());
    let metric = file::metric_name(chain.metric());
    if output.json {
        return output.value(&serde_json::json!({
            "file": path, "kind": "codec", "codec": chain.spec(), "dims": chain.dims(), "metric": metric, "code_bytes": chain.code_bytes(),
            "codec_bytes": size, "fingerprint": format!("{:016x}", chain.fingerprint()),
        }));
    }
    output.line(table(
        &["what", "value"],
        [
            vec!["codec".into(), chain.spec()],
            vec!["vectors".into(), format!("{} dims, {metric}", chain.dims())],
            vec![
                "bytes a code".into(),
                format!(
                    "{} ({:.1}x smaller than f32)",
                    chain.code_bytes(),
                    4.0 * chain.dims() as f64 / chain.code_bytes() as f64
                ),
            ],
            vec!["file".into(), format!("{} ({})", path.display(), bytes(size))],
            vec!["fingerprint".into(), format!("{:016x}", chain.fingerprint())],
        ],
        2,
    ))
}
