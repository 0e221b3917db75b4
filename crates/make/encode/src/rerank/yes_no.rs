//! Language models as rerankers: the score is how much likelier "yes" is than "no" as the next token (Qwen3 Embedding, arXiv 2506.05176,
//! section 2; the prompt is that of the released models).

use std::path::Path;

use kokeshi_tokens::{Encoding, Tokenizer};

use super::Pair;
use crate::directory::Fields;
use crate::encoder::Parts;
use crate::error::{Error, Result};
use crate::safetensors::Weights;

const PREFIX: &str = "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct \
                      provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
const SUFFIX: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
const INSTRUCTION: &str = "Given a web search query, retrieve relevant passages that answer the query";

/// The prompt's frame and the difference between the two answers' rows of the output table.
pub(super) struct YesNo {
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// `yes - no`, `[hidden]`.
    difference: Vec<f32>,
}

impl YesNo {
    /// `prefix` and `words` are what the plan says about the token table, which is the output table too if there is no other.
    pub(super) fn load(
        root: &Path,
        config: &Fields,
        weights: &Weights,
        tokenizer: &Tokenizer,
        (prefix, words): (&str, &str),
        hidden: usize,
    ) -> Result<Self> {
        let vocabulary = config.size("vocab_size", 1 << 24)?;
        let level = kokeshi_kernels::Level::best();
        let parts = Parts::new((level, kokeshi_kernels::Precision::F32), weights, prefix);
        let table = match weights.tensor("lm_head.weight") {
            Some(_) => "lm_head.weight".to_string(),
            None => parts.of(words),
        };
        let table = weights.expect(&table, &[vocabulary, hidden])?.matrix()?;
        let row = |answer: &str| match tokenizer.id(answer) {
            Some(id) if (id as usize) < vocabulary => Ok(table.row(id as usize)),
            _ => Err(Error::model(
                &root.join("tokenizer.json"),
                format!("expected a token {answer:?}, which the answer is read from, found none"),
            )),
        };
        let (yes, no) = (row("yes")?, row("no")?);
        let ids = |text: &str| {
            let mut encoding = Encoding::default();
            tokenizer.encode(text, false, None, &mut encoding);
            encoding.ids
        };
        Ok(Self {
            prefix: ids(PREFIX),
            suffix: ids(SUFFIX),
            difference: yes.iter().zip(no).map(|(yes, no)| yes - no).collect(),
        })
    }

    /// How many tokens the prompt has without query and text.
    pub(super) fn frame(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// The prompt; query and text are cut at the end if they don't fit, the frame never.
    pub(super) fn pair(&self, tokenizer: &Tokenizer, query: &str, text: &str, limit: usize) -> Pair {
        let asked = format!("<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {text}");
        let mut encoding = Encoding::default();
        tokenizer.encode(&asked, false, Some(limit - self.frame()), &mut encoding);
        let ids = [self.prefix.as_slice(), &encoding.ids, &self.suffix].concat();
        Pair {
            first: ids.len(),
            ids,
        }
    }

    /// The probability of yes against no after `tokens` (`[len, hidden]`, at least the last).
    pub(super) fn score(&self, tokens: &[f32]) -> f32 {
        let hidden = self.difference.len();
        let last = &tokens[tokens.len().saturating_sub(hidden)..];
        let odds: f32 = last.iter().zip(&self.difference).map(|(a, b)| a * b).sum();
        1.0 / (1.0 + (-odds).exp())
    }
}
