//! A matrix of bytes that many vectors are multiplied with: laid out so that products of 16 rows grow side by side, with nothing to add up at the end.

use super::dispatch::{DotPanels, kernels};

/// Rows of a panel.
pub(super) const PANEL: usize = 16;
/// Values of a row that lie side by side.
pub(super) const GROUP: usize = 4;

/// Rows of i8: four values each of 16 rows, the next four of each, and so on, and then the next 16 rows. What is missing is zero. Values are kept
/// 128 larger, as unsigned bytes, since the quickest instructions multiply those with signed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytePanels {
    width: usize,
    rows: usize,
    lines: Vec<Line>,
}

/// Four values each of 16 rows: a cache line, read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Line(pub [[u8; GROUP]; PANEL]);

impl BytePanels {
    /// Of `matrix`, rows of `width` one after the other.
    ///
    /// # Panics
    /// If `matrix` is not whole rows, or `width` is 0.
    pub fn new(matrix: &[i8], width: usize) -> Self {
        assert!(width > 0 && matrix.len().is_multiple_of(width), "rows are whole");
        let rows = matrix.len() / width;
        let groups = width.div_ceil(GROUP);
        let mut lines = vec![Line([[128; GROUP]; PANEL]); rows.div_ceil(PANEL) * groups];
        for (at, row) in matrix.chunks_exact(width).enumerate() {
            let panel = &mut lines[at / PANEL * groups..][..groups];
            for (line, values) in panel.iter_mut().zip(row.chunks(GROUP)) {
                for (byte, value) in line.0[at % PANEL].iter_mut().zip(values) {
                    *byte = value.cast_unsigned() ^ 128;
                }
            }
        }
        Self { width, rows, lines }
    }

    /// Leaves in `out` the inner product of `query` and each row, modulo 2^32: exact up to 131,071 values.
    ///
    /// # Panics
    /// If the query is not as wide as a row.
    pub fn dot(&self, query: &[i8], out: &mut Vec<i32>) {
        assert_eq!(query.len(), self.width, "the query is as wide as a row");
        self.dot_by(kernels().dot_panels, query, out);
    }

    /// [`BytePanels::dot`] by a kernel of this machine.
    pub(super) fn dot_by(&self, kernel: DotPanels, query: &[i8], out: &mut Vec<i32>) {
        out.resize(self.rows.next_multiple_of(PANEL), 0);
        let (groups, rest) = query.as_chunks::<GROUP>();
        let padded: Vec<[i8; GROUP]>;
        let query = if rest.is_empty() {
            groups
        } else {
            let mut last = [0; GROUP];
            last[..rest.len()].copy_from_slice(rest);
            padded = groups.iter().copied().chain([last]).collect();
            &padded
        };
        // SAFETY: there are as many panels as places for their products, each as long as the query.
        unsafe { kernel(query, &self.lines, out.as_chunks_mut().0) }
        out.truncate(self.rows);
    }
}
