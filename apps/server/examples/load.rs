//! Load: clients that search while others add and delete documents, then every acknowledged write is looked up.
//!
//! `load ADDRESS COLLECTION [SECONDS [CLIENTS]]` against a server that runs, such as the `serve` example. One client in eight
//! writes. Prints requests/s, latencies, statuses, lost writes and the server's memory; exits with 1 if a write was lost or a
//! status was neither 200 nor the documented 503 and 429.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Documents in one POST.
const BATCH: usize = 20;
/// Documents that are there before the clock starts.
const BEFORE: usize = 5_000;
const WORDS: &str = "red green silver wooden doll lathe brush search vector index filter query meaning word graph memory disk \
                     river mountain lake island harbour bread soup lemon garden winter summer music violin paper ink letter \
                     story history science planet star light shadow engine wheel bridge tower market village road forest";

struct Client {
    address: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: &str) -> Result<Self, Anything> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            address: address.into(),
            sender,
        })
    }

    /// Status and body; connects again if the server closed the connection.
    async fn send(&mut self, method: &str, path: &str, body: String) -> Result<(u16, Bytes), Anything> {
        if self.sender.ready().await.is_err() {
            *self = Self::connect(&self.address.clone()).await?;
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// A small generator (xorshift) so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn text(&mut self, words: usize) -> String {
        let all: Vec<_> = WORDS.split_whitespace().collect();
        let chosen: Vec<_> = (0..words).map(|_| all[self.below(all.len())]).collect();
        chosen.join(" ")
    }
}

#[derive(Default)]
struct Tally {
    search_ms: Vec<f64>,
    write_ms: Vec<f64>,
    statuses: BTreeMap<u16, usize>,
    /// What was acknowledged: text, or `None` for deleted.
    expected: BTreeMap<String, Option<String>>,
}

fn batch(prefix: &str, from: usize, random: &mut Random) -> (String, Vec<(String, String)>) {
    let documents: Vec<_> = (from..from + BATCH)
        .map(|number| (format!("{prefix}-{number}"), random.text(60)))
        .collect();
    let values = documents
        .iter()
        .map(|(id, text)| serde_json::json!({"id": id, "text": text}));
    (serde_json::Value::from_iter(values).to_string(), documents)
}

async fn searcher(mut client: Client, path: Arc<str>, seed: u64, end: Instant) -> Result<Tally, Anything> {
    let mut tally = Tally::default();
    let mut random = Random(seed);
    while Instant::now() < end {
        let body = format!(r#"{{"query": "{}", "k": 10}}"#, random.text(4));
        let start = Instant::now();
        let (status, _) = client.send("POST", &format!("{path}/search"), body).await?;
        tally.search_ms.push(start.elapsed().as_secs_f64() * 1e3);
        *tally.statuses.entry(status).or_default() += 1;
        if status == 503 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(tally)
}

async fn writer(mut client: Client, path: Arc<str>, seed: u64, end: Instant) -> Result<Tally, Anything> {
    let mut tally = Tally::default();
    let mut random = Random(seed);
    let mut number = 0;
    while Instant::now() < end {
        let (body, documents) = batch(&format!("writer-{seed}"), number, &mut random);
        number += BATCH;
        let start = Instant::now();
        let (status, _) = client.send("POST", &format!("{path}/documents"), body).await?;
        tally.write_ms.push(start.elapsed().as_secs_f64() * 1e3);
        *tally.statuses.entry(status).or_default() += 1;
        if status != 200 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let gone = documents[random.below(BATCH)].0.clone();
        tally
            .expected
            .extend(documents.into_iter().map(|(id, text)| (id, Some(text))));
        let (status, _) = client
            .send("DELETE", &format!("{path}/documents/{gone}"), String::new())
            .await?;
        *tally.statuses.entry(status).or_default() += 1;
        if status == 200 {
            tally.expected.insert(gone, None);
        }
    }
    Ok(tally)
}

/// The server's resident memory in MiB.
async fn memory(client: &mut Client) -> Result<f64, Anything> {
    let (_, text) = client.send("GET", "/metrics", String::new()).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
        .ok_or("no memory in /metrics")?;
    Ok(line.trim().parse::<f64>()? / f64::from(1 << 20))
}

fn percentiles(name: &str, mut values: Vec<f64>, seconds: f64) {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        values
            .get(((values.len() as f64 - 1.0) * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    println!(
        "{name:<8} {:>8} requests {:>9.1}/s   p50 {:>7.1} ms   p99 {:>7.1} ms   max {:>7.1} ms",
        values.len(),
        values.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, collection, rest @ ..] = arguments.as_slice() else {
        return Err("usage: load ADDRESS COLLECTION [SECONDS [CLIENTS]]".into());
    };
    let address = address.trim_start_matches("http://");
    let seconds: u64 = rest.first().map_or(Ok(60), |text| text.parse())?;
    let clients: u64 = rest.get(1).map_or(Ok(64), |text| text.parse())?;
    let path: Arc<str> = format!("/collections/{collection}").into();

    let mut own = Client::connect(address).await?;
    let mut random = Random(1);
    for from in (0..BEFORE).step_by(BATCH * 25) {
        let many: Vec<String> = (0..25)
            .map(|step| batch("before", from + step * BATCH, &mut random).0)
            .map(|body| body.trim_matches(['[', ']']).to_string())
            .collect();
        let (status, answer) = own
            .send(
                "POST",
                &format!("{path}/documents"),
                format!("[{}]", many.join(",")),
            )
            .await?;
        if status != 200 {
            return Err(format!("adding documents: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    let at_start = memory(&mut own).await?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 1..=clients {
        let client = Client::connect(address).await?;
        match seed % 8 {
            0 => tasks.spawn(writer(client, path.clone(), seed, end)),
            _ => tasks.spawn(searcher(client, path.clone(), seed, end)),
        };
    }
    tokio::time::sleep(Duration::from_secs(seconds) / 2).await;
    let in_the_middle = memory(&mut own).await?;
    let mut all = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        let tally = tally??;
        all.search_ms.extend(tally.search_ms);
        all.write_ms.extend(tally.write_ms);
        all.expected.extend(tally.expected);
        for (status, count) in tally.statuses {
            *all.statuses.entry(status).or_default() += count;
        }
    }
    let took = start.elapsed().as_secs_f64();
    let at_end = memory(&mut own).await?;

    let mut lost = 0;
    for (id, text) in &all.expected {
        let (status, body) = own
            .send("GET", &format!("{path}/documents/{id}"), String::new())
            .await?;
        let found = match status {
            200 => serde_json::from_slice::<serde_json::Value>(&body)?["text"]
                .as_str()
                .map(str::to_string),
            404 => None,
            other => return Err(format!("looking up {id}: status {other}").into()),
        };
        lost += usize::from(found != *text);
    }
    percentiles("search", all.search_ms, took);
    percentiles("write", all.write_ms, took);
    println!("statuses {:?}", all.statuses);
    println!("writes   {} acknowledged, {lost} lost", all.expected.len());
    println!(
        "memory   {at_start:.0} MiB at the start, {in_the_middle:.0} MiB in the middle, {at_end:.0} MiB at the end"
    );
    let bad = all
        .statuses
        .keys()
        .any(|status| ![200, 429, 503].contains(status));
    if lost > 0 || bad {
        std::process::exit(1);
    }
    Ok(())
}
