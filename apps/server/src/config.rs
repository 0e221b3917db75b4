//! How the server listens, who may use it and how much it takes on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The server's settings; [`ServerConfig::default`] is safe on a developer's machine: it listens to this machine only.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen; `127.0.0.1:7700`. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Keys that may do everything. With none and no `read_keys`, no key is asked for.
    pub api_keys: Vec<String>,
    /// Keys that may only read: search, embed, fetch.
    pub read_keys: Vec<String>,
    /// Listen to a public address although there is no API key; false.
    pub insecure: bool,
    /// Origins whose pages may call the API from a browser (CORS), or `*`; none.
    pub cors: Vec<String>,
    /// Host names by which the server may be called when it has no API key and listens to this machine only, beside
    /// `localhost` and loopback addresses; none. Without this check any web page could reach the server by DNS rebinding.
    pub hosts: Vec<String>,
    /// The largest request body in bytes; 32 MiB.
    pub max_body: usize,
    /// Bytes of request bodies held in memory at once, over all requests; 256 MiB, never less than `max_body`.
    pub max_bodies: usize,
    /// Open connections; 1,024. More wait in the system's backlog.
    pub max_connections: usize,
    /// Searches and embeddings that run at once; the number of cores.
    pub concurrency: usize,
    /// Searches and embeddings that may wait for their turn; 256. Beyond: 503 with Retry-After.
    pub queue: usize,
    /// How long one may wait for its turn before 503; 10 s.
    pub queue_timeout: Duration,
    /// Documents that may wait for the next commit of a collection; 100,000. Beyond: 429 with Retry-After.
    pub write_queue: usize,
    /// How long a client may take to send its request's head (10 s) and body (60 s).
    pub read_timeouts: [Duration; 2],
    /// How long a request may take once its body is there; 60 s.
    pub timeout: Duration,
    /// How long the server waits for requests in flight when it is told to stop; 30 s.
    pub shutdown_deadline: Duration,
    /// How long a collection's write lock is kept after the last write, so that other programs can write too; 2 s. Before it
    /// is given back the collection is optimized, if that is due and until the next write comes.
    pub writer_idle: Duration,
    /// How often collections are looked at for commits of other programs; 1 s.
    pub refresh: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7700),
            api_keys: Vec::new(),
            read_keys: Vec::new(),
            insecure: false,
            cors: Vec::new(),
            hosts: Vec::new(),
            max_body: 32 << 20,
            max_bodies: 256 << 20,
            max_connections: 1024,
            concurrency: std::thread::available_parallelism().map_or(2, usize::from),
            queue: 256,
            queue_timeout: Duration::from_secs(10),
            write_queue: 100_000,
            read_timeouts: [Duration::from_secs(10), Duration::from_secs(60)],
            timeout: Duration::from_secs(60),
            shutdown_deadline: Duration::from_secs(30),
            writer_idle: Duration::from_secs(2),
            refresh: Duration::from_secs(1),
        }
    }
}

impl ServerConfig {
    /// Whether requests need a key.
    pub fn protected(&self) -> bool {
        !self.api_keys.is_empty() || !self.read_keys.is_empty()
    }

    /// Checks settings that contradict each other or are dangerous.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with what to change.
    pub fn check(&self) -> crate::Result<()> {
        let wrong = |problem: &str| Err(crate::Error::Config(problem.into()));
        if !self.address.ip().is_loopback() && !self.protected() && !self.insecure {
            return wrong(&format!(
                "{} can be reached from other machines and there is no API key: give one with --api-key, listen to \
                 127.0.0.1, or say --insecure",
                self.address
            ));
        }
        if self
            .api_keys
            .iter()
            .chain(&self.read_keys)
            .any(|key| key.len() < 8)
        {
            return wrong("an API key has fewer than 8 characters: take a longer one");
        }
        if self.api_keys.iter().any(|key| self.read_keys.contains(key)) {
            return wrong("the same key is given as API key and as read key: take two different ones");
        }
        if self.concurrency == 0 || self.max_connections == 0 || self.max_body == 0 || self.write_queue == 0 {
            return wrong("concurrency, connections, body size and write queue must be at least 1");
        }
        Ok(())
    }
}

/// Leaves the keys out.
impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("address", &self.address)
            .field("api_keys", &self.api_keys.len())
            .field("read_keys", &self.read_keys.len())
            .field("max_body", &self.max_body)
            .field("concurrency", &self.concurrency)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
