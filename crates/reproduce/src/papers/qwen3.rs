//! Qwen3 Embedding (arXiv 2506.05176): the loss that hides its own false negatives, slerp, last-token vectors, and the reranker's yes and no.

use std::fs;
use std::path::{Path, PathBuf};

use kokeshi_core::{Embeddings, npy};
use kokeshi_encode::{Model, Options, Reranker};
use kokeshi_train::losses::{Aux, Loss, Qwen3, Reps};
use kokeshi_train::slerp;
use kokeshi_train::tape::{Matrix, Tape, Var};
use serde_json::Value;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::cross::apart;
use crate::training::net::g;

const ID: &str = "qwen3-embedding";

const CLAIMS: &[Claim] = &[
    Claim {
        name: "loss",
        claim: "the fixture's losses, with and without the mask on documents, and without any: largest relative difference",
        bar: Bar::AtMost(1e-4),
    },
    Claim {
        name: "slerp",
        claim: "the fixture's point at 0.3 of the arc: largest difference",
        bar: Bar::AtMost(2e-6),
    },
    Claim {
        name: "transformers",
        claim: "a random Qwen3 (2 layers, grouped queries, norms of queries and keys) gives the vectors of transformers' padded batch: largest difference",
        bar: Bar::AtMost(1e-4),
    },
    Claim {
        name: "alone",
        claim: "each of its texts alone has the vector that it has in a batch with texts of other lengths: largest difference",
        bar: Bar::AtMost(1e-5),
    },
    Claim {
        name: "padding at the end",
        claim: "padding that is taken for the last token gives other vectors: least difference of a text's largest",
        bar: Bar::AtLeast(1e-2),
    },
    Claim {
        name: "reranker",
        claim: "scores of a random reranker are transformers' softmax over no and yes: largest difference",
        bar: Bar::AtMost(1e-4),
    },
    Claim {
        name: "reranker, shifted",
        claim: "adding one number to all logits of a text changes no score: largest difference",
        bar: Bar::AtMost(1e-6),
    },
];

/// Random models of the two kinds with what transformers makes of them (`scripts/make_family_fixtures.py`).
macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../make/encode/tests/fixtures/families/", $name)).as_slice(),
        )
    };
}
const EMBEDDER: [(&str, &[u8]); 7] = [
    fixture!("qwen3/config.json"),
    fixture!("qwen3/model.safetensors"),
    fixture!("qwen3/modules.json"),
    fixture!("qwen3/tokenizer.json"),
    fixture!("qwen3/tokenizer_config.json"),
    fixture!("qwen3/1_Pooling/config.json"),
    fixture!("qwen3/expected-0.npy"),
];
const RERANKER: [(&str, &[u8]); 6] = [
    fixture!("rerank-yes-no/config.json"),
    fixture!("rerank-yes-no/model.safetensors"),
    fixture!("rerank-yes-no/sentence_bert_config.json"),
    fixture!("rerank-yes-no/tokenizer.json"),
    fixture!("rerank-yes-no/tokenizer_config.json"),
    fixture!("rerank-yes-no/expected.npy"),
];
const TEXTS: (&str, &[u8]) = fixture!("texts.jsonl");
const QUERIES: (&str, &[u8]) = fixture!("queries.json");

/// The token that padding is made of.
const PADDING: u32 = 0;

/// The reproduction.
pub(crate) struct Qwen3Paper;

impl Reproduction for Qwen3Paper {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, _: &Context) -> Result<Vec<Check>> {
        let folder = Scratch::new()?;
        let point = slerp(&g(1, 1, 6).data, &g(2, 1, 6).data, 0.3);
        let expected = [0.982_943, 0.212_102, -1.063_373, 0.406_274, -0.033_500, 0.320_928];
        let [transformers, alone, padded] = embedder(&folder.0)?;
        let [scores, shifted] = reranker(&folder.0)?;
        Ok(measured(
            CLAIMS,
            [
                losses(),
                apart(&point, &expected),
                transformers,
                alone,
                padded,
                scores,
                shifted,
            ],
        ))
    }
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("kokeshi-qwen3-{}", std::process::id()));
        for (name, bytes) in EMBEDDER.iter().chain(&RERANKER) {
            let path = folder.join(name);
            let write = || -> std::io::Result<()> {
                fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                fs::write(&path, bytes)
            };
            write().map_err(|error| failed(ID, format!("{}: {error}", path.display())))?;
        }
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays in the system's temporary folder is the system's to clear.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wrong(error: impl std::fmt::Display) -> crate::reproduction::Error {
    failed(ID, error)
}

/// The largest relative difference of the loss on the confusable batch from its golden values.
fn losses() -> f64 {
    let (mut a, mut p) = (g(1, 4, 8), g(1, 4, 8));
    p.add(&g(2, 4, 8));
    for (column, tag) in [(&mut a, 8), (&mut p, 9)] {
        let noise = g(tag, 1, 8).scaled(0.2);
        let moved: Vec<f32> = column
            .row(0)
            .iter()
            .zip(&noise.data)
            .map(|(a, b)| a + b)
            .collect();
        column.row_mut(3).copy_from_slice(&moved);
    }
    // Two hard negatives of each row: `[4, 2, 8]`.
    let noise = g(7, 8, 8).scaled(1.5);
    let hard = [0, 1].map(|which| {
        let row = |row: usize| {
            let pairs = a.row(row).iter().zip(noise.row(2 * row + which));
            pairs.map(|(a, b)| a + b)
        };
        Matrix::new(4, 8, (0..4).flat_map(row).collect())
    });
    let columns = [vec![a.clone(), p], hard.to_vec()].concat();
    let value = |loss: Qwen3| {
        let mut tape = Tape::default();
        let columns: Vec<Var> = columns
            .iter()
            .map(|column| tape.constant(column.clone()))
            .collect();
        let found = loss.loss(&mut tape, &Reps::single(columns), &Aux::default());
        f64::from(tape.value(found).data[0])
    };
    let paper = Qwen3 {
        temperature: 0.05,
        ..Qwen3::default()
    };
    let documents = Qwen3 {
        mask_documents: true,
        ..paper
    };
    let none = Qwen3 {
        margin: 10.0,
        ..paper
    };
    [(paper, 2.632_043), (documents, 0.478_389), (none, 2.958_962)]
        .map(|(loss, expected)| (value(loss) / expected - 1.0).abs())
        .into_iter()
        .fold(0.0, f64::max)
}

/// How far the random Qwen3 is from transformers' padded batch and from each text alone, and how far padding at the end moves a text at least.
fn embedder(folder: &Path) -> Result<[f64; 3]> {
    let folder = folder.join("qwen3");
    let model = Model::load(&folder.to_string_lossy()).map_err(wrong)?;
    let texts: Vec<String> = String::from_utf8_lossy(TEXTS.1)
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).map_err(wrong)?;
            Ok(value["text"].as_str().unwrap_or_default().to_string())
        })
        .collect::<Result<_>>()?;
    let options = Options::default();
    let ids = model.token_ids(&texts, &options).map_err(wrong)?;
    let together = model.encode(&texts, &options).map_err(wrong)?;
    let expected = npy::open(&folder.join("expected-0.npy")).map_err(wrong)?;
    let first = |found: Embeddings| found.row(0).to_vec();
    let (mut transformers, mut alone, mut padded) = (0.0_f64, 0.0_f64, f64::INFINITY);
    for (at, (text, ids)) in texts.iter().zip(ids).enumerate() {
        let own = together.row(at);
        transformers = transformers.max(apart(own, expected.row(at)));
        alone = alone.max(apart(
            &first(model.encode(&[text], &options).map_err(wrong)?),
            own,
        ));
        // An empty text is the end token, which is padding already, and the longest leave no room for it.
        let longer = [ids.as_slice(), &[PADDING; 3]].concat();
        if ids.iter().any(|id| *id != PADDING) && model.max_tokens().is_none_or(|most| longer.len() <= most) {
            padded = padded.min(apart(
                &first(model.encode_ids(&[longer], &options).map_err(wrong)?),
                own,
            ));
        }
    }
    Ok([transformers, alone, padded])
}

/// How far scores are from transformers', and from those with logits that are all moved by one number.
fn reranker(folder: &Path) -> Result<[f64; 2]> {
    let folder = folder.join("rerank-yes-no");
    let queries: Vec<String> = serde_json::from_slice(QUERIES.1).map_err(wrong)?;
    let texts: Vec<String> = String::from_utf8_lossy(TEXTS.1)
        .lines()
        .filter_map(|line| {
            Some(
                serde_json::from_str::<Value>(line).ok()?["text"]
                    .as_str()?
                    .to_string(),
            )
        })
        .collect();
    let scores = || -> Result<Vec<f32>> {
        let model = Reranker::load(&folder.to_string_lossy()).map_err(wrong)?;
        let all = queries
            .iter()
            .map(|query| model.score(query, &texts).map_err(wrong));
        Ok(all.collect::<Result<Vec<_>>>()?.concat())
    };
    let plain = scores()?;
    let expected = npy::open(&folder.join("expected.npy")).map_err(wrong)?;
    let expected: Vec<f32> = expected.iter().flat_map(<[f32]>::to_vec).collect();
    if expected.len() != plain.len() {
        return Err(wrong(format!(
            "expected {} scores, found {}",
            expected.len(),
            plain.len()
        )));
    }
    let path = folder.join("model.safetensors");
    let moved = move_logits(&fs::read(&path).map_err(wrong)?)?;
    fs::write(&path, moved).map_err(wrong)?;
    Ok([apart(&plain, &expected), apart(&scores()?, &plain)])
}

/// A model with its token table as an output table of its own, to each row of which the same vector is added: all logits of a text are then
/// moved by its last state times that vector.
fn move_logits(file: &[u8]) -> Result<Vec<u8>> {
    const WORDS: &str = "model.embed_tokens.weight";
    let short = || failed(ID, "the reranker's weights are cut off");
    let (len, rest) = file.split_first_chunk::<8>().ok_or_else(short)?;
    let (header, data) = rest
        .split_at_checked(u64::from_le_bytes(*len) as usize)
        .ok_or_else(short)?;
    let mut header: Value = serde_json::from_slice(header).map_err(wrong)?;
    let table = header[WORDS].clone();
    let place = |at: usize| table["data_offsets"][at].as_u64().unwrap_or(0) as usize;
    let cols = table["shape"][1].as_u64().unwrap_or(1) as usize;
    let words = data.get(place(0)..place(1)).ok_or_else(short)?;
    let added = g(60, 1, cols);
    let moved = words.chunks_exact(4).enumerate().flat_map(|(at, bytes)| {
        let value = f32::from_le_bytes(bytes.try_into().unwrap_or_default());
        (value + added.data[at % cols]).to_le_bytes()
    });
    let mut output = table.clone();
    output["data_offsets"] = serde_json::json!([data.len(), data.len() + words.len()]);
    header["lm_head.weight"] = output;
    let header = header.to_string().into_bytes();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend_from_slice(data);
    out.extend(moved);
    Ok(out)
}
