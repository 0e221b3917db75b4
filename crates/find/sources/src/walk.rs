//! The files that the given paths stand for.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::detect::{self, HEAD};
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::input::{self, Packing};
use crate::options::SourceOptions;

/// A file to be read.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub path: PathBuf,
    /// As shown, and the id of a file that is one document: the path as given, with `/`.
    pub name: String,
    pub bytes: u64,
    pub packing: Packing,
    pub format: Format,
}

/// What was left alone, by reason.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    reasons: Vec<(String, u64, String)>,
}

impl Skipped {
    pub(crate) fn add(&mut self, reason: &str, name: &str) {
        match self.reasons.iter_mut().find(|(known, ..)| known == reason) {
            Some((_, count, _)) => *count += 1,
            None => self.reasons.push((reason.into(), 1, name.into())),
        }
    }

    /// One line a reason.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.reasons
            .iter()
            .map(|(reason, count, first)| match count {
                1 => format!("skipped {first}: {reason}"),
                _ => format!("skipped {count} files, the first is {first}: {reason}"),
            })
            .collect()
    }
}

/// Folders that hold what tools made, never documents.
const TOOL_FOLDERS: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Every file below `paths`, in the order of the paths and by name within a folder.
pub(crate) fn files(paths: &[PathBuf], options: &SourceOptions, skipped: &mut Skipped) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
        if metadata.is_dir() {
            folder(path, options, skipped, &mut found)?;
        } else if metadata.is_file() {
            let file = look(path, metadata.len(), options).map_err(|reason| match reason {
                Reason::Io(source) => Error::io(path)(source),
                Reason::Unfit(problem) => Error::File {
                    path: display(path),
                    problem: format!("expected text or a known format, found {problem}"),
                },
            })?;
            found.push(file);
        } else {
            return Err(Error::File {
                path: display(path),
                problem: "expected a file or folder, found a device, pipe or socket (use - for stdin)".into(),
            });
        }
    }
    Ok(found)
}

fn folder(root: &Path, options: &SourceOptions, skipped: &mut Skipped, found: &mut Vec<Found>) -> Result<()> {
    let first = found.len();
    // The walk itself would only report a root that can't be listed as one entry among many.
    std::fs::read_dir(root).map_err(Error::io(root))?;
    let mut walk = ignore::WalkBuilder::new(root);
    walk.hidden(!options.hidden)
        .ignore(!options.hidden)
        .git_ignore(!options.hidden)
        .git_exclude(!options.hidden)
        .git_global(false)
        .parents(!options.hidden)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let name = entry.file_name().to_string_lossy();
            !(folder && entry.depth() > 0 && (name == ".git" || TOOL_FOLDERS.contains(&&*name)))
        });
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                skipped.add(&format!("can't be read: {}", cause(&error)), &place(&error, root));
                continue;
            }
        };
        let path = entry.path();
        // Of a link, what it points to; links to folders are not followed, so that a loop can't catch us.
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if entry.path_is_symlink() => {
                skipped.add(&format!("a broken link: {error}"), &display(path));
                continue;
            }
            Err(error) => {
                skipped.add(&format!("can't be read: {error}"), &display(path));
                continue;
            }
        };
        if metadata.is_dir() {
            if entry.path_is_symlink() {
                skipped.add(
                    "a link to a folder; name it on the command line to read it",
                    &display(path),
                );
            }
            continue;
        }
        if !metadata.is_file() {
            skipped.add("a device, pipe or socket", &display(path));
            continue;
        }
        match look(path, metadata.len(), options) {
            Ok(file) => found.push(file),
            Err(Reason::Io(error)) => skipped.add(&format!("can't be read: {error}"), &display(path)),
            Err(Reason::Unfit(reason)) => skipped.add(&reason, &display(path)),
        }
    }
    let below = found.split_off(first);
    found.extend(only_corpora(below, skipped));
    Ok(())
}

/// Of BEIR folders (`corpus*.jsonl` beside `queries*.jsonl` or `qrels/`) only the corpus is documents.
fn only_corpora(files: Vec<Found>, skipped: &mut Skipped) -> Vec<Found> {
    let file_name = |file: &Found| {
        file.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let is_corpus = |file: &Found| file.format == Format::Jsonl && file_name(file).starts_with("corpus");
    let is_sign = |file: &Found, folder: &Path| {
        let parent = file.path.parent();
        (parent == Some(folder) && file_name(file).starts_with("queries"))
            || parent == Some(&*folder.join("qrels"))
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for corpus in files.iter().filter(|file| is_corpus(file)) {
        if let Some(folder) = corpus.path.parent()
            && !folders.iter().any(|known| known == folder)
            && files.iter().any(|file| is_sign(file, folder))
        {
            folders.push(folder.into());
        }
    }
    files
        .into_iter()
        .filter(|file| {
            let keep = is_corpus(file) || !folders.iter().any(|folder| file.path.starts_with(folder));
            if !keep {
                skipped.add("beside the corpus of a BEIR data set", &file.name);
            }
            keep
        })
        .collect()
}

/// The innermost message of a walk's error.
fn cause(error: &ignore::Error) -> String {
    match error.io_error() {
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}

fn place(error: &ignore::Error, root: &Path) -> String {
    match error {
        ignore::Error::WithPath { path, .. } => display(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => place(err, root),
        _ => display(root),
    }
}

enum Reason {
    Io(std::io::Error),
    Unfit(String),
}

/// Opens a file to see what it is.
fn look(path: &Path, bytes: u64, options: &SourceOptions) -> std::result::Result<Found, Reason> {
    let name = display(path);
    let (packing, _) = Packing::of(&name);
    let mut input = input::open(path, packing, &Arc::default()).map_err(Reason::Io)?;
    let mut head = Vec::new();
    // A damaged packed file is reported when it is read, with what could be read of it; here its start is enough.
    let damaged = input.by_ref().take(HEAD as u64).read_to_end(&mut head);
    if let (Err(error), Packing::Plain) = (damaged, packing) {
        return Err(Reason::Io(error));
    }
    let format = match options.format {
        Some(format) => format,
        None => detect::format(&name, &head).map_err(|reason| Reason::Unfit(reason.into()))?,
    };
    let format = match format {
        Format::Text | Format::PaperList if options.lines => Format::Lines,
        format => format,
    };
    if format == Format::Lines && detect::is_utf16(&head) {
        return Err(Reason::Unfit(detect::UTF16.into()));
    }
    if format.is_read_whole() && bytes > options.max_file_bytes {
        return Err(Reason::Unfit(format!(
            "{} of {bytes} bytes, which is read whole and may have at most {}",
            format.describe(),
            options.max_file_bytes
        )));
    }
    Ok(Found {
        path: path.into(),
        name,
        bytes,
        packing,
        format,
    })
}

/// As shown: with `/`, without a leading `./`.
pub(crate) fn display(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = if std::path::MAIN_SEPARATOR == '/' {
        text.into_owned()
    } else {
        text.replace(std::path::MAIN_SEPARATOR, "/")
    };
    match text.strip_prefix("./") {
        Some(rest) if !rest.is_empty() => rest.into(),
        _ => text,
    }
}
