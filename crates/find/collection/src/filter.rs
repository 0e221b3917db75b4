//! Filters: tantivy's query syntax over attributes, to a query, and to the bitmap of rows that pass.
//!
//! tantivy's own parser reads the syntax; the step from syntax to query is ours, so that dates can be `2019`, types are checked, unknown
//! attributes are answered with the known ones, and two conditions side by side must both hold.

use std::ops::Bound;

use kokeshi_core::Bitmap;
use kokeshi_sources::Kind;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column as Values;
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, Occur, PhraseQuery, Query, RangeQuery, RegexQuery,
    TermQuery, TermSetQuery,
};
use tantivy::query_grammar::{
    UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral, parse_query, parse_query_lenient,
};
use tantivy::schema::{Field as Column, IndexRecordOption};
use tantivy::{DateTime, DocId, Score, SegmentOrdinal, SegmentReader, Term};

use crate::fields::{Fields, expected, kind_name};
use crate::snapshot::Snapshot;
use crate::{Error, Result, dates, words};

/// Longer filters are refused: the grammar is parsed recursively.
const LONGEST: usize = 16 << 10;
/// Deeper ones too.
const DEEPEST: usize = 16;

/// Compiles `filter`.
///
/// # Errors
/// [`Error::Filter`] that says what was expected.
pub fn compile(filter: &str, fields: &Fields) -> Result<Box<dyn Query>> {
    let wrong = |problem: String| Error::Filter {
        filter: shorten(filter),
        problem,
    };
    if filter.len() > LONGEST {
        return Err(wrong(format!(
            "expected at most {LONGEST} bytes, found {}",
            filter.len()
        )));
    }
    if depth(filter) > DEEPEST {
        return Err(wrong(format!(
            "expected parentheses at most {DEEPEST} deep, found {}",
            depth(filter)
        )));
    }
    if filter.trim().is_empty() {
        return Ok(Box::new(AllQuery));
    }
    let ast = parse_query(filter).map_err(|_| {
        let (_, problems) = parse_query_lenient(filter);
        let first = problems
            .first()
            .map(|problem| format!("{} at position {}", problem.message, problem.pos + 1))
            .unwrap_or_else(|| "it is not a filter".into());
        wrong(format!(
            "{first}; write it like `year:[2020 TO *] AND category:cs.CL AND NOT author:\"A. Author\"`"
        ))
    })?;
    Compiler { fields }.ast(ast).map_err(wrong)
}

/// The rows of `snapshot` that pass `query`.
///
/// # Errors
/// [`Error::Request`] if the word index can't run it.
pub fn rows(query: &dyn Query, snapshot: &Snapshot) -> Result<Bitmap> {
    snapshot
        .searcher
        .search(
            query,
            &RowCollector {
                rows: snapshot.rows(),
            },
        )
        .map_err(|error| Error::Request(format!("the filter can't be run: {error}")))
}

fn shorten(filter: &str) -> String {
    match filter.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &filter[..end]),
        None => filter.into(),
    }
}

fn depth(filter: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in filter.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

struct Compiler<'a> {
    fields: &'a Fields,
}

type Compiled = std::result::Result<Box<dyn Query>, String>;

/// A field that can be filtered: an attribute, or one of the document's own.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    column: Column,
    kind: Kind,
}

impl Compiler<'_> {
    fn ast(&self, ast: UserInputAst) -> Compiled {
        match ast {
            UserInputAst::Leaf(leaf) => self.leaf(*leaf),
            // A filter has no scores that could be boosted.
            UserInputAst::Boost(inner, _) => self.ast(*inner),
            UserInputAst::Clause(parts) => {
                if parts.is_empty() {
                    return Ok(Box::new(AllQuery));
                }
                let mut clauses = Vec::with_capacity(parts.len() + 1);
                for (occur, part) in parts {
                    clauses.push((occur.unwrap_or(Occur::Must), self.ast(part)?));
                }
                if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
                    clauses.push((Occur::Must, Box::new(AllQuery)));
                }
                Ok(Box::new(BooleanQuery::new(clauses)))
            }
        }
    }

    fn target<'a>(&'a self, name: &Option<String>) -> std::result::Result<Target<'a>, String> {
        let Some(name) = name else {
            return Err(format!(
                "expected `attribute:value`, found a value without an attribute; known attributes: {}",
                self.fields.known()
            ));
        };
        let own = |name, column, kind| Target { name, column, kind };
        match name.as_str() {
            "id" => return Ok(own("id", self.fields.id, Kind::Keyword)),
            "text" => return Ok(own("text", self.fields.words, Kind::Text)),
            _ => {}
        }
        let (field, column) = self.fields.attribute(name).ok_or_else(|| {
            format!(
                "unknown attribute `{name}`; known: id, text, {}",
                self.fields.known()
            )
        })?;
        Ok(own(&field.name, column, field.kind))
    }

    fn leaf(&self, leaf: UserInputLeaf) -> Compiled {
        match leaf {
            UserInputLeaf::All => Ok(Box::new(AllQuery)),
            UserInputLeaf::Literal(literal) => self.literal(&literal),
            UserInputLeaf::Exists { field } => {
                let target = self.target(&Some(field))?;
                match target.kind {
                    Kind::Text => Err(format!(
                        "`{}:*` is not possible for a text attribute",
                        target.name
                    )),
                    _ => Ok(Box::new(ExistsQuery::new(target.name.into(), false))),
                }
            }
            UserInputLeaf::Range { field, lower, upper } => {
                let target = self.target(&field)?;
                self.range(target, &lower, &upper)
            }
            UserInputLeaf::Set { field, elements } => {
                let target = self.target(&field)?;
                if matches!(target.kind, Kind::Date | Kind::Text) {
                    let any = elements
                        .iter()
                        .map(|element| Ok((Occur::Should, self.equal(target, element, 0)?)))
                        .collect::<std::result::Result<Vec<_>, String>>()?;
                    return Ok(Box::new(BooleanQuery::new(any)));
                }
                let terms = elements
                    .iter()
                    .map(|element| term(target, element))
                    .collect::<std::result::Result<Vec<_>, _>>()?;
                Ok(Box::new(TermSetQuery::new(terms)))
            }
            UserInputLeaf::Regex { .. } => {
                Err("regular expressions are not possible; use `attribute:start*`".into())
            }
        }
    }

    fn literal(&self, literal: &UserInputLiteral) -> Compiled {
        let target = self.target(&literal.field_name)?;
        let unquoted = literal.delimiter == tantivy::query_grammar::Delimiter::None;
        let prefix = if literal.prefix {
            Some(literal.phrase.as_str())
        } else if unquoted {
            literal.phrase.strip_suffix('*')
        } else {
            None
        };
        match prefix {
            Some(start) if target.kind == Kind::Keyword => {
                let pattern = format!("{}.*", escape(start));
                let query = RegexQuery::from_pattern(&pattern, target.column)
                    .map_err(|error| format!("`{}:{start}*`: {error}", target.name))?;
                Ok(Box::new(query))
            }
            Some(start) => Err(format!(
                "`{}:{start}*`: only keywords can be searched by their start, `{}` is {}",
                target.name,
                target.name,
                kind_name(target.kind)
            )),
            None => self.equal(target, &literal.phrase, literal.slop),
        }
    }

    fn equal(&self, target: Target<'_>, value: &str, slop: u32) -> Compiled {
        match target.kind {
            Kind::Date => {
                let (from, until) = span(target, value)?;
                Ok(date_range(target, Bound::Included(from), Bound::Excluded(until)))
            }
            Kind::Text => {
                let mut terms = Vec::new();
                words::analyzer().token_stream(value).process(&mut |token| {
                    terms.push((token.position, Term::from_field_text(target.column, &token.text)));
                });
                match terms.len() {
                    0 => Ok(Box::new(EmptyQuery)),
                    1 => Ok(Box::new(TermQuery::new(
                        terms.remove(0).1,
                        IndexRecordOption::Basic,
                    ))),
                    _ => Ok(Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop))),
                }
            }
            _ => Ok(Box::new(TermQuery::new(
                term(target, value)?,
                IndexRecordOption::Basic,
            ))),
        }
    }

    fn range(&self, target: Target<'_>, lower: &UserInputBound, upper: &UserInputBound) -> Compiled {
        if target.kind == Kind::Date {
            // `[2019 TO 2020]` takes in all of 2020, `{2019 TO 2020}` begins after 2019.
            let from = match bound(lower) {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(value) => Bound::Included(span(target, value)?.0),
                Bound::Excluded(value) => Bound::Included(span(target, value)?.1),
            };
            let until = match bound(upper) {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(value) => Bound::Excluded(span(target, value)?.1),
                Bound::Excluded(value) => Bound::Excluded(span(target, value)?.0),
            };
            return Ok(date_range(target, from, until));
        }
        if matches!(target.kind, Kind::Text | Kind::Bool) {
            return Err(format!(
                "`{}` is {}, which has no ranges",
                target.name,
                kind_name(target.kind)
            ));
        }
        let side = |value: &UserInputBound| match bound(value) {
            Bound::Unbounded => Ok(Bound::Unbounded),
            Bound::Included(value) => term(target, value).map(Bound::Included),
            Bound::Excluded(value) => term(target, value).map(Bound::Excluded),
        };
        match (side(lower)?, side(upper)?) {
            (Bound::Unbounded, Bound::Unbounded) => Ok(Box::new(ExistsQuery::new(target.name.into(), false))),
            (lower, upper) => Ok(Box::new(RangeQuery::new(lower, upper))),
        }
    }
}

fn bound(bound: &UserInputBound) -> Bound<&str> {
    match bound {
        UserInputBound::Unbounded => Bound::Unbounded,
        UserInputBound::Inclusive(value) | UserInputBound::Exclusive(value) if value == "*" => {
            Bound::Unbounded
        }
        UserInputBound::Inclusive(value) => Bound::Included(value),
        UserInputBound::Exclusive(value) => Bound::Excluded(value),
    }
}

fn span(target: Target<'_>, value: &str) -> std::result::Result<(i64, i64), String> {
    dates::span(value).ok_or_else(|| mismatch(target, value))
}

fn mismatch(target: Target<'_>, value: &str) -> String {
    format!(
        "`{}`: expected {}, found `{value}`",
        target.name,
        expected(target.kind)
    )
}

fn date_range(target: Target<'_>, from: Bound<i64>, until: Bound<i64>) -> Box<dyn Query> {
    let term = |micros| Term::from_field_date(target.column, DateTime::from_timestamp_micros(micros));
    match (from, until) {
        (Bound::Unbounded, Bound::Unbounded) => Box::new(ExistsQuery::new(target.name.into(), false)),
        (from, until) => Box::new(RangeQuery::new(from.map(term), until.map(term))),
    }
}

fn term(target: Target<'_>, value: &str) -> std::result::Result<Term, String> {
    let wrong = || mismatch(target, value);
    Ok(match target.kind {
        Kind::Keyword | Kind::Text => Term::from_field_text(target.column, value),
        Kind::Integer => Term::from_field_i64(target.column, value.parse().map_err(|_| wrong())?),
        Kind::Float => {
            let number: f64 = value.parse().map_err(|_| wrong())?;
            if !number.is_finite() {
                return Err(wrong());
            }
            Term::from_field_f64(target.column, number)
        }
        Kind::Bool => Term::from_field_bool(target.column, value.parse().map_err(|_| wrong())?),
        Kind::Date => {
            let (from, _) = span(target, value)?;
            Term::from_field_date(target.column, DateTime::from_timestamp_micros(from))
        }
    })
}

/// `text` as a regular expression that matches only itself.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Collects the vector rows of matching passages.
struct RowCollector {
    rows: usize,
}

impl Collector for RowCollector {
    type Fruit = Bitmap;
    type Child = RowSegment;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<RowSegment> {
        Ok(RowSegment {
            column: segment.fast_fields().u64("_row")?,
            found: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, found: Vec<Vec<u32>>) -> tantivy::Result<Bitmap> {
        let mut rows = Bitmap::empty(self.rows);
        for row in found.into_iter().flatten() {
            if (row as usize) < self.rows {
                rows.insert(row);
            }
        }
        Ok(rows)
    }
}

struct RowSegment {
    column: Values<u64>,
    found: Vec<u32>,
}

impl SegmentCollector for RowSegment {
    type Fruit = Vec<u32>;

    fn collect(&mut self, doc: DocId, _: Score) {
        if let Some(row) = self.column.first(doc) {
            self.found.push(row as u32);
        }
    }

    fn harvest(self) -> Vec<u32> {
        self.found
    }
}
