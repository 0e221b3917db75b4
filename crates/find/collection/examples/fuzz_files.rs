//! Damages files of codecs, codes, bridges and graphs at random and opens them: each must be refused with one line that names it, or work; a
//! panic, a hang or a message of several lines ends the run with the seed that repeats it.
//!
//! ```text
//! cargo run --release -p kokeshi-collection --example fuzz_files -- MINUTES [SEED]
//! ```
//! Half of the files are damaged as a disk would, and must be refused. The other half are damaged and then given a right checksum, as by
//! somebody who means harm: what is wrong with a number may go unnoticed there, but must do no harm when the file is used.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use kokeshi_codec::bridge::Method;
use kokeshi_codec::file::Codes;
use kokeshi_codec::{
    Bridge, Chain, Codec, CodesWriter, ContrasPq, ContrasPqConfig, HeadConfig, Rbe, Spec, score_all,
};
use kokeshi_core::file::{HEADER_BYTES, Writer};
use kokeshi_core::{Embeddings, Metric, Seed, Silent};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Vectors};

type Problem = Box<dyn Error>;

/// Slower than this is taken for a hang; the files open in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const ROWS: usize = 300;
/// Wide enough for a graph with codes.
const DIMS: usize = 128;

const SPECS: [&str; 12] = [
    "f32",
    "f16",
    "int8",
    "int4",
    "prefix:60|pca:20|rabitq:4",
    "pca:16:centred|int8",
    "rotate|sign",
    "rabitq:1",
    "pq:8",
    "pq:16x6",
    "opq:8x4",
    "pca:32|f16",
];

/// What a file is, and what it needs to be used.
enum Kind {
    Codec,
    Codes(Box<Chain>),
    Bridge,
    Graph(Vectors),
}

struct Case {
    kind: Kind,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Problem> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes: f64 = arguments
        .first()
        .ok_or("usage: fuzz_files MINUTES [SEED]")?
        .parse()?;
    let first: u64 = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let work = tempfile::tempdir()?;
    let path = work.path().join("damaged.bin");
    let rows = random(ROWS, DIMS)?;
    let cases = cases(&rows, &path)?;
    println!("{} files", cases.len());
    let started = Instant::now();
    let (mut seed, mut refused, mut worked) = (first, 0_u64, 0_u64);
    while started.elapsed().as_secs_f64() < minutes * 60.0 {
        let mut random = Seed(seed);
        let case = &cases[random.below(cases.len())];
        let sealed = random.below(2) == 0;
        let same = damage(case, &path, sealed, &mut random)?;
        let begun = Instant::now();
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open(&case.kind, &path, &rows)));
        match outcome {
            Err(_) => return Err(format!("seed {seed}: a panic").into()),
            Ok(Err(message)) if message.contains('\n') || !message.contains("damaged.bin") => {
                return Err(
                    format!("seed {seed}: expected one line that names the file, found {message:?}").into(),
                );
            }
            Ok(Err(_)) => refused += 1,
            Ok(Ok(())) if !sealed && !same => {
                return Err(format!("seed {seed}: damage went unnoticed").into());
            }
            Ok(Ok(())) => worked += 1,
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("seed {seed}: took {:?}", begun.elapsed()).into());
        }
        seed += 1;
    }
    println!(
        "seeds {first} to {}: {refused} refused, {worked} worked, no panic",
        seed - 1
    );
    Ok(())
}

fn random(rows: usize, dims: usize) -> Result<Embeddings, Problem> {
    let mut seed = Seed(7);
    let mut rows = Embeddings::from_vec((0..rows * dims).map(|_| seed.normal() as f32).collect(), dims)?;
    rows.normalize();
    Ok(rows)
}

/// Whole files of every kind.
fn cases(rows: &Embeddings, path: &Path) -> Result<Vec<Case>, Problem> {
    let mut chains = Vec::new();
    for spec in SPECS {
        chains.push(spec.parse::<Spec>()?.train(rows, Metric::Cosine, Seed(1))?);
    }
    let head = HeadConfig {
        hidden: 16,
        epochs: 1,
        ..HeadConfig::RBE
    };
    let config = ContrasPqConfig {
        epochs: 1,
        ..ContrasPqConfig::default()
    };
    let pairs = ContrasPq::train(rows, rows, 4, 4, Metric::Cosine, &config, Seed(1))?;
    let bits = Rbe::train(rows, rows, 32, 1, &head, None, Seed(1))?;
    chains.push(Chain::of(Vec::new(), Box::new(pairs))?);
    chains.push(Chain::of(Vec::new(), Box::new(bits))?);
    let mut cases = Vec::new();
    let mut add = |kind: Kind| -> Result<(), Problem> {
        let bytes = std::fs::read(path)?;
        cases.push(Case { kind, bytes });
        Ok(())
    };
    for chain in chains {
        chain.save(path)?;
        add(Kind::Codec)?;
        let mut writer = CodesWriter::create(path, &chain)?;
        writer.append(rows)?;
        writer.finish()?;
        add(Kind::Codes(Box::new(chain)))?;
    }
    for method in Method::ALL {
        let config = HeadConfig {
            hidden: 16,
            epochs: 1,
            ..HeadConfig::BRIDGE
        };
        Bridge::train(method, rows, rows, Metric::Cosine, &config, Seed(1))?.save(path)?;
        add(Kind::Bridge)?;
    }
    for metric in [Metric::Cosine, Metric::L2] {
        // Rows so narrow have no codes, the others have.
        for dims in [DIMS, 16] {
            let mut vectors = Vectors::new(dims);
            vectors.push_segment(random(ROWS, dims)?)?;
            Graph::build(&vectors, metric, GraphConfig::default(), &Silent)?.save(path)?;
            add(Kind::Graph(vectors))?;
        }
    }
    Ok(cases)
}

/// Opens the file and uses what is in it.
fn open(kind: &Kind, path: &Path, rows: &Embeddings) -> Result<(), String> {
    let fail = |error: kokeshi_core::Error| error.to_string();
    let search = |chain: &Chain, codes: &[u8]| {
        let mut scores = vec![0.0; codes.len() / chain.code_bytes()];
        let query = chain.query(rows.row(3)).map_err(fail)?;
        query.score_rows(codes, &mut scores);
        query.score_ids(codes, &[0, 7], &mut scores[..2]);
        let queries: Vec<_> = (0..4)
            .map(|row| chain.query(rows.row(row)))
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        score_all(&queries, codes, chain.code_bytes(), |_, from, found| {
            scores[from..][..found.len()].copy_from_slice(found)
        });
        chain.decode_all(codes).map(drop).map_err(fail)
    };
    match kind {
        Kind::Codec => {
            let chain = Chain::load(path).map_err(fail)?;
            // Of another width it has no use for these rows.
            if chain.dims() != rows.dims() {
                return Ok(());
            }
            search(&chain, &chain.encode_all(rows).map_err(fail)?)
        }
        Kind::Codes(chain) => {
            let codes = Codes::open(path, chain).map_err(fail)?;
            match codes.rows() < 8 {
                true => Ok(()),
                false => search(chain, codes.bytes()),
            }
        }
        Kind::Bridge => {
            let bridge = Bridge::load(path).map_err(fail)?;
            match bridge.new_dims() == rows.dims() {
                true => bridge.apply(rows).map(drop).map_err(fail),
                false => Ok(()),
            }
        }
        Kind::Graph(vectors) => {
            let graph = Graph::open(path).map_err(|error| error.to_string())?;
            // A graph of another shape is refused when it is joined with its vectors; the file itself is right.
            let Ok(index) = GraphIndex::new(graph, vectors.clone()) else {
                return Ok(());
            };
            let query = vectors.row(3);
            for effort in [Effort::Default, Effort::List(40), Effort::Recall(0.99)] {
                // Damaged numbers may lead to no hits or to an error, not to a panic.
                let _ = index.search(query, 10, effort, None);
            }
            Ok(())
        }
    }
}

/// Writes a damaged copy; with `sealed` its checksum is right. Gives whether nothing was changed after all.
fn damage(case: &Case, path: &Path, sealed: bool, random: &mut Seed) -> Result<bool, Problem> {
    let (head, payload) = case.bytes.split_at(HEADER_BYTES);
    let mut bytes = if sealed {
        payload.to_vec()
    } else {
        case.bytes.clone()
    };
    for _ in 0..=random.below(3) {
        change(&mut bytes, random);
    }
    let same = bytes == case.bytes;
    if !sealed {
        std::fs::write(path, bytes)?;
        return Ok(same);
    }
    let magic = head.first_chunk::<8>().ok_or("a file without a head")?;
    let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let mut writer = Writer::create(path, magic, version)?;
    writer.write_all(&bytes)?;
    writer.finish()?;
    Ok(false)
}

/// One change: cut, grown, a bit, a byte, or a number that is absurd.
fn change(bytes: &mut Vec<u8>, random: &mut Seed) {
    const NUMBERS: [u64; 10] = [
        0,
        1,
        2,
        255,
        1 << 16,
        1 << 24,
        1 << 32,
        1 << 40,
        u64::MAX / 4,
        u64::MAX,
    ];
    const VALUES: [f32; 6] = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, -0.0, 1e-40];
    if bytes.is_empty() {
        return;
    }
    // What decides most stands at the front.
    let reach = match random.below(2) {
        0 => bytes.len().min(256),
        _ => bytes.len(),
    };
    let at = random.below(reach);
    let mut put = |new: &[u8]| {
        let end = bytes.len().min(at + new.len());
        bytes[at..end].copy_from_slice(&new[..end - at]);
    };
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(&[0; 5][..1 + at % 5]),
        2 => bytes[at] ^= 1 << random.below(8),
        3 => bytes[at] = random.next_u64() as u8,
        4 => put(&NUMBERS[random.below(NUMBERS.len())].to_le_bytes()),
        5 => put(&(NUMBERS[random.below(NUMBERS.len())] as u32).to_le_bytes()),
        _ => put(&VALUES[random.below(VALUES.len())].to_le_bytes()),
    }
}
