//! Distils a transformer into a static model, without the command line program:
//! `cargo run --release -p kokeshi-train --example distill TEACHER TEXTS.jsonl OUT [SETTING=VALUE...]`, where a line of the texts is
//! `{"title": "...", "text": "..."}`.

use std::io::{BufRead, BufReader};

use kokeshi_core::Progress;
use kokeshi_encode::Model;
use kokeshi_train::{DistillConfig, Text, distill};

struct Lines;

impl Progress for Lines {
    fn start(&self, phase: &str, total: Option<u64>, unit: &str) {
        eprintln!(
            "{phase}: {} {unit}",
            total.map_or(String::new(), |total| total.to_string())
        );
    }
    fn advance(&self, _: u64) {}
    fn finish(&self) {
        eprintln!("done");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [teacher, texts, out, settings @ ..] = arguments.as_slice() else {
        return Err("expected TEACHER TEXTS.jsonl OUT [SETTING=VALUE...]".into());
    };
    let mut config = DistillConfig::default();
    for setting in settings {
        match setting.split_once('=') {
            Some(("spans", value)) => config.spans = value.parse()?,
            Some(("bags", value)) => config.bags = value.parse()?,
            Some(("length_power", value)) => config.length_power = value.parse()?,
            Some(("epochs", value)) => config.epochs = value.parse()?,
            Some(("batch", value)) => config.batch = value.parse()?,
            Some(("learning_rate", value)) => config.learning_rate = value.parse()?,
            Some(("whitening", value)) => config.whitening = value.parse()?,
            Some(("seed", value)) => config.seed = value.parse()?,
            _ => return Err(format!("no such setting: {setting}").into()),
        }
    }
    let file = BufReader::new(std::fs::File::open(texts)?);
    let mut lines = file.lines().map_while(Result::ok).filter_map(|line| {
        let value: serde_json::Value = serde_json::from_str(&line).ok()?;
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_string();
        Some(Text {
            title: field("title"),
            body: field("text"),
        })
    });
    let student = distill(&Model::load(teacher)?, &mut lines, &config, &Lines)?;
    let out = std::path::Path::new(out);
    student.save(out, None)?;
    let compact = student.compact()?;
    kokeshi_core::file::write_atomic(&out.join("compact.bin"), &compact)?;
    println!(
        "{}: {} dims, {} bytes as int8",
        out.display(),
        student.dims(),
        compact.len()
    );
    Ok(())
}
