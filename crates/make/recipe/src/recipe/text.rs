//! A recipe's text before it is understood: variables, lines, TOML.

use std::path::Path;

use crate::error::{Error, Result};

/// Reads a recipe's text; `${NAME}` stands for an environment variable.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(kokeshi_core::Error::io(path))?;
    expanded(path, &text)
}

pub(super) fn expanded(path: &Path, text: &str) -> Result<String> {
    expand(text, |name| std::env::var(name).ok()).map_err(|problem| Error::Toml {
        path: path.into(),
        problem,
    })
}

/// The line of a byte, from 1.
pub(crate) fn line(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// What a recipe says, or the line that can't be understood.
pub(crate) fn parse_toml<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let line = line(text, error.span().map_or(0, |span| span.start));
        let shown = text.lines().nth(line - 1).unwrap_or("").trim();
        Error::Toml {
            path: path.into(),
            problem: format!("line {line}, `{shown}`: {}", in_words(error.message())),
        }
    })
}

/// What the parser says, on one line and without the names of Rust's types.
pub(crate) fn in_words(message: &str) -> String {
    let names = [
        ("usize", "a whole number from 0 on"),
        ("u64", "a whole number from 0 on"),
        ("u32", "a whole number from 0 on"),
        ("f64", "a number"),
        ("f32", "a number"),
        ("a sequence", "a list"),
    ];
    let mut text = message.replace('\n', "; ");
    for (name, words) in names {
        text = text.replace(&format!("expected {name}"), &format!("expected {words}"));
    }
    text
}

/// The text with `${NAME}` replaced by what `value` says.
fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let line = (text.len() - after.len()).min(text.len());
        let line = text[..line].matches('\n').count() + 1;
        let Some((name, more)) = after.split_once('}') else {
            return Err(format!("line {line}: expected a closing brace after ${{"));
        };
        let Some(found) = value(name) else {
            return Err(format!(
                "line {line}: expected the environment variable {name}, found none"
            ));
        };
        out.push_str(before);
        out.push_str(&found);
        rest = more;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_variables_stand_for_paths() {
        let value = |name: &str| (name == "DATA").then(|| "/data".to_string());
        assert_eq!(expand("a = \"${DATA}/x\"", value).unwrap(), "a = \"/data/x\"");
        let error = expand("\n\nb = \"${OTHER}\"", value).unwrap_err();
        assert!(error.contains("line 3") && error.contains("OTHER"), "{error}");
    }
}
