//! From a sample of rows to the part and the type of every field.
//!
//! A field's type is the narrowest that at least 95 % of its values in the sample fit: truth values, whole numbers, numbers, dates
//! (strings of a form that [`crate::dates`] reads; a bare year counts only beside longer dates or in a field named like one), else
//! keyword for short strings and text for long ones (more than 100 characters or 12 words on average). Cells of CSV files and front matter,
//! which have no types, may be any of them; a number with a leading zero stays a string. A field with a list in any row is a list.
//!
//! A string field becomes a list, split at white space, if its values look like codes in a row (`cs.CL cs.IR`): at least one value
//! in ten has several words, every word is a code (letters, digits, `-`, with an inner `.`, starting with a lower-case letter; words without a dot
//! may be up to half), and codes repeat: there are at least three times as many words as different ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::dates;
use crate::document::Kind;
use crate::options::Split;
use crate::record::{Record, Value, shorten};

/// Names that are taken for an id, best first.
const IDS: &[&str] = &[
    "_id",
    "id",
    "doc_id",
    "docid",
    "document_id",
    "docno",
    "pid",
    "uid",
    "uuid",
    "key",
    "arxiv_id",
    "corpusid",
];
/// For a title.
const TITLES: &[&str] = &["title", "name", "headline", "subject", "heading"];
/// For the text.
const TEXTS: &[&str] = &[
    "text",
    "abstract",
    "body",
    "content",
    "contents",
    "passage",
    "document",
    "description",
    "summary",
    "llm_summary",
    "article",
    "doc",
    "sentence",
    "message",
    "comment",
    "review",
];
/// Share of a field's values that must fit its type.
const FIT: f64 = 0.95;

/// What the sample says about one field.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Rows in which it has a value.
    pub filled: u64,
    pub example: String,
    values: u64,
    bools: u64,
    integers: u64,
    numbers: u64,
    dates: u64,
    years: u64,
    strings: u64,
    characters: u64,
    words: u64,
    several_words: u64,
    dotted: u64,
    not_codes: u64,
    codes: HashSet<String>,
    lists: u64,
    nested: u64,
}

/// A sample of rows of the same kind.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub rows: u64,
    /// In the order of first appearance.
    pub order: Vec<Arc<str>>,
    pub fields: HashMap<Arc<str>, Stats>,
    /// For each row: how often a field was the first filled one of the candidates for id, title and text.
    firsts: [HashMap<Arc<str>, u64>; 3],
}

impl Sample {
    pub(crate) fn add(&mut self, record: &Record) {
        self.rows += 1;
        let mut best: [Option<(usize, &Arc<str>)>; 3] = [None, None, None];
        for (name, value) in &record.fields {
            if !self.fields.contains_key(name) {
                self.order.push(Arc::clone(name));
                self.fields.insert(Arc::clone(name), Stats::default());
            }
            if let Some(stats) = self.fields.get_mut(name) {
                stats.add(value);
            }
            if value.is_empty() || matches!(value, Value::Nested(_)) {
                continue;
            }
            for (best, candidates) in best.iter_mut().zip([IDS, TITLES, TEXTS]) {
                if let Some(rank) = candidates
                    .iter()
                    .position(|candidate| candidate.eq_ignore_ascii_case(name))
                    && best.is_none_or(|(other, _)| rank < other)
                {
                    *best = Some((rank, name));
                }
            }
        }
        for (firsts, best) in self.firsts.iter_mut().zip(best) {
            if let Some((_, name)) = best {
                *firsts.entry(Arc::clone(name)).or_default() += 1;
            }
        }
    }

    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        self.chosen(0, IDS)
    }

    pub(crate) fn titles(&self) -> Vec<Arc<str>> {
        self.chosen(1, TITLES)
    }

    /// The fields of the text: the known names, else the string field with the longest values.
    pub(crate) fn texts(&self) -> Vec<Arc<str>> {
        let known = self.chosen(2, TEXTS);
        if !known.is_empty() {
            return known;
        }
        let taken: Vec<_> = self.ids().into_iter().chain(self.titles()).collect();
        let longest = self
            .order
            .iter()
            .filter(|name| !taken.contains(name))
            .filter_map(|name| Some((name, self.fields.get(name)?)))
            .filter(|(_, stats)| stats.strings > 0 && stats.kind(name_says_date("")) == Kind::Text)
            .max_by_key(|(_, stats)| stats.characters / stats.strings.max(1));
        longest.map(|(name, _)| Arc::clone(name)).into_iter().collect()
    }

    /// The candidates that are first in at least half of the rows in which they have a value, best first.
    fn chosen(&self, part: usize, candidates: &[&str]) -> Vec<Arc<str>> {
        let mut chosen: Vec<_> = self.firsts[part]
            .iter()
            .filter(|(name, first)| {
                self.fields
                    .get(*name)
                    .is_some_and(|stats| **first * 2 >= stats.filled)
            })
            .map(|(name, _)| Arc::clone(name))
            .collect();
        chosen.sort_by_key(|name| {
            let rank = candidates
                .iter()
                .position(|candidate| candidate.eq_ignore_ascii_case(name));
            (rank, Arc::clone(name))
        });
        chosen
    }
}

impl Stats {
    fn add(&mut self, value: &Value) {
        if value.is_empty() {
            return;
        }
        self.filled += 1;
        if self.example.is_empty() {
            self.example = match value {
                Value::List(values) => {
                    let shown: Vec<_> = values
                        .iter()
                        .take(3)
                        .filter_map(|value| value.clone().into_string())
                        .collect();
                    shorten(&shown.join(", "), 40)
                }
                Value::Text(text) | Value::Raw(text) => shorten(text.trim(), 40),
                other => other.describe(),
            };
        }
        match value {
            Value::List(values) => {
                self.lists += 1;
                for value in values {
                    self.scalar(value);
                }
            }
            value => self.scalar(value),
        }
    }

    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Null => return,
            Value::Bool(_) => self.bools += 1,
            Value::Integer(_) => {
                self.integers += 1;
                self.numbers += 1;
            }
            Value::Float(value) if value.is_finite() => self.numbers += 1,
            Value::Float(_) => return,
            Value::Instant(_) => self.dates += 1,
            Value::Text(text) => self.string(text, false),
            Value::Raw(text) => self.string(text, true),
            Value::List(_) | Value::Nested(_) => {
                self.nested += 1;
                return;
            }
        }
        self.values += 1;
    }

    fn string(&mut self, text: &str, untyped: bool) {
        let text = text.trim();
        self.strings += 1;
        if untyped {
            self.bools += u64::from(parse_bool(text).is_some());
            if looks_like_number(text) {
                self.integers += u64::from(text.parse::<i64>().is_ok());
                self.numbers += u64::from(text.parse::<f64>().is_ok_and(f64::is_finite));
            }
        }
        if dates::is_unmistakable(text) {
            self.dates += 1;
        } else if dates::parse(text).is_some() {
            self.years += 1;
        }
        // Characters of long texts need not be counted to the last one.
        self.characters += text.len().min(10_000) as u64;
        let mut words = 0;
        for word in text.split_whitespace().take(1000) {
            words += 1;
            if is_code(word) {
                self.dotted += u64::from(word.contains('.'));
                if self.codes.len() < 10_000 && !self.codes.contains(word) {
                    self.codes.insert(word.into());
                }
            } else {
                self.not_codes += 1;
            }
        }
        self.words += words;
        self.several_words += u64::from(words > 1);
    }

    /// The narrowest type that fits.
    pub(crate) fn kind(&self, named_like_date: bool) -> Kind {
        let fits = |count: u64| self.values > 0 && count as f64 >= FIT * self.values as f64;
        if fits(self.bools) {
            Kind::Bool
        } else if fits(self.dates) || (fits(self.dates + self.years) && (self.dates > 0 || named_like_date)) {
            Kind::Date
        } else if fits(self.integers) {
            Kind::Integer
        } else if fits(self.numbers) {
            Kind::Float
        } else if self.strings > 0
            && (self.characters > 100 * self.strings || self.words > 12 * self.strings)
            && self.lists == 0
        {
            Kind::Text
        } else {
            Kind::Keyword
        }
    }

    pub(crate) fn is_list(&self) -> bool {
        self.lists > 0
    }

    /// Whether the values are codes in a row (see the head of this file).
    pub(crate) fn split(&self) -> Option<Split> {
        let codes = self.lists == 0
            && self.strings > 0
            && self.strings == self.values
            && self.not_codes == 0
            && self.several_words * 10 >= self.strings
            && self.dotted * 2 >= self.words
            && self.words >= 3 * self.codes.len() as u64;
        codes.then_some(Split::Space)
    }

    /// Whether there is any value that can become an attribute.
    pub(crate) fn is_usable(&self) -> bool {
        self.values > 0 && self.nested * 2 <= self.values
    }

    /// Whether objects or lists of lists were among the values.
    pub(crate) fn is_nested(&self) -> bool {
        self.nested > 0
    }
}

/// Whether a field's name says that its values are dates.
pub(crate) fn name_says_date(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["date", "created", "updated", "published", "modified", "timestamp"]
        .iter()
        .any(|word| name.contains(word))
}

/// `true` and `false` in any case; nothing else, since `yes` and `1` may be meant otherwise.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Digits with an optional sign, point and exponent, and no leading zero, which would be lost.
fn looks_like_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    digits.starts_with(|character: char| character.is_ascii_digit() || character == '.')
        && !leading_zero
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
}

/// `cs.CL`, `q-bio.NC`, `math-ph`: letters, digits and `-`, at most one inner dot, a lower-case letter first.
fn is_code(word: &str) -> bool {
    let mut parts = word.split('.');
    word.len() <= 20
        && word.starts_with(|character: char| character.is_ascii_lowercase())
        && parts.by_ref().take(2).all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
        && parts.next().is_none()
}
