//! HTML: the title and what a reader sees, without scripts, styles and markup.
//!
//! Only html5ever's tokenizer runs, not its tree builder: no depth can hurt, and the text is all that is wanted.

use std::cell::RefCell;
use std::io::BufRead;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use super::text::{decode, document, file_stem, read_all};
use super::{Context, Problem, Reader};
use crate::input::Packing;
use crate::record::Record;

pub(crate) struct Html {
    input: Option<Box<dyn BufRead + Send>>,
    name: String,
    packing: Packing,
    limit: u64,
    replaced: u64,
}

impl Html {
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

impl Reader for Html {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        let mut input = self.input.take()?;
        let bytes = match read_all(&mut *input, self.limit, self.packing) {
            Ok(bytes) => bytes,
            Err(problem) => return Some(Err(problem)),
        };
        let (source, replaced) = match declared(&bytes) {
            Some(encoding) if encoding != encoding_rs::UTF_8 => {
                let (text, _, wrong) = encoding.decode(&bytes);
                (text.into_owned(), u64::from(wrong))
            }
            _ => decode(bytes),
        };
        self.replaced = replaced;
        let page = visible(&source);
        if page.text.is_empty() && page.title.is_empty() {
            return None;
        }
        let title = if page.title.is_empty() {
            file_stem(&self.name).into()
        } else {
            page.title
        };
        Some(Ok(document(&self.name, title, page.text)))
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// The encoding that a `<meta>` in the first 1024 bytes names, if it is neither UTF-16 nor unknown and no byte order mark says otherwise.
fn declared(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    if encoding_rs::Encoding::for_bom(bytes).is_some() || std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let head = &bytes[..bytes.len().min(1024)];
    let lower = head.to_ascii_lowercase();
    let at = lower.windows(8).position(|window| window == b"charset=")? + 8;
    let label = lower[at..].trim_ascii_start();
    let label = label
        .strip_prefix(b"\"")
        .or_else(|| label.strip_prefix(b"'"))
        .unwrap_or(label);
    let end = label
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.')))
        .unwrap_or(label.len());
    // A page whose first bytes could be read as ASCII is not UTF-16, whatever it says.
    encoding_rs::Encoding::for_label(&label[..end]).filter(|encoding| encoding.is_ascii_compatible())
}

/// What a reader sees of a page.
#[derive(Default)]
pub(super) struct Page {
    pub title: String,
    pub text: String,
}

/// The title and visible text of `source`.
pub(super) fn visible(source: &str) -> Page {
    let queue = BufferQueue::default();
    // A tendril holds at most 4 GiB; larger files are refused long before.
    queue.push_back(StrTendril::from_slice(source));
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    // Only scripts suspend the tokenizer, and this sink runs none.
    while !queue.is_empty() {
        let _ = tokenizer.feed(&queue);
    }
    tokenizer.end();
    let mut page = tokenizer.sink.page.into_inner();
    tidy(&mut page.text);
    tidy(&mut page.title);
    page.title = page.title.replace('\n', " ");
    page
}

/// Drops spaces at line ends and blank lines at both ends of the text; no more than one blank line in a row stays.
fn tidy(text: &mut String) {
    let mut clean = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines() {
        // Indentation is only there in preformatted text.
        let line = line.trim_end();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !clean.is_empty() {
            clean.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        clean.push_str(line);
        blank = 0;
    }
    *text = clean;
}

#[derive(Default)]
struct Sink {
    page: RefCell<Page>,
    place: RefCell<Place>,
}

#[derive(Default)]
struct Place {
    in_title: bool,
    /// The element whose content nobody sees, until its end tag.
    hidden: Option<String>,
    preformatted: u32,
}

/// Elements that are not shown.
const HIDDEN: [&str; 8] = [
    "script", "style", "noscript", "template", "svg", "iframe", "object", "noframes",
];
/// Elements that stand in a line of text; all others break it.
const INLINE: [&str; 36] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font",
    "i", "img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
    "strike", "strong", "sub", "sup", "time", "tt", "u", "var",
];

impl Sink {
    fn tag(&self, tag: &Tag) -> TokenSinkResult<()> {
        let mut place = self.place.borrow_mut();
        let mut page = self.page.borrow_mut();
        let name = &*tag.name;
        let starts = tag.kind == TagKind::StartTag;
        if let Some(hidden) = &place.hidden {
            if !starts && hidden == name {
                place.hidden = None;
            }
            return TokenSinkResult::Continue;
        }
        if starts && HIDDEN.contains(&name) {
            if !tag.self_closing || name == "script" || name == "style" {
                place.hidden = Some(name.into());
            }
            return match name {
                "script" => TokenSinkResult::RawData(RawKind::ScriptData),
                "style" | "iframe" | "noframes" => TokenSinkResult::RawData(RawKind::Rawtext),
                _ => TokenSinkResult::Continue,
            };
        }
        match name {
            // Titles of pictures in SVG are hidden above; the first title is the page's.
            "title" => {
                place.in_title = starts && page.title.is_empty();
                if starts {
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
            }
            "textarea" if starts => return TokenSinkResult::RawData(RawKind::Rcdata),
            "pre" => {
                place.preformatted = if starts {
                    place.preformatted + 1
                } else {
                    place.preformatted.saturating_sub(1)
                };
                page.text.push_str("\n\n");
            }
            "br" | "li" | "tr" | "dt" | "dd" | "option" | "div" => page.text.push('\n'),
            "td" | "th" => {
                if !page.text.ends_with([' ', '\n']) {
                    page.text.push(' ');
                }
            }
            _ if INLINE.contains(&name) => {}
            _ => page.text.push_str("\n\n"),
        }
        TokenSinkResult::Continue
    }

    fn characters(&self, text: &str) {
        let place = self.place.borrow();
        let mut page = self.page.borrow_mut();
        if place.hidden.is_some() {
            return;
        }
        if place.preformatted > 0 && !place.in_title {
            page.text.push_str(text);
            return;
        }
        let target = if place.in_title {
            &mut page.title
        } else {
            &mut page.text
        };
        for character in text.chars() {
            // White space, however much, is one space.
            if character.is_whitespace() {
                if !target.is_empty() && !target.ends_with([' ', '\n']) {
                    target.push(' ');
                }
            } else if character != '\u{AD}' {
                target.push(character);
            }
        }
    }
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) => return self.tag(&tag),
            Token::CharacterTokens(text) => self.characters(&text),
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_reader_sees_stays() {
        let page = visible(
            "<!doctype html><html><head><title>A &amp; B</title><style>p { x: '</p>' }</style></head><body>\
             <h1>Head</h1><p>One <b>bold</b>,\n  caf&eacute;&nbsp;!<script>if (a < b) { '<p>no</p>' }</script></p>\
             <ul><li>x<li>y</ul><pre>a\n  b</pre><svg><title>t</title></svg></body>",
        );
        assert_eq!(page.title, "A & B");
        assert_eq!(page.text, "Head\n\nOne bold, café !\n\nx\ny\n\na\n  b");
    }

    #[test]
    fn a_declared_charset_is_honoured_and_depth_does_no_harm() {
        let latin = b"<meta charset=\"iso-8859-9\"><p>\xFEi\xFEe</p>";
        let encoding = declared(latin).expect("a charset");
        assert_eq!(visible(&encoding.decode(latin).0).text, "şişe");
        assert_eq!(visible(&format!("{}deep", "<div>".repeat(200_000))).text, "deep");
        assert_eq!(visible("<script>never closed").text, "");
    }
}
