//! Activation functions, as scalars and as vectors.

use crate::simd::Simd;

/// What is applied to every value after a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `x * Phi(x)` with the error function (Gaussian Error Linear Units, arXiv 1606.08415); absolute error below 3e-7 times `1 + |x|`.
    Gelu,
    /// GELU by its tanh approximation (ibid., section 2).
    GeluTanh,
    /// `max(x, 0)`
    Relu,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// e to the power of `x` for `x <= 88`; below -87 it is about 1e-38 instead of less. Relative error below 2e-7 (Cephes' `expf`).
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let x = S::max(x, S::splat(-87.0));
        let whole = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, so that the product with the first is exact.
        let rest = S::fma(whole, S::splat(-0.693_359_4), x);
        let rest = S::fma(whole, S::splat(2.121_944_4e-4), rest);
        let mut series = S::splat(1.987_569_1e-4);
        for term in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            series = S::fma(series, rest, S::splat(term));
        }
        let power = S::add(S::fma(series, S::mul(rest, rest), rest), S::splat(1.0));
        S::mul(power, S::exp2(whole))
    }
}

/// `1 - erf(z)` for `z >= 0`, absolute error below 1.5e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
unsafe fn erfc<S: Simd>(z: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let t = S::div(S::splat(1.0), S::fma(z, S::splat(0.327_591_1), S::splat(1.0)));
        let mut series = S::splat(1.061_405_4);
        for term in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
            series = S::fma(series, t, S::splat(term));
        }
        S::mul(S::mul(series, t), exp::<S>(S::sub(S::splat(0.0), S::mul(z, z))))
    }
}

/// The logistic function.
#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let one = S::splat(1.0);
        let minus = S::max(S::splat(-87.0), S::min(S::splat(87.0), S::sub(S::splat(0.0), x)));
        S::div(one, S::add(one, exp::<S>(minus)))
    }
}

/// The hyperbolic tangent, `2 sigmoid(2x) - 1`.
#[inline(always)]
unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe { S::fma(S::splat(2.0), sigmoid::<S>(S::add(x, x)), S::splat(-1.0)) }
}

impl Activation {
    /// Applies it to every value of a row.
    #[inline(always)]
    pub(crate) unsafe fn map<S: Simd>(self, row: &mut [f32]) {
        // SAFETY: the caller promises what `Simd` asks; every load and store is inside the row.
        unsafe {
            match self {
                Self::Identity => {}
                Self::Gelu => each::<S>(row, Self::Gelu),
                Self::GeluTanh => each::<S>(row, Self::GeluTanh),
                Self::Relu => each::<S>(row, Self::Relu),
                Self::Silu => each::<S>(row, Self::Silu),
                Self::Tanh => each::<S>(row, Self::Tanh),
                Self::Sigmoid => each::<S>(row, Self::Sigmoid),
            }
        }
    }

    /// Applies it to a vector.
    #[inline(always)]
    unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe {
            match self {
                Self::Identity => x,
                Self::Gelu => {
                    let size = S::max(x, S::sub(S::splat(0.0), x));
                    let tail = S::mul(
                        S::splat(0.5),
                        erfc::<S>(S::mul(size, S::splat(std::f32::consts::FRAC_1_SQRT_2))),
                    );
                    S::mul(x, S::by_sign(x, tail, S::sub(S::splat(1.0), tail)))
                }
                Self::GeluTanh => {
                    let cube = S::mul(S::mul(x, x), x);
                    let inner = S::mul(S::splat(0.797_884_6), S::fma(cube, S::splat(0.044_715), x));
                    S::mul(x, sigmoid::<S>(S::add(inner, inner)))
                }
                Self::Relu => S::max(x, S::splat(0.0)),
                Self::Silu => S::mul(x, sigmoid::<S>(x)),
                Self::Tanh => tanh::<S>(x),
                Self::Sigmoid => sigmoid::<S>(x),
            }
        }
    }
}

/// Applies an activation to every value of a row; inlined where the activation is a constant, so that nothing is decided inside the loop.
#[inline(always)]
unsafe fn each<S: Simd>(row: &mut [f32], function: Activation) {
    let mut column = 0;
    while column < row.len() {
        let count = (row.len() - column).min(S::W);
        let at = row[column..].as_mut_ptr();
        // SAFETY: `count` values are left at `at`.
        unsafe {
            if count == S::W {
                S::store(at, function.apply::<S>(S::load(at)));
            } else {
                S::store_part(at, function.apply::<S>(S::load_part(at, count)), count);
            }
        }
        column += S::W;
    }
}
