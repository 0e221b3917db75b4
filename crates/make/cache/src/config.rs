//! A decoder's `config.json`, as transformers writes it for Llama, Qwen2 and Qwen3, checked before anything is made from it.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::slab::Shape;

/// The largest `config.json` that is read; real ones are a few kB.
const JSON_LIMIT: u64 = 1 << 20;

/// The most of anything that a number in the file may stand for; keeps products of two of them far from overflow.
const SIZE_LIMIT: u64 = 1 << 24;

/// What the decoder is built by.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Number of tokens that the model knows.
    pub vocabulary: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Width of the gated layer.
    pub inner: usize,
    /// Layers and heads.
    pub shape: Shape,
    /// What is added under the root of RMSNorm.
    pub epsilon: f32,
    /// The base of the rotary frequencies.
    pub base: f64,
    /// Every rotary frequency is divided by it (`rope_type` `linear`), 1 if none is given.
    pub stretch: f64,
    /// The length that the model was trained at.
    pub trained: usize,
    /// Whether the output layer is the embedding table.
    pub tied: bool,
}

/// A byte-level decoder of 2 layers with 2 heads of 32 dims, as `scripts/train_byte_decoder.py` trains it.
impl Default for Config {
    fn default() -> Self {
        Self {
            vocabulary: 128,
            hidden: 64,
            inner: 176,
            shape: Shape {
                layers: 2,
                heads: 2,
                key_heads: 2,
                head_dims: 32,
            },
            epsilon: 1e-6,
            base: 1e4,
            stretch: 1.0,
            trained: 128,
            tied: true,
        }
    }
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Model`] with the field and what was expected of it.
    pub fn read(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(kokeshi_core::Error::io(path))?;
        file.take(JSON_LIMIT)
            .read_to_string(&mut text)
            .map_err(kokeshi_core::Error::io(path))?;
        let json: Value = serde_json::from_str(&text).map_err(|error| {
            Error::model(
                path,
                format!("expected JSON of at most {JSON_LIMIT} bytes: {error}"),
            )
        })?;
        Self::parse(&json).map_err(|problem| Error::model(path, problem))
    }

    fn parse(json: &Value) -> Result<Self, String> {
        let kind = json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("nothing");
        if !["llama", "qwen2", "qwen3"].contains(&kind) {
            return Err(format!(
                "model_type: expected llama, qwen2 or qwen3, found {kind}"
            ));
        }
        let act = json.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
        if act != "silu" {
            return Err(format!("hidden_act: expected silu, found {act}"));
        }
        if json.get("use_sliding_window").and_then(Value::as_bool) == Some(true) {
            return Err("use_sliding_window: expected false; choose a window as the cache policy".into());
        }
        let size = |field: &str, missing: Option<usize>| {
            let found = json.get(field).filter(|value| !value.is_null());
            let number = match (found, missing) {
                (None, Some(missing)) => return Ok(missing),
                (None, None) => None,
                (Some(value), _) => value.as_u64(),
            };
            match number {
                Some(number) if (1..=SIZE_LIMIT).contains(&number) => Ok(number as usize),
                _ => Err(format!(
                    "{field}: expected a whole number from 1 to {SIZE_LIMIT}, found {}",
                    found.map_or("none".into(), Value::to_string)
                )),
            }
        };
        let hidden = size("hidden_size", None)?;
        let heads = size("num_attention_heads", None)?;
        let shape = Shape {
            layers: size("num_hidden_layers", None)?,
            heads,
            key_heads: size("num_key_value_heads", Some(heads))?,
            head_dims: size("head_dim", Some((hidden / heads).max(1)))?,
        };
        if !heads.is_multiple_of(shape.key_heads) {
            return Err(format!(
                "num_key_value_heads: expected a divisor of the {heads} heads, found {}",
                shape.key_heads
            ));
        }
        if !shape.head_dims.is_multiple_of(2) {
            return Err(format!(
                "head_dim: expected an even number, found {}",
                shape.head_dims
            ));
        }
        let rope = ["rope_parameters", "rope_scaling"]
            .into_iter()
            .find_map(|field| json.get(field).filter(|value| value.is_object()));
        let of_rope = |field: &str| rope.and_then(|rope| rope.get(field));
        let named = of_rope("rope_type").or_else(|| of_rope("type"));
        let (rope_type, positive) = (
            named.and_then(Value::as_str).unwrap_or("default"),
            |found: Option<&Value>, field: &str, missing: f64| match found {
                None => Ok(missing),
                Some(value) => value
                    .as_f64()
                    .filter(|value| (1e-30..1e30).contains(value))
                    .ok_or_else(|| format!("{field}: expected a positive number, found {value}")),
            },
        );
        let stretch = match rope_type {
            "default" => 1.0,
            "linear" => positive(of_rope("factor"), "factor", 1.0)?,
            other => {
                return Err(format!(
                    "rope_type: expected default or linear, found {other}; stretch the positions when running instead"
                ));
            }
        };
        Ok(Self {
            vocabulary: size("vocab_size", None)?,
            hidden,
            inner: size("intermediate_size", None)?,
            shape,
            epsilon: positive(json.get("rms_norm_eps"), "rms_norm_eps", 1e-6)? as f32,
            base: positive(
                of_rope("rope_theta").or_else(|| json.get("rope_theta")),
                "rope_theta",
                1e4,
            )?,
            stretch,
            trained: size("max_position_embeddings", Some(2048))?,
            tied: json
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn small() -> Value {
        json!({
            "model_type": "qwen2", "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 5000.0,
        })
    }

    #[test]
    fn both_ways_of_writing_rotary_settings_are_read() {
        let old = Config::parse(&small()).unwrap();
        assert_eq!(
            (old.base, old.shape.head_dims, old.shape.group()),
            (5000.0, 16, 2)
        );
        let mut new = small();
        new["rope_theta"] = Value::Null;
        new["rope_parameters"] = json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0});
        let new = Config::parse(&new).unwrap();
        assert_eq!((new.base, new.stretch), (5000.0, 4.0));
    }

    #[test]
    fn a_hostile_config_is_refused_with_its_field() {
        for (field, value) in [
            ("model_type", json!("bert")),
            ("hidden_act", json!("gelu")),
            ("hidden_size", json!(0)),
            ("hidden_size", json!(1e12)),
            ("num_hidden_layers", json!(1_000_000_000_000_u64)),
            ("num_attention_heads", Value::Null),
            ("num_key_value_heads", json!(3)),
            ("head_dim", json!(7)),
            ("rms_norm_eps", json!(-1.0)),
            ("vocab_size", json!("many")),
            ("use_sliding_window", json!(true)),
        ] {
            let mut bad = small();
            bad[field] = value;
            let error = Config::parse(&bad).unwrap_err();
            assert!(error.starts_with(field), "{field}: {error}");
        }
        let mut bad = small();
        bad["rope_scaling"] = json!({"type": "yarn"});
        assert!(Config::parse(&bad).unwrap_err().contains("found yarn"));
    }
}
