//! Progress bars on standard error, only where a person is watching, and Ctrl-C.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kokeshi_core::Progress;

/// Set by the first Ctrl-C or SIGTERM; the second one ends the process at once.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks long work to end cleanly.
pub fn catch_interrupts() {
    // Fails only if a handler is already set, and then that one does the same.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this batch; press again to stop at once");
    });
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// One bar at a time: phase, position, rate and ETA.
pub struct Bar {
    bar: Mutex<ProgressBar>,
    quiet: bool,
}

impl Bar {
    /// Draws on standard error if that is a terminal and `quiet` is not set.
    pub fn new(quiet: bool) -> Self {
        Self {
            bar: Mutex::new(ProgressBar::hidden()),
            quiet,
        }
    }

    fn with(&self, action: impl FnOnce(&mut ProgressBar)) {
        // A poisoned lock means a panic elsewhere while drawing; the bar itself is still usable.
        action(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Bar {
    fn start(&self, phase: &str, total: Option<u64>, unit: &str) {
        let target = if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(8)
        };
        let (position, rate) = if unit == "bytes" {
            ("{bytes}/{total_bytes}", "{bytes_per_sec}")
        } else {
            ("{human_pos}/{human_len} {msg}", "{per_sec}")
        };
        let template = match total {
            Some(_) => format!("{{prefix:>12.bold}} {{bar:32.cyan/dim}} {position}  {rate}  {{eta}} left"),
            None => "{prefix:>12.bold} {spinner} {human_pos} {msg}  {per_sec}  {elapsed}".to_string(),
        };
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let new = ProgressBar::with_draw_target(total, target).with_style(style.progress_chars("━╸─"));
        new.set_prefix(phase.to_string());
        new.set_message(unit.to_string());
        new.enable_steady_tick(Duration::from_millis(250));
        self.with(|bar| *bar = new);
    }

    fn advance(&self, done: u64) {
        self.with(|bar| bar.inc(done));
    }

    fn finish(&self) {
        self.with(|bar| bar.finish_and_clear());
    }

    fn interrupted(&self) -> bool {
        interrupted()
    }
}
