//! Where each tensor's values are among all of them, in the order of [`kokeshi_encode::Trainable::tensors`].

use std::ops::Range;

use kokeshi_encode::EncoderShape;

use crate::pooling::CrossPooling;
use crate::words::ByteWords;

/// What a parameter is to the width of an encoder: it decides weight decay, and with muP the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamRole {
    /// A table: one of its axes is the width.
    Input,
    /// Weights from a width to a width.
    Hidden,
    /// Biases and norms, which weight decay leaves alone, as is usual.
    Bias,
}

/// Ranges of values.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub words: Range<usize>,
    pub positions: Range<usize>,
    pub types: Range<usize>,
    pub first_norm: [Range<usize>; 2],
    pub blocks: Vec<BlockLayout>,
    pub buckets: Range<usize>,
    /// Those of the layer that makes words of bytes.
    pub bytes: Range<usize>,
    /// The pooling's own.
    pub pooling: Range<usize>,
    /// Where each tensor of these two is, and its role.
    pub parts: Vec<(Range<usize>, ParamRole)>,
    /// What only pre-training has, behind everything that is the encoder's; its decoder is the last of `blocks`.
    pub head: Option<HeadLayout>,
    pub total: usize,
}

/// Ranges of values of the head that finds masked tokens.
#[derive(Debug, Clone)]
pub(crate) struct HeadLayout {
    /// `[hidden, hidden]`.
    pub dense: Range<usize>,
    pub dense_bias: Range<usize>,
    pub norm: [Range<usize>; 2],
    /// One for each token.
    pub bias: Range<usize>,
}

/// Ranges of values of a block.
#[derive(Debug, Clone)]
pub(crate) struct BlockLayout {
    /// Queries, keys and values: `[3 hidden, hidden]`.
    pub joint: Range<usize>,
    pub joint_bias: Range<usize>,
    pub output: Range<usize>,
    pub output_bias: Range<usize>,
    pub attention_norm: [Range<usize>; 2],
    pub up: Range<usize>,
    pub up_bias: Range<usize>,
    pub down: Range<usize>,
    pub down_bias: Range<usize>,
    pub norm: [Range<usize>; 2],
}

impl BlockLayout {
    fn new(shape: &EncoderShape, take: &mut impl FnMut(usize) -> Range<usize>) -> Self {
        let (hidden, inner) = (shape.hidden, shape.inner);
        Self {
            joint: take(3 * hidden * hidden),
            joint_bias: take(3 * hidden),
            output: take(hidden * hidden),
            output_bias: take(hidden),
            attention_norm: [take(hidden), take(hidden)],
            up: take(inner * hidden),
            up_bias: take(inner),
            down: take(hidden * inner),
            down_bias: take(hidden),
            norm: [take(hidden), take(hidden)],
        }
    }

    /// From the first to the last.
    pub fn all(&self) -> Range<usize> {
        self.joint.start..self.norm[1].end
    }
}

impl Layout {
    pub fn new(shape: &EncoderShape, pooling: Option<&CrossPooling>) -> Self {
        let mut total = 0;
        let mut take = |len: usize| {
            total += len;
            total - len..total
        };
        let hidden = shape.hidden;
        let words = shape.bytes.map(|shape| ByteWords { shape });
        let mut layout = Self {
            words: take(shape.vocabulary * hidden),
            positions: take(shape.positions * hidden),
            types: take(shape.types * hidden),
            first_norm: [take(hidden), take(hidden)],
            blocks: (0..shape.layers)
                .map(|_| BlockLayout::new(shape, &mut take))
                .collect(),
            buckets: take(shape.buckets.map_or(0, |buckets| buckets.rows * shape.heads)),
            bytes: take(words.as_ref().map_or(0, ByteWords::count)),
            pooling: take(pooling.map_or(0, CrossPooling::len)),
            parts: Vec::new(),
            head: None,
            total,
        };
        let moved = |start: usize| {
            move |(range, role): (Range<usize>, ParamRole)| (start + range.start..start + range.end, role)
        };
        let words = words.iter().flat_map(ByteWords::ranges);
        let pooling = pooling.into_iter().flat_map(CrossPooling::ranges);
        layout.parts = words
            .map(moved(layout.bytes.start))
            .chain(pooling.map(moved(layout.pooling.start)))
            .collect();
        layout
    }

    /// The same with a decoder of one block and a head behind it.
    pub fn for_masking(shape: &EncoderShape, pooling: Option<&CrossPooling>) -> Self {
        let mut layout = Self::new(shape, pooling);
        let mut total = layout.total;
        let mut take = |len: usize| {
            total += len;
            total - len..total
        };
        let hidden = shape.hidden;
        layout.blocks.push(BlockLayout::new(shape, &mut take));
        layout.head = Some(HeadLayout {
            dense: take(hidden * hidden),
            dense_bias: take(hidden),
            norm: [take(hidden), take(hidden)],
            bias: take(shape.vocabulary),
        });
        layout.total = total;
        layout
    }

    /// Where each tensor but the token table starts, queries, keys and values counting as one.
    pub fn starts(&self) -> Vec<usize> {
        let mut starts = vec![self.positions.start, self.types.start];
        starts.extend(self.first_norm.iter().map(|range| range.start));
        for block in &self.blocks {
            starts.extend(
                [&block.joint, &block.joint_bias, &block.output, &block.output_bias].map(|range| range.start),
            );
            starts.extend(block.attention_norm.iter().map(|range| range.start));
            starts
                .extend([&block.up, &block.up_bias, &block.down, &block.down_bias].map(|range| range.start));
            starts.extend(block.norm.iter().map(|range| range.start));
        }
        starts.push(self.buckets.start);
        starts.extend(self.parts.iter().map(|(range, _)| range.start));
        if let Some(head) = &self.head {
            starts.extend([&head.dense, &head.dense_bias, &head.bias].map(|range| range.start));
            starts.extend(head.norm.iter().map(|range| range.start));
        }
        // The decoder is a block, but stands behind the biases by distance.
        starts.sort_unstable();
        starts
    }

    /// Where a range of values is in the gradients of all but the token table.
    pub fn dense(&self, range: &Range<usize>) -> Range<usize> {
        range.start - self.words.end..range.end - self.words.end
    }

    /// The layer of a value: 0 for the embeddings, then the block's number from 1; biases by distance and what makes words of bytes count as embeddings, a pooling and what only
    /// pre-training has as the last block.
    pub fn layer(&self, at: usize) -> usize {
        let layers = self.blocks.len() - usize::from(self.head.is_some());
        if at >= self.bytes.end {
            return layers;
        }
        let block = self.blocks.iter().position(|block| block.all().contains(&at));
        block.map_or(0, |block| block + 1)
    }

    /// The role of a value.
    pub fn role(&self, at: usize) -> ParamRole {
        let part = self.parts.iter().find(|(range, _)| range.contains(&at));
        let wide = |block: &BlockLayout| {
            [&block.joint, &block.output, &block.up, &block.down]
                .iter()
                .any(|range| range.contains(&at))
        };
        let in_head = self.head.as_ref().is_some_and(|head| head.dense.contains(&at));
        match part {
            Some((_, role)) => *role,
            None if self.is_free(at) => ParamRole::Bias,
            None if self.blocks.iter().any(wide) || in_head => ParamRole::Hidden,
            None => ParamRole::Input,
        }
    }

    /// Whether a value of the encoder is a bias or a norm's.
    fn is_free(&self, at: usize) -> bool {
        let norm = |norm: &[Range<usize>; 2]| norm.iter().any(|range| range.contains(&at));
        let block = |block: &BlockLayout| {
            let biases = [
                &block.joint_bias,
                &block.output_bias,
                &block.up_bias,
                &block.down_bias,
            ];
            biases.iter().any(|range| range.contains(&at)) || norm(&block.attention_norm) || norm(&block.norm)
        };
        let head =
            |head: &HeadLayout| head.dense_bias.contains(&at) || head.bias.contains(&at) || norm(&head.norm);
        norm(&self.first_norm) || self.blocks.iter().any(block) || self.head.as_ref().is_some_and(head)
    }
}
