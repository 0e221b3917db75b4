//! A BEIR directory: `corpus*.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each compressed or not.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    error::{Error, Result},
    lines::Lines,
    ranking::Qrels,
    trec::read_qrels,
};

/// A document or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// Its title; empty if it has none.
    pub title: String,
    /// Its text.
    pub text: String,
}

impl Document {
    /// Title and text, as BEIR's dense baselines join them.
    pub fn joined(&self) -> String {
        match (self.title.trim(), self.text.as_str()) {
            ("", text) => text.to_owned(),
            (title, text) => format!("{title} {text}"),
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id", alias = "id")]
    id: Id,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

/// A BEIR directory.
#[derive(Debug, Clone)]
pub struct Beir {
    folder: PathBuf,
    corpus: Vec<PathBuf>,
    queries: PathBuf,
}

impl Beir {
    /// Looks at a directory; reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Missing`] if the corpus or the queries are not there.
    pub fn open(folder: &Path) -> Result<Self> {
        let corpus = files(folder, "corpus", ".jsonl")?;
        if corpus.is_empty() {
            return Err(missing(
                folder,
                "a BEIR directory with corpus*.jsonl or corpus*.jsonl.gz",
            ));
        }
        let queries = files(folder, "queries", ".jsonl")?
            .into_iter()
            .next()
            .ok_or_else(|| missing(folder, "a BEIR directory with queries.jsonl or queries.jsonl.gz"))?;
        Ok(Self {
            folder: folder.to_owned(),
            corpus,
            queries,
        })
    }

    /// The files of the corpus, in order of their names.
    pub fn corpus_files(&self) -> &[PathBuf] {
        &self.corpus
    }

    /// Hands every document to `each`, without holding the corpus in memory.
    ///
    /// # Errors
    /// A file that can't be read, a line that is no document, or what `each` returns.
    pub fn for_each_document<E: From<Error>>(
        &self,
        mut each: impl FnMut(Document) -> Result<(), E>,
    ) -> Result<(), E> {
        for path in &self.corpus {
            read(path, &mut each)?;
        }
        Ok(())
    }

    /// The corpus.
    ///
    /// # Errors
    /// As for [`Beir::for_each_document`].
    pub fn documents(&self) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        self.for_each_document(|document| {
            documents.push(document);
            Ok::<(), Error>(())
        })?;
        Ok(documents)
    }

    /// All queries, of every split.
    ///
    /// # Errors
    /// As for [`Beir::for_each_document`].
    pub fn queries(&self) -> Result<Vec<Document>> {
        let mut queries = Vec::new();
        read(&self.queries, &mut |query| {
            queries.push(query);
            Ok::<(), Error>(())
        })?;
        Ok(queries)
    }

    /// The splits that have judgements.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn splits(&self) -> Result<Vec<String>> {
        let folder = self.folder.join("qrels");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let name = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.trim_end_matches(".gz")
                .strip_suffix(".tsv")
                .map(str::to_owned)
        };
        Ok(files(&folder, "", ".tsv")?.iter().filter_map(name).collect())
    }

    /// The judgements of a split, e.g. `test`.
    ///
    /// # Errors
    /// [`Error::Missing`] naming the splits that are there, or as for [`read_qrels`].
    pub fn qrels(&self, split: &str) -> Result<Qrels> {
        let splits = self.splits()?;
        if !splits.iter().any(|known| known == split) {
            let known = if splits.is_empty() {
                "none".into()
            } else {
                splits.join(", ")
            };
            return Err(missing(
                &self.folder.join("qrels"),
                &format!("judgements of split {split:?}; there are: {known}"),
            ));
        }
        let plain = self.folder.join("qrels").join(format!("{split}.tsv"));
        let packed = self.folder.join("qrels").join(format!("{split}.tsv.gz"));
        read_qrels(if plain.is_file() { &plain } else { &packed })
    }
}

fn read<E: From<Error>>(path: &Path, each: &mut impl FnMut(Document) -> Result<(), E>) -> Result<(), E> {
    let mut lines = Lines::open(path)?;
    while let Some((number, line)) = lines.next()? {
        let expected = "an object with \"_id\" and \"text\"";
        let parsed: Line = serde_json::from_str(line)
            .map_err(|error| Error::line(path, number, format!("{expected} ({error})"), line))?;
        let id = match parsed.id {
            Id::Text(id) => id,
            Id::Number(id) => id.to_string(),
        };
        if parsed.title.is_none() && parsed.text.is_none() {
            return Err(Error::line(path, number, expected, line).into());
        }
        each(Document {
            id,
            title: parsed.title.unwrap_or_default(),
            text: parsed.text.unwrap_or_default(),
        })?;
    }
    Ok(())
}

/// The files of a folder with this beginning and ending, or compressed, in order of their names.
fn files(folder: &Path, start: &str, end: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let fits = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| {
                name.starts_with(start) && name.strip_suffix(".gz").unwrap_or(name).ends_with(end)
            });
        if fits && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn missing(path: &Path, expected: &str) -> Error {
    Error::Missing {
        path: path.to_owned(),
        expected: expected.to_owned(),
    }
}
