//! Factory strings: `prefix:256|pca:128|rabitq:4` is cut to a prefix, then turned, then encoded.
//!
//! | step | what it does | bytes of d values |
//! |---|---|---|
//! | `prefix:N` | keeps the first N values | |
//! | `pca:N`, `pca:N:centred` | keeps the N axes with most variance | |
//! | `rotate` | a random rotation | |
//! | `f32`, `f16` | values as they are | 4 d, 2 d |
//! | `int8`, `int4` | values in steps | d, d / 2 |
//! | `rabitq:B` | B bits a value after a rotation, B from 1 to 8 | B d / 8 + 10 |
//! | `sign` | one bit a value | d / 8 |
//! | `pq:M`, `pq:Mx6`, `pq:Mx4` | M parts of 256 (64, 16) centroids | M, 3 M / 4, M / 2 |
//! | `opq:M`, `opq:Mx4` | the same after a learnt rotation | M, M / 2 |
//! | `cpq:M`, and as above | the same learnt from pairs | as above |
//! | `rbe:N`, `rbe:NxU` | N signs, and U further rounds of N (0 to 3), learnt from pairs | N (1 + U) / 8 + 2 |
//!
//! Those of the first three rows may be followed by others; a chain that ends with one of them ends with `f32`.

use std::fmt;
use std::str::FromStr;

use kokeshi_core::{Error, Metric, Result};

use crate::rbe::MOST_LOOPS;

/// One step of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The first values.
    Prefix(usize),
    /// The axes with most variance, with the mean taken off or not.
    Pca(usize, bool),
    /// A random rotation.
    Rotate,
    /// Values as they are.
    F32,
    /// Values in two bytes.
    F16,
    /// Values in steps, 8 or 4 bits.
    Int(u32),
    /// Bits a value after a rotation.
    RaBitQ(u32),
    /// Signs.
    Sign,
    /// Parts and bits a part (8, 6 or 4).
    Pq(usize, u32),
    /// The same after a learnt rotation.
    Opq(usize, u32),
    /// Parts and bits a part, learnt from pairs.
    Cpq(usize, u32),
    /// Signs learnt from pairs, and further rounds.
    Rbe(usize, usize),
}

impl Step {
    /// Whether it makes vectors, not codes.
    pub fn is_transform(self) -> bool {
        matches!(self, Self::Prefix(_) | Self::Pca(..) | Self::Rotate)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |name, parts, bits| match bits {
            8 => format!("{name}:{parts}"),
            bits => format!("{name}:{parts}x{bits}"),
        };
        match *self {
            Self::Prefix(dims) => write!(f, "prefix:{dims}"),
            Self::Pca(dims, false) => write!(f, "pca:{dims}"),
            Self::Pca(dims, true) => write!(f, "pca:{dims}:centred"),
            Self::Rotate => f.write_str("rotate"),
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::Int(bits) => write!(f, "int{bits}"),
            Self::RaBitQ(bits) => write!(f, "rabitq:{bits}"),
            Self::Sign => f.write_str("sign"),
            Self::Pq(count, bits) => f.write_str(&parts("pq", count, bits)),
            Self::Opq(count, bits) => f.write_str(&parts("opq", count, bits)),
            Self::Cpq(count, bits) => f.write_str(&parts("cpq", count, bits)),
            Self::Rbe(width, 0) => write!(f, "rbe:{width}"),
            Self::Rbe(width, loops) => write!(f, "rbe:{width}x{loops}"),
        }
    }
}

/// The widest vectors that are accepted: what a damaged file may claim is bounded.
pub(crate) const MOST_DIMS: usize = 1 << 16;

fn wrong(text: &str, expected: &str) -> Error {
    Error::Parse {
        what: "a step of a codec".into(),
        expected: expected.into(),
        found: text.into(),
    }
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name.trim(), Some(argument.trim())),
            None => (text, None),
        };
        let count = |argument: &str, expected: &str| match argument.parse::<usize>() {
            Ok(count) if (1..=MOST_DIMS).contains(&count) => Ok(count),
            _ => Err(wrong(text, expected)),
        };
        let parts = |argument: Option<&str>, expected: &str| {
            let argument = argument.ok_or_else(|| wrong(text, expected))?;
            let (parts, bits) = match argument.split_once('x') {
                None | Some((_, "8")) => (argument.trim_end_matches("x8"), 8),
                Some((parts, "6")) => (parts, 6),
                Some((parts, "4")) => (parts, 4),
                Some(_) => return Err(wrong(text, expected)),
            };
            Ok((count(parts, expected)?, bits))
        };
        const PREFIX: &str = "prefix:N with a number of dimensions, such as prefix:256";
        const PCA: &str = "pca:N or pca:N:centred with a number of dimensions, such as pca:128";
        const RABITQ: &str = "rabitq:B with 1 to 8 bits, such as rabitq:4";
        const PQ: &str = "pq:M, pq:Mx6 or pq:Mx4 with a number of parts, such as pq:48";
        const OPQ: &str = "opq:M, opq:Mx6 or opq:Mx4 with a number of parts, such as opq:48";
        const CPQ: &str = "cpq:M, cpq:Mx6 or cpq:Mx4 with a number of parts, such as cpq:48";
        const RBE: &str =
            "rbe:N or rbe:NxU with a number of signs and of further rounds (0 to 3), such as rbe:64x1";
        match (name, argument) {
            ("prefix", Some(dims)) => Ok(Self::Prefix(count(dims, PREFIX)?)),
            ("prefix", None) => Err(wrong(text, PREFIX)),
            ("pca", Some(argument)) => match argument.strip_suffix(":centred") {
                Some(dims) => Ok(Self::Pca(count(dims, PCA)?, true)),
                None => Ok(Self::Pca(count(argument, PCA)?, false)),
            },
            ("pca", None) => Err(wrong(text, PCA)),
            ("rotate", None) => Ok(Self::Rotate),
            ("f32", None) => Ok(Self::F32),
            ("f16", None) => Ok(Self::F16),
            ("int8", None) => Ok(Self::Int(8)),
            ("int4", None) => Ok(Self::Int(4)),
            ("sign", None) => Ok(Self::Sign),
            ("rabitq", argument) => match argument.and_then(|bits| bits.parse().ok()) {
                Some(bits @ 1..=8) => Ok(Self::RaBitQ(bits)),
                _ => Err(wrong(text, RABITQ)),
            },
            ("pq", argument) => parts(argument, PQ).map(|(parts, bits)| Self::Pq(parts, bits)),
            ("opq", argument) => parts(argument, OPQ).map(|(parts, bits)| Self::Opq(parts, bits)),
            ("cpq", argument) => parts(argument, CPQ).map(|(parts, bits)| Self::Cpq(parts, bits)),
            ("rbe", argument) => {
                let argument = argument.ok_or_else(|| wrong(text, RBE))?;
                let (width, loops) = argument.split_once('x').unwrap_or((argument, "0"));
                match loops.parse() {
                    Ok(loops @ 0..=MOST_LOOPS) => Ok(Self::Rbe(count(width, RBE)?, loops)),
                    _ => Err(wrong(text, RBE)),
                }
            }
            (name @ ("rotate" | "f32" | "f16" | "int8" | "int4" | "sign"), Some(_)) => {
                Err(wrong(text, &format!("{name} without a number")))
            }
            _ => Err(wrong(
                text,
                "one of prefix:N, pca:N, rotate, f32, f16, int8, int4, rabitq:B, sign, pq:M, opq:M, cpq:M, rbe:N",
            )),
        }
    }
}

/// A chain that is not trained yet.
///
/// ```
/// use kokeshi_codec::Spec;
///
/// let spec: Spec = "prefix:256 | pca:128 | rabitq:4".parse()?;
/// assert_eq!(spec.to_string(), "prefix:256|pca:128|rabitq:4");
/// assert!("rabitq:9".parse::<Spec>().unwrap_err().to_string().contains("1 to 8 bits"));
/// # Ok::<(), kokeshi_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Transforms, and a codec at the end.
    steps: Vec<Step>,
}

impl Spec {
    /// The steps; the last one is no transform.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it can be trained on vectors of `dims` values under `metric` alone, without pairs: what can be said before there are rows.
    ///
    /// # Errors
    /// [`Error::Parse`] that names the step and what it expects.
    pub fn check(&self, dims: usize, metric: Metric) -> Result<()> {
        let mut width = dims;
        for step in &self.steps {
            let wrong = |expected: String, found: String| {
                Err(Error::Parse {
                    what: format!("the step {step} of the codec {self}"),
                    expected,
                    found,
                })
            };
            match *step {
                Step::Prefix(kept) | Step::Pca(kept, _) if kept > width => {
                    return wrong(format!("at most {width} dimensions"), kept.to_string());
                }
                Step::Pca(_, true) if metric == Metric::Dot => {
                    return wrong("the metric cosine or l2".into(), "dot".into());
                }
                Step::Prefix(kept) | Step::Pca(kept, _) => width = kept,
                Step::Pq(parts, _) | Step::Opq(parts, _) if parts > width => {
                    return wrong(
                        format!("at most {width} parts, one a dimension"),
                        parts.to_string(),
                    );
                }
                Step::Sign if metric != Metric::Cosine => {
                    return wrong(
                        "the metric cosine".into(),
                        crate::file::metric_name(metric).into(),
                    );
                }
                Step::Rbe(..) | Step::Cpq(..) => {
                    return wrong("pairs to learn from".into(), "vectors alone".into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes of a code of vectors of `dims` values, without training anything.
    pub fn code_bytes(&self, dims: usize) -> usize {
        let mut width = dims;
        for step in &self.steps {
            match *step {
                Step::Prefix(kept) | Step::Pca(kept, _) => width = kept.min(width),
                Step::Rotate => {}
                Step::F32 => return 4 * width,
                Step::F16 => return 2 * width,
                Step::Int(bits) => return (width * bits as usize).div_ceil(8),
                Step::RaBitQ(bits) => return (width * bits as usize).div_ceil(8) + 10,
                Step::Sign => return width.div_ceil(8),
                Step::Pq(parts, bits) | Step::Opq(parts, bits) | Step::Cpq(parts, bits) => {
                    return (parts * bits as usize).div_ceil(8);
                }
                Step::Rbe(signs, loops) => {
                    return (signs * [1, 2, 4, 4][loops.min(MOST_LOOPS)]).div_ceil(8) + 2;
                }
            }
        }
        4 * width
    }
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut steps: Vec<Step> = text.split('|').map(str::parse).collect::<Result<_>>()?;
        if steps.len() > 16 {
            return Err(wrong(text, "at most 16 steps"));
        }
        if let Some(at) = steps[..steps.len() - 1]
            .iter()
            .position(|step| !step.is_transform())
        {
            return Err(Error::Parse {
                what: "a codec".into(),
                expected: format!("nothing after {}, which makes codes", steps[at]),
                found: steps[at + 1].to_string(),
            });
        }
        if steps.last().is_some_and(|last| last.is_transform()) {
            steps.push(Step::F32);
        }
        Ok(Self { steps })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            let bar = if at > 0 { "|" } else { "" };
            write!(f, "{bar}{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_read_back_and_a_transform_at_the_end_is_stored_as_f32() {
        for text in [
            "f32",
            "prefix:64|f16",
            "pca:128:centred|int8",
            "rotate|sign",
            "pca:32|rabitq:4",
            "pq:48",
            "prefix:128|opq:96x4",
            "int4",
            "cpq:8x6",
            "rbe:64",
            "pca:128|rbe:32x3",
        ] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
        assert_eq!("prefix:64".parse::<Spec>().unwrap().to_string(), "prefix:64|f32");
        assert_eq!("pq:8x8".parse::<Spec>().unwrap().to_string(), "pq:8");
    }

    #[test]
    fn what_can_never_be_trained_is_refused_before_there_are_rows() {
        let check = |text: &str, metric| text.parse::<Spec>().unwrap().check(64, metric);
        for text in ["f32", "pca:64|rabitq:4", "prefix:32|opq:32", "rotate|sign"] {
            check(text, Metric::Cosine).unwrap();
        }
        for (text, metric, expected) in [
            ("prefix:65", Metric::Cosine, "at most 64"),
            ("prefix:32|pca:33|int8", Metric::Cosine, "at most 32"),
            ("pca:32|pq:48", Metric::Cosine, "at most 32 parts"),
            ("pca:8:centred", Metric::Dot, "cosine or l2"),
            ("sign", Metric::L2, "cosine"),
            ("rbe:64", Metric::Cosine, "pairs"),
            ("cpq:8", Metric::Cosine, "pairs"),
        ] {
            let error = check(text, metric).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (text, expected) in [
            ("", "one of prefix:N"),
            ("zip:3", "one of prefix:N"),
            ("prefix", "prefix:256"),
            ("pca:0", "pca:128"),
            ("pca:-3", "pca:128"),
            ("prefix:99999999999999999999", "prefix:256"),
            ("rabitq", "1 to 8 bits"),
            ("rabitq:0", "1 to 8 bits"),
            ("pq:8x5", "pq:48"),
            ("opq:x4", "opq:48"),
            ("rbe", "rbe:64x1"),
            ("rbe:8x4", "rbe:64x1"),
            ("int8:3", "int8 without"),
            ("int8|pca:3", "nothing after int8"),
            ("prefix:3||int8", "one of prefix:N"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(
            "rotate|"
                .repeat(17)
                .trim_end_matches('|')
                .parse::<Spec>()
                .is_err()
        );
    }
}
