//! Where a model's files are: a directory, or a model of the Hugging Face hub in the cache that its own tools keep.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::directory::is_plain_name;
use crate::download::{Hub, download};
use crate::error::{Error, Result};

/// The hub.
const ENDPOINT: &str = "https://huggingface.co";
/// The organisation of models that are named without one, as in sentence-transformers.
const ORGANISATION: &str = "sentence-transformers";

/// The directory of a model: `path_or_id` itself if it is one, else its snapshot in the hub's cache, downloaded if it is not there yet.
pub(crate) fn find(path_or_id: &str) -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let hub = hub(variable);
    find_in(path_or_id, cache(variable).as_deref(), hub.as_ref())
}

/// The directory of a model: `path_or_id` itself if it is one, else its snapshot in the hub's cache, downloaded if it is not there yet.
///
/// # Errors
/// [`Error::Model`] if it is neither a directory nor a hub id, or can't be downloaded.
pub fn model_folder(path_or_id: &str) -> Result<PathBuf> {
    find(path_or_id)
}

/// Without a hub nothing is downloaded.
pub(crate) fn find_in(path_or_id: &str, cache: Option<&Path>, hub: Option<&Hub>) -> Result<PathBuf> {
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
    let folder = cache.join(format!("models--{}", id.replace('/', "--")));
    let missing = match cached(&folder)? {
        Ok(snapshot) => return Ok(snapshot),
        Err(missing) => missing,
    };
    let Some(hub) = hub else {
        return Err(wrong(format!(
            "no such directory, and {missing}; nothing is downloaded because HF_HUB_OFFLINE is set"
        )));
    };
    download(hub, &id, &folder).map_err(|problem| {
        wrong(format!(
            "no such directory, {missing}, and not downloaded: {problem}"
        ))
    })?;
    cached(&folder)?.map_err(wrong)
}

/// The snapshot of the main branch in a model's folder of the cache, or what is missing.
fn cached(folder: &Path) -> Result<Result<PathBuf, String>> {
    if !folder.is_dir() {
        let problem = format!("not in the hub's cache (tried {})", folder.display());
        return Ok(Err(problem));
    }
    let reference = folder.join("refs/main");
    let commit = match std::fs::read_to_string(&reference) {
        Ok(commit) => commit,
        Err(error) => {
            let problem = format!("not whole in the hub's cache ({}: {error})", reference.display());
            return Ok(Err(problem));
        }
    };
    let commit = commit.trim();
    if !is_plain_name(commit) {
        return Err(Error::model(
            &reference,
            format!("expected the name of a snapshot, found {commit:?}"),
        ));
    }
    let snapshot = folder.join("snapshots").join(commit);
    // Other tools write `refs/main` first, and some fetch single files.
    let whole = ["modules.json", "config.json"].map(|name| snapshot.join(name).is_file());
    if !whole.contains(&true) {
        let problem = format!(
            "its snapshot in the hub's cache is missing or empty ({})",
            snapshot.display()
        );
        return Ok(Err(problem));
    }
    Ok(Ok(snapshot))
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
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
        .map(PathBuf::from)
        .or_else(|| Some(home(variable)?.join("hub")))
}

/// Where the hub's tools keep the cache and the token.
fn home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    folder("HF_HOME")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
        .or_else(|| Some(folder("HOME")?.join(".cache/huggingface")))
}

/// The hub, unless `HF_HUB_OFFLINE` is set: `HF_ENDPOINT`, with the token in `HF_TOKEN` or in the file that `hf auth login` writes.
fn hub(variable: impl Fn(&str) -> Option<OsString>) -> Option<Hub> {
    let text = |name: &str| variable(name)?.into_string().ok();
    let on = ["1", "on", "yes", "true"];
    if text("HF_HUB_OFFLINE").is_some_and(|value| on.contains(&value.to_lowercase().as_str())) {
        return None;
    }
    let stored = || {
        let path = variable("HF_TOKEN_PATH").map(PathBuf::from);
        let path = path.or_else(|| Some(home(&variable)?.join("token")))?;
        std::fs::read_to_string(path).ok()
    };
    let token = text("HF_TOKEN").or_else(stored);
    Some(Hub {
        endpoint: text("HF_ENDPOINT")
            .unwrap_or_else(|| ENDPOINT.into())
            .trim_end_matches('/')
            .into(),
        token: token
            .map(|token| token.trim().to_string())
            .filter(|token| !token.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_cache() -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--sentence-transformers--tiny");
        std::fs::create_dir_all(model.join("snapshots/abc123")).unwrap();
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("snapshots/abc123/config.json"), "{}").unwrap();
        std::fs::write(model.join("refs/main"), "abc123\n").unwrap();
        cache
    }

    #[test]
    fn a_hub_id_is_found_in_the_cache_with_and_without_its_organisation() {
        let cache = made_cache();
        for id in ["sentence-transformers/tiny", "tiny"] {
            let found = find_in(id, Some(cache.path()), None).unwrap();
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
        assert_eq!(
            find_in(path, Some(made_cache().path()), None).unwrap(),
            folder.path()
        );
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_tried() {
        let cache = made_cache();
        let message = |id: &str| find_in(id, Some(cache.path()), None).unwrap_err().to_string();
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

    fn set(values: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + Copy {
        |name| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let with = |values| cache(set(values));
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(with(&[("HOME", "/h"), ("HF_HOME", "/x")]), Some("/x/hub".into()));
        assert_eq!(
            with(&[("HF_HOME", "/x"), ("HUGGINGFACE_HUB_CACHE", "/y")]),
            Some("/y".into())
        );
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn the_variables_say_which_hub_with_which_token_or_none() {
        let with = |values| hub(set(values)).map(|hub| (hub.endpoint, hub.token));
        assert_eq!(with(&[]), Some((ENDPOINT.into(), None)));
        assert_eq!(
            with(&[
                ("HF_ENDPOINT", "http://mirror/"),
                ("HF_TOKEN", " secret\n"),
                ("HF_HUB_OFFLINE", "0")
            ]),
            Some(("http://mirror".into(), Some("secret".into())))
        );
        assert_eq!(with(&[("HF_HUB_OFFLINE", "1")]), None);
        assert_eq!(with(&[("HF_HUB_OFFLINE", "True")]), None);
    }
}
