//! Scores, codes and what they stand for.

use kokeshi_codec::{Codec, Moments, Opq, Pca, Spec, Transform, score_all};
use kokeshi_core::{Embeddings, Error, Metric, Seed, distance};

use crate::support::{clustered, error, knows, recall, train};

const ALL: [&str; 19] = [
    "f32",
    "f16",
    "int8",
    "int4",
    "rabitq:1",
    "rabitq:2",
    "rabitq:3",
    "rabitq:4",
    "rabitq:5",
    "rabitq:8",
    "rotate|sign",
    "prefix:40|int8",
    "pca:40|rabitq:4",
    "pca:40:centred|f16",
    "prefix:50|pca:30|f32",
    "pq:9",
    "pq:15x4",
    "opq:10",
    "rotate|pq:60x4",
];

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

#[test]
fn scores_of_rows_of_ids_and_of_what_codes_stand_for_agree_for_every_codec_and_metric() {
    let (rows, queries) = clustered(500, 5, 60, 1);
    for metric in METRICS {
        for spec in ALL.into_iter().filter(|spec| knows(spec, metric)) {
            let chain = train(spec, &rows, metric);
            assert_eq!(chain.dims(), 60);
            let codes = chain.encode_all(&rows).unwrap();
            assert_eq!(codes.len(), 500 * chain.code_bytes());
            let decoded = chain.decode_all(&codes).unwrap();
            let prepared: Vec<_> = queries.iter().map(|query| chain.query(query).unwrap()).collect();
            let mut together = vec![Vec::new(); prepared.len()];
            score_all(&prepared, &codes, chain.code_bytes(), |query, from, scores| {
                assert_eq!(together[query].len(), from);
                together[query].extend_from_slice(scores);
            });
            for ((query, prepared), together) in queries.iter().zip(&prepared).zip(&together) {
                let mut scores = vec![0.0; 500];
                prepared.score_rows(&codes, &mut scores);
                assert_eq!(together, &scores, "{spec} {metric:?}");
                let ids = [499, 3, 3, 0, 77];
                let mut some = [0.0; 5];
                prepared.score_ids(&codes, &ids, &mut some);
                assert_eq!(
                    some.to_vec(),
                    ids.map(|id| scores[id as usize]).to_vec(),
                    "{spec} {metric:?}"
                );
                // Codecs after transforms score in their own space, sign's score is an angle, and RaBitQ compares with the centroid exactly.
                if !spec.contains('|') && !spec.starts_with("rabitq") {
                    for (score, row) in scores.iter().zip(decoded.iter()) {
                        let expected = match metric {
                            Metric::L2 => metric.score(query, row),
                            _ => distance::dot(query, row),
                        };
                        assert!(
                            (score - expected).abs() < 0.02,
                            "{spec} {metric:?}: {score} {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_other_bytes() {
    let (rows, _) = clustered(400, 1, 60, 2);
    for spec in ALL {
        let bytes = |seed| {
            let chain = spec
                .parse::<Spec>()
                .unwrap()
                .train(&rows, Metric::Cosine, Seed(seed))
                .unwrap();
            (chain.to_bytes(), chain.encode_all(&rows).unwrap())
        };
        assert_eq!(bytes(1), bytes(1), "{spec}");
        if spec.contains("rabitq") || spec.contains("pq") || spec.contains("rotate") {
            assert_ne!(bytes(1), bytes(2), "{spec}");
        }
    }
}

#[test]
fn more_bytes_lose_less() {
    let (rows, _) = clustered(600, 1, 64, 3);
    for order in [
        &[
            "rabitq:1", "rabitq:2", "rabitq:3", "rabitq:4", "rabitq:5", "rabitq:6", "rabitq:7", "rabitq:8",
        ][..],
        &["int4", "int8", "f16", "f32"],
        &["pq:4", "pq:8", "pq:16", "pq:32"],
        &["pca:8", "pca:16", "pca:32", "pca:64"],
    ] {
        let errors: Vec<f64> = order
            .iter()
            .map(|spec| error(&train(spec, &rows, Metric::Dot), &rows))
            .collect();
        assert!(errors.is_sorted_by(|a, b| a > b), "{order:?}: {errors:?}");
    }
}

#[test]
fn recall_is_what_the_methods_reach_on_such_vectors() {
    let (rows, queries) = clustered(5000, 100, 128, 4);
    for metric in METRICS {
        for (spec, keep, least) in [
            ("int8", 10, 0.97),
            ("int4", 10, 0.87),
            ("rabitq:1", 100, 0.97),
            ("rabitq:4", 10, 0.93),
            ("rabitq:8", 10, 0.99),
            ("pca:64", 10, 0.8),
            ("pq:16", 100, 0.97),
            ("opq:16", 100, 0.97),
            ("f16", 10, 0.99),
        ] {
            let found = recall(spec, &rows, &queries, metric, keep);
            assert!(found >= least, "{spec} {metric:?}: {found}");
        }
    }
}

#[test]
fn int8_is_off_by_half_a_step_at_most_and_clamps_what_is_outside() {
    let (rows, _) = clustered(300, 1, 40, 5);
    let codec = kokeshi_codec::Scalar::train(&rows, 8, Metric::Dot);
    let mut codes = vec![0; rows.rows() * codec.code_bytes()];
    codec.encode(rows.as_slice(), &mut codes);
    let mut back = vec![0.0; rows.as_slice().len()];
    codec.decode(&codes, &mut back);
    for (at, (a, b)) in rows.as_slice().iter().zip(&back).enumerate() {
        let step = codec.steps()[at % 40];
        assert!((a - b).abs() <= 0.5001 * step + 1e-7);
    }
    let far = vec![1e30; 40];
    let mut code = vec![0; codec.code_bytes()];
    codec.encode(&far, &mut code);
    assert!(code.iter().all(|&byte| byte == 255));
}

#[test]
fn pca_keeps_the_share_of_variance_that_it_says_and_what_it_loses_is_the_rest() {
    let (rows, _) = clustered(2000, 1, 48, 6);
    for metric in [Metric::Dot, Metric::L2] {
        let pca = Pca::train(&rows, 12, metric, false).unwrap();
        let turned = pca.apply(rows.as_slice());
        let back = pca.invert(&turned);
        let lost = rows
            .as_slice()
            .iter()
            .zip(&back)
            .map(|(a, b)| f64::from(a - b).powi(2))
            .sum::<f64>()
            / 2000.0;
        let dropped: f64 = pca.variances()[12..].iter().sum();
        assert!((lost - dropped).abs() < 1e-5, "{lost} {dropped}");
        let total: f64 = pca.variances().iter().sum();
        assert!((pca.kept() - (1.0 - dropped / total)).abs() < 1e-9);
    }
}

#[test]
fn all_components_keep_the_order_of_distances() {
    let (rows, queries) = clustered(400, 20, 32, 7);
    assert!(recall("pca:32", &rows, &queries, Metric::L2, 10) > 0.999);
    assert!(recall("pca:32", &rows, &queries, Metric::Dot, 10) > 0.999);
}

#[test]
fn moments_added_block_by_block_give_the_axes_of_all_rows_at_once() {
    let (rows, _) = clustered(5000, 1, 24, 8);
    let mut moments = Moments::new(24);
    for block in rows.as_slice().chunks(24 * 700) {
        moments.add(block).unwrap();
    }
    let (parts, whole) = (
        Pca::fit(&moments, 6, Metric::L2, false).unwrap(),
        Pca::train(&rows, 6, Metric::L2, false).unwrap(),
    );
    assert_eq!(moments.rows(), 5000);
    for (a, b) in parts.axes().chunks_exact(24).zip(whole.axes().chunks_exact(24)) {
        assert!(distance::dot(a, b).abs() > 0.9999);
    }
}

#[test]
fn learning_a_rotation_never_makes_the_error_larger_and_beats_none() {
    let (rows, _) = clustered(3000, 1, 64, 9);
    let mut errors = Vec::new();
    let opq = Opq::train_watched(&rows, 8, 8, Metric::Dot, Seed(1), |error| errors.push(error)).unwrap();
    assert!(
        errors.windows(2).all(|pair| pair[1] <= pair[0] * 1.0001),
        "{errors:?}"
    );
    for i in 0..64 {
        for j in 0..64 {
            let product = distance::dot(&opq.rotation()[i * 64..][..64], &opq.rotation()[j * 64..][..64]);
            assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-4);
        }
    }
    let of = |spec| error(&train(spec, &rows, Metric::Dot), &rows);
    assert!(of("opq:8") < of("pq:8"));
}

#[test]
fn rabitq_is_unbiased_and_knows_its_error() {
    let (rows, queries) = clustered(2000, 50, 120, 10);
    for metric in [Metric::Dot, Metric::L2] {
        for bits in [1, 2, 4] {
            let chain = train(&format!("rabitq:{bits}"), &rows, metric);
            let codes = chain.encode_all(&rows).unwrap();
            let (mut sum, mut squares, mut outside, mut count) = (0.0, 0.0, 0, 0);
            for query in queries.iter() {
                let prepared = chain.query(query).unwrap();
                let mut scores = vec![0.0; 2000];
                prepared.score_rows(&codes, &mut scores);
                for (at, score) in scores.iter().enumerate() {
                    let code = &codes[at * chain.code_bytes()..][..chain.code_bytes()];
                    let error = f64::from(score - metric.score(query, rows.row(at)));
                    let scaled = error / f64::from(prepared.standard_error(code).unwrap());
                    sum += scaled;
                    squares += scaled * scaled;
                    outside += usize::from(scaled.abs() > 2.6);
                    count += 1;
                }
            }
            let (mean, deviation) = (sum / f64::from(count), (squares / f64::from(count)).sqrt());
            assert!(mean.abs() < 0.03, "{metric:?} {bits}: {mean}");
            assert!((deviation - 1.0).abs() < 0.08, "{metric:?} {bits}: {deviation}");
            assert!(
                (outside as f64) < 0.014 * f64::from(count),
                "{metric:?} {bits}: {outside}"
            );
        }
    }
}

#[test]
fn zero_and_equal_vectors_are_encoded_and_score_as_they_should() {
    let mut values = vec![0.0; 16 * 300];
    values[16..16 * 290].fill(1.0);
    let rows = Embeddings::from_vec(values, 16).unwrap();
    for metric in METRICS {
        for spec in [
            "f32",
            "f16",
            "int8",
            "int4",
            "rabitq:1",
            "rabitq:4",
            "pq:4",
            "opq:4",
            "pca:4|int8",
            "rotate|sign",
        ] {
            if !knows(spec, metric) {
                continue;
            }
            let chain = train(spec, &rows, metric);
            let codes = chain.encode_all(&rows).unwrap();
            let mut scores = vec![0.0; 300];
            chain.query(&[1.0; 16]).unwrap().score_rows(&codes, &mut scores);
            assert!(scores.iter().all(|score| score.is_finite()), "{spec} {metric:?}");
            if spec != "rotate|sign" {
                assert!(
                    scores[5] > scores[0] && scores[5] > scores[295],
                    "{spec} {metric:?}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let (rows, _) = clustered(100, 1, 20, 11);
    let fails = |spec: &str, metric| {
        let spec: Spec = spec.parse().unwrap();
        spec.train(&rows, metric, Seed(1)).unwrap_err().to_string()
    };
    for (spec, metric, expected) in [
        ("prefix:21", Metric::Cosine, "at most 20 dimensions"),
        ("pca:21", Metric::Cosine, "at most 20 dimensions"),
        ("pq:21", Metric::Cosine, "at most 20 parts"),
        ("pq:4", Metric::Cosine, "at least 256 rows"),
        ("sign", Metric::L2, "metric cosine"),
        ("pca:4:centred", Metric::Dot, "cosine or l2"),
    ] {
        let error = fails(spec, metric);
        assert!(error.contains(expected), "{spec}: {error}");
    }
    let empty: Spec = "int8".parse().unwrap();
    assert!(
        empty
            .train(&Embeddings::new(20), Metric::Cosine, Seed(1))
            .is_err()
    );
    let mut broken = rows.clone();
    broken.as_mut_slice()[45] = f32::NAN;
    let error = empty.train(&broken, Metric::Cosine, Seed(1)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotFinite {
                row: 2,
                column: 5,
                ..
            }
        ),
        "{error}"
    );
    let chain = train("int8", &rows, Metric::Cosine);
    assert!(matches!(chain.encode_all(&broken), Err(Error::NotFinite { .. })));
    assert!(matches!(
        chain.query(&[f32::INFINITY; 20]),
        Err(Error::NotFinite { .. })
    ));
    assert!(matches!(
        chain.query(&[1.0; 19]),
        Err(Error::Dims {
            expected: 20,
            found: 19,
            ..
        })
    ));
    assert!(matches!(chain.decode_all(&[0; 21]), Err(Error::Dims { .. })));
}
