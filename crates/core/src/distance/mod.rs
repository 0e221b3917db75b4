//! Distance kernels: dot product, squared L2, cosine and Hamming over f32, f16, i8 and bits.
//!
//! [`scalar`] is the definition; faster paths are chosen at run time and tested against it.

pub mod scalar;

/// The inner product of two vectors of equal length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    scalar::dot(a, b)
}

/// The squared Euclidean distance of two vectors of equal length.
pub fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    scalar::l2_squared(a, b)
}

/// The cosine of the angle between two vectors; 0 if either has no length.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    scalar::cosine(a, b)
}

/// The inner product of two i8 vectors.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    scalar::dot_i8(a, b)
}

/// The number of differing bits.
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    scalar::hamming(a, b)
}

/// Scales a vector to unit L2 length; one shorter than 1e-12 is left as it is.
pub fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    if norm > 1e-12 {
        for value in vector {
            *value /= norm;
        }
    }
}
