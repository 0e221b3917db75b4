//! Bridges: queries of a new model search the vectors of an old one, so that a corpus need not be embedded again at once.
//!
//! | method | what it is |
//! |---|---|
//! | [`Method::Balanced`] | the rotation nearest to least squares: it goes where that map says, and keeps the lengths that the map shrinks in directions it can't predict well |
//! | [`Method::Orthogonal`] | the rotation that brings new vectors nearest to old ones (Procrustes' problem); keeps distances among new vectors |
//! | [`Method::Linear`] | least squares with a ridge and a bias |
//! | [`Method::Learned`] | the linear map and a head on top of it, learnt so that new queries find what old vectors lie beside (the backward compatibility of BEBR, arXiv 2302.08714: new queries against old codes, which stay as they are) |
//!
//! All learn from the same texts as seen by both models. A part of them is kept aside: it chooses the ridge and when to stop, and says how
//! much a bridge keeps ([`Bridge::kept`]).

mod file;
mod least_squares;
mod pairs;

use std::fmt;
use std::str::FromStr;

use kokeshi_core::{Embeddings, Error, Metric, Result, Seed, distance};

use crate::file::metric_name;
use crate::learn::{Head, HeadConfig, Momentum, unit_gradient, units};
use crate::product;
use least_squares::{LeastSquares, rotation};
use pairs::{Pairs, nearest};

/// The least pairs that say anything.
pub const LEAST_PAIRS: usize = 20;
/// Ridges that are tried, in mean squared lengths of the new vectors.
const RIDGES: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
/// The ridge before a balanced rotation. Of SciFact and NFCorpus between MiniLM and the compiled-in model, a hundredth and a tenth keep the
/// same within a point.
const RIDGE: f64 = 1e-2;

/// How new vectors become old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The rotation nearest to least squares.
    Balanced,
    /// The rotation that leaves the least squared error.
    Orthogonal,
    /// Least squares.
    Linear,
    /// Least squares and a learnt head.
    Learned,
}

impl Method {
    /// All of them, first the one that is safest unseen.
    pub const ALL: [Self; 4] = [Self::Balanced, Self::Orthogonal, Self::Linear, Self::Learned];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balanced => "balanced",
            Self::Orthogonal => "orthogonal",
            Self::Linear => "linear",
            Self::Learned => "learned",
        })
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.to_string() == text)
            .ok_or_else(|| {
                wrong(
                    "a bridge's method",
                    "balanced, orthogonal, linear or learned",
                    text,
                )
            })
    }
}

/// A model at one end of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Side {
    /// What it is called; empty if only its vectors are known.
    pub model: String,
    /// What tells its vectors from those of others.
    pub fingerprint: String,
}

/// A map from new vectors to old ones.
#[derive(Debug, Clone)]
pub struct Bridge {
    method: Method,
    metric: Metric,
    /// The model whose vectors are searched, and the model that asks.
    pub old: Side,
    /// See [`Bridge::old`].
    pub new: Side,
    new_dims: usize,
    old_dims: usize,
    /// `[old_dims, new_dims]`
    matrix: Vec<f32>,
    /// `[old_dims]`
    bias: Vec<f32>,
    head: Option<(usize, Head)>,
    kept: f64,
}

impl Bridge {
    /// Learns a bridge from pairs: row i of `new` and of `old` are the same text by the two models.
    ///
    /// # Errors
    /// [`Error::Parse`] for less than [`LEAST_PAIRS`] pairs, unequal numbers of rows, or a learnt bridge for another metric than cosine;
    /// [`Error::NotFinite`] for NaN and infinity.
    pub fn train(
        method: Method,
        new: &Embeddings,
        old: &Embeddings,
        metric: Metric,
        config: &HeadConfig,
        seed: Seed,
    ) -> Result<Self> {
        if new.rows() != old.rows() || new.rows() < LEAST_PAIRS || new.dims() == 0 || old.dims() == 0 {
            return Err(wrong(
                "pairs for a bridge",
                &format!("as many new vectors as old ones, and at least {LEAST_PAIRS}"),
                &format!(
                    "{} new ones of {} dims and {} old ones of {}",
                    new.rows(),
                    new.dims(),
                    old.rows(),
                    old.dims()
                ),
            ));
        }
        if method == Method::Learned && metric != Metric::Cosine {
            return Err(wrong(
                "a learned bridge",
                "the metric cosine",
                metric_name(metric),
            ));
        }
        new.check_finite("new vectors of pairs")?;
        old.check_finite("old vectors of pairs")?;
        let mut seed = seed;
        let pairs = Pairs::split(new, old, metric, &mut seed);
        let mut bridge = Self {
            method,
            metric,
            old: Side::default(),
            new: Side::default(),
            new_dims: new.dims(),
            old_dims: old.dims(),
            matrix: Vec::new(),
            bias: vec![0.0; old.dims()],
            head: None,
            kept: 0.0,
        };
        match method {
            Method::Balanced => {
                let (n, m) = (bridge.new_dims, bridge.old_dims);
                let map = LeastSquares::of(&pairs.new, &pairs.old, n, m).map(RIDGE);
                bridge.matrix = rotation(&map, n, m);
            }
            Method::Orthogonal => {
                let (n, m) = (bridge.new_dims, bridge.old_dims);
                let mut cross = vec![0.0; m * n];
                product::by_columns(&pairs.old, &pairs.new, m, n, &mut cross);
                bridge.matrix = rotation(&cross, n, m);
            }
            Method::Linear | Method::Learned => bridge.least_squares(&pairs),
        }
        bridge.kept = bridge.keeps(&pairs);
        if method == Method::Learned {
            bridge.learn(&pairs, config, &mut seed);
        }
        Ok(bridge)
    }

    /// How it maps.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What old vectors are compared by.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The width of new vectors.
    pub fn new_dims(&self) -> usize {
        self.new_dims
    }

    /// The width of old vectors.
    pub fn old_dims(&self) -> usize {
        self.old_dims
    }

    /// How much was kept of pairs that nothing was learnt from: the share of the ten old vectors nearest to an old one that the bridged new
    /// one finds.
    pub fn kept(&self) -> f64 {
        self.kept
    }

    /// New vectors (`[n, new_dims]`) as old ones (`[n, old_dims]`), of unit length under cosine.
    ///
    /// # Errors
    /// [`Error::Dims`] for another width, [`Error::NotFinite`] for NaN and infinity.
    pub fn apply(&self, rows: &Embeddings) -> Result<Embeddings> {
        if rows.dims() != self.new_dims {
            return Err(Error::Dims {
                what: "vectors for a bridge".into(),
                expected: self.new_dims,
                found: rows.dims(),
            });
        }
        rows.check_finite("vectors for a bridge")?;
        let mut rows = rows.clone();
        if self.metric == Metric::Cosine {
            rows.normalize();
        }
        Embeddings::from_vec(self.map(rows.as_slice()), self.old_dims)
    }

    /// The map for rows that are fit for it.
    fn map(&self, rows: &[f32]) -> Vec<f32> {
        let mut mapped = self.straight(rows);
        if let Some((_, head)) = &self.head {
            let more = head.apply(rows);
            mapped
                .iter_mut()
                .zip(&more)
                .for_each(|(value, more)| *value += more);
        }
        if self.metric == Metric::Cosine {
            mapped
                .chunks_exact_mut(self.old_dims)
                .for_each(distance::normalize);
        }
        mapped
    }

    fn straight(&self, rows: &[f32]) -> Vec<f32> {
        let mut mapped = vec![0.0; rows.len() / self.new_dims * self.old_dims];
        product::by_rows(rows, &self.matrix, self.new_dims, &mut mapped);
        for row in mapped.chunks_exact_mut(self.old_dims) {
            row.iter_mut()
                .zip(&self.bias)
                .for_each(|(value, bias)| *value += bias);
        }
        mapped
    }

    /// The share of the wanted neighbours of the rows aside that their bridged vectors find.
    fn keeps(&self, pairs: &Pairs) -> f64 {
        let asked = self.map(&pairs.aside_new);
        let found = nearest(&asked, pairs, self.metric);
        let shared: usize = found
            .iter()
            .zip(&pairs.wanted)
            .map(|(found, wanted)| wanted.iter().filter(|row| found.contains(row)).count())
            .sum();
        shared as f64 / pairs.wanted.iter().map(Vec::len).sum::<usize>().max(1) as f64
    }

    /// Least squares about the means, with the ridge that keeps most.
    fn least_squares(&mut self, pairs: &Pairs) {
        let (n, m) = (self.new_dims, self.old_dims);
        let count = (pairs.new.len() / n) as f64;
        let centred = |rows: &[f32], dims: usize| {
            let mut sums = vec![0.0_f64; dims];
            for row in rows.chunks_exact(dims) {
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let mean: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
            let mut rows = rows.to_vec();
            for row in rows.chunks_exact_mut(dims) {
                row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
            }
            (rows, mean)
        };
        let (new, new_mean) = centred(&pairs.new, n);
        let (old, old_mean) = centred(&pairs.old, m);
        let solved = LeastSquares::of(&new, &old, n, m);
        let mut best = (f64::NEG_INFINITY, Vec::new(), Vec::new());
        for ridge in RIDGES {
            self.matrix = solved.map(ridge);
            let mut moved = vec![0.0; m];
            product::by_rows(&new_mean, &self.matrix, n, &mut moved);
            self.bias = old_mean
                .iter()
                .zip(&moved)
                .map(|(mean, moved)| mean - moved)
                .collect();
            let kept = self.keeps(pairs);
            if kept > best.0 {
                best = (kept, self.matrix.clone(), self.bias.clone());
            }
        }
        (_, self.matrix, self.bias) = best;
    }

    /// Learns a head on top of the linear map; what kept most, which may be the linear map alone, stays.
    fn learn(&mut self, pairs: &Pairs, config: &HeadConfig, seed: &mut Seed) {
        let (n, m) = (self.new_dims, self.old_dims);
        let contrast = config.contrast();
        let mut head = Head::new(n, config.hidden, m, seed);
        head.clear_output();
        let mut descent = Momentum::new(head.values.len(), config.rate, config.decay);
        let mut order: Vec<usize> = (0..pairs.new.len() / n).collect();
        let mut best = (self.kept, None);
        for epoch in 0..config.epochs {
            descent.rate = config.rate_of(epoch);
            seed.shuffle(&mut order);
            for batch in order.chunks(config.batch.max(2)).filter(|batch| batch.len() > 1) {
                let rows = |all: &[f32], dims: usize| -> Vec<f32> {
                    batch
                        .iter()
                        .flat_map(|&row| &all[row * dims..][..dims])
                        .copied()
                        .collect()
                };
                let (new, old) = (rows(&pairs.new, n), rows(&pairs.old, m));
                let (more, pass) = head.pass(&new);
                let mut mapped = self.straight(&new);
                mapped
                    .iter_mut()
                    .zip(&more)
                    .for_each(|(value, more)| *value += more);
                let (mapped, lengths) = units(&mapped, m);
                let (_, slopes, _) = contrast.gradients(&mapped, &old, m);
                let slopes = unit_gradient(&mapped, &lengths, &slopes, m);
                let mut gradient = vec![0.0; head.values.len()];
                head.back(&pass, &slopes, &mut gradient);
                let matrices = head.matrices();
                descent.step(&mut head.values, &gradient, |at| at < matrices);
            }
            self.head = Some((config.hidden, head.clone()));
            let kept = self.keeps(pairs);
            if kept > best.0 {
                best = (kept, self.head.take());
            }
        }
        (self.kept, self.head) = best;
    }
}

fn wrong(what: &str, expected: &str, found: &str) -> Error {
    Error::Parse {
        what: what.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polar;
    use crate::random;

    fn quick() -> HeadConfig {
        HeadConfig {
            hidden: 32,
            epochs: 4,
            batch: 64,
            ..HeadConfig::BRIDGE
        }
    }

    fn train(method: Method, new: &Embeddings, old: &Embeddings) -> Bridge {
        Bridge::train(method, new, old, Metric::Cosine, &quick(), Seed(1)).unwrap()
    }

    #[test]
    fn a_rotation_is_found_again_by_every_method_and_survives_a_file() {
        let mut seed = Seed(5);
        let (new, turn) = (random(600, 24, &mut seed), random(24, 24, &mut seed));
        let mut identity = vec![0.0; 24 * 24];
        (0..24).for_each(|at| identity[at * 24 + at] = 1.0);
        let turn = polar::nearest_orthogonal(turn.as_slice(), &identity, 24);
        let mut old = vec![0.0; 600 * 24];
        product::by_rows(new.as_slice(), &turn, 24, &mut old);
        let old = Embeddings::from_vec(old, 24).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for method in Method::ALL {
            let mut bridge = train(method, &new, &old);
            assert!(bridge.kept() > 0.97, "{method}: {}", bridge.kept());
            bridge.old.model = "before".into();
            let path = folder.path().join("bridge.bin");
            bridge.save(&path).unwrap();
            let read = Bridge::load(&path).unwrap();
            assert_eq!(read.to_bytes(), bridge.to_bytes());
            assert_eq!(
                read.apply(&new).unwrap().as_slice(),
                bridge.apply(&new).unwrap().as_slice()
            );
        }
    }

    #[test]
    fn a_balanced_map_is_a_rotation_and_finds_what_uneven_directions_hide_from_the_other_one() {
        let mut seed = Seed(9);
        let (old, turn) = (random(2000, 16, &mut seed), random(16, 16, &mut seed));
        // The new model sees the same through a random map: some directions are strong, some weak.
        let mut new = vec![0.0; 2000 * 16];
        product::by_rows(old.as_slice(), turn.as_slice(), 16, &mut new);
        let new = Embeddings::from_vec(new, 16).unwrap();
        let [balanced, orthogonal] =
            [Method::Balanced, Method::Orthogonal].map(|method| train(method, &new, &old));
        let mut square = vec![0.0; 16 * 16];
        product::by_rows(&balanced.matrix, &balanced.matrix, 16, &mut square);
        for (at, value) in square.iter().enumerate() {
            assert!((value - if at % 17 == 0 { 1.0 } else { 0.0 }).abs() < 1e-3);
        }
        assert!(
            balanced.kept() > orthogonal.kept(),
            "{} {}",
            balanced.kept(),
            orthogonal.kept()
        );
    }

    #[test]
    fn a_learnt_bridge_follows_a_bend_that_no_line_does_and_is_never_worse() {
        let mut seed = Seed(6);
        let new = random(3000, 16, &mut seed);
        let mix = random(16, 16, &mut seed);
        let mut old = vec![0.0; 3000 * 16];
        product::by_rows(new.as_slice(), mix.as_slice(), 16, &mut old);
        old.iter_mut()
            .for_each(|value| *value = value.abs() - 0.5 * *value);
        let old = Embeddings::from_vec(old, 16).unwrap();
        let config = HeadConfig {
            hidden: 64,
            epochs: 20,
            batch: 128,
            ..HeadConfig::BRIDGE
        };
        let train = |method| {
            Bridge::train(method, &new, &old, Metric::Cosine, &config, Seed(1))
                .unwrap()
                .kept()
        };
        let [balanced, turned, straight, learnt] = Method::ALL.map(train);
        assert!(
            learnt > straight.max(turned).max(balanced) + 0.05,
            "{balanced} {turned} {straight} {learnt}"
        );
        // Noise can't be learnt: then the linear map is what stays.
        let noise = random(3000, 16, &mut seed);
        let [_, _, straight, learnt] = Method::ALL.map(|method| {
            Bridge::train(method, &new, &noise, Metric::Cosine, &quick(), Seed(1))
                .unwrap()
                .kept()
        });
        assert!(learnt >= straight);
    }

    #[test]
    fn widths_may_differ_and_what_does_not_fit_is_refused() {
        let mut seed = Seed(7);
        let (wide, narrow) = (random(200, 20, &mut seed), random(200, 8, &mut seed));
        for method in Method::ALL {
            assert_eq!(train(method, &wide, &narrow).apply(&wide).unwrap().dims(), 8);
            assert_eq!(train(method, &narrow, &wide).apply(&narrow).unwrap().dims(), 20);
        }
        let bridge = train(Method::Linear, &wide, &narrow);
        assert!(bridge.apply(&narrow).unwrap_err().to_string().contains("20"));
        let refused = |new: &Embeddings, old: &Embeddings, metric| {
            Bridge::train(Method::Learned, new, old, metric, &quick(), Seed(1))
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&wide, &random(199, 8, &mut seed), Metric::Cosine).contains("as many new vectors"));
        assert!(
            refused(&random(5, 8, &mut seed), &random(5, 8, &mut seed), Metric::Cosine)
                .contains("at least 20")
        );
        assert!(refused(&wide, &narrow, Metric::L2).contains("cosine"));
        let nan = Embeddings::from_vec(vec![f32::NAN; 200 * 8], 8).unwrap();
        assert!(refused(&wide, &nan, Metric::Cosine).contains("not finite"));
        assert!("spline".parse::<Method>().is_err());
    }

    #[test]
    fn every_flipped_bit_and_cut_of_a_file_is_refused_by_name() {
        let mut seed = Seed(8);
        let (new, old) = (random(60, 4, &mut seed), random(60, 3, &mut seed));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.bin");
        train(Method::Learned, &new, &old).save(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len() * 8).step_by(37) {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            assert!(
                Bridge::load(&path)
                    .unwrap_err()
                    .to_string()
                    .contains("bridge.bin")
            );
        }
        for length in (0..good.len()).step_by(13) {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(Bridge::load(&path).is_err());
            // The payload alone, should a checksum ever fit by chance.
            if length >= 64 {
                assert!(Bridge::from_bytes(&good[64..length], &path).is_err());
            }
        }
    }
}
