//! What smaller codes lose, and which to take: those that nothing beats at their size are the Pareto front.

use crate::spec::Spec;

/// A mean over queries with its 95 % interval.
///
/// The interval is of the difference from exact search on the same queries (paired bootstrap), moved to where the mean is: how hard the
/// queries are by themselves does not widen it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// How good the rankings of a chain's codes are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Ranked by codes alone.
    pub codes: Estimate,
    /// The best hundred by codes, ranked by the vectors themselves.
    pub rescored: Estimate,
}

impl Quality {
    /// One of the two.
    pub fn of(&self, rescored: bool) -> Estimate {
        if rescored { self.rescored } else { self.codes }
    }
}

/// What was measured of one chain.
#[derive(Debug, Clone)]
pub struct Point {
    /// The chain.
    pub spec: Spec,
    /// Bytes of a code.
    pub bytes: usize,
    /// Bytes of what was learnt, once for all rows.
    pub chain_bytes: usize,
    /// Recall@10: the share of the ten exact neighbours that are found.
    pub recall: Quality,
    /// What the judge said; recall@10 where there is none.
    pub quality: Quality,
    /// Queries a CPU-second by scanning the codes of the sample.
    pub queries_per_cpu_second: f64,
    /// Seconds to train it, all threads.
    pub train_seconds: f64,
    /// Seconds to encode the sample, all threads.
    pub encode_seconds: f64,
}

/// What is asked of a chain. Without any bound the best one there is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Wish {
    /// Rows that will be encoded.
    pub rows: usize,
    /// The most bytes in all, what was learnt included.
    pub bytes: Option<u64>,
    /// The most bytes of a code.
    pub code_bytes: Option<usize>,
    /// The least recall@10.
    pub recall: Option<f64>,
    /// Whether the vectors themselves will be there to rank the best hundred again.
    pub rescored: bool,
}

impl Wish {
    /// Whether the chain is small enough.
    pub fn affords(&self, point: &Point) -> bool {
        let all = (point.bytes as u64)
            .saturating_mul(self.rows as u64)
            .saturating_add(point.chain_bytes as u64);
        self.bytes.is_none_or(|most| all <= most) && self.code_bytes.is_none_or(|most| point.bytes <= most)
    }
}

/// The points that no other one beats in quality at the same bytes or fewer, by rising bytes.
pub fn front<'a>(points: impl IntoIterator<Item = &'a Point>, rescored: bool) -> Vec<&'a Point> {
    let quality = |point: &Point| point.quality.of(rescored).mean;
    let mut order: Vec<&Point> = points.into_iter().collect();
    order.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(quality(b).total_cmp(&quality(a))));
    let mut best = f64::NEG_INFINITY;
    order.retain(|point| {
        let better = quality(point) > best;
        best = best.max(quality(point));
        better
    });
    order
}

/// The choice among those that are small enough: the smallest that can't be told from the best, because its interval reaches that of the
/// best, in quality and then in recall; where a recall is asked for, the smallest one that reaches it. Nothing if nothing does.
pub fn pick<'a>(points: &'a [Point], wish: &Wish) -> Option<&'a Point> {
    let mut fitting: Vec<&Point> = points.iter().filter(|point| wish.affords(point)).collect();
    match wish.recall {
        Some(least) => fitting.retain(|point| point.recall.of(wish.rescored).mean >= least),
        None => {
            for of in [|point: &Point| point.quality, |point: &Point| point.recall] {
                let estimate = |point: &Point| of(point).of(wish.rescored);
                let order = |a: &&&Point, b: &&&Point| estimate(a).mean.total_cmp(&estimate(b).mean);
                let least = fitting
                    .iter()
                    .max_by(order)
                    .map_or(0.0, |best| estimate(best).low);
                fitting.retain(|point| estimate(point).high >= least);
            }
        }
    }
    front(fitting, wish.rescored).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(spec: &str, bytes: usize, recall: f64) -> Point {
        let estimate = |mean| Estimate {
            mean,
            low: mean,
            high: mean,
        };
        let quality = Quality {
            codes: estimate(recall),
            rescored: estimate(1.0 - recall),
        };
        Point {
            spec: spec.parse().unwrap(),
            bytes,
            chain_bytes: 1000,
            recall: quality,
            quality,
            queries_per_cpu_second: 1.0,
            train_seconds: 0.0,
            encode_seconds: 0.0,
        }
    }

    #[test]
    fn of_those_that_chance_alone_puts_apart_the_smallest_is_chosen_and_recall_decides_where_judgements_do_not()
     {
        let wide = |spec, bytes, quality: f64, recall: f64| {
            let mut found = point(spec, bytes, recall);
            let estimate = Estimate {
                mean: quality,
                low: quality - 0.02,
                high: quality + 0.02,
            };
            found.quality = Quality {
                codes: estimate,
                rescored: estimate,
            };
            found
        };
        let points = [
            wide("pca:1", 30, 0.61, 0.9),
            wide("pca:2", 40, 0.64, 0.8),
            wide("pca:3", 60, 0.65, 0.9),
            wide("pca:4", 80, 0.66, 0.7),
        ];
        let chosen = |wish| pick(&points, &wish).map(|point| point.spec.to_string());
        assert_eq!(chosen(Wish::default()).unwrap(), "pca:3|f32");
        let small = Wish {
            code_bytes: Some(50),
            ..Wish::default()
        };
        assert_eq!(chosen(small).unwrap(), "pca:1|f32");
        assert!(pick(&[], &Wish::default()).is_none());
    }

    #[test]
    fn the_front_leaves_out_what_is_beaten_and_the_choice_keeps_to_budget_and_recall() {
        let points = [
            point("pca:1", 100, 0.9),
            point("pca:2", 50, 0.7),
            point("pca:3", 60, 0.6),
            point("pca:4", 200, 0.95),
            point("pca:5", 100, 0.8),
        ];
        let sizes = |rescored| {
            front(&points, rescored)
                .iter()
                .map(|point| point.bytes)
                .collect::<Vec<_>>()
        };
        assert_eq!((sizes(false), sizes(true)), (vec![50, 100, 200], vec![50, 60]));
        let chosen =
            |wish: Wish| pick(&points, &Wish { rows: 10, ..wish }).map(|point| point.spec.to_string());
        let none = Wish::default();
        assert_eq!(chosen(none).unwrap(), "pca:4|f32");
        assert_eq!(
            chosen(Wish {
                code_bytes: Some(120),
                ..none
            })
            .unwrap(),
            "pca:1|f32"
        );
        assert_eq!(
            chosen(Wish {
                bytes: Some(2000),
                ..none
            })
            .unwrap(),
            "pca:1|f32"
        );
        assert_eq!(
            chosen(Wish {
                bytes: Some(1999),
                ..none
            })
            .unwrap(),
            "pca:2|f32"
        );
        assert_eq!(
            chosen(Wish {
                recall: Some(0.75),
                ..none
            })
            .unwrap(),
            "pca:1|f32"
        );
        assert_eq!(
            chosen(Wish {
                recall: Some(0.35),
                rescored: true,
                ..none
            })
            .unwrap(),
            "pca:3|f32"
        );
        assert!(
            chosen(Wish {
                code_bytes: Some(60),
                recall: Some(0.85),
                ..none
            })
            .is_none()
        );
        assert!(
            chosen(Wish {
                code_bytes: Some(10),
                ..none
            })
            .is_none()
        );
    }
}
