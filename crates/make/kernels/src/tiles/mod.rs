//! AMX: eight registers of 16 rows of 64 bytes ("tiles"), and instructions that multiply two of them onto a third.
//!
//! | file | what it computes |
//! |---|---|
//! | [`split`] | f32 values as sums of bf16 values |
//! | [`multiply`] | blocks of sums |
//! | [`linear`] | the products behind [`crate::Linear`] |
//! | [`matmul`] | products of two matrices that change |
//! | [`attention`] | attention |
//!
//! A tile instruction sums products of bytes exactly (`tdpbusd`), and products of bf16 values in f32 (`tdpbf16ps`). An f32 value is the sum of
//! three bf16 values, and a product of two such sums is six bf16 products and what is smaller than f32's rounding (Leveraging the bfloat16
//! Artificial Intelligence Datatype For Higher-Precision Computations, arXiv 1904.06376): as exact as f32 multiply-adds and faster. Where one
//! of the factors is a bf16 value itself, as weights of many models are, it is three.
//!
//! The compiler has no stable intrinsics for tiles, so they are written in assembly. It never uses tile registers itself, so that what one
//! block of assembly leaves in them is there for the next.

pub(crate) mod attention;
pub(crate) mod linear;
pub(crate) mod matmul;
pub(crate) mod multiply;
pub(crate) mod split;

use std::arch::asm;
use std::sync::OnceLock;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Rows and columns of a block of sums: two tiles each way.
pub(crate) const BLOCK: usize = 2 * ROWS;
/// Inputs of bf16 that one tile takes in.
pub(crate) const BF16_STEP: usize = 32;
/// Bytes of a tile's row.
pub(crate) const ROW_BYTES: usize = 64;
/// Bytes of a tile.
pub(crate) const BYTES: usize = ROWS * ROW_BYTES;

/// The state of tile registers, as the kernel numbers what a program asks leave for.
#[cfg(target_os = "linux")]
const TILE_DATA: usize = 18;

/// Whether this processor multiplies tiles of bytes and of bf16, converts to bf16 by vectors, and the system lets this program do so.
/// Everything else that [`crate::Level`] asks of AVX-512 with VNNI comes on top.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let has = std::arch::x86_64::__cpuid(0).eax >= 7 && {
            let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
            // amx-bf16, amx-tile, amx-int8
            [22, 24, 25].iter().all(|bit| features >> bit & 1 == 1)
        };
        has && std::arch::is_x86_feature_detected!("avx512bf16") && permitted()
    })
}

/// Asks the system for leave to use tiles, for all threads of this process.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    // SAFETY: the call takes two numbers, changes nothing but what this process may use, and fails on systems that don't know it.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// How wide and high each tile is.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE: Shape = Shape {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// This thread's tiles, all of 16 rows of 64 bytes while it lives.
pub(crate) struct Tiles(());

impl Tiles {
    /// # Safety
    /// Tiles are [`available`].
    #[inline(always)]
    pub(crate) unsafe fn configure() -> Self {
        // SAFETY: the caller promises that the instruction is there; the shape is one that every AMX processor takes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `configure` ran on this thread.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
