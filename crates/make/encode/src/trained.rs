//! `kokeshi.json` beside a model: the sizes that it was trained to be used at.

use std::path::Path;

use kokeshi_core::Size;
use serde_json::Value;

use crate::directory::read_optional;
use crate::error::Result;

/// The file's name.
const NAME: &str = "kokeshi.json";
/// The most sizes that are believed.
const MOST: usize = 1024;

/// The sizes in `root`'s file; none if there is no file. A static model's sizes have 0 layers.
pub(crate) fn sizes(root: &Path) -> Result<Vec<Size>> {
    let about = read_optional(&root.join(NAME))?;
    let wrong = || {
        let expected = format!("expected at most {MOST} sizes such as \"3x128\"");
        about.wrong("sizes", expected)
    };
    let Some(listed) = about.get("sizes") else {
        return Ok(Vec::new());
    };
    let listed = listed
        .as_array()
        .filter(|sizes| sizes.len() <= MOST)
        .ok_or_else(wrong)?;
    let size = |value: &Value| {
        let text = value.as_str()?;
        match text.strip_prefix("0x") {
            Some(rest) => format!("*x{rest}").parse().ok(),
            None => text.parse().ok(),
        }
    };
    let sizes: Option<Vec<Size>> = listed.iter().map(size).collect();
    sizes.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Size>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        sizes(folder.path())
    }

    #[test]
    fn sizes_are_read_and_a_static_models_layers_are_left_out() {
        let found = read(r#"{"sizes": ["0x32x32", "3x128"]}"#).unwrap();
        let written: Vec<String> = found.iter().map(Size::to_string).collect();
        assert_eq!(written, ["*x32x32", "3x128"]);
        assert!(read("{}").unwrap().is_empty());
        assert!(sizes(Path::new("nowhere")).unwrap().is_empty());
    }

    #[test]
    fn a_size_that_is_not_one_is_refused() {
        for text in [r#"{"sizes": ["big"]}"#, r#"{"sizes": [32]}"#, r#"{"sizes": 32}"#] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("kokeshi.json") && error.contains("sizes"),
                "{error}"
            );
        }
    }
}
