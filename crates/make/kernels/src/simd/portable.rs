//! Vectors of eight values in plain Rust; compilers turn them into SSE2 or NEON.

use super::Simd;

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 8];

#[inline(always)]
fn both(a: V, b: V, apply: impl Fn(f32, f32) -> f32) -> V {
    let mut out = a;
    for (value, other) in out.iter_mut().zip(b) {
        *value = apply(*value, other);
    }
    out
}

impl Simd for Portable {
    type V = V;
    const W: usize = 8;
    const TILE_ROWS: usize = 3;

    #[inline(always)]
    unsafe fn splat(value: f32) -> V {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> V {
        // SAFETY: the caller promises eight values; f32 arrays need f32's alignment, which `read_unaligned` waives.
        unsafe { from.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> V {
        let mut out = [0.0; 8];
        // SAFETY: the caller promises `count <= 8` values.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), count) };
        out
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: V) {
        // SAFETY: the caller promises room for eight values.
        unsafe { to.cast::<V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: V, count: usize) {
        // SAFETY: the caller promises room for `count <= 8` values.
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), to, count) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: V) {
        // SAFETY: the trait's promises hold; `round` needs none.
        unsafe {
            to.cast::<[u8; 8]>()
                .write(Self::round(v).map(|value| value as u8))
        }
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        both(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        both(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        both(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        both(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        both(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        both(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        let mut out = c;
        for i in 0..8 {
            // Without the instruction `mul_add` is a slow library call.
            out[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        out
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        // Adding and taking away 1.5 * 2^23 leaves no room for a fraction; `f32::round` is a library call without SSE4.1.
        const BIG: f32 = 12_582_912.0;
        both(a, a, |a, _| (a + BIG) - BIG)
    }
    #[inline(always)]
    unsafe fn exp2(whole: V) -> V {
        both(whole, whole, |whole, _| {
            f32::from_bits(((whole as i32 + 127) as u32) << 23)
        })
    }
    #[inline(always)]
    unsafe fn fraction(x: V) -> V {
        x.map(|x| {
            let x = x.max(-126.0);
            x - x.floor()
        })
    }
    #[inline(always)]
    unsafe fn times_exp2(a: V, x: V) -> V {
        // SAFETY: the trait's promises hold.
        both(
            a,
            unsafe { Self::exp2(x.map(|x| x.max(-126.0).floor())) },
            |a, power| a * power,
        )
    }
    #[inline(always)]
    unsafe fn sum(a: V) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    unsafe fn largest(a: V) -> f32 {
        a.iter().fold(f32::NEG_INFINITY, |most, value| most.max(*value))
    }
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        count: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: the caller promises the rows and room for their columns.
        unsafe {
            let mut loaded = [[0.0; 8]; 8];
            for (row, loaded) in loaded.iter_mut().enumerate().take(rows) {
                *loaded = Self::load_part(from.add(row * from_stride), count);
            }
            for column in 0..8 {
                Self::store(to.add(column * to_stride), loaded.map(|row| row[column]));
            }
        }
    }
}
