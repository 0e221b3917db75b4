//! How the rows of an index are compared with a query: scores, larger is better.

use kokeshi_core::{Metric, Result, distance};

use crate::Vectors;

/// A query that was checked against the index: right width, finite, and of unit length if the metric is cosine.
#[derive(Clone)]
pub(crate) struct Query {
    pub values: Vec<f32>,
    pub metric: Metric,
}

impl Query {
    pub fn new(query: &[f32], metric: Metric, dims: usize) -> Result<Self> {
        kokeshi_core::check_query(query, dims)?;
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
        vectors.will_need(ids);
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
