//! What a step learns: a loss over pooled vectors, or the tokens that are masked; and the batch that it needs.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Aux, Loss};
use kokeshi_train::{Batch, MaskedBatch, Masking};

use crate::data::Examples;
use crate::guide::Guide;
use crate::order::Rows;

/// How tokens are masked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Masked {
    /// Masked language modelling at the full size (arXiv 1810.04805).
    Tokens { share: f32 },
    /// At every size, with a decoder (SMAE of Starbucks, arXiv 2410.13230).
    Autoencoder { encoder: f32, decoder: f32 },
}

impl Masked {
    pub fn objective(self, sizes: &[(usize, usize)]) -> Objective {
        match self {
            Self::Tokens { share } => Objective::Masked(
                vec![f64::from(share)],
                sizes.last().copied().into_iter().collect(),
            ),
            Self::Autoencoder { encoder, decoder } => {
                Objective::Masked(vec![f64::from(encoder), f64::from(decoder)], sizes.to_vec())
            }
        }
    }
}

/// What a step learns.
pub(crate) enum Objective {
    /// A loss over vectors, and the layers that it wants pooled.
    Vectors(Box<dyn Loss>, Vec<usize>),
    /// Shares of tokens that the encoder and the decoder, if there is one, have to find; and at which sizes.
    Masked(Vec<f64>, Vec<(usize, usize)>),
}

impl Objective {
    pub fn is_masked(&self) -> bool {
        matches!(self, Self::Masked(..))
    }
}

/// The token ids of a batch, its labels, and what a guide says of it.
pub(crate) fn batch<'a>(
    examples: &'a Examples,
    guides: &[Option<Guide>],
    rows: &Rows,
    seed: u64,
) -> Batch<'a> {
    let set = &examples.sets[rows.set];
    let guide = guides[set.data].as_ref();
    let column = |column: usize| {
        let ids = rows.rows.iter().map(|row| set.row(*row as usize)[column]);
        ids.map(|text| examples.texts[text as usize].as_slice()).collect()
    };
    Batch {
        columns: (0..set.columns).map(column).collect(),
        aux: Aux {
            labels: match (set.labels.is_empty(), guide) {
                (true, None) => Vec::new(),
                (true, Some(guide)) => guide.margins(set, &rows.rows),
                (false, _) => rows.rows.iter().map(|row| set.labels[*row as usize]).collect(),
            },
            documents: rows
                .rows
                .iter()
                .map(|row| u64::from(set.row(*row as usize)[1]))
                .collect(),
            guide: guide.map_or_else(Vec::new, |guide| guide.columns(set, &rows.rows)),
            seed,
        },
    }
}

/// A batch's texts with masks, which depend on the step's seed and the row's place alone.
pub(crate) fn masked(
    examples: &Examples,
    masking: &Masking,
    shares: &[f64],
    rows: &Rows,
    seed: u64,
) -> MaskedBatch {
    let set = &examples.sets[rows.set];
    let mut batch = MaskedBatch::default();
    for (place, row) in rows.rows.iter().enumerate() {
        let ids = &examples.texts[set.row(*row as usize)[0] as usize];
        let mut drawn = masking
            .draw(ids, shares, Seed(seed).fork(place as u64 + 1))
            .into_iter();
        batch.encoder.extend(drawn.next());
        batch.decoder.extend(drawn.next());
    }
    batch
}
