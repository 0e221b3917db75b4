//! Tokens per CPU second: ours beside the Hugging Face crate, on the texts of JSON lines from stdin (field `abstract` or `text`).
//!
//! `zcat arxiv.*.jsonl.gz | cargo run --release -p kokeshi-tokens --example tokens_speed -- MODEL/tokenizer.json`

use std::{
    error::Error,
    hint::black_box,
    io::BufRead,
    path::PathBuf,
    sync::LazyLock,
    time::{Duration, Instant},
};

use kokeshi_tokens::{Encoding, Tokenizer};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(
        std::env::args()
            .nth(1)
            .ok_or("usage: speed tokenizer.json < texts.jsonl")?,
    );
    let mut texts = Vec::new();
    for line in std::io::stdin().lock().lines().take(20_000) {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        texts.extend(
            row.get("abstract")
                .or(row.get("text"))
                .and_then(|text| text.as_str())
                .map(str::to_owned),
        );
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{} texts, {:.1} MB", texts.len(), bytes as f64 / 1e6);

    let start = now();
    let ours = Tokenizer::open(&path)?;
    println!("ours   opened in {:.1} ms", (now() - start).as_secs_f64() * 1e3);
    let tokens: Vec<String> = (0..ours.vocabulary() as u32)
        .filter_map(|id| ours.token(id))
        .map(str::to_owned)
        .collect();
    let start = now();
    black_box(
        Tokenizer::from_wordpiece(&tokens, &kokeshi_tokens::WordPieceOptions::default())
            .map_err(|error| error.to_string())
            .ok(),
    );
    println!(
        "ours   made from a list in {:.1} ms",
        (now() - start).as_secs_f64() * 1e3
    );
    let start = now();
    let mut crates = tokenizers::Tokenizer::from_file(&path).map_err(|error| error.to_string())?;
    crates.with_truncation(None).map_err(|error| error.to_string())?;
    crates.with_padding(None);
    println!("crate  opened in {:.1} ms", (now() - start).as_secs_f64() * 1e3);

    let mut out = Encoding::default();
    let mut rates = [0.0f64; 2];
    for _ in 0..3 {
        let start = now();
        let mut tokens = 0;
        for text in &texts {
            ours.encode(text, true, None, &mut out);
            tokens += black_box(&out).len();
        }
        rates[0] = rates[0].max(tokens as f64 / (now() - start).as_secs_f64());
        let start = now();
        let mut tokens = 0;
        for text in &texts {
            tokens += black_box(
                crates
                    .encode(text.as_str(), true)
                    .map_err(|error| error.to_string())?,
            )
            .len();
        }
        rates[1] = rates[1].max(tokens as f64 / (now() - start).as_secs_f64());
    }
    println!("ours   {:>8.2} million tokens/CPU-s", rates[0] / 1e6);
    println!("crate  {:>8.2} million tokens/CPU-s", rates[1] / 1e6);
    println!("ratio  {:>8.1}", rates[0] / rates[1]);
    Ok(())
}

/// Time that this thread has had on a processor, so that other work on the machine does not count; wall time where the system doesn't tell.
fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|spent| spent.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}
