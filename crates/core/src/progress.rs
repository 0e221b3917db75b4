//! How long work says what it has done; the command line draws it, tests and libraries stay silent.

/// Receives the progress of one piece of long work. Implementations must be cheap: `advance` is called from hot loops' edges.
pub trait Progress: Sync {
    /// A phase begins; `total` items of `unit` are expected if known.
    fn start(&self, phase: &str, total: Option<u64>, unit: &str);
    /// `done` more items of the phase are finished.
    fn advance(&self, done: u64);
    /// The phase is over.
    fn finish(&self);
    /// Whether the user asked to stop; long work checks this between batches and ends cleanly, keeping what is committed.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}
