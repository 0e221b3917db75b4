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

/// Two to the power of `x` on [0, 1], largest power first: the least largest relative error, 7.5e-8.
const EXP2: [f32; 6] = [
    1.877_576_7e-3,
    8.989_341e-3,
    5.582_631_8e-2,
    2.401_536_1e-1,
    6.931_531e-1,
    9.999_999_4e-1,
];

/// Two to the power of `x` for `x < 127`; below -126 it is about 1e-38 or 0. Relative error below 2.5e-7.
#[inline(always)]
pub(crate) unsafe fn exp2<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe { S::times_exp2(polynomial::<S, 6>(S::fraction(x), EXP2), x) }
}

/// Two to the power of `x` on [0, 1], fitted as [`EXP2`] with fewer terms.
const EXP2_ROUGH: [f32; 4] = [7.802_452e-2, 2.260_671_7e-1, 6.958_335e-1, 9.999_252e-1];

/// Two to the power of `x`, relative error below 1.1e-4, which is less than a byte can show.
#[inline(always)]
pub(crate) unsafe fn exp2_rough<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe { S::times_exp2(polynomial::<S, 4>(S::fraction(x), EXP2_ROUGH), x) }
}

/// From here on, [`gelu`] takes the normal distribution as 1, and as 0 on the other side: it is within 4e-8 of that.
const GELU_END: f32 = 5.4;
/// `(Phi(x) - 0.5) / x` as a quotient of polynomials of `x^2`, largest power first: a least-squares fit on [-5.4, 5.4] with weights raised
/// where the error of `x * Phi(x)` was largest, until it was 2e-8 everywhere.
const GELU_ABOVE: [f32; 6] = [
    2.280_338e-8,
    6.465_174e-6,
    1.747_315_4e-4,
    4.713_496_7e-3,
    3.435_594e-2,
    3.989_421_4e-1,
];
const GELU_BELOW: [f32; 6] = [
    1.207_489_8e-6,
    7.593_101e-5,
    1.917_214_2e-3,
    2.894_819e-2,
    2.527_824_6e-1,
    1.0,
];

/// A polynomial, its terms from the largest power on.
#[inline(always)]
pub(crate) unsafe fn polynomial<S: Simd, const TERMS: usize>(x: S::V, terms: [f32; TERMS]) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let mut sum = S::splat(terms[0]);
        for term in terms.into_iter().skip(1) {
            sum = S::fma(sum, x, S::splat(term));
        }
        sum
    }
}

/// `x * Phi(x)`, absolute error below 3e-7 times `1 + |x|`.
#[inline(always)]
unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        // Not below the end, so that what rounding leaves of Phi there isn't multiplied by a large number.
        let x = S::max(x, S::splat(-GELU_END));
        S::mul(x, normal::<S>(x))
    }
}

/// The normal distribution function `Phi(x)`; beyond [`GELU_END`] on either side as it is there.
#[inline(always)]
unsafe fn normal<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let inside = S::max(S::min(x, S::splat(GELU_END)), S::splat(-GELU_END));
        let square = S::mul(inside, inside);
        let slope = S::div(
            polynomial::<S, 6>(square, GELU_ABOVE),
            polynomial::<S, 6>(square, GELU_BELOW),
        );
        S::fma(inside, slope, S::splat(0.5))
    }
}

/// `(Phi(x) - 0.5) / x` as a polynomial of `x^2` on [-4, 4], fitted likewise.
const GELU_ROUGH: [f32; 7] = [
    2.323_150_4e-8,
    -1.624_667_8e-6,
    4.855_287e-5,
    -8.208_674e-4,
    8.813_198e-3,
    -6.468_991e-2,
    3.980_042_6e-1,
];

/// `x * Phi(x)`, absolute error below 2.5e-4: a hundredth of the step that values are quantised to after it.
#[inline(always)]
pub(crate) unsafe fn gelu_rough<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe {
        let x = S::max(x, S::splat(-4.0));
        let inside = S::min(x, S::splat(4.0));
        let slope = polynomial::<S, 7>(S::mul(inside, inside), GELU_ROUGH);
        S::mul(x, S::fma(inside, slope, S::splat(0.5)))
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

    /// Its derivative.
    #[inline(always)]
    pub(crate) unsafe fn slope<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe {
            let one = S::splat(1.0);
            match self {
                Self::Identity => one,
                Self::Gelu => {
                    let density = exp::<S>(S::mul(S::mul(x, x), S::splat(-0.5)));
                    S::fma(S::mul(x, density), S::splat(0.398_942_3), normal::<S>(x))
                }
                Self::GeluTanh => {
                    // x s(2 inner): s + x * 2 inner' * s (1 - s).
                    let square = S::mul(x, x);
                    let inner = S::mul(
                        S::splat(1.595_769),
                        S::mul(x, S::fma(square, S::splat(0.044_715), one)),
                    );
                    let rise = S::mul(S::splat(1.595_769), S::fma(square, S::splat(0.134_145), one));
                    let share = sigmoid::<S>(inner);
                    let bend = S::mul(share, S::sub(one, share));
                    S::fma(S::mul(x, rise), bend, share)
                }
                // The smallest numbers above 0 count in part, all others whole.
                Self::Relu => S::min(S::max(S::mul(x, S::splat(f32::MAX)), S::splat(0.0)), one),
                Self::Silu => {
                    let share = sigmoid::<S>(x);
                    S::fma(S::mul(x, share), S::sub(one, share), share)
                }
                Self::Tanh => {
                    let value = tanh::<S>(x);
                    S::sub(one, S::mul(value, value))
                }
                Self::Sigmoid => {
                    let share = sigmoid::<S>(x);
                    S::mul(share, S::sub(one, share))
                }
            }
        }
    }

    /// Applies it to a vector.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe {
            match self {
                Self::Identity => x,
                Self::Gelu => gelu::<S>(x),
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
