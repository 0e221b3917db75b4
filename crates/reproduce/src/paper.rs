//! A paper with the state that it has earned.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    catalogue::{CATALOGUE, Entry},
    record::Record,
    reproduction::reproductions,
};

/// Which part of an embedding's life a paper is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Turning things into vectors, and training what does it.
    Make,
    /// Making vectors, models and tables cheaper.
    Shrink,
    /// Searching.
    Find,
    /// Knowing how good it is, and why.
    Judge,
    /// Choosing the size before paying for it.
    Plan,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Make => "make",
            Self::Shrink => "shrink",
            Self::Find => "find",
            Self::Judge => "judge",
            Self::Plan => "plan",
        })
    }
}

/// How much of a paper was reproduced here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Every check passed.
    Works,
    /// Some checks passed.
    Partly,
    /// Nothing was checked, or nothing passed.
    NotYet,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Works => "works",
            Self::Partly => "partly",
            Self::NotYet => "not yet",
        })
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A paper of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Paper {
    /// A short name in lower case with hyphens.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// The arXiv id, if it has one.
    pub arxiv: Option<&'static str>,
    /// The verb that it belongs to.
    pub verb: Verb,
    /// The command that is its home, whether or not it is built yet.
    pub command: &'static str,
    /// What it has earned.
    pub state: State,
}

/// All papers, in the order of the catalogue.
pub fn papers() -> Vec<Paper> {
    CATALOGUE.iter().map(judged).collect()
}

/// The paper with this id.
pub fn paper(id: &str) -> Option<Paper> {
    CATALOGUE.iter().find(|entry| entry.id == id).map(judged)
}

fn judged(entry: &Entry) -> Paper {
    let reproduction = reproductions()
        .iter()
        .find(|reproduction| reproduction.id() == entry.id);
    let state = match (reproduction, Record::committed(entry.id)) {
        (Some(reproduction), Some(record)) => record.state(entry.id, reproduction.claims()),
        _ => State::NotYet,
    };
    Paper {
        id: entry.id,
        title: entry.title,
        arxiv: entry.arxiv,
        verb: entry.verb,
        command: entry.command,
        state,
    }
}
