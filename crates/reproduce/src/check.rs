//! A claim of a paper, the bar that it sets here, and what was measured.

use serde::{Deserialize, Serialize};

/// What a figure has to reach. A figure that is not a number reaches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// From the first to the second, both included.
    Between(f64, f64),
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(low) => write!(f, ">= {low}"),
            Self::AtMost(high) => write!(f, "<= {high}"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
        }
    }
}

impl Bar {
    /// Whether `measured` reaches the bar.
    pub fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(low) => measured >= low,
            Self::AtMost(high) => measured <= high,
            Self::Between(low, high) => (low..=high).contains(&measured),
        }
    }
}

/// One thing that a reproduction checks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Claim {
    /// A short name, unique within the paper.
    pub name: &'static str,
    /// What the paper says, or what follows from it.
    pub claim: &'static str,
    /// What has to be measured here for the claim to count as reproduced.
    pub bar: Bar,
}

impl Claim {
    /// This claim with the figure that was measured.
    pub fn measured(&self, measured: f64) -> Check {
        Check {
            name: self.name.to_owned(),
            claim: self.claim.to_owned(),
            bar: self.bar,
            measured: measured.is_finite().then_some(measured),
            pass: self.bar.holds(measured),
        }
    }
}

/// The claims with the figures that were measured, in their order.
pub(crate) fn measured(claims: &[Claim], figures: impl IntoIterator<Item = f64>) -> Vec<Check> {
    let both = claims.iter().zip(figures);
    both.map(|(claim, figure)| claim.measured(figure)).collect()
}

/// A claim that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The name of the claim.
    pub name: String,
    /// What the paper says.
    pub claim: String,
    /// What had to be reached.
    pub bar: Bar,
    /// What was measured; `None` if that was not a finite number.
    pub measured: Option<f64>,
    /// Whether the bar was reached.
    pub pass: bool,
}

impl Check {
    /// Whether this is an honest check of `claim`: the same name, words and bar, and a verdict that follows from the figure.
    pub fn answers(&self, claim: &Claim) -> bool {
        self.name == claim.name
            && self.claim == claim.claim
            && self.bar == claim.bar
            && self.pass == self.measured.is_some_and(|measured| self.bar.holds(measured))
    }
}
