//! Texts in chunks: what one thread takes through all layers at a time.

/// Tokens of a chunk while a block's weights fit into the second-level cache beside the chunk's values.
const FEW: usize = 256;
/// Tokens of a chunk otherwise: the weights come from farther away, once a chunk. Measured with `examples/encode_worker.rs` on AMX, 256 to 1,024
/// tokens: 1.03 to 1.25 times as fast as [`FEW`] at all widths and precisions but int8 at 384 dimensions, where it is up to 8 % slower.
const MANY: usize = 512;
/// Bytes of a block's weights up to which [`FEW`] are better.
const NEAR: usize = 2 << 20;
/// The fewest tokens a chunk is cut down to so that all threads have work.
const LEAST: usize = 64;

/// Cuts `texts`, sorted by length, into chunks for `threads` threads, about equally long, for blocks of so many bytes of weights. `tokens` counts
/// a text's.
pub(crate) fn chunks<T>(
    mut texts: &[T],
    tokens: impl Fn(&T) -> usize,
    block_bytes: usize,
    threads: usize,
) -> Vec<&[T]> {
    let total: usize = texts.iter().map(&tokens).sum();
    let most = if block_bytes <= NEAR { FEW } else { MANY };
    let turns = total.div_ceil(threads.max(1) * most).max(1);
    let target = total.div_ceil(threads.max(1) * turns).max(LEAST);
    let mut chunks = Vec::new();
    while !texts.is_empty() {
        let mut sum = 0;
        let fitting = texts.iter().take_while(|text| {
            sum += tokens(text);
            sum <= target
        });
        let (chunk, rest) = texts.split_at(fitting.count().max(1));
        chunks.push(chunk);
        texts = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the chunks of texts of these lengths are.
    fn sums(lengths: &[usize], block_bytes: usize, threads: usize) -> Vec<usize> {
        let chunks = chunks(lengths, |length| *length, block_bytes, threads);
        assert_eq!(chunks.concat(), lengths);
        chunks.iter().map(|chunk| chunk.iter().sum()).collect()
    }

    #[test]
    fn fill_chunks_and_give_every_thread_some() {
        assert_eq!(sums(&[32; 32], NEAR, 1), [256; 4]);
        assert_eq!(sums(&[32; 32], NEAR + 1, 1), [512; 2]);
        assert_eq!(sums(&[32; 32], NEAR + 1, 3), [320, 320, 320, 64]);
        assert_eq!(sums(&[20; 36], NEAR + 1, 2), [360; 2]);
        assert_eq!(sums(&[32; 4], NEAR, 8), [64; 2]);
    }

    #[test]
    fn leave_long_texts_whole() {
        assert_eq!(sums(&[900, 300, 200, 200], NEAR + 1, 1), [900, 300, 400]);
        assert!(sums(&[], NEAR, 2).is_empty());
        assert_eq!(sums(&[0, 0], NEAR, 2), [0]);
    }
}
