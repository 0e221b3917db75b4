//! Numbers that start on a cache line, so that no vector load of packed weights crosses one.

use std::marker::PhantomData;

/// What the processor fetches at once, in bytes.
const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Numbers that every pattern of bits is one of, zero bits being zero.
///
/// # Safety
/// Implemented for plain numbers only, no bigger than 64 bytes and of a size that divides it.
pub unsafe trait Plain: Copy {}

// SAFETY: every pattern of bits is a number of these types; their sizes are 1, 2 and 4 bytes.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for i8 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}

/// A growable run of numbers aligned to 64 bytes.
#[derive(Clone)]
pub struct Buffer<T: Plain = f32> {
    lines: Vec<Line>,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Plain> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            len: 0,
            kind: PhantomData,
        }
    }
}

impl<T: Plain> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Makes it `len` long; values that are added are zeros or what stood there before it was made shorter. Never gives memory back.
    pub fn resize(&mut self, len: usize) {
        let lines = (len * size_of::<T>()).div_ceil(LINE);
        self.lines.resize(lines.max(self.lines.len()), Line([0; LINE]));
        self.len = len;
    }
}

impl<T: Plain> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Self::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `Line` is `repr(C)` around 64 bytes and 64 bytes big, so lines lie end to end without padding; `len` numbers fit them,
        // every pattern of bits is a number (`Plain`), and lines are aligned for all of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the borrow of self is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
