//! Titles and abstracts of the shared arXiv set as word numbers: 30,000 to learn from, 1,000 to be judged on.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use kokeshi_core::Seed;
use kokeshi_sources::rows;

use crate::reproduction::{Context, Result, failed};

/// The largest computer science categories of the set.
const CATEGORIES: [&str; 8] = [
    "cs.CL", "cs.LG", "cs.SI", "cs.CV", "cs.IR", "cs.DB", "cs.NE", "cs.AI",
];
/// Pairs to learn from, and to be judged on.
pub(crate) const TRAIN: usize = 30_000;
pub(crate) const TEST: usize = 1_000;
/// Different words; number 0 stands for all others.
pub(crate) const WORDS: usize = 8_000;
/// Words of a title and of an abstract that count.
pub(crate) const TITLE: usize = 16;
const ABSTRACT: usize = 40;

/// One paper.
pub(crate) struct Paper {
    /// Its first words.
    pub title: Vec<u32>,
    /// All of its words.
    pub whole: Vec<u32>,
    /// Its categories.
    pub categories: Vec<String>,
}

impl Paper {
    /// The first words of its abstract.
    pub fn summary(&self) -> &[u32] {
        &self.whole[..self.whole.len().min(ABSTRACT)]
    }
}

/// The papers.
pub(crate) struct Arxiv {
    pub train: Vec<Paper>,
    pub test: Vec<Paper>,
}

/// A paper as it is in the set.
pub(crate) struct Text {
    pub title: String,
    pub summary: String,
    /// The category that its authors put first.
    pub primary: String,
    pub categories: Vec<String>,
}

impl Text {
    /// All papers of the eight categories, in an order that does not depend on any seed, for the reproduction `id`. The set has one in seven of them twice
    /// (its numbers were once read as floats, 1506.00717 and 1506.0071699999999): the first counts, so that no paper is in both parts or twice in one.
    pub fn read(context: &Context, id: &str) -> Result<Vec<Self>> {
        let folder = context.data.join("arxiv");
        let wrong = |problem: String| failed(id, problem);
        let (mut texts, mut seen) = (Vec::new(), HashSet::new());
        let fields = ["title", "abstract", "primary", "categories"];
        for row in rows(&[PathBuf::from(&folder)], &fields).map_err(|error| wrong(error.to_string()))? {
            let row = row.map_err(|error| wrong(error.to_string()))?;
            let [Some(title), Some(summary), Some(primary), categories] = &row.values[..] else {
                continue;
            };
            if CATEGORIES.contains(&primary.as_str()) && seen.insert(summary.clone()) {
                let all = categories.as_deref().unwrap_or(primary);
                let all = all
                    .split([',', ' ', '"', '[', ']'])
                    .filter(|part| !part.is_empty());
                texts.push(Self {
                    title: title.clone(),
                    summary: summary.clone(),
                    primary: primary.clone(),
                    categories: all.map(str::to_string).collect(),
                });
            }
        }
        if texts.len() < TRAIN + TEST {
            return Err(wrong(format!(
                "{}: expected {} papers of {CATEGORIES:?}, found {}",
                folder.display(),
                TRAIN + TEST,
                texts.len()
            )));
        }
        Seed(7).shuffle(&mut texts);
        Ok(texts)
    }
}

/// The most frequent words by number, from 1.
pub(crate) struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    /// Of these texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in texts.into_iter().flat_map(words) {
            *counts.entry(word).or_default() += 1;
        }
        let mut known: Vec<(String, usize)> = counts.into_iter().collect();
        known.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let numbers = known.into_iter().take(WORDS - 1).zip(1..);
        Self(numbers.map(|((word, _), number)| (word, number)).collect())
    }

    /// The first `most` words of a text, at least one.
    pub fn ids(&self, text: &str, most: usize) -> Vec<u32> {
        let numbers = words(text)
            .take(most)
            .map(|word| self.0.get(&word).copied().unwrap_or(0));
        let mut ids: Vec<u32> = numbers.collect();
        if ids.is_empty() {
            ids.push(0);
        }
        ids
    }
}

impl Arxiv {
    /// Reads the set for the reproduction `id`; the same papers whatever the seed of the training.
    pub fn read(context: &Context, id: &str) -> Result<Self> {
        let mut texts = Text::read(context, id)?;
        texts.truncate(TRAIN + TEST);
        let both = texts[..TRAIN]
            .iter()
            .flat_map(|text| [text.title.as_str(), text.summary.as_str()]);
        let vocabulary = Vocabulary::of(both);
        Ok(Self::of(&texts, |text, most| vocabulary.ids(text, most)))
    }

    /// Of these texts, whose first words `ids` numbers.
    pub fn of(texts: &[Text], mut ids: impl FnMut(&str, usize) -> Vec<u32>) -> Self {
        let paper = |text: &Text| Paper {
            title: ids(&text.title, TITLE),
            whole: ids(&text.summary, usize::MAX),
            categories: text.categories.clone(),
        };
        let mut papers: Vec<Paper> = texts.iter().map(paper).collect();
        let test = papers.split_off(TRAIN);
        Self { train: papers, test }
    }
}

/// The words of a text, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}
