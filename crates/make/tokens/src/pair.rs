//! Two texts as one sequence, as cross-encoders read them: the pair template of a `tokenizer.json`, and truncation of the longer text first.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::tokenizer::{Encoding, Tokenizer};

/// The special tokens round and between two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTemplate {
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
    /// How many of `between` are of token type 0; `None`: everything is.
    typed: Option<usize>,
}

impl PairTemplate {
    /// Reads the template from a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`] if there is none, or it is of a kind that we don't know.
    pub fn open(path: &Path) -> Result<Self> {
        /// The one part that is kept; the vocabulary is skipped.
        #[derive(serde::Deserialize)]
        struct File {
            #[serde(default)]
            post_processor: Value,
        }
        let name = path.display().to_string();
        let fail = |problem: String| Error::file(&name, problem);
        let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        let file: File =
            serde_json::from_slice(&bytes).map_err(|error| fail(format!("not a tokenizer.json: {error}")))?;
        Self::read(&file.post_processor)
            .ok_or_else(|| fail("post_processor: expected a template for two texts, found none".into()))
    }

    fn read(processor: &Value) -> Option<Self> {
        let id = |field: &str| u32::try_from(processor.get(field)?.get(1)?.as_u64()?).ok();
        match processor.get("type").and_then(Value::as_str) {
            // Without a template, the texts follow each other.
            None if processor.is_null() => Some(Self::bare()),
            Some("ByteLevel") => Some(Self::bare()),
            Some("BertProcessing") => Some(Self {
                before: vec![id("cls")?],
                between: vec![id("sep")?],
                after: vec![id("sep")?],
                typed: Some(1),
            }),
            Some("RobertaProcessing") => Some(Self {
                before: vec![id("cls")?],
                between: vec![id("sep")?; 2],
                after: vec![id("sep")?],
                typed: None,
            }),
            Some("TemplateProcessing") => Self::template(processor),
            Some("Sequence") => {
                let parts = processor.get("processors")?.as_array()?;
                let telling = parts
                    .iter()
                    .find(|part| part.get("type").and_then(Value::as_str) != Some("ByteLevel"));
                telling.map_or(Some(Self::bare()), Self::read)
            }
            _ => None,
        }
    }

    fn bare() -> Self {
        Self {
            before: Vec::new(),
            between: Vec::new(),
            after: Vec::new(),
            typed: Some(0),
        }
    }

    fn template(processor: &Value) -> Option<Self> {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        let (mut at, mut first_typed) = (0, None);
        for piece in processor.get("pair")?.as_array()? {
            let (kind, piece) = piece.as_object()?.iter().next()?;
            let typed = piece.get("type_id").and_then(Value::as_u64).unwrap_or(0) > 0;
            if typed && first_typed.is_none() {
                first_typed = Some((at, parts[at.min(2)].len()));
            }
            let id = piece.get("id")?.as_str()?;
            match (kind.as_str(), id, at) {
                ("Sequence", "A", 0) | ("Sequence", "B", 1) => at += 1,
                ("SpecialToken", id, _) => {
                    let ids = processor.get("special_tokens")?.get(id)?.get("ids")?;
                    for id in ids.as_array()? {
                        parts[at].push(u32::try_from(id.as_u64()?).ok()?);
                    }
                }
                _ => return None,
            }
        }
        let typed = match first_typed {
            None => None,
            Some((1, place)) => Some(place),
            Some(_) => return None,
        };
        let [before, between, after] = parts;
        (at == 2).then_some(Self {
            before,
            between,
            after,
            typed,
        })
    }

    /// How many special tokens it adds.
    pub fn special_count(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}

/// How many tokens of each text fit into `room`: the longer one is cut first, and both to a half if neither fits.
fn lengths(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first.saturating_add(second) <= room {
        return (first, second);
    }
    let short = first.min(second);
    let (short, long) = if short > room / 2 {
        (room / 2, room - room / 2)
    } else {
        (short, room - short)
    };
    if first > second {
        (long, short)
    } else {
        (short, long)
    }
}

impl Tokenizer {
    /// Encodes two texts as one sequence into `out`, at most `limit` tokens; returns how many tokens at its start are of type 0.
    pub fn encode_pair(
        &self,
        template: &PairTemplate,
        first: &str,
        second: &str,
        limit: usize,
        out: &mut Encoding,
    ) -> usize {
        let room = limit.saturating_sub(template.special_count());
        let (mut left, mut right) = (Encoding::default(), Encoding::default());
        self.encode(first, false, None, &mut left);
        // So many that it is known which text is longer: it decides who keeps the odd token.
        let enough = room.max(left.len()).saturating_add(1);
        self.encode(second, false, Some(enough), &mut right);
        let (keep, rest) = lengths(left.len(), right.len(), room);
        *out = Encoding::default();
        let mut add = |ids: &[u32], ranges: Option<&[(u32, u32)]>| {
            out.ids.extend_from_slice(ids);
            match ranges {
                Some(ranges) => out.ranges.extend_from_slice(ranges),
                None => out.ranges.resize(out.ids.len(), (0, 0)),
            }
        };
        add(&template.before, None);
        add(&left.ids[..keep], Some(&left.ranges[..keep]));
        add(&template.between, None);
        add(&right.ids[..rest], Some(&right.ranges[..rest]));
        add(&template.after, None);
        out.ids.truncate(limit);
        out.ranges.truncate(limit);
        let zero = template.typed.map(|typed| template.before.len() + keep + typed);
        zero.unwrap_or(out.len()).min(out.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        assert_eq!(lengths(3, 4, 7), (3, 4));
        assert_eq!(lengths(3, 9, 7), (3, 4));
        assert_eq!(lengths(9, 2, 7), (5, 2));
        assert_eq!(lengths(9, 9, 7), (3, 4));
        assert_eq!(lengths(10, 9, 7), (4, 3));
        assert_eq!(lengths(5, 0, 0), (0, 0));
    }

    #[test]
    fn templates_of_all_kinds_are_read() {
        let read = |text: &str| PairTemplate::read(&serde_json::from_str(text).unwrap());
        let bert = read(r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#).unwrap();
        let template = r#"{"type":"TemplateProcessing","single":[],"pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},{"Sequence":{"id":"B","type_id":1}},
            {"SpecialToken":{"id":"[SEP]","type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},
            "[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}}"#;
        assert_eq!(read(template).unwrap(), bert);
        let sequence = format!(r#"{{"type":"Sequence","processors":[{{"type":"ByteLevel"}},{template}]}}"#);
        assert_eq!(read(&sequence).unwrap(), bert);
        let roberta = read(r#"{"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0]}"#).unwrap();
        assert_eq!((roberta.between.len(), roberta.typed), (2, None));
        assert_eq!(read("null").unwrap().special_count(), 0);
        assert_eq!(read(r#"{"type":"Other"}"#), None);
        assert_eq!(read(r#"{"type":"TemplateProcessing","pair":[]}"#), None);
    }
}
