//! The catalogue of papers, and the programs that check their claims here.
//!
//! A paper's state is derived, never written down: a [`Reproduction`] says what it checks, `kokeshi reproduce ID` runs it and records the
//! figures in `results/ID.json`, and [`papers`] compares the two.
//!
//! ```
//! use kokeshi_reproduce::{State, papers};
//!
//! let papers = papers();
//! let works = papers.iter().filter(|paper| paper.state == State::Works).count();
//! println!("{works} of {} work", papers.len());
//! ```

mod byte_decoder;
mod catalogue;
mod check;
mod pairs;
mod paper;
mod papers;
mod record;
mod reproduction;
mod training;

pub use check::{Bar, Check, Claim};
pub use paper::{Paper, State, Verb, paper, papers};
pub use record::Record;
pub use reproduction::{Context, Error, Reproduction, Result, reproduce, reproductions};
