//! Bags of words out of the vocabulary itself, for the teacher to embed: texts use a part of the vocabulary only, and a token that they never
//! use is trained in no other way.

use kokeshi_core::{Seed, distance};
use rayon::prelude::*;

/// The nearest tokens that a word is shown with.
const NEIGHBOURS: usize = 10;
/// How many words a bag has: at least, and less than.
const WORDS: (usize, usize) = (3, 13);
/// Fewer words than this are its first word's neighbours.
const NEAR: usize = 6;
/// Tokens whose neighbours are found together, so that the vocabulary is read once for all of them.
const BLOCK: usize = 32;

/// Whether `token` is a word or a piece of one: three letters or more, and nothing else but the mark of a piece or of a new word.
pub(crate) fn is_word(token: &str) -> bool {
    let letters = token
        .strip_prefix("##")
        .unwrap_or(token)
        .trim_start_matches(['▁', 'Ġ']);
    letters.chars().count() >= 3 && letters.chars().all(char::is_alphabetic)
}

/// `count` bags of tokens: each has a word, up to five of its nearest neighbours in `vectors` (`[tokens, width]`) and words by chance.
/// Every word of `tokens` leads a bag before one leads a second. A piece follows a word by chance that it makes longer.
pub(crate) fn bags(
    tokens: &[String],
    vectors: &[f32],
    width: usize,
    count: usize,
    seed: &mut Seed,
) -> Vec<Vec<u32>> {
    let words: Vec<u32> = (0_u32..)
        .zip(tokens)
        .filter_map(|(id, token)| is_word(token).then_some(id))
        .collect();
    let heads: Vec<u32> = words
        .iter()
        .copied()
        .filter(|id| !tokens[*id as usize].starts_with("##"))
        .collect();
    if heads.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<usize> = Vec::with_capacity(count);
    while order.len() < count {
        let mut round: Vec<usize> = (0..words.len()).collect();
        seed.shuffle(&mut round);
        order.extend(round.into_iter().take(count - order.len()));
    }
    // The first round is enough: a later one only comes after a whole one.
    let leads = &order[..count.min(words.len())];
    let mut near = vec![Vec::new(); words.len()];
    for (lead, found) in leads.iter().zip(neighbours(&words, leads, vectors, width)) {
        near[*lead] = found;
    }
    let bag = |lead: usize| {
        let length = WORDS.0 + seed.below(WORDS.1 - WORDS.0);
        let mut close = near[lead].clone();
        seed.shuffle(&mut close);
        close.truncate(seed.below(NEAR.min(length - 1)));
        let mut bag = vec![words[lead]];
        bag.extend(close);
        while bag.len() < length {
            bag.push(words[seed.below(words.len())]);
        }
        seed.shuffle(&mut bag);
        let mut out = Vec::with_capacity(2 * length);
        for id in bag {
            if tokens[id as usize].starts_with("##") {
                out.push(heads[seed.below(heads.len())]);
            }
            out.push(id);
        }
        out
    };
    order.into_iter().map(bag).collect()
}

/// The ids of the nearest of `words` by cosine for those at `leads`, themselves not among them, by id.
fn neighbours(words: &[u32], leads: &[usize], vectors: &[f32], width: usize) -> Vec<Vec<u32>> {
    let mut units: Vec<f32> = Vec::with_capacity(words.len() * width);
    for id in words {
        units.extend_from_slice(&vectors[*id as usize * width..][..width]);
    }
    units.par_chunks_exact_mut(width).for_each(distance::normalize);
    let block = |leads: &[usize]| {
        let mut scores: Vec<Vec<(f32, u32)>> = vec![Vec::with_capacity(words.len()); leads.len()];
        for (other, id) in units.chunks_exact(width).zip(words) {
            for (lead, scores) in leads.iter().zip(&mut scores) {
                scores.push((distance::dot(&units[lead * width..][..width], other), *id));
            }
        }
        let nearest = |(lead, mut scores): (&usize, Vec<(f32, u32)>)| {
            scores.swap_remove(*lead);
            if scores.len() > NEIGHBOURS {
                scores.select_nth_unstable_by(NEIGHBOURS, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                scores.truncate(NEIGHBOURS);
            }
            let mut ids: Vec<u32> = scores.into_iter().map(|(_, id)| id).collect();
            ids.sort_unstable();
            ids
        };
        leads.iter().zip(scores).map(nearest).collect::<Vec<_>>()
    };
    leads.par_chunks(BLOCK).flat_map_iter(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty words around two centres, their pieces after them, and two tokens that are no words.
    fn vocabulary() -> (Vec<String>, Vec<f32>) {
        let mut seed = Seed(4);
        let mut tokens = vec!["[CLS]".to_string(), "!".to_string()];
        let name = |at: usize| {
            format!("word{}", char::from(b'a' + (at / 26) as u8))
                + &String::from(char::from(b'a' + (at % 26) as u8))
        };
        tokens.extend((0..60).map(|at| {
            if at % 4 == 3 {
                format!("##{}", name(at))
            } else {
                name(at)
            }
        }));
        let vectors = (0..tokens.len() * 8)
            .map(|at| {
                seed.normal() as f32 * 0.1
                    + if (at / 8 % 2 == 0) == (at % 8 < 4) {
                        1.0
                    } else {
                        -1.0
                    }
            })
            .collect();
        (tokens, vectors)
    }

    #[test]
    fn words_have_three_letters_and_nothing_else() {
        assert!(
            ["cell", "##ology", "▁haus", "Ġword", "größe"]
                .into_iter()
                .all(is_word)
        );
        assert!(
            !["[CLS]", "##s", "1990", "a", "e2e", "...", ""]
                .into_iter()
                .any(is_word)
        );
    }

    #[test]
    fn every_word_is_in_a_bag_and_no_piece_stands_first() {
        let (tokens, vectors) = vocabulary();
        let bags = bags(&tokens, &vectors, 8, 60, &mut Seed(1));
        assert_eq!(bags.len(), 60);
        let mut seen = vec![false; tokens.len()];
        for bag in &bags {
            assert!(!tokens[bag[0] as usize].starts_with("##"));
            assert!((WORDS.0..2 * WORDS.1).contains(&bag.len()));
            bag.iter().for_each(|id| seen[*id as usize] = true);
        }
        assert!(!seen[0] && !seen[1] && seen[2..].iter().all(|seen| *seen));
    }

    #[test]
    fn neighbours_are_the_nearest_words_without_the_word_itself() {
        let (tokens, vectors) = vocabulary();
        let words: Vec<u32> = (2..tokens.len() as u32).collect();
        let leads: Vec<usize> = (0..words.len()).collect();
        for (id, near) in words.iter().zip(neighbours(&words, &leads, &vectors, 8)) {
            assert_eq!(near.len(), NEIGHBOURS);
            assert!(
                near.iter().all(|other| other != id && other % 2 == id % 2),
                "{id}: {near:?}"
            );
        }
    }

    #[test]
    fn a_vocabulary_without_words_gives_no_bags() {
        assert!(bags(&["!".into()], &[1.0], 1, 5, &mut Seed(1)).is_empty());
    }
}
