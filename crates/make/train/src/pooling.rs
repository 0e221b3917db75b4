//! Trained poolings under training: the block of cross-attention that `kokeshi-encode` runs, on a tape.
//!
//! | pooling | queries | keys and values | source |
//! |---|---|---|---|
//! | latent attention | the tokens | latents | NV-Embed, arXiv 2405.17428, section 3.1 |
//! | multi-layer | latents | each layer's pooled vector, plus a learned one for the layer | Pooling And Attention, arXiv 2409.02727, section 3.3 |

use std::ops::Range;
use std::sync::Arc;

use kokeshi_encode::{Cross, CrossKind};

use crate::encoder::ParamRole;
use crate::tape::{Gradients, Matrix, Tape, Var};

/// PyTorch's epsilon of a LayerNorm.
const EPSILON: f32 = 1e-5;

/// A block of cross-attention and where its tensors are among its own values.
#[derive(Debug, Clone)]
pub struct CrossPooling {
    /// Its sizes.
    pub cross: Cross,
    /// Width of a state.
    dims: usize,
    parts: Vec<Part>,
}

/// A tensor as a matrix; a vector is one row.
#[derive(Debug, Clone)]
struct Part {
    rows: usize,
    cols: usize,
    range: Range<usize>,
    role: ParamRole,
}

/// The tensors on a tape, in the order of [`Cross::tensors`].
#[derive(Debug, Clone)]
pub struct Leaves(pub Vec<Var>);

impl CrossPooling {
    /// For states of `dims` values and as many layers.
    pub fn new(cross: Cross, dims: usize, layers: usize) -> Self {
        let mut start = 0;
        let parts = cross.tensors(dims, layers).into_iter().map(|(name, shape)| {
            let (rows, cols) = match shape[..] {
                [rows, cols] => (rows, cols),
                _ => (1, shape.iter().product()),
            };
            start += rows * cols;
            Part {
                rows,
                cols,
                range: start - rows * cols..start,
                role: match name {
                    "latents" => ParamRole::Input,
                    "layer_weights" => ParamRole::Bias,
                    _ if shape.len() == 1 => ParamRole::Bias,
                    _ => ParamRole::Hidden,
                },
            }
        });
        Self {
            cross,
            dims,
            parts: parts.collect(),
        }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where each tensor's values are, and its role.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (Range<usize>, ParamRole)> {
        self.parts.iter().map(|part| (part.range.clone(), part.role))
    }

    /// Its tensors as matrices, in the order of [`Cross::tensors`]; a vector is one row.
    ///
    /// # Panics
    /// If there are fewer values than [`CrossPooling::len`].
    pub fn matrices(&self, values: &[f32]) -> Vec<Matrix> {
        let matrix = |part: &Part| Matrix::new(part.rows, part.cols, values[part.range.clone()].to_vec());
        self.parts.iter().map(matrix).collect()
    }

    /// Puts its values on a tape.
    ///
    /// # Panics
    /// As [`CrossPooling::matrices`].
    pub fn leaves(&self, tape: &mut Tape, values: &[f32]) -> Leaves {
        let parts = self.matrices(values).into_iter();
        Leaves(parts.map(|part| tape.leaf(Arc::new(part), true)).collect())
    }

    /// Adds what a tape found out about its tensors to `out`, [`CrossPooling::len`] values.
    pub fn collect(&self, leaves: &Leaves, gradients: &mut Gradients, out: &mut [f32]) {
        for (part, leaf) in self.parts.iter().zip(&leaves.0) {
            if let Some(gradient) = gradients.take(*leaf) {
                let pairs = out[part.range.clone()].iter_mut().zip(&gradient.data);
                pairs.for_each(|(sum, value)| *sum += value);
            }
        }
    }

    /// Whether it pools one vector of each layer, not the tokens of the last.
    pub fn wants_layers(&self) -> bool {
        self.cross.kind == CrossKind::Layers
    }

    /// Pools texts of `rows` (`[n, dims]`): of each the tokens that count, or one vector a layer from the first on. Each text has its rows in
    /// `texts`, at least one. Returns `[texts, dims]`.
    pub fn pool(&self, tape: &mut Tape, leaves: &Leaves, rows: Var, texts: &[Range<usize>]) -> Var {
        let leaf = |at: usize| leaves.0[at];
        let (latents, count) = (leaf(0), self.cross.latents);
        match self.cross.kind {
            CrossKind::Latent => {
                let total = tape.value(rows).rows;
                let out = self.block(tape, leaves, (rows, latents), vec![(0..total, 0..count)]);
                tape.means(out, texts.to_vec())
            }
            CrossKind::Layers => {
                let own: Vec<Var> = texts
                    .iter()
                    .map(|text| tape.part(leaf(14), 0..text.len(), self.dims))
                    .collect();
                let own = tape.below(&own);
                let rows = tape.add(rows, own);
                let spans = texts.iter().map(|text| (0..count, text.clone())).collect();
                let out = self.block(tape, leaves, (latents, rows), spans);
                let groups = (0..texts.len()).map(|text| text * count..(text + 1) * count);
                tape.means(out, groups.collect())
            }
        }
    }

    /// Attention of `asking` to `asked` and a gated network, each with a way round it.
    fn block(
        &self,
        tape: &mut Tape,
        leaves: &Leaves,
        (asking, asked): (Var, Var),
        spans: Vec<crate::tape::Span>,
    ) -> Var {
        let leaf = |at: usize| leaves.0[at];
        let normed = tape.norm(asking, leaf(1), leaf(2), EPSILON);
        let queries = tape.linear(normed, leaf(5), None);
        let context = tape.norm(asked, leaf(3), leaf(4), EPSILON);
        let keys = tape.linear(context, leaf(6), None);
        let around: Vec<Var> = spans
            .iter()
            .map(|(rows, _)| match rows.len() == tape.value(asking).rows {
                true => asking,
                false => tape.part(asking, rows.clone(), self.dims),
            })
            .collect();
        let mixed = tape.attend(queries, keys, self.cross.heads, spans);
        let mixed = tape.linear(mixed, leaf(7), None);
        let around = match around[..] {
            [one] => one,
            _ => tape.below(&around),
        };
        let sum = tape.add(mixed, around);
        let normed = tape.norm(sum, leaf(8), leaf(9), EPSILON);
        let both = tape.linear(normed, leaf(10), Some(leaf(11)));
        let inner = tape.gated(both);
        let out = tape.linear(inner, leaf(12), Some(leaf(13)));
        tape.add(sum, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::check::{g, gradients};

    fn pooling(kind: CrossKind) -> CrossPooling {
        let cross = Cross {
            kind,
            latents: if kind == CrossKind::Latent { 3 } else { 5 },
            heads: 2,
            head_dims: 2,
        };
        CrossPooling::new(cross, 4, 3)
    }

    /// The shared fixture's weights: half of `g`, norms that only normalise, no biases.
    fn inputs(kind: CrossKind) -> Vec<Matrix> {
        let latents = if kind == CrossKind::Latent {
            g(31.0, 3, 4)
        } else {
            g(42.0, 5, 4)
        };
        let half = |tag: f64, rows: usize, cols: usize| g(tag, rows, cols).scaled(0.5);
        let (one, zero) = (Matrix::new(1, 4, vec![1.0; 4]), Matrix::zeros(1, 4));
        let mut all = vec![
            latents,
            one.clone(),
            zero.clone(),
            one.clone(),
            zero.clone(),
            half(32.0, 4, 4),
            half(33.0, 8, 4),
            half(34.0, 4, 4),
            one,
            zero.clone(),
            half(35.0, 32, 4),
            Matrix::zeros(1, 32),
            half(36.0, 4, 16),
            zero,
        ];
        if kind == CrossKind::Layers {
            all.push(g(41.0, 3, 4));
        }
        all
    }

    fn values(kind: CrossKind) -> Vec<f32> {
        inputs(kind).into_iter().flat_map(|part| part.data).collect()
    }

    #[track_caller]
    fn assert_golden(kind: CrossKind, rows: Matrix, texts: &[Range<usize>], expected: [[f32; 4]; 2]) {
        let pooling = pooling(kind);
        let mut tape = Tape::default();
        let leaves = pooling.leaves(&mut tape, &values(kind));
        let rows = tape.constant(rows);
        let pooled = pooling.pool(&mut tape, &leaves, rows, texts);
        let unit = tape.unit(pooled);
        for (found, expected) in tape.value(unit).data.iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 2e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn both_poolings_have_their_golden_values() {
        let expected = [
            [0.558_598, 0.742_319, 0.363_964, -0.066_797],
            [-0.716_588, 0.108_622, -0.371_411, -0.580_307],
        ];
        // The first and the last token of the second text don't count.
        assert_golden(CrossKind::Latent, g(30.0, 10, 4), &[0..5, 6..9], expected);
        let expected = [
            [-0.906_258, -0.160_811, 0.380_749, -0.088_694],
            [-0.887_511, -0.343_232, 0.083_718, -0.295_817],
        ];
        assert_golden(CrossKind::Layers, g(40.0, 6, 4), &[0..3, 3..6], expected);
    }

    #[test]
    fn both_poolings_differentiate_by_states_and_every_tensor() {
        for kind in [CrossKind::Latent, CrossKind::Layers] {
            let mut all = inputs(kind);
            all.push(g(30.0, 5, 4));
            let pooling = pooling(kind);
            gradients(&all, |tape, v| {
                let (rows, leaves) = v.split_last().unwrap();
                let leaves = Leaves(leaves.to_vec());
                // A text with fewer layers than there are is cut there.
                let pooled = pooling.pool(tape, &leaves, *rows, &[0..3, 3..5]);
                let unit = tape.unit(pooled);
                let by = tape.constant(g(50.0, 2, 4));
                let out = tape.multiply(unit, by);
                tape.total(&[(out, 1.0)])
            });
        }
    }
}
