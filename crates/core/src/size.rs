//! The size at which a model, a vector or an index is asked for.

use crate::{Error, Result};

/// `layers x dims x bits`, written `6x128x1`; a part that is not given (`*` or missing at the end) means "all there is".
///
/// ```
/// let size: kokeshi_core::Size = "6x128".parse()?;
/// assert_eq!((size.layers, size.dims, size.bits), (Some(6), Some(128), None));
/// assert_eq!(size.to_string(), "6x128");
/// assert_eq!("128".parse::<kokeshi_core::Size>()?.dims, Some(128));
/// # Ok::<(), kokeshi_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// How many encoder layers are run; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// How many leading dimensions are kept; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dims: Option<usize>,
    /// Bits a dimension; `None`: 32 (f32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<usize>,
}

impl Size {
    /// The whole model at full width.
    pub const FULL: Self = Self {
        layers: None,
        dims: None,
        bits: None,
    };

    /// Only a width.
    pub fn dims(dims: usize) -> Self {
        Self {
            dims: Some(dims),
            ..Self::FULL
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |value: Option<usize>| value.map_or("*".to_string(), |value| value.to_string());
        write!(f, "{}x{}", part(self.layers), part(self.dims))?;
        match self.bits {
            Some(bits) => write!(f, "x{bits}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Parse {
            what: "a size".into(),
            expected: "layers x dims x bits such as 6x128x1, or a width such as 128".into(),
            found: text.into(),
        };
        let parts = text
            .split('x')
            .map(|part| match part {
                "*" => Ok(None),
                digits => match digits.parse() {
                    Ok(value) if value > 0 => Ok(Some(value)),
                    _ => Err(wrong()),
                },
            })
            .collect::<Result<Vec<Option<usize>>>>()?;
        match parts[..] {
            [dims] => Ok(Self {
                layers: None,
                dims,
                bits: None,
            }),
            [layers, dims] => Ok(Self {
                layers,
                dims,
                bits: None,
            }),
            [layers, dims, bits] => Ok(Self { layers, dims, bits }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let parts = [None, Some(1), Some(128)];
        for layers in parts {
            for dims in parts {
                for bits in parts {
                    let size = Size { layers, dims, bits };
                    assert_eq!(size.to_string().parse::<Size>().unwrap(), size, "{size}");
                }
            }
        }
        assert_eq!("*".parse::<Size>().unwrap(), Size::FULL);
    }

    #[test]
    fn other_texts_are_refused_and_quoted() {
        for text in [
            "",
            "x",
            "0",
            "6x0",
            "-1",
            "6x128x1x1",
            "6 x 128",
            "1e3",
            "six",
            "99999999999999999999",
        ] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("{text:?}")) && error.contains("6x128x1"),
                "{error}"
            );
        }
    }

    #[test]
    fn json_leaves_out_what_is_not_given() {
        let json = serde_json::to_string(&Size::dims(64)).unwrap();
        assert_eq!(json, r#"{"dims":64}"#);
        assert_eq!(serde_json::from_str::<Size>(&json).unwrap(), Size::dims(64));
    }
}
