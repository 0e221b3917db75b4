//! What an adapter's dropout adds to its layers (PEFT's `lora_dropout`).
//!
//! The encoder runs on the sums `W + s B A`. Where dropout leaves out values of the adapter's input `x`, `s B A (drop(x) - x)` is added, which makes
//! `W x + s B A drop(x)` of it. Each target leaves out its own values, as in PEFT.

use std::ops::Range;

use kokeshi_kernels::backward::add;
use kokeshi_kernels::{Buffer, Factor, MatmulScratch, Store, matmul};

use super::dropout::{Dropout, Site};
use super::forward::drop_each;
use super::{Encoder, Text};
use crate::adapter::Target;

/// The factors of an adapter, beside the sums.
pub(crate) struct Side {
    pub rank: usize,
    pub scale: f32,
    pub targets: Vec<Target>,
    /// `A` and `B` of each target, end to end.
    pub values: Vec<f32>,
}

/// What goes into a layer: `[tokens, inputs]`, of these texts.
#[derive(Clone)]
pub(super) struct Fed<'a, T> {
    pub x: &'a [f32],
    pub texts: T,
    pub dropout: Dropout,
}

/// Memory that keeps nothing.
#[derive(Default)]
pub(super) struct SideScratch {
    /// `[tokens, inputs]`: what dropout changes.
    change: Buffer,
    /// `[tokens, rank]`
    low: Buffer,
    /// `[tokens, inputs]`: gradients.
    back: Buffer,
}

impl Encoder {
    /// The adapter's targets within a layer's weight, each with its number and its first column of what comes out; none without dropout.
    fn beside(
        &self,
        weight: &Range<usize>,
        dropout: Dropout,
    ) -> impl Iterator<Item = (&Side, usize, &Target, usize)> {
        let side = self.side.as_ref().filter(|_| dropout.adapter > 0.0);
        let weight = weight.clone();
        side.into_iter().flat_map(move |side| {
            let weight = weight.clone();
            let targets = side.targets.iter().enumerate();
            targets.filter_map(move |(number, target)| {
                let column = weight
                    .contains(&target.start)
                    .then(|| target.start - weight.start)?;
                Some((side, number, target, column / target.inputs))
            })
        })
    }

    /// Adds to what came out of a layer, `[tokens, outputs]`.
    pub(super) fn side_forward<'a>(
        &self,
        weight: &Range<usize>,
        fed: &Fed<'_, impl Iterator<Item = Text<'a>> + Clone>,
        out: &mut [f32],
        scratch: &mut SideScratch,
        packed: &mut MatmulScratch,
    ) {
        for (side, number, target, column) in self.beside(weight, fed.dropout) {
            let (inputs, outputs, rank) = (target.inputs, target.outputs, side.rank);
            let tokens = fed.x.len() / inputs;
            let stride = out.len() / tokens.max(1);
            let [_, b] = target.factors(rank, &side.values);
            self.low((side, number, target), fed, scratch, packed);
            let (low, b) = (Factor::plain(&scratch.low, rank), Factor::transposed(b, rank));
            let shape = [tokens, rank, outputs];
            matmul(
                self.level,
                shape,
                low,
                b,
                Store::Add,
                &mut out[column..],
                stride,
                packed,
            );
        }
    }

    /// Adds to the factors' gradients and to that of the layer's input, given that of what came out.
    pub(super) fn side_backward<'a>(
        &self,
        weight: &Range<usize>,
        fed: &Fed<'_, impl Iterator<Item = Text<'a>> + Clone>,
        given: &[f32],
        [to_factors, to_input]: [&mut [f32]; 2],
        scratch: &mut SideScratch,
        packed: &mut MatmulScratch,
    ) {
        for (side, number, target, column) in self.beside(weight, fed.dropout) {
            let (inputs, outputs, rank) = (target.inputs, target.outputs, side.rank);
            let tokens = fed.x.len() / inputs;
            let stride = given.len() / tokens.max(1);
            let given = &given[column..];
            let [a, b] = target.factors(rank, &side.values);
            let factors = &mut to_factors[target.first..][..rank * (inputs + outputs)];
            let (to_a, to_b) = factors.split_at_mut(rank * inputs);
            self.low((side, number, target), fed, scratch, packed);
            let (left, right) = (
                Factor::transposed(given, stride),
                Factor::plain(&scratch.low, rank),
            );
            matmul(
                self.level,
                [outputs, tokens, rank],
                left,
                right,
                Store::Add,
                to_b,
                rank,
                packed,
            );
            // The gradient of `A (drop(x) - x)`.
            let (left, right) = (Factor::plain(given, stride), Factor::plain(b, rank));
            let shape = [tokens, outputs, rank];
            matmul(
                self.level,
                shape,
                left,
                right,
                Store::Replace,
                &mut scratch.low,
                rank,
                packed,
            );
            scratch.low.iter_mut().for_each(|value| *value *= side.scale);
            let (left, right) = (
                Factor::transposed(&scratch.low, rank),
                Factor::plain(&scratch.change, inputs),
            );
            matmul(
                self.level,
                [rank, tokens, inputs],
                left,
                right,
                Store::Add,
                to_a,
                inputs,
                packed,
            );
            scratch.back.resize(tokens * inputs);
            let (left, right) = (Factor::plain(&scratch.low, rank), Factor::plain(a, inputs));
            let shape = [tokens, rank, inputs];
            matmul(
                self.level,
                shape,
                left,
                right,
                Store::Replace,
                &mut scratch.back,
                inputs,
                packed,
            );
            change(number, fed, &scratch.back, inputs, &mut scratch.change);
            add(self.level, &scratch.change, to_input);
        }
    }

    /// Leaves `drop(x) - x` of what goes into a target, which has this number, in `change` and `s A` of that in `low`.
    fn low<'a>(
        &self,
        (side, number, target): (&Side, usize, &Target),
        fed: &Fed<'_, impl Iterator<Item = Text<'a>> + Clone>,
        SideScratch {
            change: changed, low, ..
        }: &mut SideScratch,
        packed: &mut MatmulScratch,
    ) {
        let (inputs, rank) = (target.inputs, side.rank);
        let tokens = fed.x.len() / inputs;
        let [a, _] = target.factors(rank, &side.values);
        change(number, fed, fed.x, inputs, changed);
        low.resize(tokens * rank);
        let (rows, a) = (Factor::plain(changed, inputs), Factor::transposed(a, inputs));
        let shape = [tokens, inputs, rank];
        matmul(self.level, shape, rows, a, Store::Replace, low, rank, packed);
        low.iter_mut().for_each(|value| *value *= side.scale);
    }
}

/// `drop(rows) - rows`
fn change<'a>(
    number: usize,
    fed: &Fed<'_, impl Iterator<Item = Text<'a>> + Clone>,
    rows: &[f32],
    cols: usize,
    out: &mut Buffer,
) {
    out.resize(rows.len());
    out.copy_from_slice(rows);
    let dropout = Dropout {
        rate: fed.dropout.adapter,
        ..fed.dropout
    };
    drop_each(dropout, Site::Adapter(number), fed.texts.clone(), cols, out);
    out.iter_mut().zip(rows).for_each(|(out, row)| *out -= row);
}
