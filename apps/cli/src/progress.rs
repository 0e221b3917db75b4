//! Progress on standard error: a bar where a person is watching, plain lines elsewhere for work that takes minutes, and Ctrl-C.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kokeshi_core::Progress;

use crate::output::to_stderr;

/// Set by the first Ctrl-C or SIGTERM; the second one ends the process at once.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks long work to end cleanly.
pub fn catch_interrupts() {
    // Fails only if a handler is already set, and then that one does the same.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        to_stderr("\nstopping after this batch; press again to stop at once");
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
    lines: Option<Mutex<Lines>>,
}

/// Plain lines: each tenth of a phase, or its end if nobody knows how long it is.
#[derive(Default)]
struct Lines {
    phase: String,
    unit: String,
    total: Option<u64>,
    done: u64,
}

impl Lines {
    /// Counts what was done; says whether another tenth is.
    fn advance(&mut self, done: u64) -> bool {
        let tenth = |done: u64| self.total.map(|total| done.saturating_mul(10) / total.max(1));
        let before = tenth(self.done);
        let after = tenth(self.done + done);
        self.done += done;
        before != after
    }

    fn text(&self) -> String {
        let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
        format!("{}: {}{of} {}", self.phase, self.done, self.unit)
    }
}

impl Bar {
    /// Draws on standard error if that is a terminal and `quiet` is not set.
    pub fn new(quiet: bool) -> Self {
        Self {
            bar: Mutex::new(ProgressBar::hidden()),
            quiet,
            lines: None,
        }
    }

    /// The same, but with plain lines where standard error is no terminal.
    pub fn or_lines(quiet: bool) -> Self {
        let plain = !quiet && !std::io::stderr().is_terminal();
        Self {
            lines: plain.then(Mutex::default),
            ..Self::new(quiet)
        }
    }

    fn lines(&self, action: impl FnOnce(&mut Lines)) {
        if let Some(lines) = &self.lines {
            action(&mut lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
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
        self.lines(|lines| {
            *lines = Lines {
                phase: phase.to_string(),
                unit: unit.to_string(),
                total,
                done: 0,
            };
        });
    }

    fn advance(&self, done: u64) {
        self.with(|bar| bar.inc(done));
        self.lines(|lines| {
            if lines.advance(done) {
                to_stderr(lines.text());
            }
        });
    }

    fn finish(&self) {
        self.with(|bar| bar.finish_and_clear());
        self.lines(|lines| {
            if lines.total.is_none() {
                to_stderr(lines.text());
            }
        });
    }

    fn interrupted(&self) -> bool {
        interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_each_tenth() {
        let mut lines = Lines {
            phase: "train".into(),
            unit: "batches".into(),
            total: Some(25),
            done: 0,
        };
        let told: Vec<u64> = (1..=25).filter(|_| lines.advance(1)).collect();
        assert_eq!(told, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
        assert_eq!(lines.text(), "train: 25 of 25 batches");
        lines.total = None;
        assert!(!lines.advance(3));
        assert_eq!(lines.text(), "train: 28 batches");
    }
}
