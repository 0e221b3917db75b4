//! Which tokens are masked: whole words, by chance, and so that what a smaller share masks is part of what a larger one does
//! (BERT's whole-word masking, arXiv 1810.04805; Starbucks, arXiv 2410.13230, `smae/data.py`).

use std::path::Path;

use kokeshi_core::Seed;
use kokeshi_tokens::Tokenizer;

use crate::distill::special_tokens;
use crate::error::{Error, Result};

/// What stands for a masked token, by the tokenizer's family.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// A text with masks, and what stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaskedText {
    /// Token ids, some of them replaced.
    pub ids: Vec<u32>,
    /// Places that are to be found, ascending, and their tokens.
    pub targets: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Never masked.
    Special,
    /// Begins a word.
    Start,
    /// Goes on with one.
    Inside,
}

/// What a vocabulary says about masking.
#[derive(Debug, Clone)]
pub struct Masking {
    mask: u32,
    kinds: Vec<Kind>,
    /// Tokens that are no special ones: what is drawn from.
    plain: Vec<u32>,
}

impl Masking {
    /// Of the tokenizer in a model's folder.
    ///
    /// # Errors
    /// [`Error::Config`] if it has no mask token.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(kokeshi_core::Error::io(&path))?;
        let tokenizer = Tokenizer::open(&path)?;
        let description = serde_json::from_slice(&bytes)
            .map_err(|error| kokeshi_core::Error::file(&path, format!("not JSON: {error}")))?;
        let special = special_tokens(&description);
        let Some(mask) = MASKS.iter().find_map(|mask| tokenizer.id(mask)) else {
            return Err(Error::Config(format!(
                "{}: expected a mask token ({}), found none",
                path.display(),
                MASKS.join(", ")
            )));
        };
        let tokens: Vec<&str> = (0..tokenizer.vocabulary() as u32)
            .map(|id| tokenizer.token(id).unwrap_or(""))
            .collect();
        Ok(Self::new(&tokens, &special, mask))
    }

    /// Of a vocabulary by its ids. Tokens after `##` go on with a word; without any, those that don't begin with `▁` or `Ġ`, if there are such; else
    /// every token is a word.
    pub fn new(tokens: &[&str], special: &[u32], mask: u32) -> Self {
        let marks = ['▁', 'Ġ'];
        let pieces = tokens.iter().any(|token| token.starts_with("##"));
        let marked = tokens.iter().any(|token| token.starts_with(marks));
        let kind = |(id, token): (u32, &&str)| match () {
            () if id == mask || special.contains(&id) || token.is_empty() => Kind::Special,
            () if pieces && token.starts_with("##") => Kind::Inside,
            () if !pieces && marked && !token.starts_with(marks) => Kind::Inside,
            () => Kind::Start,
        };
        let kinds: Vec<Kind> = (0..).zip(tokens).map(kind).collect();
        let plain = (0_u32..).zip(&kinds);
        Self {
            mask,
            plain: plain
                .filter_map(|(id, kind)| (*kind != Kind::Special).then_some(id))
                .collect(),
            kinds,
        }
    }

    /// The text once for each of `shares`, ascending: as many whole words as fit into that share of its tokens, at least one token, those of a
    /// share among those of the next. Of the tokens 80 % become the mask, 10 % another token, 10 % stay.
    pub fn draw(&self, ids: &[u32], shares: &[f64], mut seed: Seed) -> Vec<MaskedText> {
        let mut words: Vec<Vec<u32>> = Vec::new();
        for (place, id) in (0_u32..).zip(ids) {
            match (self.kinds.get(*id as usize), words.last_mut()) {
                (Some(Kind::Special) | None, _) => {}
                (Some(Kind::Inside), Some(word)) => word.push(place),
                _ => words.push(vec![place]),
            }
        }
        seed.shuffle(&mut words);
        let most: Vec<usize> = shares
            .iter()
            .map(|share| ((ids.len() as f64 * share).round_ties_even() as usize).max(1))
            .collect();
        let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); shares.len()];
        for word in words {
            // From the largest share down, as long as it fits.
            for (chosen, most) in chosen.iter_mut().zip(&most).rev() {
                if chosen.len() + word.len() > *most {
                    break;
                }
                chosen.extend_from_slice(&word);
            }
        }
        let texts = chosen.into_iter().map(|mut places| {
            places.sort_unstable();
            let mut masked = MaskedText {
                ids: ids.to_vec(),
                targets: places
                    .iter()
                    .map(|place| (*place, ids[*place as usize]))
                    .collect(),
            };
            for place in places {
                let id = &mut masked.ids[place as usize];
                match seed.below(10) {
                    0..8 => *id = self.mask,
                    8 => *id = self.plain[seed.below(self.plain.len())],
                    _ => {}
                }
            }
            masked
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [&str; 8] = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "dog", "play", "##ing", "##s"];

    fn masking() -> Masking {
        Masking::new(&TOKENS, &[0, 1, 2], 3)
    }

    /// CLS, 60 tokens of words of one to three pieces, SEP.
    fn text() -> Vec<u32> {
        let mut ids = vec![1];
        for at in 0..10 {
            ids.extend(if at % 2 == 0 {
                &[4, 5, 6][..]
            } else {
                &[5, 6, 7, 4, 4, 5, 7, 4, 4]
            });
        }
        ids.push(2);
        ids
    }

    #[test]
    fn words_are_masked_whole_within_their_share_and_the_encoders_are_the_decoders_too() {
        let (masking, ids) = (masking(), text());
        for number in 0..200 {
            let drawn = masking.draw(&ids, &[0.2, 0.4], Seed(number));
            let places: Vec<Vec<u32>> = drawn
                .iter()
                .map(|text| text.targets.iter().map(|(place, _)| *place).collect())
                .collect();
            assert!(places[0].iter().all(|place| places[1].contains(place)));
            for (places, share) in places.iter().zip([0.2, 0.4]) {
                let most = (ids.len() as f64 * share).round() as usize;
                // Words have at most three pieces, so that at most two tokens of the share stay free.
                assert!(
                    (most - 2..=most).contains(&places.len()),
                    "{} of {most}",
                    places.len()
                );
                let inside = |place: u32| ids[place as usize] > 5;
                for place in places {
                    assert!((4..8).contains(&ids[*place as usize]), "no special token");
                    assert!(!inside(*place) || places.contains(&(place - 1)), "whole words");
                    assert!(!inside(place + 1) || places.contains(&(place + 1)), "whole words");
                }
            }
            for text in &drawn {
                assert!(
                    text.targets
                        .iter()
                        .all(|(place, token)| ids[*place as usize] == *token)
                );
                let moved = (0_u32..).zip(text.ids.iter().zip(&ids));
                let mut moved = moved.filter(|(_, (now, before))| now != before);
                assert!(moved.all(|(place, _)| text.targets.iter().any(|(target, _)| *target == place)));
            }
        }
    }

    #[test]
    fn four_fifths_become_the_mask_a_tenth_another_token_and_a_tenth_stays() {
        let vocabulary: Vec<String> = (0..1000).map(|at| format!("word{at}")).collect();
        let mut tokens = vec!["[MASK]"];
        tokens.extend(vocabulary.iter().map(String::as_str));
        let masking = Masking::new(&tokens, &[], 0);
        let ids: Vec<u32> = (1..=1000).collect();
        let (mut masks, mut same, mut all) = (0_usize, 0_usize, 0_usize);
        for number in 0..40 {
            let drawn = &masking.draw(&ids, &[0.4], Seed(number))[0];
            for (place, token) in &drawn.targets {
                all += 1;
                masks += usize::from(drawn.ids[*place as usize] == 0);
                same += usize::from(drawn.ids[*place as usize] == *token);
            }
        }
        assert_eq!(all, 40 * 400);
        // Five standard deviations around 80 % and 10 %.
        assert!((0.784..0.816).contains(&(masks as f64 / all as f64)), "{masks}");
        let same = same as f64 / all as f64;
        assert!((0.088..0.112).contains(&same), "{same}");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_one_does_not() {
        let draw = |seed| masking().draw(&text(), &[0.2, 0.4], Seed(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn marks_of_other_vocabularies_tell_words_apart_too() {
        let masking = Masking::new(&["<mask>", "▁the", "▁play", "ing"], &[], 0);
        for number in 0..20 {
            let drawn = &masking.draw(&[2, 3, 2, 3], &[0.5], Seed(number))[0];
            let places: Vec<u32> = drawn.targets.iter().map(|(place, _)| *place).collect();
            assert!(places == [0, 1] || places == [2, 3], "{places:?}");
        }
    }
}
