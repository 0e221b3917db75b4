//! Several matrices, usually memory-mapped files, seen as one matrix of rows 0..n.

use std::sync::Arc;

use kokeshi_core::{Embeddings, Error, Result, distance, memory};

/// Rows `0..rows()`, kept as an append-only list of segments. Cloning shares the segments.
///
/// ```
/// use kokeshi_core::Embeddings;
/// use kokeshi_index::Vectors;
///
/// let mut vectors = Vectors::new(2);
/// vectors.push_segment(Embeddings::from_vec(vec![1.0, 0.0, 0.0, 1.0], 2)?)?;
/// vectors.push_segment(Embeddings::from_vec(vec![0.6, 0.8], 2)?)?;
/// assert_eq!((vectors.rows(), vectors.row(2)), (3, &[0.6, 0.8][..]));
/// # Ok::<(), kokeshi_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Vectors {
    dims: usize,
    segments: Vec<Arc<Embeddings>>,
    /// The first row of every segment; `starts[0] == 0`, segments without rows are not kept.
    starts: Vec<usize>,
    /// The segment of row 0, [`PAGE`], 2 [`PAGE`], ...: where to begin to look for the segment of a row.
    pages: Vec<u32>,
    rows: usize,
    /// Whether the files that are mapped take more than [`ROOM`] of the memory there is: rows that are needed together are then asked for
    /// together.
    on_disk: bool,
    /// The rows of the segments that are seen, if not all.
    picked: Option<Arc<[u32]>>,
}

/// See [`Vectors::pages`]: a step more for each segment that ends within so many rows, a word of memory for all of them.
const PAGE: usize = 256;
/// The share of the memory that vectors may fill: the rest is for codes, a graph and the program.
const ROOM: f64 = 0.75;

impl Vectors {
    /// No rows yet; they will be `dims` wide.
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            segments: Vec::new(),
            starts: Vec::new(),
            pages: Vec::new(),
            rows: 0,
            on_disk: false,
            picked: None,
        }
    }

    /// The rows `ids` of these, numbered anew in their order; nothing is copied.
    ///
    /// # Errors
    /// [`Error::Parse`] if one of them is not there, or these are such a choice already.
    pub fn pick(&self, ids: Arc<[u32]>) -> Result<Self> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.rows) {
            return Err(Error::Parse {
                what: "rows to pick".into(),
                expected: format!("numbers below {}", self.rows),
                found: id.to_string(),
            });
        }
        self.check_whole()?;
        Ok(Self {
            rows: ids.len(),
            picked: Some(ids),
            ..self.clone()
        })
    }

    fn check_whole(&self) -> Result<()> {
        match &self.picked {
            None => Ok(()),
            Some(picked) => Err(Error::Parse {
                what: "a set of vectors".into(),
                expected: "a whole one".into(),
                found: format!("{} rows of another one", picked.len()),
            }),
        }
    }

    /// Appends the rows of `segment`.
    ///
    /// # Errors
    /// [`Error::Dims`] if it has another width; [`Error::Parse`] if there would be more rows than a u32 can number, or these are a choice of
    /// others' rows.
    pub fn push_segment(&mut self, segment: Embeddings) -> Result<()> {
        self.check_whole()?;
        if segment.dims() != self.dims {
            return Err(Error::Dims {
                what: "a segment of vectors".into(),
                expected: self.dims,
                found: segment.dims(),
            });
        }
        // u32::MAX itself marks an empty place in the graph.
        let rows = self.rows + segment.rows();
        if rows >= u32::MAX as usize {
            return Err(Error::Parse {
                what: "a set of vectors".into(),
                expected: format!("fewer than {} rows", u32::MAX),
                found: rows.to_string(),
            });
        }
        if segment.rows() > 0 {
            self.starts.push(self.rows);
            self.pages.resize(rows.div_ceil(PAGE), self.segments.len() as u32);
            self.segments.push(Arc::new(segment));
            self.rows = rows;
            let mapped: usize = self.segments.iter().map(|segment| segment.mapped_bytes()).sum();
            self.on_disk = mapped as f64 > ROOM * memory::limit() as f64;
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The width of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Row `id`.
    ///
    /// # Panics
    /// If `id >= rows()`.
    #[inline]
    pub fn row(&self, id: u32) -> &[f32] {
        let id = match &self.picked {
            None => id as usize,
            Some(picked) => picked[id as usize] as usize,
        };
        if let [only] = &self.segments[..] {
            return only.row(id);
        }
        let at = self.segment(id);
        self.segments[at].row(id - self.starts[at])
    }

    /// The number of the segment that row `id` is in.
    #[inline]
    fn segment(&self, id: usize) -> usize {
        let first = self.pages[id / PAGE] as usize;
        first
            + self.starts[first + 1..]
                .iter()
                .take_while(|&&start| start <= id)
                .count()
    }

    /// The longest run of rows that starts at row `from`, ends before row `until` and is contiguous in memory, row after row;
    /// empty if there is none.
    pub fn run(&self, from: usize, until: usize) -> &[f32] {
        let until = until.min(self.rows);
        if from >= until {
            return &[];
        }
        if self.picked.is_some() {
            return self.row(from as u32);
        }
        let at = self.segment(from);
        let (segment, start) = (&self.segments[at], self.starts[at]);
        let end = (until - start).min(segment.rows());
        &segment.as_slice()[(from - start) * self.dims..end * self.dims]
    }
}

impl Vectors {
    /// Asks for rows that will be looked at, if they may be on disk: all of them are then read at once, and nothing around them, instead of one after
    /// another with what the system reads ahead. Of rows close together in ascending order nothing is asked: reading ahead is what serves them.
    #[inline]
    pub fn will_need(&self, ids: &[u32]) {
        if self.on_disk {
            self.ask_for(ids);
        }
    }

    fn ask_for(&self, ids: &[u32]) {
        let span = match ids {
            [first, .., last] => last.saturating_sub(*first) as usize,
            _ => 0,
        };
        if span > 0 && span < DENSE * ids.len() {
            return;
        }
        for &id in ids {
            let id = self.picked.as_ref().map_or(id, |picked| picked[id as usize]) as usize;
            let at = self.segment(id);
            self.segments[at].will_need(id - self.starts[at]);
        }
    }
}

/// Where one of so many rows is looked at, reading all of them is as good.
const DENSE: usize = 4;

/// How many rows ahead of the one being compared are called for when rows are in several segments.
const AHEAD: usize = 4;

impl Vectors {
    /// The inner product of `query` and each of the rows `ids`.
    #[inline]
    pub(crate) fn dots(&self, query: &[f32], ids: &[u32], out: &mut [f32]) {
        match &self.segments[..] {
            [only] if self.picked.is_none() => distance::dot_gather(query, only.as_slice(), ids, out),
            _ => self.each(ids, out, |row| distance::dot(query, row)),
        }
    }

    /// The squared Euclidean distance of `query` and each of the rows `ids`.
    #[inline]
    pub(crate) fn l2_squares(&self, query: &[f32], ids: &[u32], out: &mut [f32]) {
        match &self.segments[..] {
            [only] if self.picked.is_none() => distance::l2_squared_gather(query, only.as_slice(), ids, out),
            _ => self.each(ids, out, |row| distance::l2_squared(query, row)),
        }
    }

    fn each(&self, ids: &[u32], out: &mut [f32], compare: impl Fn(&[f32]) -> f32) {
        // A ring of rows that are on their way.
        let mut ahead: [&[f32]; AHEAD] = [&[]; AHEAD];
        for (row, &id) in ahead.iter_mut().zip(ids) {
            *row = self.row(id);
            prefetch(row);
        }
        for (at, out) in out[..ids.len()].iter_mut().enumerate() {
            let row = ahead[at % AHEAD];
            if let Some(&later) = ids.get(at + AHEAD) {
                ahead[at % AHEAD] = self.row(later);
                prefetch(ahead[at % AHEAD]);
            }
            *out = compare(row);
        }
    }
}

/// Asks the processor to fetch a row.
#[inline]
pub(crate) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(64 / size_of::<T>().max(1)) {
        // SAFETY: prefetching has no effect on memory and SSE is part of x86-64.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

impl From<Embeddings> for Vectors {
    /// One segment. (More rows than a u32 can number need 4 GiB a dimension; such a matrix gives no rows.)
    fn from(matrix: Embeddings) -> Self {
        let mut vectors = Self::new(matrix.dims());
        // The width fits by construction, so only the row limit can refuse it.
        let _ = vectors.push_segment(matrix);
        vectors
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Metric;

    use super::*;
    use crate::query::Query;

    #[test]
    fn rows_are_numbered_through_all_segments() {
        let mut vectors = Vectors::new(2);
        for first in [0.0f32, 2.0, 6.0] {
            let count = if first == 2.0 { 4 } else { 2 };
            let values = (0..count * 2).map(|at| first + (at / 2) as f32).collect();
            vectors
                .push_segment(Embeddings::from_vec(values, 2).unwrap())
                .unwrap();
            vectors.push_segment(Embeddings::new(2)).unwrap();
        }
        assert_eq!(vectors.rows(), 8);
        for id in 0..8 {
            assert_eq!(vectors.row(id), [id as f32; 2]);
        }
    }

    #[test]
    fn rows_on_disk_are_asked_for_and_compared_alike() {
        let folder = tempfile::tempdir().unwrap();
        let mut vectors = Vectors::new(3);
        for part in 0..2 {
            let values = (0..3000).map(|at| ((at + 7 * part) as f32).sin()).collect();
            let path = folder.path().join(format!("{part}.npy"));
            kokeshi_core::npy::write(&path, &Embeddings::from_vec(values, 3).unwrap()).unwrap();
            vectors
                .push_segment(kokeshi_core::npy::open(&path).unwrap())
                .unwrap();
        }
        // 24 kB fit into memory.
        assert!(!vectors.on_disk);
        let picked = vectors
            .pick((0..1500).rev().collect::<Vec<u32>>().into())
            .unwrap();
        for vectors in [vectors, picked] {
            let mut asked = vectors.clone();
            asked.on_disk = true;
            let ids = [0, 3, 999, 1000, 1499];
            let (mut found, mut expected) = ([0.0; 5], [0.0; 5]);
            let query = Query::new(&[1.0, 2.0, 3.0], Metric::Dot, 3).unwrap();
            query.scores(&asked, &ids, &mut found);
            query.scores(&vectors, &ids, &mut expected);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_run_stops_at_the_end_of_its_segment() {
        let mut vectors = Vectors::new(1);
        vectors
            .push_segment(Embeddings::from_vec(vec![0.0, 1.0, 2.0], 1).unwrap())
            .unwrap();
        vectors
            .push_segment(Embeddings::from_vec(vec![3.0, 4.0], 1).unwrap())
            .unwrap();
        assert_eq!(vectors.run(1, 5), [1.0, 2.0]);
        assert_eq!(vectors.run(3, 9), [3.0, 4.0]);
        assert_eq!(vectors.run(0, 2), [0.0, 1.0]);
        assert!(vectors.run(5, 9).is_empty());
    }

    #[test]
    fn picked_rows_are_numbered_anew_in_their_order() {
        let mut vectors = Vectors::new(1);
        for values in [vec![0.0, 1.0, 2.0], vec![3.0, 4.0]] {
            vectors
                .push_segment(Embeddings::from_vec(values, 1).unwrap())
                .unwrap();
        }
        let mut picked = vectors.pick([4, 0, 3].into()).unwrap();
        assert_eq!(picked.rows(), 3);
        assert_eq!([0, 1, 2].map(|id| picked.row(id)[0]), [4.0, 0.0, 3.0]);
        assert_eq!((picked.run(1, 3), picked.run(3, 9)), (&[0.0][..], &[][..]));
        let mut out = [0.0; 2];
        picked.dots(&[2.0], &[2, 0], &mut out);
        assert_eq!(out, [6.0, 8.0]);
        let error = vectors.pick([1, 5].into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rows to pick: expected numbers below 5, found \"5\""
        );
        assert!(picked.pick([0].into()).is_err());
        assert!(picked.push_segment(Embeddings::new(1)).is_err());
    }

    #[test]
    fn a_segment_of_another_width_is_refused() {
        let error = Vectors::new(2).push_segment(Embeddings::new(3)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a segment of vectors: expected 2 dimensions, found 3"
        );
    }
}
