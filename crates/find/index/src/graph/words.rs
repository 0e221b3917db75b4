//! Numbers of rows, in memory or in a mapped file: who is whose neighbour, which rows lie together.

use std::sync::Arc;

use kokeshi_core::file::Mapped;

/// Marks an unused place; the used ones come first.
pub(crate) const NONE: u32 = u32::MAX;

/// Row numbers: of a graph, `[nodes, degree]`.
#[derive(Clone)]
pub(crate) enum Words {
    Owned(Vec<u32>),
    /// The u32 values in `length` bytes from byte `start`, aligned to 4 by [`Words::mapped`].
    Mapped {
        file: Arc<Mapped>,
        start: usize,
        length: usize,
    },
}

impl Words {
    /// A view of the values in `length` bytes from byte `start`; `None` if they can't be read in place.
    pub fn mapped(file: Arc<Mapped>, start: usize, length: usize) -> Option<Self> {
        let bytes = file.get(start..)?.get(..length)?;
        let aligned = bytes.as_ptr().cast::<u32>().is_aligned() && length.is_multiple_of(4);
        (aligned && cfg!(target_endian = "little")).then_some(Self::Mapped { file, start, length })
    }

    /// All of them.
    pub fn values(&self) -> &[u32] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped { file, start, length } => {
                let bytes = &file[*start..][..*length];
                // SAFETY: `mapped` checked alignment and length; every bit pattern is a u32; the map lives as long as self.
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u32>(), bytes.len() / 4) }
            }
        }
    }
}

/// The used places of one node.
#[inline]
pub(crate) fn used(places: &[u32]) -> &[u32] {
    let count = places.iter().position(|&id| id == NONE).unwrap_or(places.len());
    &places[..count]
}
