//! Lloyd's k-means for the parts of product quantisation: narrow vectors, at most 256 centroids, no threads (parts run side by side).

use kokeshi_core::{Metric, Seed};

/// Centroids as assignment and tables read them.
#[derive(Debug, Clone)]
pub(crate) struct Centroids {
    /// `[ceil(count / 16), width]` of 16: one dimension of 16 centroids lies together.
    columns: Vec<[f32; LANES]>,
    /// `[ceil(count / 16)]` of 16: half of the squared lengths; infinity where there is no centroid.
    halves: Vec<[f32; LANES]>,
}

/// Centroids that are compared at once.
const LANES: usize = 16;

impl Centroids {
    /// From `rows` (`[count, width]`).
    pub(crate) fn new(rows: &[f32], width: usize) -> Self {
        let count = rows.len() / width;
        let groups = count.div_ceil(LANES);
        let mut columns = vec![[0.0; LANES]; groups * width];
        let mut halves = vec![[f32::INFINITY; LANES]; groups];
        for (at, row) in rows.chunks_exact(width).enumerate() {
            let (group, lane) = (at / LANES, at % LANES);
            for (column, value) in columns[group * width..].iter_mut().zip(row) {
                column[lane] = *value;
            }
            halves[group][lane] = 0.5 * row.iter().map(|v| v * v).sum::<f32>();
        }
        Self { columns, halves }
    }

    /// The number of the centroid nearest to `point`; the first of equals. The order of additions, and so every bit, is the same whatever
    /// instructions there are.
    pub(crate) fn nearest(&self, point: &[f32]) -> usize {
        assert_eq!(self.columns.len(), self.halves.len() * point.len());
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                // SAFETY: the instructions are there; there are columns for every value of the point.
                return unsafe { x86::nearest_avx512(self, point) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return Self::first(unsafe { x86::best_avx2(self, point) });
            }
        }
        Self::first(self.best_plain(point))
    }

    /// For each lane the best score, and the first group that has it.
    fn best_plain(&self, point: &[f32]) -> Best {
        let mut best = ([f32::NEG_INFINITY; LANES], [0; LANES]);
        for (group, half) in self.halves.iter().enumerate() {
            let mut scores = half.map(|half| -half);
            for (value, column) in point.iter().zip(&self.columns[group * point.len()..]) {
                for (score, centre) in scores.iter_mut().zip(column) {
                    *score += value * centre;
                }
            }
            for (lane, score) in scores.into_iter().enumerate() {
                if score > best.0[lane] {
                    (best.0[lane], best.1[lane]) = (score, group as i32);
                }
            }
        }
        best
    }

    /// The centroid with the best score of all lanes, the first of equals.
    fn first((scores, groups): Best) -> usize {
        let most = scores
            .iter()
            .fold(f32::NEG_INFINITY, |most, &score| most.max(score));
        let equal = (0..LANES).filter(|&lane| scores[lane] == most);
        let numbers = equal.map(|lane| groups[lane] as usize * LANES + lane);
        numbers.min().unwrap_or(0)
    }

    /// The products of `point` with all centroids, or the negative squared distances; `point` may end before they do, where they are zero.
    pub(crate) fn scores(&self, point: &[f32], metric: Metric, out: &mut [f32]) {
        let width = self.columns.len() / self.halves.len().max(1);
        for (out, group) in out.chunks_mut(LANES).zip(self.columns.chunks_exact(width)) {
            let mut scores = [0.0; LANES];
            for (value, column) in point.iter().zip(group) {
                let pairs = scores.iter_mut().zip(column);
                match metric {
                    Metric::L2 => {
                        pairs.for_each(|(score, centre)| *score -= (value - centre) * (value - centre))
                    }
                    Metric::Cosine | Metric::Dot => {
                        pairs.for_each(|(score, centre)| *score += value * centre)
                    }
                }
            }
            out.copy_from_slice(&scores[..out.len()]);
        }
    }
}

/// The scores and groups of [`Centroids::best_plain`].
type Best = ([f32; LANES], [i32; LANES]);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Best, Centroids, LANES};

    /// Groups that are scored together, so that additions of one don't wait for those of another.
    const TOGETHER: usize = 4;

    /// # Safety
    /// The instructions are there, and columns for every value of the point.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn nearest_avx512(centroids: &Centroids, point: &[f32]) -> usize {
        let (mut best, mut groups) = (_mm512_set1_ps(f32::NEG_INFINITY), _mm512_setzero_si512());
        let mut take = |score: __m512, group: usize| {
            let better = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(score, best);
            best = _mm512_mask_mov_ps(best, better, score);
            groups = _mm512_mask_mov_epi32(groups, better, _mm512_set1_epi32(group as i32));
        };
        let zero = _mm512_set1_ps(-0.0);
        let half = |group: usize| {
            // SAFETY: a group has 16 values.
            let half = unsafe { _mm512_loadu_ps(centroids.halves[group].as_ptr()) };
            _mm512_sub_ps(zero, half)
        };
        let count = centroids.halves.len();
        let together = count / TOGETHER * TOGETHER;
        let columns = centroids.columns.as_ptr().cast::<f32>();
        let column = |group: usize, dim: usize| {
            // SAFETY: the caller promised the columns.
            unsafe { _mm512_loadu_ps(columns.add((group * point.len() + dim) * LANES)) }
        };
        for first in (0..together).step_by(TOGETHER) {
            let mut scores = [half(first), half(first + 1), half(first + 2), half(first + 3)];
            for (dim, value) in point.iter().enumerate() {
                let value = _mm512_set1_ps(*value);
                for (at, score) in scores.iter_mut().enumerate() {
                    // Not fused, as everywhere.
                    *score = _mm512_add_ps(*score, _mm512_mul_ps(value, column(first + at, dim)));
                }
            }
            for (at, score) in scores.into_iter().enumerate() {
                take(score, first + at);
            }
        }
        for group in together..count {
            let mut score = half(group);
            for (dim, value) in point.iter().enumerate() {
                score = _mm512_add_ps(score, _mm512_mul_ps(_mm512_set1_ps(*value), column(group, dim)));
            }
            take(score, group);
        }
        let most = _mm512_set1_ps(_mm512_reduce_max_ps(best));
        let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(best, most);
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let numbers = _mm512_add_epi32(_mm512_slli_epi32::<4>(groups), lanes);
        _mm512_mask_reduce_min_epu32(equal, numbers) as usize
    }

    /// # Safety
    /// The instructions are there, and columns for every value of the point.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn best_avx2(centroids: &Centroids, point: &[f32]) -> Best {
        let mut best = [_mm256_set1_ps(f32::NEG_INFINITY); 2];
        let mut groups = [_mm256_setzero_ps(); 2];
        let columns = centroids.columns.as_ptr().cast::<f32>();
        for (group, half) in centroids.halves.iter().enumerate() {
            // SAFETY: a group has 16 values, and the caller promised the columns.
            unsafe {
                let zero = _mm256_set1_ps(-0.0);
                let mut scores = [0, 8].map(|at| _mm256_sub_ps(zero, _mm256_loadu_ps(half.as_ptr().add(at))));
                for (dim, value) in point.iter().enumerate() {
                    let value = _mm256_set1_ps(*value);
                    let column = columns.add((group * point.len() + dim) * LANES);
                    for (at, score) in scores.iter_mut().enumerate() {
                        let column = _mm256_loadu_ps(column.add(8 * at));
                        *score = _mm256_add_ps(*score, _mm256_mul_ps(value, column));
                    }
                }
                let group = _mm256_castsi256_ps(_mm256_set1_epi32(group as i32));
                for at in 0..2 {
                    let better = _mm256_cmp_ps::<_CMP_GT_OQ>(scores[at], best[at]);
                    best[at] = _mm256_blendv_ps(best[at], scores[at], better);
                    groups[at] = _mm256_blendv_ps(groups[at], group, better);
                }
            }
        }
        let mut out = ([0.0; LANES], [0; LANES]);
        for at in 0..2 {
            // SAFETY: both have 16 values.
            unsafe {
                _mm256_storeu_ps(out.0.as_mut_ptr().add(8 * at), best[at]);
                _mm256_storeu_ps(out.1.as_mut_ptr().add(8 * at).cast(), groups[at]);
            }
        }
        out
    }
}

/// `rounds` of k-means on `points` (`[n, width]`, n from 1) from `centroids` (`[count, width]`), in place. A cluster that is left without
/// points takes half of the largest one. Gives the mean squared error before the last update.
pub(crate) fn lloyd(points: &[f32], width: usize, centroids: &mut [f32], rounds: usize) -> f64 {
    let mut error = 0.0;
    let count = centroids.len() / width;
    for _ in 0..rounds {
        let index = Centroids::new(centroids, width);
        let mut sums = vec![0.0_f32; centroids.len()];
        let mut sizes = vec![0_u32; count];
        error = 0.0;
        for point in points.chunks_exact(width) {
            let nearest = index.nearest(point);
            sizes[nearest] += 1;
            let sums = &mut sums[nearest * width..][..width];
            for ((sum, value), centre) in sums.iter_mut().zip(point).zip(&centroids[nearest * width..]) {
                *sum += value;
                error += f64::from((value - centre) * (value - centre));
            }
        }
        for (at, &size) in sizes.iter().enumerate() {
            for (centre, sum) in centroids[at * width..][..width]
                .iter_mut()
                .zip(&sums[at * width..])
            {
                if size > 0 {
                    *centre = sum / size as f32;
                }
            }
        }
        for empty in 0..count {
            if sizes[empty] == 0 {
                let largest = (0..count).max_by_key(|&at| sizes[at]).unwrap_or(0);
                if sizes[largest] < 2 {
                    break;
                }
                for dim in 0..width {
                    // To both sides of where it was, by a part in a thousand: the next round tells them apart.
                    let value = centroids[largest * width + dim];
                    let shift = 1e-3 * value.abs().max(1e-6) * if dim % 2 == 0 { 1.0 } else { -1.0 };
                    centroids[empty * width + dim] = value + shift;
                    centroids[largest * width + dim] = value - shift;
                }
                sizes[empty] = sizes[largest] / 2;
                sizes[largest] -= sizes[empty];
            }
        }
    }
    error / (points.len() / width).max(1) as f64
}

/// `count` of `points` to start from, different rows as long as there are enough.
pub(crate) fn start(points: &[f32], width: usize, count: usize, seed: &mut Seed) -> Vec<f32> {
    let rows = points.len() / width;
    let mut order: Vec<usize> = (0..rows).collect();
    seed.shuffle(&mut order);
    (0..count)
        .flat_map(|at| &points[order[at % rows] * width..][..width])
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_centroid_is_the_one_that_comparing_all_finds_whatever_instructions_there_are() {
        let mut seed = Seed(1);
        for (count, width) in [(1, 3), (16, 4), (64, 6), (100, 7), (256, 8), (256, 1)] {
            let mut rows: Vec<f32> = (0..count * width).map(|_| seed.normal() as f32).collect();
            // The last is the first again, and never the answer.
            rows.copy_within(..width, (count - 1) * width);
            let index = Centroids::new(&rows, width);
            for at in 0..100 {
                let point: Vec<f32> = match at {
                    0 => rows[..width].to_vec(),
                    _ => (0..width).map(|_| seed.normal() as f32).collect(),
                };
                let distance =
                    |at: usize| kokeshi_core::distance::l2_squared(&point, &rows[at * width..][..width]);
                let least = (0..count).map(distance).fold(f32::INFINITY, f32::min);
                let plain = index.best_plain(&point);
                let found = index.nearest(&point);
                assert_eq!(found, Centroids::first(plain));
                assert!(distance(found) <= least + 1e-4 && (count == 1 || found < count - 1));
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the instructions are there.
                    assert_eq!(unsafe { x86::best_avx2(&index, &point) }, plain);
                }
            }
        }
    }

    #[test]
    fn clusters_are_found_and_none_stays_empty() {
        let mut seed = Seed(2);
        let points: Vec<f32> = (0..400)
            .flat_map(|at| [(at % 4) as f32 * 10.0 + seed.normal() as f32 * 0.1, 1.0])
            .collect();
        // All start at the same place.
        let mut centroids = points[..2].repeat(4);
        let error = lloyd(&points, 2, &mut centroids, 20);
        assert!(error < 0.1, "{error}");
    }
}
