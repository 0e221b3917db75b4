//! What the student learns from: spans of words for the teacher to embed, and whole texts, sampled evenly from any number of them.

use kokeshi_core::Seed;

/// Keeps an even sample of at most `room` items of a stream (Vitter's algorithm R).
pub(crate) struct Reservoir<T> {
    pub(crate) kept: Vec<T>,
    room: usize,
    seen: usize,
    seed: Seed,
}

impl<T> Reservoir<T> {
    pub(crate) fn new(room: usize, seed: Seed) -> Self {
        Self {
            kept: Vec::new(),
            room,
            seen: 0,
            seed,
        }
    }

    /// Offers an item, which `make` makes if it is kept.
    pub(crate) fn offer(&mut self, make: impl FnOnce() -> T) {
        self.seen += 1;
        if self.kept.len() < self.room {
            self.kept.push(make());
        } else {
            let at = self.seed.below(self.seen);
            if at < self.room {
                self.kept[at] = make();
            }
        }
    }
}

/// Calls `each` with spans of `text`: whole sentences until a random number of words between `least` and `most` is reached, cut at
/// `most` + 10. A line ends a sentence.
pub(crate) fn spans(
    text: &str,
    (least, most): (usize, usize),
    seed: &mut Seed,
    mut each: impl FnMut(&[&str]),
) {
    let longest = most + 10;
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines() {
        words.clear();
        let mut target = least + seed.below(most - least + 1);
        for word in line.split_whitespace() {
            words.push(word);
            let ends = word
                .trim_end_matches(['"', '\'', ')', '”'])
                .ends_with(['.', '!', '?']);
            if (ends && words.len() >= target) || words.len() >= longest {
                each(&words);
                words.clear();
                target = least + seed.below(most - least + 1);
            }
        }
        if words.len() >= least.min(4) {
            each(&words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservoir_keeps_every_item_with_the_same_chance() {
        let mut counts = [0; 20];
        for round in 0..4000 {
            let mut reservoir = Reservoir::new(5, Seed(round));
            (0..20).for_each(|item| reservoir.offer(|| item));
            reservoir.kept.iter().for_each(|item: &usize| counts[*item] += 1);
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn spans_end_with_sentences_and_hold_every_word_of_long_lines_once() {
        let text =
            "One two three four. Five six seven eight nine. Ten eleven.\n\nTwelve thirteen fourteen fifteen";
        let mut found = Vec::new();
        spans(text, (4, 4), &mut Seed(1), |words| found.push(words.join(" ")));
        assert_eq!(
            found,
            [
                "One two three four.",
                "Five six seven eight nine.",
                "Twelve thirteen fourteen fifteen"
            ]
        );
    }

    #[test]
    fn a_text_without_sentences_is_cut() {
        let text = "word ".repeat(100);
        let mut lengths = Vec::new();
        spans(&text, (5, 10), &mut Seed(1), |words| lengths.push(words.len()));
        assert_eq!(lengths, [20; 5]);
    }
}
