//! `kokeshi shrink` on real data: what an eighth of the bytes keeps.

use std::path::Path;
use std::process::Command;

use kokeshi_testing::{data, minilm};
use serde_json::Value;

/// Runs the program and gives what it printed.
fn kokeshi(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kokeshi"))
        .args(arguments)
        .arg("--quiet")
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_plot_is_what_the_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let line = |row: usize| {
        let values = (0..8).map(|at| ((row * 8 + at) as f32 * 0.37).sin());
        let values: Vec<String> = values.map(|value| value.to_string()).collect();
        format!("{{\"id\":\"{row}\",\"embedding\":[{}]}}\n", values.join(","))
    };
    std::fs::write(folder.join("v.jsonl"), (0..400).map(line).collect::<String>()).unwrap();
    for (name, begins) in [("front.svg", &b"<svg"[..]), ("front.png", b"\x89PNG\r\n\x1a\n")] {
        kokeshi(
            folder,
            &[
                "shrink",
                "v.jsonl",
                "--codecs",
                "int8,int4,rabitq:2",
                "--plot",
                name,
            ],
        );
        assert!(
            std::fs::read(folder.join(name)).unwrap().starts_with(begins),
            "{name}"
        );
    }
}

#[test]
#[ignore = "needs ../shared/data and the real model"]
fn an_eighth_of_the_bytes_keeps_ndcg_of_scifact_and_nfcorpus_with_rescoring() {
    let model = minilm().to_string_lossy().into_owned();
    for name in ["scifact", "nfcorpus"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = |file: &str| data(name).join(file).to_string_lossy().into_owned();
        for (from, to) in [
            ("corpus.jsonl.gz", "docs.parquet"),
            ("queries.jsonl", "queries.parquet"),
        ] {
            kokeshi(folder, &["embed", &path(from), "--model", &model, "--to", to]);
        }
        let qrels = path("qrels/test.tsv");
        let asked = [
            "shrink",
            "docs.parquet",
            "--queries",
            "queries.parquet",
            "--qrels",
            &qrels,
        ];
        let wished = [
            "--bytes-per-vector",
            "192",
            "--rescore",
            "--out",
            "small",
            "--json",
        ];
        let printed = kokeshi(folder, &[&asked[..], &wished].concat());
        let report: Value = serde_json::from_str(&printed).unwrap();
        let exact = report["exact"].as_f64().unwrap();
        let codecs = report["codecs"].as_array().unwrap();
        let quality = |codec: &Value| codec["quality_rescored"]["mean"].as_f64().unwrap();
        let named = |name: &str| codecs.iter().find(|codec| codec["codec"] == name).unwrap();
        // Half a byte a value, 192 of 1,536 bytes, and whatever was chosen.
        for codec in [named("int4"), named(report["chosen"].as_str().unwrap())] {
            println!(
                "{name}: exact {exact:.4}, {} {:.4}",
                codec["codec"],
                quality(codec)
            );
            assert!(codec["bytes"].as_u64().unwrap() <= 192);
            assert!(quality(codec) >= 0.99 * exact, "{name}: {exact} {codec}");
        }
        // Some are worse: the figures tell codecs apart.
        assert!(codecs.iter().any(|codec| quality(codec) < 0.99 * exact), "{name}");
        let rows = report["rows"].as_u64().unwrap();
        let bytes = named(report["chosen"].as_str().unwrap())["bytes"]
            .as_u64()
            .unwrap();
        let codes = std::fs::metadata(folder.join("small/codes.bin")).unwrap().len();
        assert!((rows * bytes..rows * bytes + 1000).contains(&codes), "{codes}");
        assert!(folder.join("small/front.svg").is_file());
    }
}
