//! Texts cut into sentences, for those who need texts that are about as long as a query.

/// A sentence has at least so many bytes: shorter ones, such as "Fig. 3.", join the next.
const LEAST: usize = 24;

/// The sentences of `text`: up to and with a full stop, question or exclamation mark that is followed by white space, or a line's end
/// before an empty line.
///
/// ```
/// let text = "Wooden dolls are turned on a lathe. How small can such a doll be made? It takes 4.2 mm.";
/// let sentences: Vec<&str> = kokeshi_sources::sentences(text).collect();
/// assert_eq!(sentences, ["Wooden dolls are turned on a lathe.", "How small can such a doll be made?", "It takes 4.2 mm."]);
/// ```
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut characters = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            let after = at + character.len_utf8();
            let next = characters.peek().map(|(_, next)| *next);
            let stops = matches!(character, '.' | '?' | '!') && next.is_some_and(char::is_whitespace)
                || matches!(character, '。' | '？' | '！')
                || character == '\n' && next == Some('\n');
            if stops && after >= LEAST {
                end = after;
                break;
            }
        }
        let (sentence, more) = rest.split_at(end);
        rest = more.trim_start();
        Some(sentence.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::sentences;

    #[test]
    fn nothing_is_lost_and_nothing_is_empty() {
        for text in [
            "",
            " \n ",
            "One.",
            "No stop at the end of this line",
            "Ends with many stops... And goes on. 。。",
        ] {
            let joined: String = sentences(text).collect::<Vec<_>>().concat();
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeezed(&joined), squeezed(text));
            assert!(sentences(text).all(|sentence| !sentence.is_empty()));
        }
    }
}
