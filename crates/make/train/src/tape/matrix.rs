//! Dense matrices and their products.

use std::cell::RefCell;

use kokeshi_kernels::{Factor, Level, MatmulScratch, Store, matmul};

thread_local! {
    static SCRATCH: RefCell<MatmulScratch> = RefCell::default();
}

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

    /// Its size and values, read a way.
    fn factor(&self, way: Way) -> ([usize; 2], Factor<'_>) {
        match way {
            Way::Plain => ([self.rows, self.cols], Factor::plain(&self.data, self.cols)),
            Way::Transposed => ([self.cols, self.rows], Factor::transposed(&self.data, self.cols)),
        }
    }

    /// `left * right`, each read its way.
    ///
    /// # Panics
    /// If the inner sizes differ.
    pub fn product(left: &Self, left_way: Way, right: &Self, right_way: Way) -> Self {
        let rows = left.factor(left_way).0[0];
        let cols = right.factor(right_way).0[1];
        let mut out = Self::zeros(rows, cols);
        out.add_product(left, left_way, right, right_way);
        out
    }

    /// `self += left * right`, each read its way.
    ///
    /// # Panics
    /// If the shapes don't fit.
    pub fn add_product(&mut self, left: &Self, left_way: Way, right: &Self, right_way: Way) {
        let ([rows, inner], left) = left.factor(left_way);
        let ([height, cols], right) = right.factor(right_way);
        assert!(
            inner == height && (self.rows, self.cols) == (rows, cols),
            "the product fits"
        );
        multiply([rows, inner, cols], left, right, Store::Add, &mut self.data, cols);
    }
}

/// The kernels' product with this thread's scratch memory; rows of `out` are `stride` apart.
pub(super) fn multiply(
    shape: [usize; 3],
    left: Factor<'_>,
    right: Factor<'_>,
    store: Store,
    out: &mut [f32],
    stride: usize,
) {
    SCRATCH.with_borrow_mut(|scratch| {
        matmul(Level::best(), shape, left, right, store, out, stride, scratch);
    });
}
