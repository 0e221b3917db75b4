//! The tokenizer of the real MiniLM.

use kokeshi_testing::minilm;
use kokeshi_tokens::{Encoding, Tokenizer};

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh)"]
fn minilm_gives_known_ids_and_byte_ranges() {
    let tokenizer = Tokenizer::open(&minilm().join("tokenizer.json")).unwrap();
    let mut out = Encoding::default();
    let text = "İstanbul'da naïve embeddings";
    tokenizer.encode(text, true, None, &mut out);
    let tokens: Vec<&str> = out.ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
    assert_eq!(
        tokens,
        [
            "[CLS]", "istanbul", "'", "da", "naive", "em", "##bed", "##ding", "##s", "[SEP]"
        ]
    );
    let pieces: Vec<&str> = out
        .ranges
        .iter()
        .map(|&(from, to)| &text[from as usize..to as usize])
        .collect();
    assert_eq!(
        pieces,
        ["", "İstanbul", "'", "da", "naïve", "em", "bed", "ding", "s", ""]
    );
    assert_eq!((tokenizer.vocabulary(), tokenizer.special_count()), (30522, 2));
    assert_eq!(tokenizer.id("[SEP]"), Some(102));
}
