//! How the rows of an index are compared with a query (scores, larger is better) and with each other (distances, smaller is better).

use kokeshi_core::{Error, Metric, Result, distance};

use crate::Vectors;

/// A query that was checked against the index: right width, finite, and of unit length if the metric is cosine.
pub(crate) struct Query {
    pub values: Vec<f32>,
    pub metric: Metric,
}

impl Query {
    pub fn new(query: &[f32], metric: Metric, dims: usize) -> Result<Self> {
        if query.len() != dims {
            return Err(Error::Dims {
                what: "a query".into(),
                expected: dims,
                found: query.len(),
            });
        }
        if let Some(column) = query.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                what: "a query".into(),
                row: 0,
                column,
            });
        }
        let mut values = query.to_vec();
        if metric == Metric::Cosine {
            distance::normalize(&mut values);
        }
        Ok(Self { values, metric })
    }

    /// The scores of the rows `ids`: larger is better. Rows of a cosine index have unit length, so that their cosine is the inner
    /// product.
    #[inline]
    pub fn scores(&self, vectors: &Vectors, ids: &[u32], out: &mut [f32]) {
        match self.metric {
            Metric::Cosine | Metric::Dot => vectors.dots(&self.values, ids, out),
            Metric::L2 => {
                vectors.l2_squares(&self.values, ids, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
        }
    }

    /// The scores of rows that lie one after the other.
    pub fn scores_run(&self, run: &[f32], out: &mut [f32]) {
        match self.metric {
            Metric::Cosine | Metric::Dot => distance::dot_rows(&self.values, run, out),
            Metric::L2 => {
                distance::l2_squared_rows(&self.values, run, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
        }
    }
}

/// Squared Euclidean distances between rows, which is what graph construction needs whatever the metric.
///
/// For inner products rows get one more coordinate that makes all of them equally long ("Speeding Up the Xbox Recommender System",
/// RecSys 2014): nearest in that space is then the same as largest inner product for any query.
pub(crate) struct Space<'a> {
    pub vectors: &'a Vectors,
    metric: Metric,
    /// The squared length that all rows have, 1 for cosine.
    radius: f32,
    /// For [`Metric::Dot`] the added coordinate of every row.
    lift: Vec<f32>,
}

impl<'a> Space<'a> {
    pub fn new(vectors: &'a Vectors, metric: Metric) -> Self {
        let mut space = Self {
            vectors,
            metric,
            radius: 1.0,
            lift: Vec::new(),
        };
        if metric == Metric::Dot {
            let squares: Vec<f32> = (0..vectors.rows() as u32)
                .map(|id| distance::dot(vectors.row(id), vectors.row(id)))
                .collect();
            let finite = squares.iter().copied().filter(|square| square.is_finite());
            space.radius = finite.fold(0.0, f32::max);
            space.lift = squares
                .iter()
                .map(|square| (space.radius - square).max(0.0).sqrt())
                .collect();
        }
        space
    }

    /// Whether row `id` can be in a graph: NaN and infinite values can't be compared.
    pub fn usable(&self, id: u32) -> bool {
        let row = self.vectors.row(id);
        distance::dot(row, row).is_finite()
    }

    /// The squared distance of rows `a` and `b`.
    #[inline]
    pub fn between(&self, a: u32, b: u32) -> f32 {
        let mut out = [0.0];
        self.distances(a, &[b], &mut out);
        out[0]
    }

    /// The squared distances of row `a` and the rows `ids`.
    #[inline]
    pub fn distances(&self, a: u32, ids: &[u32], out: &mut [f32]) {
        let row = self.vectors.row(a);
        match self.metric {
            Metric::L2 => self.vectors.l2_squares(row, ids, out),
            Metric::Cosine => {
                self.vectors.dots(row, ids, out);
                out.iter_mut()
                    .for_each(|value| *value = (2.0 - 2.0 * *value).max(0.0));
            }
            Metric::Dot => {
                self.vectors.dots(row, ids, out);
                for (value, &id) in out.iter_mut().zip(ids) {
                    let lifted = self.lift[a as usize] * self.lift[id as usize];
                    *value = (2.0 * (self.radius - *value - lifted)).max(0.0);
                }
            }
        }
    }
}
