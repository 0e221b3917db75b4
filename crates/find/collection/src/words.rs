//! How text becomes words: the analyzer of passages, titles, text attributes and queries.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter,
    TextAnalyzer, TokenizerManager,
};

/// The name under which tantivy's schema refers to [`analyzer`]. Its version changes with what it does: an index must be searched by
/// the analyzer that made it.
pub const ANALYZER: &str = "kokeshi-en-1";
/// Longer words are not indexed: they are encoded data, not language.
const LONGEST_WORD: usize = 64;

/// Letters and digits, lower-cased, accents folded, Lucene's English stop words left out, Snowball's English stemmer. Made once: the
/// stop words and the stemmer cost more than a passage.
pub fn analyzer() -> TextAnalyzer {
    static ANALYZER: OnceLock<TextAnalyzer> = OnceLock::new();
    ANALYZER.get_or_init(make).clone()
}

fn make() -> TextAnalyzer {
    let words = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter);
    match StopWordFilter::new(Language::English) {
        Some(stop_words) => words
            .filter(stop_words)
            .filter(Stemmer::new(Language::English))
            .build(),
        None => words.filter(Stemmer::new(Language::English)).build(),
    }
}

/// The analyzers that the schema names.
pub fn tokenizers() -> TokenizerManager {
    // With the "raw" of keywords, and the "default" that tantivy wants even for text that is only stored.
    let manager = TokenizerManager::default();
    manager.register(ANALYZER, analyzer());
    manager
}

/// The words of `text` and how often each occurs.
pub fn counts(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    analyzer().token_stream(text).process(&mut |token| {
        *counts.entry(token.text.clone()).or_insert(0) += 1;
    });
    counts
}
