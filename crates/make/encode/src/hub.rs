//! Where a model's files are: a directory, or a model of the Hugging Face hub in the cache that its own tools keep.

use std::path::{Path, PathBuf};

use crate::directory::is_plain_name;
use crate::error::{Error, Result};

/// The organisation of models that are named without one, as in sentence-transformers.
const ORGANISATION: &str = "sentence-transformers";

/// The directory of a model: `path_or_id` itself if it is one, else its snapshot in the hub's cache. Nothing is downloaded.
pub(crate) fn find(path_or_id: &str) -> Result<PathBuf> {
    find_in(
        path_or_id,
        cache(|name| std::env::var_os(name).map(PathBuf::from)).as_deref(),
    )
}

fn find_in(path_or_id: &str, cache: Option<&Path>) -> Result<PathBuf> {
    let path = Path::new(path_or_id);
    if path.is_dir() {
        return Ok(path.into());
    }
    let wrong = |problem: String| Error::model(path, problem);
    if path.exists() {
        return Err(wrong(
            "expected a directory with the files of a model, found a file".into(),
        ));
    }
    let Some(id) = full_id(path_or_id) else {
        return Err(wrong(
            "no such directory, and not a hub id (ORGANISATION/NAME) either".into(),
        ));
    };
    let Some(cache) = cache else {
        return Err(wrong(
            "no such directory, and no home directory to look for the hub's cache in".into(),
        ));
    };
    let hint = format!(
        "download it once with `hf download {id}`, or give the path of a directory; Kokeshi itself downloads nothing"
    );
    let folder = cache.join(format!("models--{}", id.replace('/', "--")));
    if !folder.is_dir() {
        return Err(wrong(format!(
            "no such directory, and not in the hub's cache: tried {}; {hint}",
            folder.display()
        )));
    }
    let reference = folder.join("refs/main");
    let commit = std::fs::read_to_string(&reference).map_err(|error| {
        wrong(format!(
            "in the hub's cache, but not whole: {}: {error}; {hint}",
            reference.display()
        ))
    })?;
    let commit = commit.trim();
    if !is_plain_name(commit) {
        return Err(Error::model(
            &reference,
            format!("expected the name of a snapshot, found {commit:?}"),
        ));
    }
    let snapshot = folder.join("snapshots").join(commit);
    if !snapshot.is_dir() {
        return Err(wrong(format!(
            "in the hub's cache, but its snapshot {} is missing; {hint}",
            snapshot.display()
        )));
    }
    Ok(snapshot)
}

/// `ORGANISATION/NAME`, if `text` can be the id of a model.
fn full_id(text: &str) -> Option<String> {
    let good = |part: &str| {
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        !part.is_empty() && !part.starts_with('.') && part.len() <= 96 && part.chars().all(letters)
    };
    match text.split_once('/') {
        Some((organisation, name)) => (good(organisation) && good(name)).then(|| text.to_string()),
        None => good(text).then(|| format!("{ORGANISATION}/{text}")),
    }
}

/// The hub's cache by the rules of its own tools: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`,
/// `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let variable = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(variable("HF_HOME")?.join("hub")))
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(variable("HOME")?.join(".cache/huggingface/hub")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_cache() -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--sentence-transformers--tiny");
        std::fs::create_dir_all(model.join("snapshots/abc123")).unwrap();
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), "abc123\n").unwrap();
        cache
    }

    #[test]
    fn a_hub_id_is_found_in_the_cache_with_and_without_its_organisation() {
        let cache = made_cache();
        for id in ["sentence-transformers/tiny", "tiny"] {
            let found = find_in(id, Some(cache.path())).unwrap();
            assert!(
                found.ends_with("models--sentence-transformers--tiny/snapshots/abc123"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_directory_wins_over_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(find_in(path, Some(made_cache().path())).unwrap(), folder.path());
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_tried() {
        let cache = made_cache();
        let message = |id: &str| find_in(id, Some(cache.path())).unwrap_err().to_string();
        assert!(
            message("org/absent").contains("models--org--absent"),
            "{}",
            message("org/absent")
        );
        assert!(message("./nowhere/at/all").contains("not a hub id"));
        assert!(message("../../etc").contains("not a hub id"));
        let model = cache.path().join("models--sentence-transformers--tiny");
        std::fs::write(model.join("refs/main"), "../../../secret").unwrap();
        assert!(message("tiny").contains("expected the name of a snapshot"));
        std::fs::write(model.join("refs/main"), "gone").unwrap();
        assert!(message("tiny").contains("is missing"));
        std::fs::remove_file(model.join("refs/main")).unwrap();
        assert!(message("tiny").contains("not whole"));
    }

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let with = |set: &'static [(&str, &str)]| {
            cache(|name| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(with(&[("HOME", "/h"), ("HF_HOME", "/x")]), Some("/x/hub".into()));
        assert_eq!(
            with(&[("HF_HOME", "/x"), ("HUGGINGFACE_HUB_CACHE", "/y")]),
            Some("/y".into())
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("HF_HOME", "")]),
            Some("/h/.cache/huggingface/hub".into())
        );
        assert_eq!(with(&[]), None);
    }
}
