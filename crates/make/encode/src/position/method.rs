//! The ways to read longer texts than a model was trained on, by name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A way to read longer texts than a model was trained on, without training (LongEmbed, arXiv 2404.12096). Parsed from its name, with
/// numbers behind a colon: `gp`, `ntk`, `ntk:lambda=10`, `selfextend:g=9,w=64`, `lambda:n=4`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Position {
    /// Neighbouring tokens share a position (learned tables).
    Gp,
    /// Positions start over (learned tables).
    Rp,
    /// Positions between the trained ones (learned tables, rotary).
    Pi,
    /// The text in pieces, and the mean of their vectors.
    Pcw,
    /// A larger rotary base.
    Ntk {
        /// How many times larger; `None`: 1.25 times the lengthening.
        lambda: Option<f64>,
    },
    /// Exact positions nearby, shared ones far away (rotary).
    SelfExtend {
        /// How many tokens share a position; `None`: one more than the lengthening.
        group: Option<usize>,
        /// The distance from which they do; `None`: the trained length over the lengthening.
        window: Option<usize>,
    },
    /// As many tokens back as it was trained on, and the first ones of the text (decoders; LM-Infinite, arXiv 2308.16137).
    Lambda {
        /// How many of the first ones; `None`: 10.
        first: Option<usize>,
    },
    /// No positions at all: a causal mask tells tokens apart (decoders; NoPE, arXiv 2305.19466).
    Nope,
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Request(format!(
                "expected a position method gp, rp, pi, pcw, ntk[:lambda=10], selfextend[:g=9,w=64], lambda[:n=10] or none, found {text:?}"
            ))
        };
        let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
        let mut given = Vec::new();
        for part in numbers.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            let value: f64 = value.trim().parse().map_err(|_| wrong())?;
            if !(1.0..=1e6).contains(&value) {
                return Err(wrong());
            }
            given.push((key.trim(), value));
        }
        let known: &[&str] = match name {
            "ntk" => &["lambda"],
            "selfextend" => &["g", "w"],
            "lambda" => &["n"],
            _ => &[],
        };
        if given.iter().any(|(key, _)| !known.contains(key)) {
            return Err(wrong());
        }
        let number = |key: &str| {
            given
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, value)| *value)
        };
        Ok(match name {
            "gp" => Self::Gp,
            "rp" => Self::Rp,
            "pi" => Self::Pi,
            "pcw" => Self::Pcw,
            "ntk" => Self::Ntk {
                lambda: number("lambda"),
            },
            "selfextend" => Self::SelfExtend {
                group: number("g").map(|value| value as usize),
                window: number("w").map(|value| value as usize),
            },
            "lambda" => Self::Lambda {
                first: number("n").map(|value| value as usize),
            },
            "none" => Self::Nope,
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gp => f.write_str("gp"),
            Self::Rp => f.write_str("rp"),
            Self::Pi => f.write_str("pi"),
            Self::Pcw => f.write_str("pcw"),
            Self::Lambda { first: None } => f.write_str("lambda"),
            Self::Lambda { first: Some(first) } => write!(f, "lambda:n={first}"),
            Self::Nope => f.write_str("none"),
            Self::Ntk { lambda: None } => f.write_str("ntk"),
            Self::Ntk { lambda: Some(lambda) } => write!(f, "ntk:lambda={lambda}"),
            Self::SelfExtend { group, window } => {
                f.write_str("selfextend")?;
                let numbers = [("g", group), ("w", window)];
                let given = numbers
                    .iter()
                    .filter_map(|(name, value)| Some((name, (**value)?)));
                for (at, (name, value)) in given.enumerate() {
                    write!(f, "{}{name}={value}", if at == 0 { ':' } else { ',' })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_they_are_written() {
        for text in [
            "gp",
            "rp",
            "pi",
            "pcw",
            "ntk",
            "ntk:lambda=10",
            "selfextend",
            "selfextend:g=9,w=64",
            "selfextend:w=64",
            "lambda",
            "lambda:n=4",
            "none",
        ] {
            let method: Position = text.parse().unwrap();
            assert_eq!(method.to_string(), text);
        }
        for text in [
            "",
            "yarn",
            "ntk:g=3",
            "ntk:lambda",
            "ntk:lambda=0",
            "selfextend:g=x",
            "gp:s=2",
            "ntk:lambda=1e99",
            "lambda:w=4",
            "none:n=1",
        ] {
            let error = text.parse::<Position>().unwrap_err().to_string();
            assert!(error.contains("expected a position method"), "{error}");
        }
    }
}
