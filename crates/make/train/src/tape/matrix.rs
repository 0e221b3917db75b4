//! Dense matrices and their products.

use gemm::Parallelism;

/// Row-major f32 values: `[rows, cols]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Values in a row.
    pub cols: usize,
    /// `[rows, cols]`
    pub data: Vec<f32>,
}

/// Which way a factor of a product is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Plain,
    /// Rows as columns.
    Transposed,
}

impl Matrix {
    /// Zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self::new(rows, cols, vec![0.0; rows * cols])
    }

    /// From values, row after row.
    ///
    /// # Panics
    /// If there are not `rows * cols` of them.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), rows * cols, "values are [rows, cols]");
        Self { rows, cols, data }
    }

    /// One value.
    pub fn scalar(value: f32) -> Self {
        Self::new(1, 1, vec![value])
    }

    /// A row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..][..self.cols]
    }

    /// A row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..][..self.cols]
    }

    /// Adds another of the same shape.
    ///
    /// # Panics
    /// If it has another shape.
    pub fn add(&mut self, other: &Self) {
        assert_eq!((self.rows, self.cols), (other.rows, other.cols), "same shape");
        for (sum, value) in self.data.iter_mut().zip(&other.data) {
            *sum += value;
        }
    }

    /// Every value times a factor.
    pub fn scaled(mut self, factor: f32) -> Self {
        self.data.iter_mut().for_each(|value| *value *= factor);
        self
    }

    fn view(&self, way: Way) -> View<'_> {
        let (rows, cols) = (self.rows, self.cols);
        let whole = View {
            data: &self.data,
            rows,
            cols,
            stride: cols,
            transposed: false,
        };
        match way {
            Way::Plain => whole,
            Way::Transposed => whole.transposed(),
        }
    }

    /// `left * right`, each read its way.
    ///
    /// # Panics
    /// If the inner sizes differ.
    pub fn product(left: &Self, left_way: Way, right: &Self, right_way: Way) -> Self {
        let rows = left.view(left_way).shape().0;
        let cols = right.view(right_way).shape().1;
        let mut out = Self::zeros(rows, cols);
        out.add_product(left, left_way, right, right_way);
        out
    }

    /// `self += left * right`, each read its way.
    ///
    /// # Panics
    /// If the shapes don't fit.
    pub fn add_product(&mut self, left: &Self, left_way: Way, right: &Self, right_way: Way) {
        let (rows, cols) = (self.rows, self.cols);
        let (left, right) = (left.view(left_way), right.view(right_way));
        assert_eq!(
            (rows, cols),
            (left.shape().0, right.shape().1),
            "the product fits"
        );
        add_product(&mut self.data, cols, 1.0, left, right);
    }

    /// Part of it: `cols` columns from `first` on, of `rows` rows from `start` on.
    pub(super) fn part(&self, start: usize, rows: usize, first: usize, cols: usize) -> View<'_> {
        View {
            data: &self.data[start * self.cols + first..],
            rows,
            cols,
            stride: self.cols,
            transposed: false,
        }
    }
}

/// A matrix inside another one.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    /// From one row to the next.
    stride: usize,
    transposed: bool,
}

impl View<'_> {
    /// Its rows as columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    fn shape(&self) -> (usize, usize) {
        match self.transposed {
            false => (self.rows, self.cols),
            true => (self.cols, self.rows),
        }
    }

    /// The steps from one row to the next and from one column to the next.
    fn steps(&self) -> (isize, isize) {
        match self.transposed {
            false => (self.stride as isize, 1),
            true => (1, self.stride as isize),
        }
    }
}

/// `out += factor * left * right`; rows of `out` are `stride` apart.
pub(super) fn add_product(out: &mut [f32], stride: usize, factor: f32, left: View<'_>, right: View<'_>) {
    let ((rows, inner), (height, cols)) = (left.shape(), right.shape());
    assert_eq!(inner, height, "inner sizes are equal");
    if rows == 0 || cols == 0 || inner == 0 {
        return;
    }
    assert!(
        out.len() >= (rows - 1) * stride + cols && stride >= cols,
        "room for the product"
    );
    for view in [&left, &right] {
        assert!(
            view.data.len() >= (view.rows - 1) * view.stride + view.cols && view.stride >= view.cols,
            "factors are inside their values"
        );
    }
    let ((left_row, left_column), (right_row, right_column)) = (left.steps(), right.steps());
    // SAFETY: the last value of each view is inside its slice, as checked above; the output is borrowed exclusively.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            stride as isize,
            true,
            left.data.as_ptr(),
            left_column,
            left_row,
            right.data.as_ptr(),
            right_column,
            right_row,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
