//! Rows by which of some centres is nearest to them (an inverted file; "Product Quantization for Nearest Neighbor Search", TPAMI 2011): a walk
//! begins at the row in the middle of the cell nearest to its target, and a search with a filter looks through the cells nearest to it.
//!
//! Centres are the means of their rows, found by k-means; about [`PER_ROOT`] times as many as the root of the rows there are.

use kokeshi_core::distance::BytePanels;
use kokeshi_core::{Embeddings, Seed, distance};
use rayon::prelude::*;

use super::codes::Codes;
use super::space::Space;
use super::words::Words;
use crate::Vectors;

/// Cells for each root of the rows: more are nearer to what they hold, and take longer to be put in order.
const PER_ROOT: f64 = 2.0;
/// Rows that a centre is learnt from.
const SAMPLE: usize = 48;
const ROUNDS: usize = 6;
const SEED: Seed = Seed(0x6b6f_6b65_7368_6922);
const ROWS_PER_TASK: usize = 1024;
/// A row that is in no cell.
const OUTSIDE: u32 = u32::MAX;

/// Which rows lie together.
#[derive(Clone)]
pub(crate) struct Cells {
    /// Of the centres.
    pub codes: Codes,
    /// `[cells + 1]`: where each cell's rows begin.
    pub starts: Words,
    /// Cell after cell, the row nearest to the centre first.
    pub rows: Words,
    /// The rows there were when the centres were learnt.
    pub learnt: usize,
}

impl Cells {
    /// How many.
    pub fn len(&self) -> usize {
        self.starts.values().len() - 1
    }

    /// The rows of cell `at`, at least one; the one nearest to its centre first.
    #[inline]
    pub fn cell(&self, at: usize) -> &[u32] {
        let starts = self.starts.values();
        &self.rows.values()[starts[at] as usize..starts[at + 1] as usize]
    }

    /// Whether there are so many `rows` now that centres should be learnt anew: four times as many as they were learnt from.
    pub fn outgrown(&self, rows: usize) -> bool {
        rows / 4 >= self.learnt.max(1)
    }

    /// Cells of all usable rows of `space`, with centres that are learnt.
    pub(super) fn learn(space: &Space<'_>, codes: &Codes) -> Option<Self> {
        let rows = space.vectors.rows();
        let usable: Vec<u32> = (0..rows as u32).filter(|&id| space.usable(id)).collect();
        let count = ((rows as f64).sqrt() * PER_ROOT) as usize;
        let mut sample = usable.clone();
        SEED.clone().shuffle(&mut sample);
        sample.truncate(count * SAMPLE);
        let mut centres: Vec<f32> = sample
            .iter()
            .take(count)
            .flat_map(|&id| space.coded(id).values())
            .collect();
        for _ in 0..ROUNDS {
            let nearest = Centres::new(&centres, space.vectors.dims()).nearest_of(space, &sample);
            let cells = group(&sample, &nearest, count);
            let middles = cells.par_iter().map(|ids| space.middle(ids));
            let middles: Vec<Vec<f32>> = middles.collect();
            for (centre, middle) in centres.chunks_exact_mut(space.vectors.dims()).zip(middles) {
                // A centre that no row is nearest to stays where it is.
                if !middle.is_empty() {
                    centre.copy_from_slice(&middle);
                }
            }
        }
        let nearest = Centres::new(&centres, space.vectors.dims()).nearest_of(space, &usable);
        Self::of(space, codes, group(&usable, &nearest, count), rows)
    }

    /// These cells with the usable rows of `space` from row `from` on, and centres that have moved accordingly.
    pub(super) fn extended(&self, space: &Space<'_>, codes: &Codes, from: usize) -> Option<Self> {
        let mut cells: Vec<Vec<u32>> = (0..self.len()).map(|at| self.cell(at).to_vec()).collect();
        let centres: Vec<Vec<f32>> = cells.par_iter().map(|ids| space.middle(ids)).collect();
        let new: Vec<u32> = (from as u32..space.vectors.rows() as u32)
            .filter(|&id| space.usable(id))
            .collect();
        let nearest = Centres::new(&centres.concat(), space.vectors.dims()).nearest_of(space, &new);
        for (&id, &(cell, _)) in new.iter().zip(&nearest) {
            cells[cell as usize].push(id);
        }
        Self::of(space, codes, cells, self.learnt)
    }

    /// Of the rows of each cell; `None` if there are none.
    fn of(space: &Space<'_>, codes: &Codes, cells: Vec<Vec<u32>>, learnt: usize) -> Option<Self> {
        let mut cells: Vec<Vec<u32>> = cells.into_iter().filter(|ids| !ids.is_empty()).collect();
        let middles: Vec<Vec<f32>> = cells
            .par_iter_mut()
            .map(|ids| {
                let middle = space.middle(ids);
                let centre = Centres::new(&middle, middle.len());
                let nearest = ids.iter().map(|&id| centre.distance(space, id)).enumerate();
                let first = nearest.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at);
                ids[..=first].rotate_right(1);
                middle
            })
            .collect();
        let dims = space.vectors.dims();
        let centres = middles.iter().flatten().zip(space.mean.iter().cycle());
        let centres = centres.map(|(value, mean)| value + mean).collect();
        let centres = Vectors::from(Embeddings::from_vec(centres, dims).ok()?);
        let mut starts = vec![0];
        for ids in &cells {
            starts.push(starts.last().copied().unwrap_or(0) + ids.len() as u32);
        }
        (!cells.is_empty()).then(|| Self {
            codes: codes.of(&centres),
            starts: Words::Owned(starts),
            rows: Words::Owned(cells.concat()),
            learnt,
        })
    }

    /// Parts read from a file; what is wrong with them otherwise.
    pub fn new(
        codes: Codes,
        starts: Words,
        rows: Words,
        learnt: usize,
        nodes: usize,
    ) -> Result<Self, String> {
        let ends = starts.values();
        let ordered = ends.first() == Some(&0) && ends.windows(2).all(|pair| pair[0] < pair[1]);
        if !ordered
            || ends
                .last()
                .is_none_or(|last| *last as usize != rows.values().len())
        {
            return Err(format!("the cells don't divide {} rows", rows.values().len()));
        }
        if let Some(id) = rows.values().iter().find(|id| **id as usize >= nodes) {
            return Err(format!("row {id} of a cell is not one of {nodes} nodes"));
        }
        Ok(Self {
            codes,
            starts,
            rows,
            learnt,
        })
    }
}

/// The rows of `ids` by their cells.
fn group(ids: &[u32], nearest: &[(u32, f32)], count: usize) -> Vec<Vec<u32>> {
    let mut cells = vec![Vec::new(); count];
    for (&id, &(cell, _)) in ids.iter().zip(nearest) {
        cells[cell as usize].push(id);
    }
    cells
}

/// Centres as rows are compared with them: a byte a value, as rows are while a graph is built.
struct Centres {
    codes: BytePanels,
    /// Those of the first.
    first: Vec<i8>,
    scales: Vec<f32>,
    squares: Vec<f32>,
}

impl Centres {
    /// Of `values`, `[centres, dims]`, from which the mean of all rows was taken.
    fn new(values: &[f32], dims: usize) -> Self {
        let mut codes = Vec::with_capacity(values.len());
        let (mut scales, mut squares) = (Vec::new(), Vec::new());
        for centre in values.chunks_exact(dims) {
            let (bytes, scale) = super::projection::in_bytes(centre);
            squares.push(scale * scale * distance::dot_i8(&bytes, &bytes) as f32);
            scales.push(scale);
            codes.extend(bytes);
        }
        Self {
            first: codes.iter().take(dims).copied().collect(),
            codes: BytePanels::new(&codes, dims),
            scales,
            squares,
        }
    }

    /// For each row of `ids` the nearest centre, the first of equals, and the squared distance less that of the row from the mean.
    fn nearest_of(&self, space: &Space<'_>, ids: &[u32]) -> Vec<(u32, f32)> {
        let tasks = ids.par_chunks(ROWS_PER_TASK).flat_map_iter(|ids| {
            let mut products = Vec::new();
            ids.iter().map(move |&id| {
                let row = space.coded(id);
                self.codes.dot(row.codes, &mut products);
                let mut best = (OUTSIDE, f32::INFINITY);
                for (at, product) in products.iter().enumerate() {
                    let apart = self.squares[at] - 2.0 * row.scale * self.scales[at] * *product as f32;
                    if apart < best.1 {
                        best = (at as u32, apart);
                    }
                }
                best
            })
        });
        tasks.collect()
    }

    /// How far row `id` is from the only centre, as [`Centres::nearest_of`] gives it, and the row's own square.
    fn distance(&self, space: &Space<'_>, id: u32) -> f32 {
        let row = space.coded(id);
        let product = distance::dot_i8(row.codes, &self.first) as f32;
        row.square + self.squares[0] - 2.0 * row.scale * self.scales[0] * product
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Metric;

    use super::*;

    fn codes(space: &Space<'_>) -> Codes {
        let mut codes = Codes::learn(Metric::Cosine, space.vectors, space.mean.clone(), |id| {
            space.usable(id)
        });
        codes.extend(space.vectors);
        codes
    }

    /// Rows around one of 20 middles; the last is not usable.
    fn rows(count: usize) -> Vectors {
        let mut seed = Seed(5);
        let middles: Vec<f32> = (0..20 * 128).map(|_| seed.normal() as f32).collect();
        let mut values: Vec<f32> = (0..count)
            .flat_map(|row| middles[row % 20 * 128..][..128].to_vec())
            .map(|value| value + 0.1 * seed.normal() as f32)
            .collect();
        values[count * 128 - 1] = f32::NAN;
        Vectors::from(Embeddings::from_vec(values, 128).unwrap())
    }

    /// Every usable row once, the nearest to the mean of a cell's rows first.
    fn check(cells: &Cells, vectors: &Vectors) {
        let mut all: Vec<u32> = (0..cells.len()).flat_map(|at| cells.cell(at).to_vec()).collect();
        all.sort_unstable();
        let usable = |id: &u32| vectors.row(*id).iter().all(|value| value.is_finite());
        let expected: Vec<u32> = (0..vectors.rows() as u32).filter(usable).collect();
        assert_eq!(all, expected);
        for at in 0..cells.len() {
            let ids = cells.cell(at);
            let mean: Vec<f32> = (0..128)
                .map(|column| ids.iter().map(|&id| vectors.row(id)[column]).sum::<f32>() / ids.len() as f32)
                .collect();
            let apart = |id: u32| distance::l2_squared(vectors.row(id), &mean);
            let least = ids.iter().map(|&id| apart(id)).fold(f32::INFINITY, f32::min);
            // To a byte a value.
            assert!(apart(ids[0]) <= 1.05 * least, "{} of {least}", apart(ids[0]));
        }
    }

    #[test]
    fn every_row_is_in_the_cell_it_is_nearest_to_and_new_ones_join() {
        let all = rows(2000);
        let mut some = Vectors::new(128);
        let values = (0..1500).flat_map(|id| all.row(id).to_vec()).collect();
        some.push_segment(Embeddings::from_vec(values, 128).unwrap())
            .unwrap();
        let space = Space::new(&some, Metric::Cosine);
        let cells = Cells::learn(&space, &codes(&space)).unwrap();
        check(&cells, &some);
        // Rows of different middles are far apart: hardly any cell has both.
        let pure = |at: &usize| {
            let ids = cells.cell(*at);
            ids.iter().all(|id| id % 20 == ids[0] % 20)
        };
        let mixed = cells.len() - (0..cells.len()).filter(pure).count();
        assert!(mixed * 10 < cells.len(), "{mixed} of {}", cells.len());
        let space = Space::new(&all, Metric::Cosine);
        let grown = cells.extended(&space, &codes(&space), 1500).unwrap();
        check(&grown, &all);
        assert_eq!((grown.len(), grown.learnt), (cells.len(), 1500));
        assert!(!grown.outgrown(2000) && grown.outgrown(6000));
    }
}
