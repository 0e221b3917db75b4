//! What smaller vectors lose: `cargo run --release -p kokeshi-codec --example front -- vectors.npy queries.npy [CHAIN ...]` prints bytes,
//! recall@10 with its interval, recall after rescoring 100 rows, queries a second and the seconds of training and encoding.

use std::path::Path;

use kokeshi_codec::{Spec, front};
use kokeshi_core::{Metric, Seed, npy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries, specs @ ..] = arguments.as_slice() else {
        return Err("expected vectors.npy and queries.npy".into());
    };
    let (rows, queries) = (npy::open(Path::new(vectors))?, npy::open(Path::new(queries))?);
    let specs: Vec<Spec> = if specs.is_empty() {
        front::candidates(rows.dims(), Metric::Cosine)
    } else {
        specs.iter().map(|spec| spec.parse()).collect::<Result<_, _>>()?
    };
    println!(
        "{:24} {:>6} {:>8} {:>16} {:>8} {:>9} {:>7} {:>7}",
        "chain", "bytes", "recall", "95 %", "top 100", "queries/s", "train s", "code s"
    );
    let points = front::measure(
        &specs,
        &rows,
        &queries,
        Metric::Cosine,
        Seed(42),
        |spec, point| match point {
            Ok(point) => println!(
                "{:24} {:6} {:8.4} {:7.4}..{:7.4} {:8.4} {:9.0} {:7.2} {:7.2}",
                spec.to_string(),
                point.bytes,
                point.recall,
                point.interval.0,
                point.interval.1,
                point.rescored,
                point.queries_per_second,
                point.train_seconds,
                point.encode_seconds
            ),
            Err(error) => println!("{:24} {error}", spec.to_string()),
        },
    )?;
    let names: Vec<String> = front::front(&points)
        .iter()
        .map(|point| format!("{} ({} B)", point.spec, point.bytes))
        .collect();
    println!("front: {}", names.join(", "));
    Ok(())
}
