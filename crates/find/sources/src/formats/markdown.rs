//! Markdown: the title is the front matter's or the first heading; markup is taken off, code and link texts stay.

use std::io::BufRead;
use std::sync::Arc;

use pulldown_cmark::{Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use super::text::{decode, document, file_stem, read_all};
use super::{Context, Problem, Reader};
use crate::input::Packing;
use crate::record::{Record, Value};

pub(crate) struct Markdown {
    input: Option<Box<dyn BufRead + Send>>,
    name: String,
    packing: Packing,
    limit: u64,
    replaced: u64,
}

impl Markdown {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>) -> Self {
        Self {
            input: Some(input),
            name: context.name.into(),
            packing: context.packing,
            limit: context.options.max_file_bytes,
            replaced: 0,
        }
    }
}

impl Reader for Markdown {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        let mut input = self.input.take()?;
        let bytes = match read_all(&mut *input, self.limit, self.packing) {
            Ok(bytes) => bytes,
            Err(problem) => return Some(Err(problem)),
        };
        let (source, replaced) = decode(bytes);
        self.replaced = replaced;
        if source.trim().is_empty() {
            return None;
        }
        let page = strip(&source);
        let mut front = front_matter(&page.front);
        let named = front
            .iter()
            .position(|(name, value)| &**name == "title" && matches!(value, Value::Raw(_)));
        let title = named
            .and_then(|at| front.remove(at).1.into_string())
            .or(page.title)
            .unwrap_or_else(|| file_stem(&self.name).into());
        let mut record = document(&self.name, title, page.text);
        // The format itself knows these.
        front.retain(|(name, _)| !matches!(&**name, "id" | "title" | "text"));
        record.fields.extend(front);
        Some(Ok(record))
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// What is in a page.
struct Page {
    title: Option<String>,
    text: String,
    front: String,
}

fn strip(source: &str) -> Page {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut page = Page {
        title: None,
        text: String::with_capacity(source.len()),
        front: String::new(),
    };
    let mut in_front = false;
    // Where the first heading starts in the text; it is the title and leaves the text.
    let mut heading = None;
    for event in Parser::new_ext(source, options) {
        let text = &mut page.text;
        match event {
            Event::Start(Tag::MetadataBlock(
                MetadataBlockKind::YamlStyle | MetadataBlockKind::PlusesStyle,
            )) => in_front = true,
            Event::End(TagEnd::MetadataBlock(_)) => in_front = false,
            Event::Text(part) if in_front => page.front.push_str(&part),
            Event::Start(Tag::Heading { .. }) => {
                paragraph(text);
                if page.title.is_none() {
                    heading = Some(text.len());
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some(start) = heading.take() {
                    let title = text.split_off(start);
                    if !title.trim().is_empty() {
                        page.title = Some(title.trim().into());
                    }
                }
                paragraph(text);
            }
            Event::Start(Tag::Item | Tag::TableRow | Tag::TableHead) => line(text),
            Event::Start(Tag::TableCell) => space(text),
            Event::Start(
                Tag::Paragraph | Tag::CodeBlock(_) | Tag::Table(_) | Tag::List(_) | Tag::BlockQuote(_),
            )
            | Event::End(
                TagEnd::Paragraph
                | TagEnd::CodeBlock
                | TagEnd::Table
                | TagEnd::List(_)
                | TagEnd::BlockQuote(_),
            ) => {
                paragraph(text);
            }
            Event::Text(part) | Event::Code(part) | Event::InlineMath(part) | Event::DisplayMath(part) => {
                text.push_str(&part)
            }
            Event::SoftBreak => text.push(' '),
            Event::HardBreak => text.push('\n'),
            Event::Html(part) | Event::InlineHtml(part) => {
                // Tags are taken off where they are; what stands between them comes as text or as a block of its own.
                let shown = super::html::visible(&part).text;
                if !shown.is_empty() {
                    text.push_str(&shown);
                    if part.ends_with('\n') {
                        text.push('\n');
                    }
                }
            }
            _ => {}
        }
    }
    let end = page.text.trim_end().len();
    page.text.truncate(end);
    page
}

/// A blank line, unless there is one or nothing comes before.
fn paragraph(text: &mut String) {
    let end = text.trim_end_matches('\n').len();
    text.truncate(end);
    if !text.is_empty() {
        text.push_str("\n\n");
    }
}

fn line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn space(text: &mut String) {
    if !text.is_empty() && !text.ends_with(['\n', ' ']) {
        text.push(' ');
    }
}

/// The flat part of YAML or TOML that front matter mostly is: `name: value`, `name: [a, b]`, and `- item` lines below a name.
fn front_matter(source: &str) -> Vec<(Arc<str>, Value)> {
    let mut fields: Vec<(Arc<str>, Value)> = Vec::new();
    for line in source.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(item) = trimmed.strip_prefix("- ") {
            if let Some((_, value)) = fields.last_mut() {
                let item = Value::Raw(unquoted(item).into());
                match value {
                    Value::List(items) => items.push(item),
                    Value::Null => *value = Value::List(vec![item]),
                    _ => {}
                }
            }
            continue;
        }
        // Indented names belong to an object, which can't be an attribute.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, value)) = trimmed
            .split_once(": ")
            .or_else(|| trimmed.split_once(" = "))
            .or_else(|| trimmed.strip_suffix(':').map(|name| (name, "")))
        else {
            continue;
        };
        let value = value.trim();
        let value = match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(items) => {
                let items = items
                    .split(',')
                    .map(|item| unquoted(item.trim()))
                    .filter(|item| !item.is_empty());
                Value::List(items.map(|item| Value::Raw(item.into())).collect())
            }
            None if value.is_empty() => Value::Null,
            None => Value::Raw(unquoted(value).into()),
        };
        fields.push((unquoted(name.trim()).to_ascii_lowercase().into(), value));
    }
    fields
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_words_links_and_code_stay() {
        let page = strip(
            "# The *title*\n\nSome **bold** [link](http://x.y) and `code()`.\n\n```rust\nfn main() {}\n```\n\n- one\n- two\n\n\
             | a | b |\n|---|---|\n| c | d |\n\nA <b>tag</b> &amp; more\nsame paragraph\n",
        );
        assert_eq!(page.title.as_deref(), Some("The title"));
        assert_eq!(
            page.text,
            "Some bold link and code().\n\nfn main() {}\n\none\ntwo\n\na b\nc d\n\nA tag & more same paragraph"
        );
    }

    #[test]
    fn front_matter_becomes_fields() {
        let page = strip(
            "---\ntitle: \"On: size\"\ndate: 2024-05-01\ntags: [a, 'b c']\nauthors:\n  - Ann\n  - Bob\nnested:\n  x: 1\n---\nText.\n",
        );
        assert_eq!(page.text, "Text.");
        let raw = |text: &str| Value::Raw(text.into());
        let fields: Vec<_> = front_matter(&page.front)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect();
        assert_eq!(
            fields,
            vec![
                ("title".into(), raw("On: size")),
                ("date".into(), raw("2024-05-01")),
                ("tags".into(), Value::List(vec![raw("a"), raw("b c")])),
                ("authors".into(), Value::List(vec![raw("Ann"), raw("Bob")])),
                ("nested".into(), Value::Null),
            ]
        );
    }
}
