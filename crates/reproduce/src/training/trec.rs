//! Questions with their types (TREC question classification, Li and Roth 2002).

use crate::reproduction::{Context, Result, failed};

/// A question and its coarse type.
pub(crate) struct Question {
    pub text: String,
    pub kind: String,
}

/// The questions of `train` or `test`, for the reproduction `id`.
pub(crate) fn read(context: &Context, id: &str, split: &str) -> Result<Vec<Question>> {
    let path = context.data.join("trec_qc").join(format!("{split}.txt"));
    let text =
        std::fs::read_to_string(&path).map_err(|error| failed(id, format!("{}: {error}", path.display())))?;
    text.lines()
        .zip(1..)
        .map(|(line, number)| {
            let parts = line.split_once(':').and_then(|(kind, rest)| {
                let (_, text) = rest.split_once(char::is_whitespace)?;
                Some(Question {
                    text: text.to_string(),
                    kind: kind.to_string(),
                })
            });
            parts.ok_or_else(|| {
                failed(
                    id,
                    format!(
                        "{}:{number}: expected TYPE:detail and a question, found {line:?}",
                        path.display()
                    ),
                )
            })
        })
        .collect()
}

/// The types of questions, by name.
pub(crate) fn kinds(questions: &[Question]) -> Vec<&str> {
    let kinds: std::collections::BTreeSet<&str> =
        questions.iter().map(|question| question.kind.as_str()).collect();
    kinds.into_iter().collect()
}
