//! Distillation as a recipe: a teacher, texts, and the settings of [`kokeshi_train::distill`]. `kokeshi distill` is the short form of the same.

use std::path::{Path, PathBuf};

use kokeshi_core::Progress;
use kokeshi_core::file::write_atomic;
use kokeshi_encode::Model;
use kokeshi_sources::{Source, SourceOptions};
use kokeshi_train::{DistillConfig, Text, distill};
use serde::Deserialize;
use toml::Spanned;

use crate::error::{Error, Result};
use crate::recipe::{DataKind, Paths, Recipe, forty_two, line, parse_toml, read_text};
use crate::workplace::Workplace;

/// A recipe of either kind.
#[derive(Debug, Clone)]
pub enum AnyRecipe {
    /// An encoder that is trained.
    Train(Box<Recipe>),
    /// A static model of a teacher.
    Distill(Box<Distillation>),
}

impl AnyRecipe {
    /// Reads and checks a recipe: one with a table `[distill]` is a distillation.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let table: toml::Table = parse_toml(path, &text)?;
        match table.contains_key("distill") {
            true => Distillation::parse(path, &text).map(|recipe| Self::Distill(Box::new(recipe))),
            false => Recipe::checked(path, text).map(|recipe| Self::Train(Box::new(recipe))),
        }
    }
}

/// A teacher, texts, and how a static model is made of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Distillation {
    /// A directory or hub id.
    pub teacher: String,
    /// The directory that is written.
    pub out: PathBuf,
    /// What is read.
    pub texts: Vec<Texts>,
    /// Also the compact form that can be compiled in.
    pub compact: Option<PathBuf>,
    /// How it is made.
    pub config: DistillConfig,
}

/// Texts of some files.
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    /// Files and folders in any format that is indexed.
    pub paths: Vec<PathBuf>,
    /// The fields that are joined; found by name if there are none.
    pub fields: Vec<String>,
    /// The most texts.
    pub limit: Option<usize>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// The teacher's name.
    pub teacher: String,
    /// Bytes of the compact form, if it was asked for.
    pub compact: Option<u64>,
    /// What the readers say about the files.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base: String,
    out: PathBuf,
    #[serde(default = "forty_two")]
    seed: u64,
    data: Spanned<Vec<RawTexts>>,
    distill: Spanned<RawDistill>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTexts {
    path: Spanned<Paths>,
    kind: Spanned<DataKind>,
    #[serde(default)]
    columns: Vec<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDistill {
    dims: Option<usize>,
    prefixes: Option<Vec<usize>>,
    epochs: Option<usize>,
    spans: Option<usize>,
    bags: Option<usize>,
    batch: Option<usize>,
    rate: Option<f32>,
    compact: Option<PathBuf>,
}

impl Distillation {
    fn parse(path: &Path, text: &str) -> Result<Self> {
        let file: File = parse_toml(path, text)?;
        let wrong = |key: &str, at: usize, problem: String| Error::Recipe {
            path: path.into(),
            line: line(text, at),
            key: key.into(),
            problem,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let inside = |path: &Path| folder.join(path);
        let mut texts = Vec::new();
        let data_at = file.data.span().start;
        for raw in file.data.into_inner() {
            if *raw.kind.as_ref() != DataKind::Texts {
                let problem = format!(
                    "expected \"texts\" in a distillation, found \"{}\"",
                    raw.kind.as_ref()
                );
                return Err(wrong("kind", raw.kind.span().start, problem));
            }
            let paths: Vec<PathBuf> = raw.path.as_ref().all().iter().map(|path| inside(path)).collect();
            if let Some(missing) = paths.iter().find(|path| !path.exists()) {
                let problem = format!("expected a file or folder, found none at {}", missing.display());
                return Err(wrong("path", raw.path.span().start, problem));
            }
            texts.push(Texts {
                paths,
                fields: raw.columns,
                limit: raw.limit,
            });
        }
        if texts.is_empty() {
            return Err(wrong("data", data_at, "expected at least one data set".into()));
        }
        let at = file.distill.span().start;
        let raw = file.distill.into_inner();
        let usual = DistillConfig::default();
        let dims = raw.dims.unwrap_or(usual.dims);
        let halves = || usual.prefixes.iter().copied().filter(|prefix| *prefix < dims);
        let config = DistillConfig {
            dims,
            prefixes: raw.prefixes.unwrap_or_else(|| halves().chain([dims]).collect()),
            epochs: raw.epochs.unwrap_or(usual.epochs),
            spans: raw.spans.unwrap_or(usual.spans),
            bags: raw.bags.unwrap_or(usual.bags),
            batch: raw.batch.unwrap_or(usual.batch),
            learning_rate: raw.rate.unwrap_or(usual.learning_rate),
            seed: file.seed,
            ..usual
        };
        // The teacher's width is only known later.
        config
            .check(dims.max(1))
            .map_err(|error| wrong("distill", at, error.to_string()))?;
        let local = inside(Path::new(&file.base));
        Ok(Self {
            teacher: match local.is_dir() {
                true => local.to_string_lossy().into_owned(),
                false => file.base,
            },
            out: inside(&file.out),
            texts,
            compact: raw.compact.map(|path| inside(&path)),
            config,
        })
    }

    /// Reads the texts, makes the student, writes the model.
    ///
    /// # Errors
    /// A teacher, texts or settings that don't fit; [`Error::Busy`] if another run writes to the same directory; a model that can't be written; [`kokeshi_train::Error::Interrupted`] if `progress` says so.
    pub fn run(&self, progress: &dyn Progress) -> Result<Distilled> {
        let workplace = Workplace::open(&self.out)?;
        let teacher = Model::load(&self.teacher)?;
        let sources: Vec<(Source, usize)> = self.texts.iter().map(Texts::open).collect::<Result<_>>()?;
        let mut texts = sources.iter().flat_map(|(source, limit)| {
            let documents = source.documents().filter_map(Result::ok);
            let texts = documents.map(|document| Text {
                title: document.title,
                body: document.text,
            });
            texts.take(*limit)
        });
        let student = distill(&teacher, &mut texts, &self.config, progress)?;
        drop(texts);
        student.save(&self.out, None)?;
        workplace.clear();
        let mut compact = None;
        if let Some(file) = &self.compact {
            let packed = student.compact()?;
            write_atomic(file, &packed)?;
            compact = Some(packed.len() as u64);
        }
        let reports = sources.iter().map(|(source, _)| {
            let mut report = source.report();
            // Nothing asks for ids here.
            (report.derived_ids, report.duplicate_ids) = (0, 0);
            report.lines()
        });
        Ok(Distilled {
            teacher: teacher.id().to_string(),
            compact,
            notes: reports.flatten().collect(),
        })
    }
}

impl Texts {
    fn open(&self) -> Result<(Source, usize)> {
        let options = SourceOptions {
            text: self.fields.clone(),
            attributes: Some(Vec::new()),
            ..SourceOptions::default()
        };
        Ok((
            Source::open(&self.paths, options)?,
            self.limit.unwrap_or(usize::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "base = \"teacher\"\nout = \"new\"\n\n[[data]]\npath = \"a.tsv\"\nkind = \"texts\"\ncolumns = [\"title\"]\n\n\
                        [distill]\ndims = 64\nepochs = 2\n";

    fn read(change: impl Fn(String) -> String) -> Result<AnyRecipe> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), "title\na\n").unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, change(TEXT.into())).unwrap();
        AnyRecipe::read(&path)
    }

    #[test]
    fn a_distillation_is_read_with_its_defaults() {
        let AnyRecipe::Distill(recipe) = read(|text| text).unwrap() else {
            panic!("expected a distillation")
        };
        assert_eq!(
            (recipe.teacher.as_str(), recipe.config.dims, recipe.config.epochs),
            ("teacher", 64, 2)
        );
        assert_eq!(recipe.config.prefixes, [32, 64]);
        assert_eq!(recipe.config.spans, DistillConfig::default().spans);
        assert_eq!(recipe.texts[0].fields, ["title"]);
    }

    #[test]
    fn what_can_not_be_is_named_with_its_line() {
        for (from, to, expected) in [
            ("dims = 64", "dims = 0", "line 9: distill: dims: expected 1"),
            ("dims = 64", "width = 64", "line 10, `width = 64`: unknown field"),
            ("texts", "pairs", "line 6: kind: expected \"texts\""),
            ("a.tsv", "b.tsv", "line 5: path: expected a file or folder"),
            ("base = \"teacher\"\n", "", "missing field `base`"),
        ] {
            let error = read(|text| text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: expected {expected} in: {error}");
        }
    }
}
