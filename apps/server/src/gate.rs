//! Admission: so many blocking jobs at once, so many waiting, and beyond that a 503 at once instead of a growing pile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::Problem;

/// Runs blocking jobs on tokio's blocking threads, at most `concurrency` at once.
pub struct Gate {
    permits: Arc<Semaphore>,
    concurrency: usize,
    waiting: AtomicUsize,
    queue: usize,
    queue_timeout: Duration,
    timeout: Duration,
}

/// Counts one waiter for as long as it lives, so that a client that hangs up is no longer counted.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate with `queue` places to wait in, for at most `queue_timeout`; a job may take `timeout`.
    pub fn new(concurrency: usize, queue: usize, queue_timeout: Duration, timeout: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            waiting: AtomicUsize::new(0),
            queue,
            queue_timeout,
            timeout,
        }
    }

    /// Jobs that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Jobs that run.
    pub fn running(&self) -> usize {
        self.concurrency - self.permits.available_permits()
    }

    /// Runs `job` when it is its turn. A job goes on after its client hung up or timed out, and keeps its place until it is
    /// done: that is what bounds the load.
    ///
    /// # Errors
    /// 503 if too many wait or it took too long, 500 if the job panicked, or the job's own problem.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let overloaded = || {
            Problem::busy(
                "overloaded",
                "The server has more requests than it can answer now.",
                1,
            )
            .hint("Try again after the time in Retry-After.")
        };
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiter = Waiter(&self.waiting);
                if before >= self.queue {
                    return Err(overloaded());
                }
                match tokio::time::timeout(self.queue_timeout, self.permits.clone().acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    _ => return Err(overloaded()),
                }
            }
        };
        let job = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job()
        });
        match tokio::time::timeout(self.timeout, job).await {
            Ok(Ok(result)) => result,
            Ok(Err(failure)) => Err(Problem::internal(format!(
                "The request failed inside the server: {failure}"
            ))),
            Err(_) => {
                let seconds = self.timeout.as_secs();
                Err(
                    Problem::busy("timeout", format!("The request took longer than {seconds} s."), 5)
                        .hint("Ask for less at a time."),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_at_once_when_the_queue_is_full_and_recovers() {
        let gate = Arc::new(Gate::new(1, 1, Duration::from_secs(30), Duration::from_secs(30)));
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let first = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.run(move || Ok(hold.recv().is_ok())).await })
        };
        while gate.running() == 0 {
            tokio::task::yield_now().await;
        }
        let second = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.run(|| Ok(2)).await })
        };
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let problem = gate.run(|| Ok(3)).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.retry_after), (503, Some(1)));
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert_eq!(gate.run(|| Ok(4)).await.unwrap(), 4);
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn a_panicking_job_is_a_500_and_gives_its_place_back() {
        let gate = Gate::new(1, 0, Duration::from_secs(30), Duration::from_secs(30));
        let problem = gate
            .run(|| -> Result<(), Problem> { std::panic::panic_any("for the test") })
            .await
            .unwrap_err();
        assert_eq!(problem.status.as_u16(), 500);
        assert_eq!(gate.run(|| Ok(1)).await.unwrap(), 1);
    }
}
