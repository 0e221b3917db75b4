//! Damages model directories at random and loads them: each must be refused with one line, or work; a panic, a hang or a message of
//! several lines ends the run with the seed that repeats it.
//!
//! ```text
//! cargo run --release -p kokeshi-encode --example fuzz_loader -- MINUTES [SEED]
//! ```
//! The directories are the fixtures of the tests: every family, words of bytes, routers, rerankers and sparse models; precisions take turns. Files are cut, bits flipped, numbers in JSON
//! replaced by absurd ones, tensors of the header renamed or given other shapes, values made NaN.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kokeshi_core::Seed;
use kokeshi_encode::{LoadOptions, Model, Options, Precision, Reranker, SparseModel, Task};

/// Slower than this is taken for a hang; the directories load in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What models are loaded at.
const PRECISIONS: [Precision; 4] = [
    Precision::F32,
    Precision::Int8,
    Precision::Bf16,
    Precision::Int4Weights,
];

/// What numbers in JSON are replaced by.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "31",
    "1e999",
    "-0.0",
    "0.5",
    "65536",
    "4294967296",
    "1000000000000",
    "18446744073709551615",
    "null",
    "\"x\"",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes: f64 = arguments
        .first()
        .ok_or("usage: fuzz_loader MINUTES [SEED]")?
        .parse()?;
    let first: u64 = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let folders = folders()?;
    let work = tempfile::tempdir()?;
    let started = Instant::now();
    let (mut seed, mut refused, mut worked) = (first, 0_u64, 0_u64);
    while started.elapsed().as_secs_f64() < minutes * 60.0 {
        let mut random = Seed(seed);
        let folder = &folders[random.below(folders.len())];
        let copy = work.path().join("model");
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        lay(folder, &copy)?;
        for _ in 0..=random.below(2) {
            damage(&copy, &mut random)?;
        }
        let begun = Instant::now();
        let precision = PRECISIONS[random.below(PRECISIONS.len())];
        let outcome = std::panic::catch_unwind(|| run(folder, &copy, precision));
        let name = folder.display();
        match outcome {
            Err(_) => return Err(format!("seed {seed}, {name}: a panic").into()),
            Ok(Err(message)) if message.contains('\n') => {
                return Err(format!("seed {seed}, {name}: several lines: {message:?}").into());
            }
            Ok(Err(_)) => refused += 1,
            Ok(Ok(())) => worked += 1,
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("seed {seed}, {name}: took {:?}", begun.elapsed()).into());
        }
        seed += 1;
    }
    println!(
        "seeds {first} to {}: {refused} refused, {worked} worked, no panic",
        seed - 1
    );
    Ok(())
}

/// The directories that are damaged.
fn folders() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut folders = vec![fixtures.join("byte2word")];
    for entry in std::fs::read_dir(fixtures.join("families"))? {
        let path = entry?.path();
        if ["config.json", "modules.json"]
            .iter()
            .any(|file| path.join(file).is_file())
        {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Loads what the folder's name says it is, and encodes with it.
fn run(original: &Path, folder: &Path, precision: Precision) -> Result<(), String> {
    let name = original.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let path = folder.to_str().unwrap_or("");
    let texts = [
        "the quick dog",
        "",
        "zebra 42! 😀 how small can a vector be, and how long may it get",
    ];
    let fail = |error: kokeshi_encode::Error| error.to_string();
    if name.starts_with("rerank") {
        let model = Reranker::load(path).map_err(fail)?;
        model.score("how small?", &texts).map(drop).map_err(fail)
    } else if name.starts_with("sparse") {
        let model = SparseModel::load(path).map_err(fail)?;
        model.encode(&texts).map(drop).map_err(fail)
    } else {
        let given = LoadOptions {
            precision,
            ..LoadOptions::default()
        };
        let model = Model::load_with(path, &given).map_err(fail)?;
        let options = Options {
            task: if name.starts_with("route") {
                Task::Query
            } else {
                Task::default()
            },
            ..Options::default()
        };
        model.encode(&texts, &options).map(drop).map_err(fail)
    }
}

/// Copies a directory.
fn lay(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            lay(&path, &to.join(name))?;
        } else if path.extension().is_none_or(|kind| kind != "npy") {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// All files of a directory, in order.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Damages one file.
fn damage(folder: &Path, random: &mut Seed) -> std::io::Result<()> {
    let mut found = Vec::new();
    files(folder, &mut found)?;
    // The configuration decides most: as often as all other files together.
    let path = match random.below(2) {
        0 => folder.join("config.json"),
        _ => found[random.below(found.len())].clone(),
    };
    let Ok(mut bytes) = std::fs::read(&path) else {
        return Ok(());
    };
    let weights = path.extension().is_some_and(|kind| kind == "safetensors");
    let reach = |bytes: &[u8], random: &mut Seed| match random.below(2) {
        // Headers and configuration stand at the front.
        0 => bytes.len().min(3000),
        _ => bytes.len(),
    };
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 => std::fs::remove_file(&path)?,
        2..=4 if !weights => replace_number(&mut bytes, random),
        2 if bytes.len() > 8 => {
            let length = [0, 1, 8, 1_000_000_000_000, u64::MAX, bytes.len() as u64][random.below(6)];
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
        3 if bytes.len() > 8 => {
            // A number in the header: shapes and places.
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default()) as usize;
            let end = length.saturating_add(8).min(bytes.len());
            let mut header = bytes[8..end].to_vec();
            replace_number(&mut header, random);
            let mut whole = (header.len() as u64).to_le_bytes().to_vec();
            whole.extend_from_slice(&header);
            whole.extend_from_slice(&bytes[end..]);
            bytes = whole;
        }
        4 if bytes.len() > 8 => {
            let at = bytes.len() - 4 - random.below(bytes.len() - 8) / 4 * 4;
            let value = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, -0.0][random.below(5)];
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        _ if !bytes.is_empty() => {
            for _ in 0..=random.below(4) {
                let reach = reach(&bytes, random);
                let at = random.below(reach);
                bytes[at] ^= 1 << random.below(8);
            }
        }
        _ => {}
    }
    if path.exists() {
        std::fs::write(&path, bytes)?;
    }
    Ok(())
}

/// Replaces one of the numbers in a text.
fn replace_number(bytes: &mut Vec<u8>, random: &mut Seed) {
    let starts: Vec<usize> = (1..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit() && matches!(bytes[*at - 1], b' ' | b':' | b'[' | b','))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[random.below(starts.len())];
    let end = (start..bytes.len())
        .find(|at| !matches!(bytes[*at], b'0'..=b'9' | b'.' | b'e' | b'-' | b'+'))
        .unwrap_or(bytes.len());
    let number = NUMBERS[random.below(NUMBERS.len())];
    bytes.splice(start..end, number.bytes());
}
