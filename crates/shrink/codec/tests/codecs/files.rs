//! Files: what is written reads back, and damage is refused.

use kokeshi_codec::{Chain, Codec, Codes, CodesWriter};
use kokeshi_core::{Metric, Seed};

use crate::support::{clustered, train};

const ALL: [&str; 9] = [
    "f32",
    "prefix:30|pca:20|rabitq:4",
    "pca:16:centred|int8",
    "rotate|sign",
    "int4",
    "f16",
    "pq:8",
    "opq:5x4",
    "rabitq:1",
];

#[test]
fn chains_and_codes_read_back_the_same() {
    let (rows, queries) = clustered(300, 1, 40, 1);
    let folder = tempfile::tempdir().unwrap();
    let (codec, codes) = (folder.path().join("v.codec"), folder.path().join("v.codes"));
    for spec in ALL {
        let chain = train(spec, &rows, Metric::Cosine);
        chain.save(&codec).unwrap();
        let again = Chain::load(&codec).unwrap();
        assert_eq!(again.to_bytes(), chain.to_bytes());
        assert_eq!(
            (again.spec(), again.metric(), again.dims()),
            (spec.into(), Metric::Cosine, 40)
        );
        let mut writer = CodesWriter::create(&codes, &chain).unwrap();
        writer.append(&rows).unwrap();
        writer.append(&queries).unwrap();
        assert_eq!(writer.finish().unwrap(), 301);
        let read = Codes::open(&codes, &again).unwrap();
        assert_eq!(read.rows(), 301);
        assert_eq!(
            read.bytes()[..300 * chain.code_bytes()],
            again.encode_all(&rows).unwrap()
        );
        assert_eq!(read.bytes().as_ptr() as usize % 64, 0);
    }
}

#[test]
fn codes_of_another_chain_are_refused() {
    let (rows, _) = clustered(300, 1, 40, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.codes");
    let (one, other) = (
        train("int8", &rows, Metric::Dot),
        train("int8", &rows, Metric::Cosine),
    );
    let mut writer = CodesWriter::create(&path, &one).unwrap();
    writer.append(&rows).unwrap();
    writer.finish().unwrap();
    let error = Codes::open(&path, &other).unwrap_err().to_string();
    assert!(error.contains("v.codes: expected codes of the codec"), "{error}");
    let error = Chain::load(&path).unwrap_err().to_string();
    assert!(error.contains("KKCODEC") && error.contains("KKCODES"), "{error}");
}

#[test]
fn every_cut_and_many_flipped_bits_are_refused_by_name() {
    let (rows, _) = clustered(300, 1, 40, 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.codec");
    train("pca:10|rabitq:2", &rows, Metric::Cosine)
        .save(&path)
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut seed = Seed(4);
    for round in 0..300 {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            bytes.truncate(seed.below(whole.len()));
        } else {
            let at = seed.below(whole.len());
            bytes[at] ^= 1 << seed.below(8);
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = Chain::load(&path).unwrap_err().to_string();
        assert!(error.contains("v.codec"), "{error}");
    }
}

/// A checksum does not help against somebody who writes one: what the payload says is checked too.
#[test]
fn hostile_payloads_with_valid_checksums_end_in_errors_not_panics() {
    let (rows, queries) = clustered(300, 1, 40, 5);
    let path = std::path::Path::new("hostile.codec");
    let mut seed = Seed(6);
    for spec in ALL {
        let whole = train(spec, &rows, Metric::Cosine).to_bytes();
        for round in 0..400 {
            let mut bytes = whole.clone();
            // Most of the payload is numbers; the interesting bytes come first.
            let at = seed.below(whole.len().min(if round % 4 == 0 { whole.len() } else { 120 }));
            match round % 3 {
                0 => bytes.truncate(at),
                1 => bytes[at] = seed.next_u64() as u8,
                _ => bytes.extend_from_slice(&[0; 3]),
            }
            match Chain::from_bytes(&bytes, path) {
                // A changed number inside a list can not be known to be wrong; it must only do no harm.
                Ok(chain) if chain.dims() == 40 => {
                    let codes = chain.encode_all(&rows).unwrap();
                    chain
                        .query(queries.row(0))
                        .unwrap()
                        .score_rows(&codes, &mut [0.0; 300]);
                }
                Ok(_) => {}
                Err(error) => assert!(error.to_string().contains("hostile.codec"), "{error}"),
            }
        }
    }
}
