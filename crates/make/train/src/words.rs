//! Words made of their bytes by cross-attention under training (Byte2Word, arXiv 2211.12677): what [`kokeshi_encode`] runs, on a tape.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_encode::{ByteWordsShape, WORD_BYTES, word_bytes};

use crate::encoder::ParamRole;
use crate::tape::{Matrix, Span, Tape, Var};

/// PyTorch's epsilon of a LayerNorm.
const EPSILON: f32 = 1e-5;

/// The layer that makes words of bytes.
#[derive(Debug, Clone, Copy)]
pub struct ByteWords {
    /// Its sizes.
    pub shape: ByteWordsShape,
}

impl ByteWords {
    /// How many values it has.
    pub(crate) fn count(&self) -> usize {
        self.ranges().last().map_or(0, |(range, _)| range.end)
    }

    /// Where each tensor is among its values, and its role.
    pub(crate) fn ranges(&self) -> Vec<(Range<usize>, ParamRole)> {
        let mut start = 0;
        let range = |(name, shape): (&str, Vec<usize>)| {
            start += shape.iter().product::<usize>();
            let role = match name {
                "bytes.weight" | "positions.weight" | "query" => ParamRole::Input,
                _ if shape.len() == 1 => ParamRole::Bias,
                _ => ParamRole::Hidden,
            };
            (start - shape.iter().product::<usize>()..start, role)
        };
        self.shape.tensors().into_iter().map(range).collect()
    }

    /// Its tensors as matrices, in the order of [`ByteWordsShape::tensors`]; a vector is one row.
    ///
    /// # Panics
    /// If there are fewer values than the tensors have.
    pub fn matrices(&self, values: &[f32]) -> Vec<Matrix> {
        let mut rest = values;
        let matrix = |(_, shape): (&str, Vec<usize>)| {
            let (len, cols) = (shape.iter().product(), shape[shape.len() - 1]);
            let (mine, others) = rest.split_at(len);
            rest = others;
            Matrix::new(len / cols, cols, mine.to_vec())
        };
        self.shape.tensors().into_iter().map(matrix).collect()
    }

    /// Puts values on a tape.
    ///
    /// # Panics
    /// As [`ByteWords::matrices`].
    pub fn leaves(&self, tape: &mut Tape, values: &[f32]) -> Vec<Var> {
        let parts = self.matrices(values).into_iter();
        parts.map(|part| tape.leaf(Arc::new(part), true)).collect()
    }

    /// The vectors of words, each of at least one byte: `[words, dims]`. Words that come more than once are the caller's to join.
    ///
    /// # Panics
    /// If there are not as many leaves as tensors.
    pub fn vectors(&self, tape: &mut Tape, leaves: &[Var], words: &[&[u8]]) -> Var {
        let [
            bytes,
            positions,
            query,
            to_keys,
            to_out,
            weight,
            bias,
            up,
            up_bias,
            down,
            down_bias,
        ] = leaves[..]
        else {
            panic!("expected the leaves of 11 tensors, found {}", leaves.len());
        };
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        let mut spans: Vec<Span> = Vec::with_capacity(words.len());
        for word in words {
            let word = word_bytes(word);
            spans.push((0..1, rows.len()..rows.len() + word.len()));
            places.extend(0..word.len());
            rows.extend(word.iter().copied().map(usize::from));
        }
        debug_assert!(places.iter().all(|place| *place < WORD_BYTES));
        // Keys and values are linear: those of all bytes and positions are fewer than those of all words' bytes.
        let [bytes, positions] = [bytes, positions].map(|table| tape.linear(table, to_keys, None));
        let (rows, places) = (tape.rows(bytes, rows), tape.rows(positions, places));
        let keys = tape.add(rows, places);
        let mixed = tape.attend(query, keys, self.shape.heads, spans);
        let word = tape.linear(mixed, to_out, None);
        let normed = tape.norm(word, weight, bias, EPSILON);
        let both = tape.linear(normed, up, Some(up_bias));
        let inner = tape.gated(both);
        let more = tape.linear(inner, down, Some(down_bias));
        tape.add(word, more)
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;
    use crate::tape::check::{g, gradients};

    fn layer() -> (ByteWords, Vec<f32>) {
        let shape = ByteWordsShape { dims: 4, heads: 2 };
        (ByteWords { shape }, shape.fresh(Seed(1)))
    }

    fn vectors(words: &[&[u8]]) -> Matrix {
        let (layer, values) = layer();
        let mut tape = Tape::default();
        let leaves = layer.leaves(&mut tape, &values);
        let found = layer.vectors(&mut tape, &leaves, words);
        tape.value(found).clone()
    }

    #[test]
    fn a_word_has_one_vector_wherever_it_stands_and_any_bytes_have_one() {
        let found = vectors(&[b"dog", b"a", b"dog", &[0xff, 0x00, 0xc3], &[b'x'; 40]]);
        assert_eq!(found.row(0), found.row(2));
        assert!(found.data.iter().all(|value| value.is_finite()));
        let alone = vectors(&[b"dog"]);
        for (one, other) in found.row(0).iter().zip(alone.row(0)) {
            assert!((one - other).abs() < 1e-6);
        }
    }

    #[test]
    fn anagrams_differ() {
        let found = vectors(&[b"stop", b"spot", b"pots"]);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let pairs = found.row(one).iter().zip(found.row(other));
            assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) > 1e-2);
        }
    }

    #[test]
    fn words_of_bytes_differentiate_by_every_tensor() {
        let (layer, values) = layer();
        let mut parts = layer.matrices(&values);
        // Bytes 0 to 3 are enough, and fewer values to try.
        parts[0] = g(1.0, 4, 4);
        gradients(&parts, |tape, v| {
            let found = layer.vectors(tape, v, &[&[0, 1, 3], &[2], &[3, 3]]);
            let unit = tape.unit(found);
            let by = tape.constant(g(2.0, 3, 4));
            let out = tape.multiply(unit, by);
            tape.total(&[(out, 1.0)])
        });
    }
}
