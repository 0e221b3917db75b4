//! The recipe file, checked: what can't be is an error that names the key and its line.

use std::path::{Path, PathBuf};

use kokeshi_core::Size;
use kokeshi_train::AdapterConfig;
use serde::Deserialize;
use toml::Spanned;

use crate::error::{Error, Result};
use crate::loss::LossName;
use crate::pooling::PoolingName;
use crate::scratch::Scratch;

/// What is trained, from what, and how.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The recipe's file.
    pub path: PathBuf,
    /// Its bytes: a checkpoint belongs to one recipe.
    pub text: String,
    /// What it begins with.
    pub base: Base,
    /// How it pools; `None`: as the base does.
    pub pooling: Option<PoolingName>,
    /// The directory that is written.
    pub out: PathBuf,
    /// Where all random choices come from.
    pub seed: u64,
    /// Layers and dims, small to large; the last is the full size.
    pub sizes: Vec<(usize, usize)>,
    /// What is read.
    pub data: Vec<Data>,
    /// How it learns.
    pub train: Train,
    /// If low-rank adapters learn instead of the encoder's own weights.
    pub lora: Option<AdapterConfig>,
    /// How it is judged; `None`: not at all.
    pub evaluation: Option<Evaluation>,
}

/// What a recipe begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// A model: a directory or hub id.
    Model(String),
    /// Random weights.
    Scratch(Scratch),
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model(name) => f.write_str(name),
            Self::Scratch(scratch) => write!(f, "random weights ({}x{})", scratch.layers, scratch.hidden),
        }
    }
}

/// One data set.
#[derive(Debug, Clone)]
pub struct Data {
    /// Files or folders.
    pub paths: Vec<PathBuf>,
    /// What a row is.
    pub kind: DataKind,
    /// The columns: anchor, positive, negatives; or both texts and the score or label.
    pub columns: Vec<String>,
    /// What scores are divided by.
    pub scale: f32,
    /// The most rows that are used.
    pub limit: Option<usize>,
    /// The most rows that may be unreadable.
    pub most_bad: usize,
    /// What compares the texts.
    pub loss: LossName,
    /// When it is learnt: all data of a stage before that of the next, each with a warm-up and schedule of its own.
    pub stage: u32,
    /// How often each row is used in a pass over the data.
    pub repeat: u32,
}

/// What a row of data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// An anchor and what it should find.
    Pairs,
    /// The same with something that it should not find.
    Triplets,
    /// Two texts and how similar they are.
    Scored,
    /// Single texts, for losses that mask tokens.
    Texts,
    /// A premise, a hypothesis and a label: entailments become positives, contradictions of the same premise negatives.
    Nli,
}

/// How it learns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Passes over all data; ignored if `steps` is given.
    pub epochs: f64,
    /// Steps.
    pub steps: Option<u64>,
    /// Rows of a batch.
    pub batch: usize,
    /// The most tokens that a thread runs at once; more are run in parts with the same gradient (GradCache).
    pub chunk_tokens: usize,
    /// The most tokens of a text; the model's own limit if not given.
    pub max_tokens: Option<usize>,
    /// The learning rate at its highest.
    pub rate: f32,
    /// How it goes down.
    pub schedule: Schedule,
    /// `a` and `b` of the schedule `power`.
    pub power: [f64; 2],
    /// The share of steps in which it goes up.
    pub warmup: f64,
    /// The longest gradient.
    pub clip: f32,
    /// Weight decay.
    pub decay: f32,
    /// What the rate is multiplied by from a layer to the one below.
    pub layer_rate: f32,
    /// The width that the rate was found at (muP); 0: the base's own.
    pub base_width: usize,
    /// The share that dropout leaves out.
    pub dropout: f32,
    /// How much of the running mean of the weights stays each step; 0: the weights themselves are written.
    pub ema: f32,
    /// Steps from checkpoint to checkpoint; 0: none are written.
    pub checkpoint: u64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            steps: None,
            batch: 64,
            chunk_tokens: 4096,
            max_tokens: None,
            rate: 2e-5,
            schedule: Schedule::Linear,
            power: [4.0, -0.51],
            warmup: 0.1,
            clip: 1.0,
            decay: 0.0,
            layer_rate: 1.0,
            base_width: 0,
            dropout: 0.1,
            ema: 0.0,
            checkpoint: 100,
        }
    }
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Down to 0 in a straight line.
    Linear,
    /// Down to 0 along a half cosine.
    Cosine,
    /// As it is, and down to 0 in the last fifth (warm-up, stable, decay: arXiv 2404.06395).
    Wsd,
    /// Down with a power of the tokens that were read, `min(rate, batch a n^b)`, and to 0 in the last tenth (arXiv 2408.13359).
    Power,
    /// As it is.
    Constant,
}

/// How it is judged: Spearman's correlation on scored pairs, at every size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Scored pairs in the layout of the STS benchmark.
    pub data: PathBuf,
    /// Steps from one to the next; 0: only at the end.
    #[serde(default)]
    pub every: u64,
    /// It stops if so many in a row are no better than the best; 0: never.
    #[serde(default)]
    pub patience: u64,
    /// Other pairs that the finished model is judged on, for its card.
    pub test: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base: Spanned<toml::Value>,
    pooling: Option<Spanned<String>>,
    out: PathBuf,
    #[serde(default = "forty_two")]
    seed: u64,
    sizes: Spanned<Vec<String>>,
    loss: Option<Spanned<String>>,
    data: Spanned<Vec<RawData>>,
    train: Option<Spanned<Train>>,
    lora: Option<Spanned<Lora>>,
    evaluation: Option<Spanned<Evaluation>>,
}

/// The defaults are those of VLM2Vec (arXiv 2410.05160), the targets PEFT's for BERT.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lora {
    rank: usize,
    alpha: f32,
    targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 64.0,
            targets: vec!["query".into(), "value".into()],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    path: Spanned<Paths>,
    kind: Spanned<DataKind>,
    columns: Option<Spanned<Vec<String>>>,
    #[serde(default = "one")]
    scale: f32,
    limit: Option<usize>,
    #[serde(default)]
    most_bad: usize,
    loss: Option<Spanned<String>>,
    #[serde(default = "once")]
    stage: u32,
    #[serde(default = "once")]
    repeat: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl Paths {
    pub fn all(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

pub(crate) fn forty_two() -> u64 {
    42
}

fn one() -> f32 {
    1.0
}

fn once() -> u32 {
    1
}

impl Recipe {
    /// Reads and checks a recipe. Paths in it count from the recipe's folder;
    /// `${NAME}` stands for an environment variable.
    ///
    /// # Errors
    /// [`Error::Toml`] with line and column if it is not TOML or has unknown keys; [`Error::Recipe`] with key and line if a value can't be.
    pub fn read(path: &Path) -> Result<Self> {
        Self::checked(path, read_text(path)?)
    }

    /// The same for a text that was read.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        Self::checked(path, expanded(path, &text)?)
    }

    /// The same for a text whose variables are replaced.
    pub(crate) fn checked(path: &Path, text: String) -> Result<Self> {
        let file: File = parse_toml(path, &text)?;
        let wrong = |key: &str, at: usize, problem: String| Error::Recipe {
            path: path.into(),
            line: line(&text, at),
            key: key.into(),
            problem,
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let inside = |path: &Path| folder.join(path);
        let local = |name: &str| {
            let local = inside(Path::new(name));
            match local.exists() {
                true => local.to_string_lossy().into_owned(),
                false => name.to_string(),
            }
        };
        let base_at = file.base.span().start;
        let base = match file.base.into_inner() {
            toml::Value::String(name) => Base::Model(local(&name)),
            table => {
                let mut scratch = Scratch::read(table).map_err(|problem| wrong("base", base_at, problem))?;
                scratch.tokenizer = scratch.tokenizer.map(|name| local(&name));
                Base::Scratch(scratch)
            }
        };
        let sizes =
            sizes(file.sizes.as_ref()).map_err(|problem| wrong("sizes", file.sizes.span().start, problem))?;
        let loss = |given: Option<&Spanned<String>>| -> Result<Option<LossName>> {
            given
                .map(|given| {
                    let parsed: Result<LossName, String> = given.as_ref().parse();
                    parsed
                        .map(|name| name.resolve(&folder))
                        .map_err(|problem| wrong("loss", given.span().start, problem))
                })
                .transpose()
        };
        let pooling = file.pooling.as_ref().map(|given| {
            let parsed: Result<PoolingName, String> = given.as_ref().parse();
            parsed.map_err(|problem| wrong("pooling", given.span().start, problem))
        });
        let pooling = pooling.transpose()?;
        let usual = loss(file.loss.as_ref())?;
        let data_at = file.data.span().start;
        let mut data = Vec::new();
        for raw in file.data.into_inner() {
            let kind = *raw.kind.as_ref();
            let columns = match &raw.columns {
                None => kind.usual(),
                Some(given) if kind.fits(given.as_ref().len()) => given.as_ref().clone(),
                Some(given) => {
                    let problem = format!(
                        "expected {}, found {} columns",
                        kind.expected(),
                        given.as_ref().len()
                    );
                    return Err(wrong("columns", given.span().start, problem));
                }
            };
            let Some(name) = loss(raw.loss.as_ref())?.or_else(|| usual.clone()) else {
                let problem = "expected a loss here, or one for all data at the top".to_string();
                return Err(wrong("data", raw.kind.span().start, problem));
            };
            if name.is_masked() != (kind == DataKind::Texts) {
                let problem = match kind {
                    DataKind::Texts => format!("expected a loss for single texts (mlm, smae), found {name}"),
                    _ => format!("{name} takes single texts (kind = \"texts\"), found other rows"),
                };
                let at = raw
                    .loss
                    .as_ref()
                    .map_or(raw.kind.span().start, |loss| loss.span().start);
                return Err(wrong("loss", at, problem));
            }
            if name.wants_scores() != (kind == DataKind::Scored) {
                let problem = match kind {
                    DataKind::Scored => {
                        format!(
                            "expected a loss for scored pairs (cosent, cosine, contrastive), found {name}"
                        )
                    }
                    _ => format!("expected a loss for pairs without scores (ranking, gist), found {name}"),
                };
                let at = raw
                    .loss
                    .as_ref()
                    .map_or(raw.kind.span().start, |loss| loss.span().start);
                return Err(wrong("loss", at, problem));
            }
            if name.columns() > 2 && kind != DataKind::Triplets {
                let at = raw
                    .loss
                    .as_ref()
                    .map_or(raw.kind.span().start, |loss| loss.span().start);
                return Err(wrong(
                    "loss",
                    at,
                    format!("{name} takes triplets, found other rows"),
                ));
            }
            let paths: Vec<PathBuf> = raw.path.as_ref().all().iter().map(|path| inside(path)).collect();
            if let Some(missing) = paths.iter().find(|path| !path.exists()) {
                let problem = format!("expected a file or folder, found none at {}", missing.display());
                return Err(wrong("path", raw.path.span().start, problem));
            }
            if !(raw.scale.is_finite() && raw.scale > 0.0) {
                let problem = format!("expected a number above 0, found {}", raw.scale);
                return Err(wrong("scale", raw.path.span().start, problem));
            }
            if !(1..=1000).contains(&raw.repeat) {
                let problem = format!("expected 1 to 1000, found {}", raw.repeat);
                return Err(wrong("repeat", raw.path.span().start, problem));
            }
            data.push(Data {
                paths,
                kind,
                columns,
                scale: raw.scale,
                limit: raw.limit,
                most_bad: raw.most_bad,
                loss: name,
                stage: raw.stage,
                repeat: raw.repeat,
            });
        }
        if data.is_empty() {
            return Err(wrong("data", data_at, "expected at least one data set".into()));
        }
        let train_at = file.train.as_ref().map_or(0, |train| train.span().start);
        let train = file.train.map(Spanned::into_inner).unwrap_or_default();
        if let Some((key, problem)) = train.problem() {
            let at = text[train_at..]
                .find(key)
                .map_or(train_at, |found| train_at + found);
            return Err(wrong(&format!("train.{key}"), at, problem));
        }
        let lora = match file.lora {
            None => None,
            Some(given) => {
                let at = given.span().start;
                let lora = given.into_inner();
                let masked = data.iter().any(|data| data.loss.is_masked());
                let problem = match () {
                    () if !(1..=4096).contains(&lora.rank) => {
                        Some(("lora.rank", format!("expected 1 to 4096, found {}", lora.rank)))
                    }
                    () if !(lora.alpha > 0.0 && lora.alpha.is_finite()) => Some((
                        "lora.alpha",
                        format!("expected a number above 0, found {}", lora.alpha),
                    )),
                    () if lora.targets.is_empty() => {
                        Some(("lora.targets", "expected names of layers, found none".into()))
                    }
                    () if train.ema > 0.0 => Some((
                        "lora",
                        "expected it without train.ema, which keeps a mean of all weights".into(),
                    )),
                    () if masked => Some(("lora", "expected losses over vectors, found mlm or smae".into())),
                    () => None,
                };
                if let Some((key, problem)) = problem {
                    return Err(wrong(key, at, problem));
                }
                let Lora { rank, alpha, targets } = lora;
                Some(AdapterConfig { rank, alpha, targets })
            }
        };
        let evaluation = match file.evaluation {
            None => None,
            Some(given) => {
                let at = given.span().start;
                let mut evaluation = given.into_inner();
                for (key, path) in [
                    ("data", Some(&mut evaluation.data)),
                    ("test", evaluation.test.as_mut()),
                ] {
                    if let Some(path) = path {
                        *path = inside(path);
                        if !path.is_file() {
                            let problem = format!("expected a file, found none at {}", path.display());
                            return Err(wrong(&format!("evaluation.{key}"), at, problem));
                        }
                    }
                }
                Some(evaluation)
            }
        };
        let out = inside(&file.out);
        Ok(Self {
            path: path.into(),
            text,
            base,
            pooling,
            out,
            seed: file.seed,
            sizes,
            data,
            train,
            lora,
            evaluation,
        })
    }

    /// An error about the recipe that only shows beside the model.
    pub(crate) fn wrong(&self, key: &str, problem: String) -> Error {
        let line = self
            .text
            .lines()
            .position(|line| line.trim_start().starts_with(key));
        Error::Recipe {
            path: self.path.clone(),
            line: line.unwrap_or(0) + 1,
            key: key.into(),
            problem,
        }
    }
}

/// Reads a recipe's text; `${NAME}` stands for an environment variable.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(kokeshi_core::Error::io(path))?;
    expanded(path, &text)
}

fn expanded(path: &Path, text: &str) -> Result<String> {
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
            problem: format!("line {line}, `{shown}`: {}", error.message().replace('\n', "; ")),
        }
    })
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

impl DataKind {
    fn usual(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Pairs => &["anchor", "positive"],
            Self::Triplets => &["anchor", "positive", "negative"],
            Self::Scored => &["sentence1", "sentence2", "score"],
            Self::Nli => &["premise", "hypothesis", "label"],
            Self::Texts => &["text"],
        };
        names.iter().map(|name| (*name).to_string()).collect()
    }

    fn fits(self, count: usize) -> bool {
        match self {
            Self::Pairs => count == 2,
            Self::Triplets => (3..=64).contains(&count),
            Self::Scored | Self::Nli => count == 3,
            Self::Texts => count == 1,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Pairs => "anchor and positive",
            Self::Triplets => "anchor, positive and one or more negatives",
            Self::Scored => "two texts and the score",
            Self::Nli => "premise, hypothesis and label",
            Self::Texts => "one column of texts",
        }
    }
}

fn sizes(given: &[String]) -> Result<Vec<(usize, usize)>, String> {
    let mut sizes: Vec<(usize, usize)> = Vec::new();
    for text in given {
        let size: Size = text
            .parse()
            .map_err(|error: kokeshi_core::Error| error.to_string())?;
        let (Some(layers), Some(dims), None) = (size.layers, size.dims, size.bits) else {
            return Err(format!("expected layers x dims such as 3x128, found {text}"));
        };
        if let Some(last) = sizes
            .last()
            .filter(|last| last.0 > layers || (last.0 == layers && last.1 >= dims))
        {
            return Err(format!(
                "expected sizes from small to large, found {text} after {}x{}",
                last.0, last.1
            ));
        }
        sizes.push((layers, dims));
    }
    match sizes.is_empty() {
        true => Err("expected at least the full size, found none".into()),
        false => Ok(sizes),
    }
}

impl Train {
    /// A key whose value can't be, and why.
    fn problem(&self) -> Option<(&'static str, String)> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let checks: [(&str, bool, &str, f64); 14] = [
            (
                "epochs",
                self.epochs > 0.0 && self.epochs <= 1e6,
                "a number above 0",
                self.epochs,
            ),
            ("steps", self.steps != Some(0), "at least 1", 0.0),
            (
                "batch",
                (2..=1 << 20).contains(&self.batch),
                "2 to 1048576",
                self.batch as f64,
            ),
            ("chunk_tokens", self.chunk_tokens > 0, "at least 1", 0.0),
            (
                "max_tokens",
                self.max_tokens.is_none_or(|most| most > 2),
                "at least 3",
                self.max_tokens.unwrap_or(0) as f64,
            ),
            (
                "rate",
                self.rate > 0.0 && self.rate <= 1.0,
                "above 0, at most 1",
                f64::from(self.rate),
            ),
            ("warmup", share(self.warmup), "0 to less than 1", self.warmup),
            (
                "power",
                self.power[0] > 0.0 && self.power.iter().all(|value| value.is_finite()),
                "two numbers, the first above 0",
                self.power[0],
            ),
            (
                "layer_rate",
                self.layer_rate > 0.0 && self.layer_rate <= 1.0,
                "above 0, at most 1",
                f64::from(self.layer_rate),
            ),
            (
                "base_width",
                self.base_width <= 1 << 16,
                "at most 65536",
                self.base_width as f64,
            ),
            (
                "clip",
                self.clip >= 0.0 && self.clip.is_finite(),
                "at least 0",
                f64::from(self.clip),
            ),
            (
                "decay",
                share(f64::from(self.decay)),
                "0 to less than 1",
                f64::from(self.decay),
            ),
            (
                "dropout",
                share(f64::from(self.dropout)),
                "0 to less than 1",
                f64::from(self.dropout),
            ),
            (
                "ema",
                share(f64::from(self.ema)),
                "0 to less than 1",
                f64::from(self.ema),
            ),
        ];
        let (key, _, expected, found) = checks.into_iter().find(|(_, fine, _, _)| !fine)?;
        Some((key, format!("expected {expected}, found {found}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl Fn(String) -> String) -> Result<Recipe> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), "anchor\tpositive\na\tb\n").unwrap();
        let text = "base = \"model\"\nout = \"new\"\nsizes = [\"1x16\", \"2x32\"]\nloss = \"starbucks(ranking)\"\n\n\
                    [[data]]\npath = \"a.tsv\"\nkind = \"pairs\"\n\n[train]\nbatch = 8\nrate = 1e-4\n";
        Recipe::parse(&folder.path().join("recipe.toml"), change(text.into()))
    }

    #[test]
    fn a_recipe_is_read_with_its_defaults() {
        let recipe = parse(|text| text).unwrap();
        assert_eq!(recipe.sizes, [(1, 16), (2, 32)]);
        assert_eq!(recipe.data[0].columns, ["anchor", "positive"]);
        assert_eq!((recipe.train.batch, recipe.train.schedule), (8, Schedule::Linear));
        assert_eq!(recipe.data[0].loss.to_string(), "starbucks(ranking)");
        assert_eq!(recipe.base, Base::Model("model".into()));
    }

    #[test]
    fn a_base_can_be_a_configuration() {
        let table = "base = { layers = 2, hidden = 32, heads = 4, vocabulary = 900 }";
        let recipe = parse(|text| text.replace("base = \"model\"", table)).unwrap();
        let Base::Scratch(scratch) = recipe.base else {
            panic!("{:?}", recipe.base)
        };
        assert_eq!((scratch.layers, scratch.hidden, scratch.heads), (2, 32, 4));
        assert_eq!((scratch.inner, scratch.vocabulary), (128, 900));
    }

    #[test]
    fn environment_variables_stand_for_paths() {
        let value = |name: &str| (name == "DATA").then(|| "/data".to_string());
        assert_eq!(expand("a = \"${DATA}/x\"", value).unwrap(), "a = \"/data/x\"");
        let error = expand("\n\nb = \"${OTHER}\"", value).unwrap_err();
        assert!(error.contains("line 3") && error.contains("OTHER"), "{error}");
    }

    #[test]
    fn what_can_not_be_is_named_with_its_key_and_line() {
        let cases: [(&str, &str, &[&str]); 19] = [
            (
                "out =",
                "pooling = \"max\"\nout =",
                &["line 2", "pooling", "latent_attention"],
            ),
            (
                "rate = 1e-4",
                "[lora]\nrank = 0",
                &["line 12", "lora.rank", "1 to 4096"],
            ),
            (
                "rate = 1e-4",
                "ema = 0.5\n[lora]",
                &["line 13", "lora", "train.ema"],
            ),
            ("rate = 1e-4", "[lora]\ndropout = 0.1", &["line 13", "dropout"]),
            (
                "base = \"model\"",
                "base = 3",
                &["line 1", "base", "a directory or hub id, or a table", "integer"],
            ),
            (
                "base = \"model\"",
                "base = { layers = 2, hidden = 30, heads = 4 }",
                &["line 1", "base", "hidden", "multiple of heads"],
            ),
            (
                "base = \"model\"",
                "base = { layers = 2, width = 30 }",
                &["line 1", "base", "width"],
            ),
            (
                "base = \"model\"",
                "base = { layers = 2, hidden = 32, heads = 4, pooling = \"max\" }",
                &["base", "max"],
            ),
            ("starbucks(ranking)", "mlm", &["loss", "single texts"]),
            (
                "kind = \"pairs\"",
                "kind = \"texts\"\nloss = \"ranking\"",
                &["loss", "mlm, smae"],
            ),
            (
                "batch = 8",
                "batch = 1",
                &["line 11", "train.batch", "2 to 1048576"],
            ),
            ("batch = 8", "bach = 8", &["line 11", "unknown field `bach`"]),
            (
                "[\"1x16\", \"2x32\"]",
                "[\"2x32\", \"1x16\"]",
                &["line 3", "sizes", "small to large"],
            ),
            ("[\"1x16\", \"2x32\"]", "[\"32\"]", &["line 3", "layers x dims"]),
            (
                "starbucks(ranking)",
                "starbuck(ranking)",
                &["line 4", "loss", "starbucks"],
            ),
            ("starbucks(ranking)", "cosent", &["loss", "without scores"]),
            ("a.tsv", "b.tsv", &["line 7", "path", "b.tsv"]),
            ("kind = \"pairs\"", "kind = \"pears\"", &["line 8", "pears"]),
            ("rate = 1e-4", "rate = \"fast\"", &["line 12", "rate"]),
        ];
        for (from, to, expected) in cases {
            let error = parse(|text| text.replace(from, to)).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{to}: expected {part} in: {error}");
            }
        }
    }
}
