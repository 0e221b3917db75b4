//! Texts by number, each once.

use std::collections::HashMap;

/// Texts by number, each once, without the blanks around them.
#[derive(Debug, Default)]
pub struct Pool {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Pool {
    /// The number of a text, which is put in if it is new.
    pub fn number(&mut self, text: &str) -> u32 {
        let text = text.trim();
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The number of a text that is in.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The texts in the order of their numbers.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The texts alone.
    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }
}
