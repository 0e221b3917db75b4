//! Counters and histograms in the OpenMetrics text format that Prometheus reads.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kokeshi_collection::Info;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: in-process search takes single milliseconds, a large embedding request tens of seconds.
const BOUNDS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Collection {
    collection: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    collection: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    collection: String,
    part: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

type Histograms = Family<Route, Histogram, fn() -> Histogram>;

/// Everything that `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Histograms,
    commits: Family<Outcome, Counter>,
    commit_seconds: Histogram,
    running: Family<Queue, Gauge>,
    waiting: Family<Queue, Gauge>,
    writes_waiting: Family<Collection, Gauge>,
    documents: Family<Collection, Gauge>,
    passages: Family<Collection, Gauge>,
    bytes: Family<Part, Gauge>,
    rows: Family<Collection, Gauge>,
    code_bytes: Family<Collection, Gauge>,
    memory: Gauge<u64, AtomicU64>,
}

fn histogram() -> Histogram {
    Histogram::new(BOUNDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            commits: Family::default(),
            commit_seconds: histogram(),
            running: Family::default(),
            waiting: Family::default(),
            writes_waiting: Family::default(),
            documents: Family::default(),
            passages: Family::default(),
            bytes: Family::default(),
            rows: Family::default(),
            code_bytes: Family::default(),
            memory: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register(
            "process_resident_memory_bytes",
            "Memory in use",
            self.memory.clone(),
        );
        let own = all.sub_registry_with_prefix("kokeshi");
        own.register(
            "http_requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        own.register_with_unit(
            "http_request_duration",
            "Time from the request's head to the answer's head",
            Unit::Seconds,
            self.seconds.clone(),
        );
        own.register("commits", "Commits by outcome", self.commits.clone());
        own.register_with_unit(
            "commit_duration",
            "Time of a group commit",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        own.register("jobs_running", "Jobs that run", self.running.clone());
        own.register(
            "jobs_waiting",
            "Jobs that wait for their turn",
            self.waiting.clone(),
        );
        own.register(
            "documents_waiting",
            "Documents that wait for a commit",
            self.writes_waiting.clone(),
        );
        own.register("documents", "Documents that can be found", self.documents.clone());
        own.register("passages", "Their passages", self.passages.clone());
        own.register("collection_bytes", "Bytes on disk by part", self.bytes.clone());
        own.register(
            "rows",
            "Vectors, those of deleted passages included: collection_bytes over this are bytes a vector",
            self.rows.clone(),
        );
        own.register(
            "code_bytes",
            "Bytes of a vector's code, which searches read; 0 without a codec",
            self.code_bytes.clone(),
        );
    }

    /// Counts an answered request.
    pub fn answered(&self, method: &axum::http::Method, route: &str, status: u16, took: Duration) {
        // A client can invent methods; each would be a series of its own.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        };
        self.requests
            .get_or_create(&Request {
                method: method.into(),
                route: route.into(),
                status,
            })
            .inc();
        self.seconds
            .get_or_create(&Route { route: route.into() })
            .observe(took.as_secs_f64());
    }

    /// Counts a group commit.
    pub fn committed(&self, collection: &str, ok: bool, took: Duration) {
        self.commits
            .get_or_create(&Outcome {
                collection: collection.into(),
                outcome: if ok { "ok" } else { "failed" },
            })
            .inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Notes how many jobs of `queue` run and wait.
    pub fn jobs(&self, queue: &'static str, running: usize, waiting: usize) {
        self.running.get_or_create(&Queue { queue }).set(running as i64);
        self.waiting.get_or_create(&Queue { queue }).set(waiting as i64);
    }

    /// Notes the size of a collection and how many documents wait to be written to it.
    pub fn collection(&self, info: &Info, waiting: usize) {
        let label = Collection {
            collection: info.name.clone(),
        };
        self.documents.get_or_create(&label).set(info.documents as i64);
        self.passages.get_or_create(&label).set(info.passages as i64);
        self.rows.get_or_create(&label).set(info.rows as i64);
        let code_bytes = info.codec.as_ref().map_or(0, |codec| codec.code_bytes);
        self.code_bytes.get_or_create(&label).set(code_bytes as i64);
        self.writes_waiting.get_or_create(&label).set(waiting as i64);
        for (part, bytes) in &info.bytes {
            self.bytes
                .get_or_create(&Part {
                    collection: info.name.clone(),
                    part: part.clone(),
                })
                .set(*bytes as i64);
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.memory.set(bytes);
        }
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Resident memory of this process; `None` where the system has no `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
