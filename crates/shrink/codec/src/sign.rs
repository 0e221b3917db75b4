//! `sign`: one bit a dimension, the sign of its value, for documents and queries alike; compared by Hamming distance.
//!
//! The score is cos(pi h / d), the cosine at which random hyperplanes differ h times out of d (Charikar, 2002). On axes that are not
//! alike (most embeddings) put `rotate` before it, or take `rabitq:1`, which ranks better at the price of ten bytes.

use kokeshi_core::{Embeddings, Error, Metric, Result, distance};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query};

/// Signs of values.
#[derive(Debug, Clone, Copy)]
pub struct Sign {
    dims: usize,
}

impl Sign {
    /// For vectors as wide as `sample`.
    ///
    /// # Errors
    /// [`Error::Parse`] for another metric than cosine: signs know no lengths.
    pub fn train(sample: &Embeddings, metric: Metric) -> Result<Self> {
        if metric != Metric::Cosine {
            return Err(Error::Parse {
                what: "the step sign".into(),
                expected: "the metric cosine, since signs keep no lengths".into(),
                found: crate::file::metric_name(metric).into(),
            });
        }
        Ok(Self { dims: sample.dims() })
    }

    pub(crate) fn read(dims: usize, metric: Metric, blob: &mut BlobReader<'_>) -> Result<Self> {
        match metric {
            Metric::Cosine => Ok(Self { dims }),
            _ => Err(blob.wrong("expected the metric cosine for signs")),
        }
    }

    fn bits(self, row: &[f32], code: &mut [u8]) {
        for (byte, values) in code.iter_mut().zip(row.chunks(8)) {
            // The sign of zero is +1.
            *byte = values
                .iter()
                .rev()
                .fold(0, |bits, value| bits << 1 | u8::from(*value >= 0.0));
        }
    }
}

impl Codec for Sign {
    fn spec(&self) -> String {
        "sign".into()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn code_bytes(&self) -> usize {
        self.dims.div_ceil(8)
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        for (row, code) in rows
            .chunks_exact(self.dims)
            .zip(codes.chunks_exact_mut(self.code_bytes()))
        {
            self.bits(row, code);
        }
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let unit = (self.dims as f32).sqrt().recip();
        for (row, code) in rows
            .chunks_exact_mut(self.dims)
            .zip(codes.chunks_exact(self.code_bytes()))
        {
            for (at, value) in row.iter_mut().enumerate() {
                *value = if code[at / 8] >> (at % 8) & 1 == 1 {
                    unit
                } else {
                    -unit
                };
            }
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        let mut bits = vec![0; self.code_bytes()];
        self.bits(query, &mut bits);
        // One score a distance, so that scoring is a look-up.
        let scores =
            (0..=self.dims).map(|differ| (std::f64::consts::PI * differ as f64 / self.dims as f64).cos());
        Box::new(Prepared {
            bits,
            scores: scores.map(|score| score as f32).collect(),
        })
    }

    fn write(&self, _: &mut BlobWriter) {}
}

struct Prepared {
    bits: Vec<u8>,
    scores: Vec<f32>,
}

impl Prepared {
    fn score(&self, code: &[u8]) -> f32 {
        let differ = distance::hamming(&self.bits, code) as usize;
        self.scores.get(differ).copied().unwrap_or(-1.0)
    }
}

impl Query for Prepared {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes.chunks_exact(self.bits.len())) {
            *out = self.score(code);
        }
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        for (out, &id) in out.iter_mut().zip(ids) {
            *out = self.score(&codes[id as usize * self.bits.len()..][..self.bits.len()]);
        }
    }
}
