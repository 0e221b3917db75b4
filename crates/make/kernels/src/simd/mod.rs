//! The vector operations that kernels are written in, and the instruction sets that have them.

pub(crate) mod codes;
pub(crate) mod int8;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// An instruction set that this processor has: only [`Level::best`] and [`Level::available`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub(crate) Set);

/// The instruction sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// AVX-512 with VNNI and bf16; and AMX for products.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// AVX-512 with VNNI and bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// AVX-512 F, BW, DQ and VL: 16 values at once; and VNNI for bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AVX-512 without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA: 8 values at once; and AVX-VNNI for bytes.
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    /// AVX2 and FMA without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON: 8 values in two registers; and products of bytes with signs and without (FEAT_I8MM).
    #[cfg(target_arch = "aarch64")]
    NeonMixedDot,
    /// NEON with products of signed bytes (FEAT_DotProd).
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// NEON without either.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Plain Rust that every compiler target has.
    Portable,
}

impl Level {
    /// The widest that this processor has.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Whether it multiplies bf16 values, which layers at [`crate::Precision::Bf16`] make use of.
    pub fn has_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if matches!(self.0, Set::Amx | Set::Avx512Bf16) {
            return true;
        }
        false
    }

    /// Whether it multiplies tiles (AMX): layers at f32, too, are made of bf16 products there, and attention at bf16 and int8.
    pub fn has_tiles(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Set::Amx {
            return true;
        }
        false
    }

    /// All that this processor has, widest first; the last is plain Rust.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let fma = has!("avx2") && has!("fma");
            if fma && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                if has!("avx512vnni") {
                    if crate::tiles::available() {
                        levels.push(Self(Set::Amx));
                    }
                    if has!("avx512bf16") {
                        levels.push(Self(Set::Avx512Bf16));
                    }
                    levels.push(Self(Set::Avx512Vnni));
                }
                levels.push(Self(Set::Avx512));
            }
            if fma && has!("avxvnni") {
                levels.push(Self(Set::Avx2Vnni));
            }
            if fma {
                levels.push(Self(Set::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            if has!("i8mm") {
                levels.push(Self(Set::NeonMixedDot));
            }
            if has!("dotprod") {
                levels.push(Self(Set::NeonDot));
            }
            levels.push(Self(Set::Neon));
        }
        levels.push(Self(Set::Portable));
        levels
    }
}

/// Vectors of `W` f32 values and what can be done with them.
///
/// # Safety
/// Every function may only be called, inlined, from a function compiled for the instruction set in question, on a processor that has it.
/// `load` and `store` need `W` (the `_part` forms: `count`) valid values at the address; no alignment is needed.
pub(crate) trait Simd: Copy {
    /// `W` values.
    type V: Copy;
    /// How many values a vector holds.
    const W: usize;
    /// How many rows of a product fit its registers at once.
    const TILE_ROWS: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    /// The first `count` values, then zeros; `count <= W`.
    unsafe fn load_part(from: *const f32, count: usize) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn store_part(to: *mut f32, v: Self::V, count: usize);
    /// Rounds to whole numbers, ties to even, and stores them as bytes; what is below 0 becomes 0, what is above 255 becomes 255.
    unsafe fn store_bytes(to: *mut u8, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// To the nearest whole number.
    unsafe fn round(a: Self::V) -> Self::V;
    /// Two to the power of a whole number from -126 to 127.
    unsafe fn exp2(whole: Self::V) -> Self::V;
    /// `x - floor(x)` for `x >= -126`, and something from 0 to 1 below.
    unsafe fn fraction(x: Self::V) -> Self::V;
    /// `a` times two to the power of `floor(x)`, for `a` from 1 to 2 and `x < 127`; below -126 it is less than 3e-38.
    unsafe fn times_exp2(a: Self::V, x: Self::V) -> Self::V;
    unsafe fn sum(a: Self::V) -> f32;
    unsafe fn largest(a: Self::V) -> f32;
    /// Makes rows columns: `W` rows of which the first `rows` are there, `from_stride` apart, each of `count <= W` values; the others count as
    /// zeros. Writes `W` rows of `W` values, `to_stride` apart.
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        count: usize,
        to: *mut f32,
        to_stride: usize,
    );
}

/// Calls `$name::<S>($arg...)` compiled for the instruction set `$level`, which this processor must have.
macro_rules! at_level {
    ($level:expr, $name:ident($($arg:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512($($arg: $kind),*) {
            // SAFETY: this function is compiled for the instruction set; the rest is the caller's promise.
            unsafe { $name::<$crate::simd::x86::Avx512>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::x86::Avx2>($($arg),*) }
        }
        match $level.0 {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Amx
            | $crate::simd::Set::Avx512Bf16
            | $crate::simd::Set::Avx512Vnni
            | $crate::simd::Set::Avx512 => avx512($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Avx2Vnni | $crate::simd::Set::Avx2 => avx2($($arg),*),
            // The compiler target has NEON.
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Set::NeonMixedDot | $crate::simd::Set::NeonDot | $crate::simd::Set::Neon => {
                $name::<$crate::simd::neon::Neon>($($arg),*)
            }
            $crate::simd::Set::Portable => $name::<$crate::simd::portable::Portable>($($arg),*),
        }
    }};
}
pub(crate) use at_level;

/// Calls `$name::<D>($arg...)`, `D` a [`int8::Dot`], compiled for the instruction set `$level`, which this processor must have.
macro_rules! at_level_int8 {
    ($level:expr, $name:ident($($arg:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        unsafe fn avx512_vnni($($arg: $kind),*) {
            // SAFETY: this function is compiled for the instruction set; the rest is the caller's promise.
            unsafe { $name::<$crate::simd::int8::Vnni512>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::int8::Wide512>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,avxvnni")]
        unsafe fn avx2_vnni($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::int8::AvxVnni>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::int8::Wide256>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "i8mm")]
        unsafe fn neon_mixed_dot($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::neon::MixedDot>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "dotprod")]
        unsafe fn neon_dot($($arg: $kind),*) {
            // SAFETY: as above.
            unsafe { $name::<$crate::simd::neon::DotProd>($($arg),*) }
        }
        match $level.0 {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Amx | $crate::simd::Set::Avx512Bf16 | $crate::simd::Set::Avx512Vnni => {
                avx512_vnni($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Avx512 => avx512($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Avx2Vnni => avx2_vnni($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Set::Avx2 => avx2($($arg),*),
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Set::NeonMixedDot => neon_mixed_dot($($arg),*),
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Set::NeonDot => neon_dot($($arg),*),
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Set::Neon => $name::<$crate::simd::portable::Portable>($($arg),*),
            $crate::simd::Set::Portable => $name::<$crate::simd::portable::Portable>($($arg),*),
        }
    }};
}
pub(crate) use at_level_int8;
