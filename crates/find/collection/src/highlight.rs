//! Where in a passage the words of a query are.

use std::collections::BTreeSet;

use crate::words;

/// Byte ranges of `text` whose word is one of `wanted` (as the analyzer gives them), ascending, and which of them were found.
pub fn find(text: &str, wanted: &BTreeSet<String>) -> (Vec<[usize; 2]>, BTreeSet<String>) {
    let (mut ranges, mut found) = (Vec::new(), BTreeSet::new());
    if wanted.is_empty() {
        return (ranges, found);
    }
    words::analyzer().token_stream(text).process(&mut |token| {
        if wanted.contains(&token.text) {
            ranges.push([token.offset_from, token.offset_to]);
            if !found.contains(&token.text) {
                found.insert(token.text.clone());
            }
        }
    });
    (ranges, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_every_form_and_where_they_stand() {
        let wanted = words::counts("Embedding caf\u{e9}").into_keys().collect();
        let text = "Some EMBEDDINGS of the cafe; embedded.";
        let (ranges, found) = find(text, &wanted);
        let marked: Vec<&str> = ranges.iter().map(|&[from, to]| &text[from..to]).collect();
        assert_eq!(marked, ["EMBEDDINGS", "cafe", "embedded"]);
        assert_eq!(found.len(), 2);
    }
}
