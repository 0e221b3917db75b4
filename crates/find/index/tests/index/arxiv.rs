//! Recall on real text: abstracts as hashed bags of words, projected at random.

use std::io::BufRead;

use kokeshi_core::{Embeddings, Metric, Seed};
use kokeshi_index::Effort;

use crate::support::{build, random_filter, recall};

const DIMS: usize = 128;

/// The sum of one pseudo-random sign vector a distinct word, rarer words weighing more, at unit length.
fn embed(text: &str, weight: &dyn Fn(u64) -> f32) -> Vec<f32> {
    let mut words: Vec<u64> = words(text).collect();
    words.sort_unstable();
    words.dedup();
    let mut row = vec![0.0; DIMS];
    for word in words {
        let (mut seed, weight) = (Seed(word), weight(word));
        for block in row.chunks_mut(64) {
            let bits = seed.next_u64();
            for (at, value) in block.iter_mut().enumerate() {
                *value += if bits >> at & 1 == 1 { weight } else { -weight };
            }
        }
    }
    kokeshi_core::distance::normalize(&mut row);
    row
}

fn words(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| kokeshi_core::file::checksum(word.to_lowercase().as_bytes()))
}

#[test]
#[ignore = "needs ../shared/data"]
fn recall_on_abstracts_is_at_least_95_percent_at_every_selectivity() {
    let mut files: Vec<_> = std::fs::read_dir(kokeshi_testing::data("arxiv"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    files.sort();
    let (mut titles, mut texts) = (Vec::new(), Vec::new());
    for file in files {
        let file = std::fs::File::open(file).unwrap();
        for line in std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
            let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            titles.push(record["title"].as_str().unwrap().to_string());
            texts.push(format!("{} {}", titles[titles.len() - 1], record["abstract"]));
        }
    }
    assert_eq!(texts.len(), 68_695);
    let mut counts = std::collections::HashMap::<u64, f32>::new();
    for text in &texts {
        words(text).for_each(|word| *counts.entry(word).or_default() += 1.0);
    }
    let weight = |word: u64| 1.0 / (1.0 + counts.get(&word).copied().unwrap_or(0.0) / 1000.0);
    let matrix = |texts: &mut dyn Iterator<Item = &String>| {
        let values = texts.flat_map(|text| embed(text, &weight)).collect();
        Embeddings::from_vec(values, DIMS).unwrap()
    };
    // Titles ask for abstracts: queries of another kind than the rows, as in use.
    let queries = matrix(&mut titles.iter().step_by(titles.len() / 200));
    let index = build(&matrix(&mut texts.iter()), Metric::Cosine);
    for share in [1.0, 0.5, 0.1, 0.01, 0.001] {
        let filter = (share < 1.0).then(|| random_filter(index.vectors().rows(), share, 1));
        let (recall, distances) = recall(&index, &queries, 10, Effort::Default, filter.as_ref());
        println!("selectivity {share}: recall@10 {recall:.4} with {distances:.0} comparisons");
        assert!(recall >= 0.95, "recall {recall} at selectivity {share}");
    }
}
