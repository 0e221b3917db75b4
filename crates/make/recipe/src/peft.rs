//! Adapters as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors` with `base_model.model.MODULE.lora_A.weight`, `...lora_B.weight`.

use std::path::Path;

use kokeshi_core::Error as CoreError;
use kokeshi_core::file::write_atomic;
use kokeshi_core::safetensors::header::{self, Entry};
use kokeshi_encode::{Trainable, safetensors_bytes};
use kokeshi_train::{Adapter, AdapterConfig};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::output::{write_json, write_model};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the name of a module.
const WRAPPED: &str = "base_model.model.";
/// The largest file of weights that is read, in bytes.
const LARGEST: u64 = 4 << 30;

/// Writes an adapter of `base`.
pub(crate) fn save(out: &Path, base: &str, config: &AdapterConfig, adapter: &Adapter) -> Result<()> {
    std::fs::create_dir_all(out).map_err(CoreError::io(out))?;
    let mut tensors = Vec::new();
    for target in adapter.targets() {
        let [a, b] = adapter.factors(target);
        let module = inside(&target.name);
        tensors.push((
            format!("{WRAPPED}{module}.lora_A.weight"),
            [config.rank, target.inputs],
            a,
        ));
        tensors.push((
            format!("{WRAPPED}{module}.lora_B.weight"),
            [target.outputs, config.rank],
            b,
        ));
    }
    let views: Vec<(&str, &[usize], &[f32])> = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), *values))
        .collect();
    write_atomic(&out.join(WEIGHTS), &safetensors_bytes(&views))?;
    let about = json!({
        "peft_type": "LORA", "task_type": "FEATURE_EXTRACTION", "base_model_name_or_path": base, "r": config.rank,
        "lora_alpha": config.alpha, "lora_dropout": config.dropout, "target_modules": config.targets, "bias": "none", "fan_in_fan_out": false,
        "init_lora_weights": true, "inference_mode": true, "modules_to_save": null, "use_rslora": false, "use_dora": false,
    });
    write_json(&out.join(CONFIG), &about)
}

/// The name of a layer in the encoder alone: files of models with heads put the family's name before it.
fn inside(name: &str) -> &str {
    let starts = ["encoder.layer.", "transformer.layer."];
    let at = starts.iter().find_map(|start| name.find(start));
    at.map_or(name, |at| &name[at..])
}

/// Writes `base` with the adapter in the folder `adapter` added to its weights into the directory `out`.
///
/// # Errors
/// [`Error::Settings`] if the folder holds no LoRA adapter, one of a kind that is not plain LoRA, or one of another model.
pub fn merge_adapter(base: &str, adapter: &Path, out: &Path) -> Result<()> {
    let model = Trainable::load(base)?;
    let path = adapter.join(CONFIG);
    let wrong = |problem: String| Error::Settings(format!("{}: {problem}", path.display()));
    let bytes = std::fs::read(&path).map_err(CoreError::io(&path))?;
    let config: Value =
        serde_json::from_slice(&bytes).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let scale = scale(&config).map_err(wrong)?;
    let mut values = model.values.clone();
    add(&model, &adapter.join(WEIGHTS), scale, &mut values)?;
    let about = json!({
        "format": 1, "kind": "encoder", "merged": [base, adapter.to_string_lossy()], "method": "LoRA",
    });
    write_model(out, &model, &values, &about)
}

/// What the product of the factors is multiplied by.
fn scale(config: &Value) -> Result<f64, String> {
    let kind = &config["peft_type"];
    if kind != "LORA" {
        return Err(format!("peft_type: expected \"LORA\", found {kind}"));
    }
    for key in [
        "use_dora",
        "fan_in_fan_out",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "lora_bias",
    ] {
        let value = &config[key];
        let empty = value.is_null()
            || value == false
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            return Err(format!("{key}: expected none (plain LoRA), found {value}"));
        }
    }
    if config.get("bias").is_some_and(|bias| bias != "none") {
        return Err(format!("bias: expected \"none\", found {}", config["bias"]));
    }
    let number = |key: &str| {
        let value = config[key].as_f64().filter(|value| *value > 0.0);
        value.ok_or_else(|| format!("{key}: expected a number above 0, found {}", config[key]))
    };
    let (rank, alpha) = (number("r")?, number("lora_alpha")?);
    // Rank-stabilised LoRA (arXiv 2312.03732) divides by the root.
    Ok(alpha
        / if config["use_rslora"] == true {
            rank.sqrt()
        } else {
            rank
        })
}

/// Adds `scale B A` to the weights that the file has factors of.
fn add(model: &Trainable, path: &Path, scale: f64, values: &mut [f32]) -> Result<()> {
    let wrong = |problem: String| Error::Settings(format!("{}: {problem}", path.display()));
    let length = std::fs::metadata(path).map_err(CoreError::io(path))?.len();
    if length > LARGEST {
        return Err(wrong(format!("expected at most {LARGEST} bytes, found {length}")));
    }
    let bytes = std::fs::read(path).map_err(CoreError::io(path))?;
    let mut entries = header::parse(&bytes).map_err(wrong)?;
    // PEFT's `dense` also names BERT's pooler, which no embedding goes through.
    entries.retain(|entry| !entry.name.contains(".pooler."));
    let factor = |name: &str| entries.iter().find(|entry| entry.name == name);
    let read = |entry: &Entry| entry.dtype.to_f32(&bytes[entry.bytes.clone()]);
    let mut used = 0;
    for place in &model.tensors {
        let Some(module) = place.name.strip_suffix(".weight") else {
            continue;
        };
        let name = |part: &str| format!("{WRAPPED}{}.{part}.weight", inside(module));
        let (Some(a), Some(b)) = (factor(&name("lora_A")), factor(&name("lora_B"))) else {
            continue;
        };
        let (Some(outputs), Some(inputs), Some(rank)) =
            (place.shape.first(), place.shape.get(1), a.shape.first())
        else {
            return Err(wrong(format!(
                "{}: expected two dimensions, found {:?}",
                a.name, a.shape
            )));
        };
        if a.shape != [*rank, *inputs] || b.shape != [*outputs, *rank] {
            return Err(wrong(format!(
                "{module}: expected [rank, {inputs}] and [{outputs}, rank], found {:?} and {:?}",
                a.shape, b.shape
            )));
        }
        let (a, b) = (read(a), read(b));
        let weight = values[place.start..][..place.len()].chunks_exact_mut(*inputs);
        for (row, b) in weight.zip(b.chunks_exact(*rank)) {
            for (column, value) in row.iter_mut().enumerate() {
                let products = b
                    .iter()
                    .enumerate()
                    .map(|(at, b)| f64::from(*b) * f64::from(a[at * inputs + column]));
                *value = (f64::from(*value) + scale * products.sum::<f64>()) as f32;
            }
        }
        used += 2;
    }
    match entries.iter().find(|entry| !entry.name.contains(".lora_")) {
        Some(other) => Err(wrong(format!(
            "expected factors of LoRA alone, found {}",
            other.name
        ))),
        None if used == 0 || used != entries.len() => Err(wrong(format!(
            "expected factors of layers of the base, found {used} of {} that are such",
            entries.len()
        ))),
        None => Ok(()),
    }
}
