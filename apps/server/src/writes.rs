//! Group commit: one thread a collection takes all waiting writes, commits them together and only then answers. When writes pause it
//! optimizes the collection, if that is due.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use kokeshi_sources::Document;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Problem;
use crate::backend::{Backend, Write};
use crate::metrics::Metrics;

/// Documents in one commit at most: bounds how long the first of a group waits.
const GROUP: usize = 10_000;

/// What is to be changed.
pub enum Change {
    /// Add or replace.
    Upsert(Vec<Document>),
    /// Delete by id.
    Ids(Vec<String>),
    /// Delete what matches.
    Filter(String),
}

impl Change {
    fn weight(&self) -> usize {
        match self {
            Self::Upsert(documents) => documents.len().max(1),
            Self::Ids(ids) => ids.len().max(1),
            Self::Filter(_) => 1,
        }
    }
}

/// What a durable write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Documents added, replaced or deleted.
    pub documents: u64,
    /// The number of the commit.
    pub generation: u64,
}

type Reply = oneshot::Sender<Result<Committed, Problem>>;

struct Job {
    change: Change,
    reply: Reply,
    weight: usize,
    /// The share of the memory for bodies that the documents take, given back after the commit.
    _memory: Option<OwnedSemaphorePermit>,
}

/// The writes of one collection.
pub struct Writes {
    sender: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    waiting: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    limit: usize,
}

impl Writes {
    /// Starts the thread. It takes the write lock with the first write and gives it back after `idle` without one.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(
        name: String,
        backend: Arc<dyn Backend>,
        metrics: Arc<Metrics>,
        limit: usize,
        idle: Duration,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let committer = Committer {
            name: name.clone(),
            backend,
            metrics,
            waiting: waiting.clone(),
            stopping: stopping.clone(),
            writer: None,
        };
        let thread = std::thread::Builder::new()
            .name(format!("writer {name}"))
            .spawn(move || committer.run(&receiver, idle))?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            waiting,
            stopping,
            limit,
        })
    }

    /// Documents that wait for a commit.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Hands in a change and waits until it is durable and visible. Once handed in, it is carried out even if the client
    /// hangs up.
    ///
    /// # Errors
    /// 429 if too much waits, 503 if the server stops or another program writes, or the change's own problem.
    pub async fn submit(
        &self,
        change: Change,
        memory: Option<OwnedSemaphorePermit>,
    ) -> Result<Committed, Problem> {
        let weight = change.weight();
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        // A change larger than the whole queue is taken when nothing else waits.
        if before > 0 && before + weight > self.limit {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            let mut problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "write_queue_full",
                format!(
                    "{before} documents already wait for a commit; the limit is {}.",
                    self.limit
                ),
            )
            .hint("Send fewer documents at once, or try again after the time in Retry-After.");
            problem.retry_after = Some(2);
            return Err(problem);
        }
        let (reply, answer) = oneshot::channel();
        let job = Job {
            change,
            reply,
            weight,
            _memory: memory,
        };
        let sent = match &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.send(job).is_ok(),
            None => false,
        };
        if !sent {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            return Err(Problem::busy(
                "stopping",
                "The server is stopping and takes no more writes.",
                5,
            ));
        }
        answer.await.unwrap_or_else(|_| {
            Err(Problem::internal(
                "The write was not answered; it may or may not be there.",
            ))
        })
    }

    /// Takes no more writes, commits those that were handed in and returns when that is done. Blocks.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a writer thread panicked");
        }
    }
}

struct Committer {
    name: String,
    backend: Arc<dyn Backend>,
    metrics: Arc<Metrics>,
    waiting: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    writer: Option<Box<dyn Write>>,
}

impl Committer {
    fn run(mut self, receiver: &Receiver<Job>, idle: Duration) {
        loop {
            let first = match self.writer {
                Some(_) => receiver.recv_timeout(idle),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match first {
                Ok(first) => self.group(first, receiver),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Uses the pause after writes to make searches faster, and gives the write lock back if the pause goes on.
    fn tidy(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let stop = || self.waiting.load(Ordering::Relaxed) > 0 || self.stopping.load(Ordering::Relaxed);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| writer.tidy(&stop)));
        match outcome {
            Ok(Ok(())) if stop() => self.writer = Some(writer),
            Ok(Ok(())) => {}
            Ok(Err(problem)) => tracing::error!("{}: not optimized: {}", self.name, problem.message),
            Err(_) => tracing::error!("{}: optimizing failed inside the server", self.name),
        }
    }

    /// Takes what waits behind `first`, commits it together and answers.
    fn group(&mut self, first: Job, receiver: &Receiver<Job>) {
        let mut weight = first.weight;
        let mut jobs = vec![first];
        while weight < GROUP
            && let Ok(job) = receiver.try_recv()
        {
            weight += job.weight;
            jobs.push(job);
        }
        let mut memory = Vec::with_capacity(jobs.len());
        let mut changes = Vec::with_capacity(jobs.len());
        for job in jobs {
            memory.push(job._memory);
            changes.push((job.change, job.reply));
        }
        let mut replies = Vec::with_capacity(changes.len());
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| self.commit(changes, &mut replies)))
            .unwrap_or_else(|_| Err(Problem::internal("The write failed inside the server.")));
        self.metrics
            .committed(&self.name, outcome.is_ok(), start.elapsed());
        if outcome.is_err() {
            // What this writer holds is in doubt: dropping it goes back to the last commit.
            self.writer = None;
        }
        drop(memory);
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        for (reply, done) in replies {
            let answer = match (&outcome, done) {
                (Ok(generation), Ok(documents)) => Ok(Committed {
                    documents,
                    generation: *generation,
                }),
                (_, Err(own)) => Err(own),
                (Err(problem), Ok(_)) => Err(problem.clone()),
            };
            // The client may have hung up; the write is durable all the same.
            let _ = reply.send(answer);
        }
    }

    /// Carries the changes out in order and commits; a change that is refused leaves the others alone. `replies` gets each
    /// client with what its change did.
    fn commit(
        &mut self,
        changes: Vec<(Change, Reply)>,
        replies: &mut Vec<(Reply, Result<u64, Problem>)>,
    ) -> Result<u64, Problem> {
        let mut writer = match self
            .writer
            .take()
            .map_or_else(|| self.backend.clone().writer(), Ok)
        {
            Ok(writer) => writer,
            Err(problem) => {
                replies.extend(
                    changes
                        .into_iter()
                        .map(|(_, reply)| (reply, Err(problem.clone()))),
                );
                return Err(problem);
            }
        };
        let mut changes = changes.into_iter();
        while let Some((change, reply)) = changes.next() {
            // Pushed first, so that a panic below still answers this client with the group's problem.
            replies.push((reply, Ok(0)));
            let done = match change {
                Change::Upsert(documents) => {
                    let count = documents.len() as u64;
                    writer.upsert(documents).map(|()| count)
                }
                Change::Ids(ids) => writer.delete_ids(&ids),
                Change::Filter(filter) => writer.delete_filter(&filter),
            };
            // A failure that is not the change's own may have undone the changes before it.
            if let Err(problem) = &done
                && problem.status.is_server_error()
            {
                replies.extend(changes.map(|(_, reply)| (reply, Ok(0))));
                return Err(problem.clone());
            }
            if let Some(last) = replies.last_mut() {
                last.1 = done;
            }
        }
        let generation = writer.commit()?;
        self.writer = Some(writer);
        Ok(generation)
    }
}
