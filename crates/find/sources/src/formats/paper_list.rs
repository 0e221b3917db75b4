//! Plain-text lists of papers, as mails and pages copied as text have them: a title, a blank line, an abstract, a blank line, the next title.
//!
//! A file is taken for one if its blocks (lines between blank lines) alternate: at least three long blocks (250 characters or more), at least
//! four in five of them with exactly one short block (300 or fewer, not ending like a sentence) as their title, at least 400
//! characters long on average, and at most half of the short blocks without a long one behind them.
//!
//! When it is read, the last short block before a long one is the title; a long block behind a long one continues the abstract. Short blocks
//! in between are dropped as headings and boilerplate, except: a date becomes the attribute `date` of the papers after it (`day` if it has no
//! year, such as `Jul 30`), and an arXiv id or link becomes the attribute `arxiv` of the next paper.

use std::io::BufRead;
use std::sync::Arc;

use super::text::{decode, document, read_all};
use super::{Context, Problem, Reader};
use crate::record::{Record, Value};

/// Fewest characters of an abstract.
const ABSTRACT: usize = 250;
/// Most characters of a title.
const TITLE: usize = 300;

/// A paragraph and the line where it starts.
struct Block {
    line: u64,
    text: String,
    characters: usize,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            open = false;
            continue;
        }
        match blocks.last_mut() {
            Some(block) if open => {
                block.text.push(' ');
                block.text.push_str(line);
            }
            _ => blocks.push(Block {
                line: at as u64 + 1,
                text: line.into(),
                characters: 0,
            }),
        }
        open = true;
    }
    for block in &mut blocks {
        block.characters = block.text.chars().count();
    }
    blocks
}

/// What a block can be.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Abstract,
    Title,
    /// With a year, as it can be read.
    Date(&'a str),
    /// Without a year.
    Day(&'a str),
    Arxiv(&'a str),
}

fn part(block: &Block) -> Part<'_> {
    if block.characters >= ABSTRACT {
        return Part::Abstract;
    }
    let text = block.text.as_str();
    if let Some(id) = arxiv_id(text) {
        return Part::Arxiv(id);
    }
    if crate::dates::is_unmistakable(text) {
        return Part::Date(text);
    }
    let is_day = text.len() <= 14
        && text.is_ascii()
        && crate::dates::parse(&format!("{text}, 2000")).is_some()
        && text.contains(' ');
    if is_day { Part::Day(text) } else { Part::Title }
}

/// The id in `arXiv:2401.12345v2`, `2401.12345` or a link that ends with it.
fn arxiv_id(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.contains(' ') {
        return None;
    }
    let id = text.rsplit(['/', ':']).next()?;
    let (month, number) = id.split_once('.')?;
    let number = number.split('v').next()?;
    let digits = |text: &str, widths: &[usize]| {
        widths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    (digits(month, &[4]) && digits(number, &[4, 5])).then_some(id)
}

/// Whether `head`, the first bytes of a file, looks like a list of papers.
pub(crate) fn looks_like_one(head: &str, whole: bool) -> bool {
    let mut blocks = blocks(head);
    if !whole {
        // The last one may be cut off.
        blocks.pop();
    }
    let parts: Vec<Part<'_>> = blocks.iter().map(part).collect();
    let (mut long, mut titled, mut characters, mut alone) = (0, 0, 0, 0);
    for at in 0..parts.len() {
        match parts[at] {
            Part::Abstract => {
                long += 1;
                characters += blocks[at].characters;
                let title = at.checked_sub(1).filter(|before| parts[*before] == Part::Title);
                let is_title = title.is_some_and(|before| {
                    blocks[before].characters <= TITLE && !blocks[before].text.ends_with(['.', ',', ';', ':'])
                });
                let alone = parts.get(at + 1) != Some(&Part::Abstract);
                titled += usize::from(is_title && alone);
            }
            Part::Title if parts.get(at + 1) != Some(&Part::Abstract) => alone += 1,
            _ => {}
        }
    }
    long >= 3 && titled * 5 >= long * 4 && characters >= 400 * long && alone <= long
}

pub(crate) struct PaperList {
    input: Option<Box<dyn BufRead + Send>>,
    name: String,
    packing: crate::input::Packing,
    limit: u64,
    replaced: u64,
    records: std::vec::IntoIter<Record>,
}

impl PaperList {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>) -> Self {
        Self {
            input: Some(input),
            name: context.name.into(),
            packing: context.packing,
            limit: context.options.max_file_bytes,
            replaced: 0,
            records: Vec::new().into_iter(),
        }
    }
}

impl Reader for PaperList {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        if let Some(mut input) = self.input.take() {
            let bytes = match read_all(&mut *input, self.limit, self.packing) {
                Ok(bytes) => bytes,
                Err(problem) => return Some(Err(problem)),
            };
            let (text, replaced) = decode(bytes);
            self.replaced = replaced;
            self.records = papers(&text, &self.name).into_iter();
        }
        self.records.next().map(Ok)
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

fn papers(text: &str, name: &str) -> Vec<Record> {
    let mut papers: Vec<Record> = Vec::new();
    let mut title: Option<(u64, String)> = None;
    let mut date: Option<(&'static str, String)> = None;
    let mut arxiv: Option<String> = None;
    let mut in_abstract = false;
    for block in blocks(text) {
        match part(&block) {
            Part::Abstract if in_abstract => {
                if let Some((_, Value::Text(text))) =
                    papers.last_mut().and_then(|paper| paper.fields.get_mut(2))
                {
                    text.push_str("\n\n");
                    text.push_str(&block.text);
                }
                continue;
            }
            Part::Abstract => {
                let (line, title) = title.take().unwrap_or((block.line, String::new()));
                let mut paper = document(&format!("{name}#{line}"), title, block.text);
                paper.line = line;
                if let Some((field, date)) = &date {
                    paper.fields.push((Arc::from(*field), Value::Raw(date.clone())));
                }
                if let Some(id) = arxiv.take() {
                    paper.fields.push((Arc::from("arxiv"), Value::Text(id)));
                }
                papers.push(paper);
                in_abstract = true;
                continue;
            }
            Part::Title => title = Some((block.line, block.text)),
            Part::Date(text) => date = Some(("date", text.into())),
            Part::Day(text) => date = Some(("day", text.into())),
            Part::Arxiv(id) => arxiv = Some(id.into()),
        }
        in_abstract = false;
    }
    papers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(papers: usize) -> String {
        let mut text = String::from("new\n\nDaily Papers\n\nbyAK and others\n\nJul 30\n\n");
        for number in 0..papers {
            text.push_str(&format!(
                "Paper {number}: A Title\n\n{}\n\n",
                "We study it in depth. ".repeat(25)
            ));
        }
        text
    }

    #[test]
    fn a_mail_of_papers_is_recognised_and_prose_is_not() {
        assert!(looks_like_one(&list(5), true));
        assert!(looks_like_one(&list(30)[..9000], false));
        assert!(!looks_like_one(&list(2), true));
        let prose = format!(
            "Chapter 1\n\n{}",
            "It was a long day, and nobody knew why. "
                .repeat(20)
                .repeat(3)
                .replace("why. It", "why.\n\nIt")
        );
        assert!(!looks_like_one(&prose, true));
        assert!(!looks_like_one("", true));
    }

    #[test]
    fn boilerplate_goes_and_date_and_arxiv_id_stay() {
        let text = list(2)
            + "\n\nAugust 1, 2025\n\nThird\n\nhttps://arxiv.org/abs/2401.12345\n\n"
            + &"Abstract. ".repeat(40)
            + "\n\n"
            + &"More. ".repeat(60);
        let papers = papers(&text, "mail.txt");
        let field = |paper: &Record, name: &str| {
            let found = paper.fields.iter().find(|(known, _)| &**known == name);
            found.and_then(|(_, value)| value.clone().into_string())
        };
        assert_eq!(papers.len(), 3);
        assert_eq!(field(&papers[0], "title").as_deref(), Some("Paper 0: A Title"));
        assert_eq!(field(&papers[0], "day").as_deref(), Some("Jul 30"));
        assert_eq!(field(&papers[2], "title").as_deref(), Some("Third"));
        assert_eq!(field(&papers[2], "date").as_deref(), Some("August 1, 2025"));
        assert_eq!(field(&papers[2], "arxiv").as_deref(), Some("2401.12345"));
        assert!(field(&papers[2], "text").is_some_and(|text| text.contains("\n\nMore.")));
    }
}
