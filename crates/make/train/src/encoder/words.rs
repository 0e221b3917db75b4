//! Words of a batch, made of their bytes before the encoder runs, and the way back into the layer that makes them.

use kokeshi_encode::{ByteWordsShape, WordBytes, WordIds};
use rayon::prelude::*;

use super::{Encoder, Gradient};
use crate::tape::{Matrix, Tape, Var};
use crate::words::ByteWords;

/// The layer, and the words of the batch at hand.
pub(crate) struct WordInput {
    layer: ByteWords,
    /// The words of all texts, by id behind the special tokens'.
    pub known: Vec<WordBytes>,
    /// For each id its row.
    slots: Vec<u32>,
    /// `[slots, hidden]`
    rows: Vec<f32>,
}

impl WordInput {
    pub fn new(shape: ByteWordsShape) -> Self {
        Self {
            layer: ByteWords { shape },
            known: Vec::new(),
            slots: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The vector of an id that the batch has.
    pub fn row(&self, id: u32, hidden: usize) -> &[f32] {
        &self.rows[self.slots[id as usize] as usize * hidden..][..hidden]
    }
}

/// Some of a batch's words as they were made.
pub(crate) struct MadeWords {
    tape: Tape,
    leaves: Vec<Var>,
    vectors: Var,
    /// The row of each.
    slots: Vec<u32>,
}

impl Encoder {
    /// Makes the vectors of the ids of a batch (`touched`, whose rows are `slots`) in as many parts as there are threads; nothing if the encoder has a
    /// vocabulary. What comes back is for [`Encoder::words_backward`].
    pub(crate) fn make_words(&mut self, touched: &[u32], slots: &[u32], threads: usize) -> Vec<MadeWords> {
        let Some(mut input) = self.words.take() else {
            return Vec::new();
        };
        let hidden = self.shape.hidden;
        input.slots.clear();
        input.slots.extend_from_slice(slots);
        input.rows.resize(touched.len() * hidden, 0.0);
        let (special, words): (Vec<u32>, Vec<u32>) =
            touched.iter().partition(|id| (**id as usize) < WordIds::SPECIAL);
        let table = &self.values[self.layout.words.clone()];
        for id in special {
            let row = slots[id as usize] as usize * hidden;
            input.rows[row..][..hidden].copy_from_slice(&table[id as usize * hidden..][..hidden]);
        }
        let values = &self.values[self.layout.bytes.clone()];
        let parts = words.par_chunks(words.len().div_ceil(threads).max(1));
        let made: Vec<MadeWords> = parts
            .map(|ids| {
                let bytes: Vec<&[u8]> = ids
                    .iter()
                    .map(|id| &*input.known[*id as usize - WordIds::SPECIAL])
                    .collect();
                let mut tape = Tape::default();
                let leaves = input.layer.leaves(&mut tape, values);
                let vectors = input.layer.vectors(&mut tape, &leaves, &bytes);
                let slots = ids.iter().map(|id| slots[*id as usize]).collect();
                MadeWords {
                    tape,
                    leaves,
                    vectors,
                    slots,
                }
            })
            .collect();
        for part in &made {
            let vectors = part.tape.value(part.vectors).data.chunks_exact(hidden);
            for (slot, vector) in part.slots.iter().zip(vectors) {
                input.rows[*slot as usize * hidden..][..hidden].copy_from_slice(vector);
            }
        }
        self.words = Some(input);
        made
    }

    /// From the gradients of words' rows, in `gradient`, to those of the layer that made them.
    pub(crate) fn words_backward(&self, made: Vec<MadeWords>, gradient: &mut Gradient) {
        let hidden = self.shape.hidden;
        let rows = &gradient.rows;
        let parts: Vec<Vec<f32>> = made
            .into_par_iter()
            .map(|part| {
                let given = part
                    .slots
                    .iter()
                    .flat_map(|slot| &rows[*slot as usize * hidden..][..hidden]);
                let seed = Matrix::new(part.slots.len(), hidden, given.copied().collect());
                let mut found = part.tape.backward([(part.vectors, seed)]);
                let each = part.leaves.iter().flat_map(|leaf| match found.take(*leaf) {
                    Some(gradient) => gradient.data,
                    None => vec![0.0; part.tape.value(*leaf).data.len()],
                });
                each.collect()
            })
            .collect();
        let sum = &mut gradient.dense[self.layout.dense(&self.layout.bytes)];
        sum.fill(0.0);
        // In order, so that the sum is the same whoever was ready first.
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
}
