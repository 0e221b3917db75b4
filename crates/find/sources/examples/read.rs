//! Reads sources and prints what they are, how fast they come and what was wrong: `cargo run --release -p kokeshi-sources --example read -- PATH...`
//!
//! With `--show N` the first N documents are printed, too.

use std::time::Instant;

use kokeshi_sources::{Source, SourceOptions, content_hash};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut show = 0;
    if arguments.first().is_some_and(|first| first == "--show") {
        show = arguments.get(1).ok_or("--show needs a number")?.parse()?;
        arguments.drain(..2);
    }
    let paths: Vec<_> = arguments.iter().map(Into::into).collect();
    let started = Instant::now();
    let source = Source::open(&paths, SourceOptions::default())?;
    print!("{}", source.detected());
    println!("opened in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let (mut bytes, mut hash, mut errors) = (0, 0_u64, 0);
    for (number, document) in source.documents().enumerate() {
        match document {
            Ok(document) => {
                if number < show {
                    println!("{}", serde_json::to_string_pretty(&document)?);
                }
                bytes += document.text.len() + document.title.len();
                hash = hash.rotate_left(1) ^ content_hash(&document);
            }
            Err(error) => {
                errors += 1;
                if errors <= 10 {
                    println!("{error}");
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let report = source.report();
    let (read, total) = source.progress();
    println!(
        "{} documents, {:.1} MB of text, {:.0} documents/s, {:.0} MB/s of text; read {read} of {total} bytes; hash {hash:016x}",
        report.documents,
        bytes as f64 / 1e6,
        report.documents as f64 / seconds,
        bytes as f64 / 1e6 / seconds
    );
    for line in report.lines() {
        println!("{line}");
    }
    Ok(())
}
