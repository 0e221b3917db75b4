//! `kokeshi bench filtered` without the rest of the program, which takes a fraction of the time to build:
//! `cargo run --release -p kokeshi-bench --example filtered -- VECTORS.npy ROWS.jsonl PLOTS EACH ROUNDS equality:primary range:created`.
//! Fields named `only:` are no fields but parts of the names of the methods that are built. Prints the report as JSON.

use std::path::Path;

use kokeshi_bench::attributes::{Kind, read};
use kokeshi_bench::{Options, picture::pictures, run};
use kokeshi_core::{Silent, npy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, rows, plots, each, rounds, fields @ ..] = &arguments[..] else {
        return Err("usage: filtered VECTORS.npy ROWS.jsonl PLOTS EACH ROUNDS KIND:FIELD ...".into());
    };
    let named = |field: &String| field.strip_prefix("only:").map(str::to_owned);
    let only = fields.iter().filter_map(named).collect();
    let fields: Vec<(&str, Kind)> = fields
        .iter()
        .filter(|field| named(field).is_none())
        .map(|field| match field.split_once(':') {
            Some(("equality", name)) => Ok((name, Kind::Category)),
            Some(("set", name)) => Ok((name, Kind::Set)),
            Some(("range", name)) => Ok((name, Kind::Number)),
            _ => Err(format!(
                "expected equality:, set: or range: and a field, found {field:?}"
            )),
        })
        .collect::<Result<_, _>>()?;
    let columns = read(Path::new(rows), &fields)?;
    let named: Vec<_> = fields
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .zip(columns)
        .collect();
    let options = Options {
        each: each.parse()?,
        rounds: rounds.parse()?,
        only,
        ..Options::default()
    };
    let report = run(&npy::open(Path::new(vectors))?, &named, &options, &Silent)?;
    std::fs::create_dir_all(plots)?;
    for (name, svg) in pictures(&report) {
        std::fs::write(Path::new(plots).join(name).with_extension("svg"), svg)?;
    }
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
