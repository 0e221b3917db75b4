//! Why a command ended early, and the exit code that says so.

use std::process::ExitCode;

use crate::output::{Output, to_stderr};

/// The end of a command that did not do what was asked.
#[derive(Debug)]
pub struct Stop {
    code: u8,
    message: String,
    hint: Option<String>,
}

/// The result of a command.
pub type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// Bad usage or bad input: exit code 2.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self {
            code: 2,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The work itself failed: exit code 1.
    pub fn failed(message: impl std::fmt::Display) -> Self {
        Self {
            code: 1,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The reader of our output went away: not worth a word.
    pub fn quiet() -> Self {
        Self {
            code: 0,
            message: String::new(),
            hint: None,
        }
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Prints one line and the hint, as JSON if asked for, and gives the exit code.
    pub fn report(self, output: &Output) -> ExitCode {
        if self.code != 0 {
            if output.json {
                to_stderr(serde_json::json!(
                    {"error": {"message": self.message, "hint": self.hint, "code": self.code}}
                ));
            } else {
                to_stderr(format!("error: {}", self.message));
                if let Some(hint) = self.hint {
                    to_stderr(format!("  hint: {hint}"));
                }
            }
        }
        ExitCode::from(self.code)
    }
}
