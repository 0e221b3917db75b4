//! The model directory: what sentence-transformers and `kokeshi embed` load, `kokeshi.json` with the sizes, and a card with a picture.

use std::fmt::Write;
use std::path::Path;

use kokeshi_core::Error as CoreError;
use kokeshi_core::file::write_atomic;
use kokeshi_encode::{TrainPooling, Trainable};
use serde_json::json;

use crate::error::Result;
use crate::judge::Scores;
use crate::recipe::{Base, Recipe};

/// What was measured.
pub(crate) struct Quality<'a> {
    pub before: Option<&'a Scores>,
    pub after: Option<&'a Scores>,
    pub test: Option<&'a Scores>,
}

/// Writes the directory. `modules.json` comes last: a directory that has one is a model.
pub(crate) fn write(
    recipe: &Recipe,
    base: &Trainable,
    values: &[f32],
    quality: &Quality<'_>,
    steps: u64,
) -> Result<()> {
    let out = &recipe.out;
    let sizes: Vec<String> = recipe
        .sizes
        .iter()
        .map(|(layers, dims)| format!("{layers}x{dims}"))
        .collect();
    let at_sizes = |scores: &Scores| -> serde_json::Map<String, serde_json::Value> {
        let found = recipe.sizes.iter().zip(&sizes);
        found
            .filter_map(|((layers, dims), name)| Some((name.clone(), json!(scores.at(*layers, *dims)?))))
            .collect()
    };
    let about = json!({
        "format": 1,
        "kind": "encoder",
        "base": recipe.base.to_string(),
        "losses": recipe.data.iter().map(|data| data.loss.to_string()).collect::<Vec<_>>(),
        "steps": steps,
        "sizes": sizes,
        "quality": {
            "metric": "spearman",
            "evaluation": quality.after.map(at_sizes),
            "test": quality.test.map(at_sizes),
        },
    });
    write_model(out, base, values, &about)?;
    let shown = quality.test.or(quality.after);
    if let Some(scores) = shown {
        let heat = kokeshi_plot::Heat {
            title: "Spearman by layers and dims".into(),
            x: "dims".into(),
            y: "layers".into(),
            columns: scores.dims.iter().map(ToString::to_string).collect(),
            rows: scores.layers.iter().map(ToString::to_string).collect(),
            values: scores.spearman.clone(),
        };
        write_atomic(&out.join("quality.svg"), kokeshi_plot::heat(&heat).as_bytes())?;
    }
    write_atomic(
        &out.join("README.md"),
        card(recipe, &sizes, quality, steps, base.shape.bytes.is_none()).as_bytes(),
    )?;
    Ok(())
}

/// A base's directory with other weights, and `about` as `kokeshi.json`.
pub(crate) fn write_model(
    out: &Path,
    base: &Trainable,
    values: &[f32],
    about: &serde_json::Value,
) -> Result<()> {
    std::fs::create_dir_all(out).map_err(CoreError::io(out))?;
    copy_settings(&base.root, out, true)?;
    write_atomic(&out.join("model.safetensors"), &base.safetensors(values)?)?;
    write_json(&out.join("kokeshi.json"), about)?;
    match std::fs::read(base.root.join("modules.json")) {
        Ok(modules) if !base.repooled && base.cross.is_none() => {
            Ok(write_atomic(&out.join("modules.json"), &modules)?)
        }
        _ => {
            let config = match base.cross {
                Some(cross) => cross.config(base.pooling, base.shape.hidden),
                None => pooling_config(base.pooling, base.shape.hidden),
            };
            write_modules(out, &config, base.pooling_safetensors(values), base.normalize)
        }
    }
}

/// The configuration of a pooling without weights, as sentence-transformers has it.
pub(crate) fn pooling_config(pooling: TrainPooling, hidden: usize) -> serde_json::Value {
    json!({
        "word_embedding_dimension": hidden,
        "pooling_mode_cls_token": pooling == TrainPooling::First,
        "pooling_mode_mean_tokens": pooling == TrainPooling::Mean,
        "pooling_mode_lasttoken": pooling == TrainPooling::Last,
    })
}

/// A pooling module, and `modules.json` that names it after a transformer.
pub(crate) fn write_modules(
    out: &Path,
    config: &serde_json::Value,
    weights: Option<Vec<u8>>,
    normalize: bool,
) -> Result<()> {
    let folder = out.join("1_Pooling");
    std::fs::create_dir_all(&folder).map_err(CoreError::io(&folder))?;
    write_json(&folder.join("config.json"), config)?;
    if let Some(weights) = weights {
        write_atomic(&folder.join("model.safetensors"), &weights)?;
    }
    let module = |at: usize, path: &str, kind: &str| json!({"idx": at, "name": at.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let mut list = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
    if normalize {
        list.push(module(2, "2_Normalize", "Normalize"));
    }
    write_json(&out.join("modules.json"), &list.into())
}

/// Copies configuration and vocabulary files, of the folder and of the modules' folders in it.
fn copy_settings(from: &Path, to: &Path, deeper: bool) -> Result<()> {
    let entries = std::fs::read_dir(from).map_err(CoreError::io(from))?;
    for entry in entries {
        let path = entry.map_err(CoreError::io(from))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            // Modules' folders are called 1_Pooling and the like.
            if deeper && name.starts_with(|first: char| first.is_ascii_digit()) {
                let inner = to.join(&name);
                std::fs::create_dir_all(&inner).map_err(CoreError::io(&inner))?;
                copy_settings(&path, &inner, false)?;
            }
            continue;
        }
        let wanted = [".json", ".txt", ".model"].iter().any(|end| name.ends_with(end));
        let ours = ["modules.json", "kokeshi.json", "model.safetensors.index.json"].contains(&name.as_str());
        if wanted && !ours {
            let bytes = std::fs::read(&path).map_err(CoreError::io(&path))?;
            write_atomic(&to.join(&name), &bytes)?;
        }
    }
    Ok(())
}

pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    Ok(write_atomic(path, text.as_bytes())?)
}

fn card(recipe: &Recipe, sizes: &[String], quality: &Quality<'_>, steps: u64, shared: bool) -> String {
    // Other libraries have no layer that makes words of bytes.
    let mut text = String::from(match shared {
        true => "---\nlibrary_name: sentence-transformers\ntags: [sentence-transformers, kokeshi]\n---\n\n",
        false => "---\ntags: [kokeshi]\n---\n\n",
    });
    let losses: Vec<String> = recipe
        .data
        .iter()
        .map(|data| format!("`{}`", data.loss))
        .collect();
    let _ = writeln!(
        text,
        "Trained by Kokeshi from {} for the sizes {} (layers x dims), {steps} steps of {} rows, {}.\n",
        match &recipe.base {
            Base::Model(name) => {
                let last = Path::new(name).file_name();
                let last = last.map_or_else(|| name.clone(), |name| name.to_string_lossy().into_owned());
                format!("`{last}`")
            }
            scratch => scratch.to_string(),
        },
        sizes.join(", "),
        recipe.train.batch,
        losses.join(", "),
    );
    if quality.after.is_some() {
        text.push_str("Spearman's correlation with people's scores:\n\n| size | base | this model | this model, test data |\n|---|---:|---:|---:|\n");
        for ((layers, dims), name) in recipe.sizes.iter().zip(sizes) {
            let cell = |scores: Option<&Scores>| {
                let found = scores.and_then(|scores| scores.at(*layers, *dims));
                found.map_or("-".into(), |found| format!("{found:.4}"))
            };
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} |",
                cell(quality.before),
                cell(quality.after),
                cell(quality.test)
            );
        }
        text.push_str("\n![quality by layers and dims](quality.svg)\n");
    }
    let _ = write!(text, "\n## Recipe\n\n```toml\n{}\n```\n", recipe.text.trim());
    text
}
