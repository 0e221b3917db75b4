//! Lloyd's k-means for the parts of product quantisation: narrow vectors, at most 256 centroids, no threads (parts run side by side).

use kokeshi_core::Seed;

/// Centroids as assignment reads them.
pub(crate) struct Centroids {
    count: usize,
    /// `[width, count]`: one dimension of all centroids lies together.
    columns: Vec<f32>,
    /// `[count]`: half of the squared lengths.
    halves: Vec<f32>,
}

/// Room for the scores of all centroids.
type Scores = [f32; 256];

impl Centroids {
    /// From `rows` (`[count, width]`), at most 256.
    pub(crate) fn new(rows: &[f32], width: usize) -> Self {
        let count = rows.len() / width;
        assert!((1..=256).contains(&count), "1 to 256 centroids");
        let mut columns = vec![0.0; rows.len()];
        for (at, row) in rows.chunks_exact(width).enumerate() {
            for (dim, value) in row.iter().enumerate() {
                columns[dim * count + at] = *value;
            }
        }
        let halves = rows
            .chunks_exact(width)
            .map(|row| 0.5 * row.iter().map(|v| v * v).sum::<f32>());
        Self {
            count,
            columns,
            halves: halves.collect(),
        }
    }

    /// The number of the centroid nearest to `point`; the first of equals.
    pub(crate) fn nearest(&self, point: &[f32]) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                // SAFETY: the instructions are there.
                return unsafe { self.nearest_avx512(point) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the instructions are there.
                return unsafe { self.nearest_avx2(point) };
            }
        }
        self.nearest_plain(point)
    }

    /// # Safety
    /// The instructions are there.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn nearest_avx512(&self, point: &[f32]) -> usize {
        self.nearest_plain(point)
    }

    /// # Safety
    /// The instructions are there.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn nearest_avx2(&self, point: &[f32]) -> usize {
        self.nearest_plain(point)
    }

    /// One loop that the compiler turns into the vector instructions of each caller; the order of additions, and so every bit, is the same
    /// in all of them.
    #[inline(always)]
    fn nearest_plain(&self, point: &[f32]) -> usize {
        let mut room: Scores = [0.0; 256];
        let scores = &mut room[..self.count];
        for (score, half) in scores.iter_mut().zip(&self.halves) {
            *score = -half;
        }
        for (value, column) in point.iter().zip(self.columns.chunks_exact(self.count)) {
            for (score, centre) in scores.iter_mut().zip(column) {
                *score += value * centre;
            }
        }
        let mut best = [f32::NEG_INFINITY; 16];
        let (groups, rest) = scores.as_chunks::<16>();
        for group in groups {
            for (best, score) in best.iter_mut().zip(group) {
                *best = if *score > *best { *score } else { *best };
            }
        }
        let best = best
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |best, &score| best.max(score));
        scores.iter().position(|&score| score == best).unwrap_or(0)
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
        for (count, width) in [(1, 3), (16, 4), (100, 7), (256, 8)] {
            let rows: Vec<f32> = (0..count * width).map(|_| seed.normal() as f32).collect();
            let index = Centroids::new(&rows, width);
            for _ in 0..100 {
                let point: Vec<f32> = (0..width).map(|_| seed.normal() as f32).collect();
                let distance =
                    |at: usize| kokeshi_core::distance::l2_squared(&point, &rows[at * width..][..width]);
                let least = (0..count).map(distance).fold(f32::INFINITY, f32::min);
                let found = index.nearest(&point);
                assert_eq!(found, index.nearest_plain(&point));
                assert!(distance(found) <= least + 1e-4);
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
