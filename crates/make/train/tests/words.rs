//! Words made of bytes: what was learnt is a model directory whose vectors are those of training.

use kokeshi_core::Seed;
use kokeshi_encode::{ByteWordsShape, Model, Options, safetensors_bytes, words};
use kokeshi_train::ByteWords;
use kokeshi_train::tape::Tape;

const SHAPE: ByteWordsShape = ByteWordsShape { dims: 24, heads: 3 };

fn config(shape: ByteWordsShape) -> String {
    format!(
        r#"{{"dims": {}, "heads": {}, "lower_case": true}}"#,
        shape.dims, shape.heads
    )
}

fn folder(shape: ByteWordsShape, values: &[f32]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let modules = r#"[{"idx": 0, "name": "0", "path": "", "type": "kokeshi.BytesToWords"}]"#;
    write("modules.json", modules.as_bytes());
    write("config.json", config(shape).as_bytes());
    let tensors = shape.tensors();
    let mut rest = values;
    let parts: Vec<(&str, &[usize], &[f32])> = tensors
        .iter()
        .map(|(name, shape)| {
            let (mine, others) = rest.split_at(shape.iter().product());
            rest = others;
            (*name, shape.as_slice(), mine)
        })
        .collect();
    write("model.safetensors", &safetensors_bytes(&parts));
    folder
}

/// No value is where it begins: norms and biases, too.
fn values() -> Vec<f32> {
    let mut seed = Seed(2);
    let mut values = SHAPE.fresh(Seed(1));
    values
        .iter_mut()
        .for_each(|value| *value += 0.1 * seed.normal() as f32);
    values
}

#[test]
fn a_written_layer_gives_the_vectors_of_training() {
    let values = values();
    let folder = folder(SHAPE, &values);
    let model = Model::load(folder.path().to_str().unwrap()).unwrap();
    let texts = [
        "a",
        "The quick dog",
        "don't stop, 42!",
        "\u{6f22}\u{5b57} in \u{c9}T\u{c9}",
        "donaudampfschifffahrtsgesellschaft",
        "the the the",
    ];
    let found = model.encode(&texts, &Options::default()).unwrap();
    let layer = ByteWords { shape: SHAPE };
    for (text, found) in texts.iter().zip(found.iter()) {
        let text = text.to_lowercase();
        let mut tape = Tape::default();
        let leaves = layer.leaves(&mut tape, &values);
        let words: Vec<&[u8]> = words(&text)
            .into_iter()
            .map(|word| &text.as_bytes()[word])
            .collect();
        let vectors = layer.vectors(&mut tape, &leaves, &words);
        let mean = tape.means(vectors, std::iter::once(0..words.len()).collect());
        for (found, expected) in found.iter().zip(&tape.value(mean).data) {
            assert!((found - expected).abs() <= 1e-4, "{text}: {found} and {expected}");
        }
    }
}

#[test]
fn words_have_the_same_vector_in_every_text_and_anagrams_differ() {
    let folder = folder(SHAPE, &values());
    let model = Model::load(folder.path().to_str().unwrap()).unwrap();
    let one = |text: &str| {
        model
            .encode(&[text], &Options::default())
            .unwrap()
            .row(0)
            .to_vec()
    };
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // The mean of two words is the mean of their vectors.
    let both: Vec<f32> = one("stop")
        .iter()
        .zip(one("dog"))
        .map(|(a, b)| (a + b) / 2.0)
        .collect();
    assert!(far(&one("dog stop"), &both) < 1e-6);
    assert!(far(&one("Stop"), &one("stop")) == 0.0);
    assert!(far(&one("spot"), &one("stop")) > 1e-2);
    // No word at all, and letters that nobody has seen.
    assert_eq!(one(" \n\u{0}"), vec![0.0; SHAPE.dims]);
    assert!(one("\u{1f9ff}\u{10ffff}").iter().all(|value| value.is_finite()));
}

#[test]
fn what_can_not_be_is_named() {
    let odd = ByteWordsShape { heads: 5, ..SHAPE };
    let error = Model::load(folder(odd, &values()).path().to_str().unwrap())
        .err()
        .unwrap()
        .to_string();
    for part in ["config.json", "heads", "24 dims", "found 5"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let wide = ByteWordsShape { dims: 48, ..SHAPE };
    let folder = folder(SHAPE, &values());
    std::fs::write(folder.path().join("config.json"), config(wide)).unwrap();
    let error = Model::load(folder.path().to_str().unwrap())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("query") && error.contains("48"), "{error}");
}
