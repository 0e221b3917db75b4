//! From what is written to what a recipe says; or the key and line that can't be.

use std::path::{Path, PathBuf};

use kokeshi_core::Size;
use kokeshi_train::AdapterConfig;
use toml::Spanned;

use super::file::{File, Lora, RawData};
use super::{Base, Data, DataKind, Evaluation, Recipe, Train, line, parse_toml};
use crate::error::{Error, Result};
use crate::loss::LossName;
use crate::pooling::PoolingName;
use crate::scratch::Scratch;

/// Understands and checks a recipe's text.
pub(super) fn recipe(path: &Path, text: String) -> Result<Recipe> {
    let file: File = parse_toml(path, &text)?;
    let check = Check {
        path,
        text: &text,
        folder: path.parent().unwrap_or(Path::new("")),
    };
    let base = check.base(file.base)?;
    let sizes = sizes(file.sizes.as_ref())
        .map_err(|problem| check.wrong("sizes", file.sizes.span().start, problem))?;
    let pooling = file.pooling.as_ref().map(|given| {
        let parsed: Result<PoolingName, String> = given.as_ref().parse();
        parsed.map_err(|problem| check.wrong("pooling", given.span().start, problem))
    });
    let pooling = pooling.transpose()?;
    let usual = check.loss(file.loss.as_ref())?;
    let data_at = file.data.span().start;
    let sets = file.data.into_inner().into_iter();
    let data: Vec<Data> = sets
        .map(|raw| check.data(raw, usual.as_ref()))
        .collect::<Result<_>>()?;
    if data.is_empty() {
        return Err(check.wrong("data", data_at, "expected at least one data set".into()));
    }
    let train = check.train(file.train)?;
    let lora = file
        .lora
        .map(|given| check.lora(given, &data, &train))
        .transpose()?;
    let evaluation = file.evaluation.map(|given| check.evaluation(given)).transpose()?;
    let out = check.inside(&file.out);
    Ok(Recipe {
        path: path.into(),
        base,
        pooling,
        out,
        seed: file.seed,
        sizes,
        data,
        train,
        lora,
        evaluation,
        text,
    })
}

/// The file that is checked.
struct Check<'a> {
    path: &'a Path,
    text: &'a str,
    folder: &'a Path,
}

impl Check<'_> {
    fn wrong(&self, key: &str, at: usize, problem: String) -> Error {
        Error::Recipe {
            path: self.path.into(),
            line: line(self.text, at),
            key: key.into(),
            problem,
        }
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A directory beside the recipe, if there is one of this name; else the name, which is one of the hub's.
    fn local(&self, name: &str) -> String {
        let local = self.inside(Path::new(name));
        match local.exists() {
            true => local.to_string_lossy().into_owned(),
            false => name.to_string(),
        }
    }

    fn base(&self, given: Spanned<toml::Value>) -> Result<Base> {
        let at = given.span().start;
        match given.into_inner() {
            toml::Value::String(name) => Ok(Base::Model(self.local(&name))),
            table => {
                let mut scratch = Scratch::read(table).map_err(|problem| self.wrong("base", at, problem))?;
                scratch.tokenizer = scratch.tokenizer.map(|name| self.local(&name));
                Ok(Base::Scratch(scratch))
            }
        }
    }

    fn loss(&self, given: Option<&Spanned<String>>) -> Result<Option<LossName>> {
        let parsed = given.map(|given| {
            let parsed: Result<LossName, String> = given.as_ref().parse();
            parsed
                .map(|name| name.resolve(self.folder))
                .map_err(|problem| self.wrong("loss", given.span().start, problem))
        });
        parsed.transpose()
    }

    fn data(&self, raw: RawData, usual: Option<&LossName>) -> Result<Data> {
        let kind = *raw.kind.as_ref();
        let columns = match &raw.columns {
            None => kind.usual(),
            Some(given) if kind.fits(given.as_ref().len()) => given.as_ref().clone(),
            Some(given) => {
                let found = given.as_ref().len();
                let problem = format!("expected {}, found {found} columns", kind.expected());
                return Err(self.wrong("columns", given.span().start, problem));
            }
        };
        let Some(loss) = self.loss(raw.loss.as_ref())?.or_else(|| usual.cloned()) else {
            let problem = "expected a loss here, or one for all data at the top".to_string();
            return Err(self.wrong("data", raw.kind.span().start, problem));
        };
        if let Some(problem) = kind.refuses(&loss) {
            let own = raw.loss.as_ref().map(|loss| loss.span());
            return Err(self.wrong("loss", own.unwrap_or(raw.kind.span()).start, problem));
        }
        let at = raw.path.span().start;
        let paths: Vec<PathBuf> = raw
            .path
            .as_ref()
            .all()
            .iter()
            .map(|path| self.inside(path))
            .collect();
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            let problem = format!("expected a file or folder, found none at {}", missing.display());
            return Err(self.wrong("path", at, problem));
        }
        if !(raw.scale.is_finite() && raw.scale > 0.0) {
            let problem = format!("expected a number above 0, found {}", raw.scale);
            return Err(self.wrong("scale", at, problem));
        }
        if !(1..=1000).contains(&raw.repeat) {
            let problem = format!("expected 1 to 1000, found {}", raw.repeat);
            return Err(self.wrong("repeat", at, problem));
        }
        Ok(Data {
            paths,
            kind,
            columns,
            scale: raw.scale,
            limit: raw.limit,
            most_bad: raw.most_bad,
            loss,
            stage: raw.stage,
            repeat: raw.repeat,
        })
    }

    fn train(&self, given: Option<Spanned<Train>>) -> Result<Train> {
        let table = given.as_ref().map_or(0, |train| train.span().start);
        let train = given.map(Spanned::into_inner).unwrap_or_default();
        match train.problem() {
            None => Ok(train),
            Some((key, problem)) => {
                let at = self.text[table..].find(key).map_or(table, |found| table + found);
                Err(self.wrong(&format!("train.{key}"), at, problem))
            }
        }
    }

    fn lora(&self, given: Spanned<Lora>, data: &[Data], train: &Train) -> Result<AdapterConfig> {
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
            () if !(0.0..1.0).contains(&lora.dropout) => Some((
                "lora.dropout",
                format!("expected 0 to less than 1, found {}", lora.dropout),
            )),
            () if train.ema > 0.0 => Some((
                "lora",
                "expected it without train.ema, which keeps a mean of all weights".into(),
            )),
            () if masked => Some(("lora", "expected losses over vectors, found mlm or smae".into())),
            () => None,
        };
        if let Some((key, problem)) = problem {
            return Err(self.wrong(key, at, problem));
        }
        let Lora {
            rank,
            alpha,
            targets,
            dropout,
        } = lora;
        Ok(AdapterConfig {
            rank,
            alpha,
            targets,
            dropout,
        })
    }

    fn evaluation(&self, given: Spanned<Evaluation>) -> Result<Evaluation> {
        let at = given.span().start;
        let mut evaluation = given.into_inner();
        for (key, path) in [
            ("data", Some(&mut evaluation.data)),
            ("test", evaluation.test.as_mut()),
        ] {
            if let Some(path) = path {
                *path = self.inside(path);
                if !path.is_file() {
                    let problem = format!("expected a file, found none at {}", path.display());
                    return Err(self.wrong(&format!("evaluation.{key}"), at, problem));
                }
            }
        }
        Ok(evaluation)
    }
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

    /// Why rows of this kind are nothing for `loss`.
    fn refuses(self, loss: &LossName) -> Option<String> {
        let problem = match self {
            Self::Texts if !loss.is_masked() => {
                format!("expected a loss for single texts (mlm, smae), found {loss}")
            }
            Self::Texts => return None,
            _ if loss.is_masked() => {
                format!("{loss} takes single texts (kind = \"texts\"), found other rows")
            }
            Self::Scored if !loss.wants_scores() => {
                format!("expected a loss for scored pairs (cosent, cosine, contrastive), found {loss}")
            }
            Self::Scored => return None,
            _ if loss.wants_scores() => {
                format!("expected a loss for pairs without scores (ranking, gist), found {loss}")
            }
            Self::Pairs | Self::Nli if loss.columns() > 2 => {
                format!("{loss} takes triplets, found other rows")
            }
            _ => return None,
        };
        Some(problem)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Schedule;

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
    fn what_can_not_be_is_named_with_its_key_and_line() {
        let cases: [(&str, &str, &[&str]); 21] = [
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
            (
                "rate = 1e-4",
                "[lora]\ndropout = 1.5",
                &["line 12", "lora.dropout", "0 to less than 1"],
            ),
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
            (
                "rate = 1e-4",
                "rate = \"fast\"",
                &["line 12", "rate", "expected a number"],
            ),
            (
                "rate = 1e-4",
                "base_width = -64",
                &["line 12", "base_width", "expected a whole number from 0 on"],
            ),
            (
                "base = \"model\"",
                "base = { layers = -2, hidden = 32, heads = 4 }",
                &["line 1", "base", "expected a whole number from 0 on"],
            ),
        ];
        for (from, to, expected) in cases {
            let error = parse(|text| text.replace(from, to)).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{to}: expected {part} in: {error}");
            }
        }
    }
}
