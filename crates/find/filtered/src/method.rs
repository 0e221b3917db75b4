//! What all methods have in common.

use kokeshi_core::{Error, Result};

use crate::Filter;
use crate::beam::{Near, Scratch};

/// What an index is made of and what it cost to build.
#[derive(Debug, Clone, Copy, Default)]
pub struct Built {
    /// Distances computed while building, those of pruning as well.
    pub distances: u64,
    /// Links between rows.
    pub edges: usize,
    /// Beside the vectors.
    pub bytes: usize,
}

/// What is looked for.
pub struct Wanted<'a> {
    /// Of the rows' width.
    pub query: &'a [f32],
    /// How many rows, at least 1.
    pub k: usize,
    /// The length of the candidate list, at least 1.
    pub list: usize,
    /// What the rows must pass.
    pub filter: &'a Filter,
}

/// A way to find the nearest rows that pass a filter. Distances are squared Euclidean ones.
pub trait Method: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// The width of a row.
    fn dims(&self) -> usize;

    /// What it is made of.
    fn built(&self) -> Built;

    /// Whether it can answer a search with this filter.
    fn serves(&self, _filter: &Filter) -> bool {
        true
    }

    /// [`Method::search`] for a query and a filter that were checked.
    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>);

    /// Puts the `k` rows nearest to `query` that pass `filter` into `hits`, nearest first, as far as a candidate list of length `list`
    /// (ef of HNSW, L of Vamana) finds them. Costs are added to `scratch.counts`. A row that does not pass is never a hit.
    ///
    /// # Errors
    /// A query of the wrong width or with a value that is not finite; a filter that this method does not serve.
    fn search(
        &self,
        query: &[f32],
        k: usize,
        list: usize,
        filter: &Filter,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) -> Result<()> {
        kokeshi_core::check_query(query, self.dims())?;
        if !self.serves(filter) {
            return Err(Error::Parse {
                what: format!("a filter for {}", self.name()),
                expected: "a shape that it serves".into(),
                found: format!("{:?}", filter.shape),
            });
        }
        hits.clear();
        if k > 0 {
            let list = list.max(1);
            let wanted = Wanted {
                query,
                k,
                list,
                filter,
            };
            self.find(&wanted, scratch, hits);
        }
        Ok(())
    }
}

/// Refuses attributes that do not belong to the rows.
pub(crate) fn check_rows(what: &str, rows: usize, attributes: usize) -> Result<()> {
    if rows == attributes {
        return Ok(());
    }
    Err(Error::Parse {
        what: what.into(),
        expected: format!("one entry for each of {rows} rows"),
        found: attributes.to_string(),
    })
}
