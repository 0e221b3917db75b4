//! Rows of docs/bad-input.md about codecs, bridges and collections with either.

use super::support::{Place, Printed, flip_byte, truncate};
use super::{Case, case};

/// `rows` x 4 values as .npy; row 3 is all zeros, and `odd` is the first value of row 2.
pub fn npy(place: &Place, name: &str, rows: usize, odd: f32) {
    let mut values: Vec<f32> = (0..rows * 4).map(|at| (at as f32 * 0.37).sin()).collect();
    if rows > 3 {
        values[12..16].fill(0.0);
        values[8] = odd;
    }
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 4), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = (10 + shape.len() + 1).next_multiple_of(64) - 10;
    bytes.extend_from_slice(&(padded as u16).to_le_bytes());
    bytes.extend_from_slice(format!("{shape:<width$}\n", width = padded - 1).as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    place.write_bytes(name, &bytes);
}

/// Vectors 3 wide.
fn narrow(place: &Place, name: &str) {
    let line = |row: usize| format!("{{\"id\":\"{row}\",\"embedding\":[0.1,0.2,0.{}]}}\n", row + 1);
    place.write(name, &(0..3).map(line).collect::<String>());
}

/// A collection of 300 documents, large enough for a codec of the compiled-in model's 256 dims.
fn many(place: &Place, more: &[&str]) -> Printed {
    let line = |at: usize| {
        format!(
            "{{\"id\":\"{at}\",\"text\":\"note number{at} on topic{}\"}}\n",
            at % 7
        )
    };
    place.write("many.jsonl", &(0..300).map(line).collect::<String>());
    place.kokeshi(&[&["index", "many.jsonl", "--to", "m"], more].concat())
}

/// A trained codec `codec.bin`, codes `codes.bin`.
fn trained(place: &Place) {
    npy(place, "v.npy", 300, 1.0);
    place.kokeshi(&["shrink", "train", "v.npy", "--codec", "int8", "--to", "codec.bin"]);
    place.kokeshi(&["shrink", "apply", "codec.bin", "v.npy", "--to", "codes.bin"]);
}

/// A bridge `b.bin` between vectors 4 wide.
fn bridged(place: &Place) {
    npy(place, "v.npy", 300, 1.0);
    place.kokeshi(&["bridge", "--from", "v.npy", "--to", "v.npy", "--out", "b.bin"]);
}

/// All rows.
pub fn cases() -> Vec<Case> {
    [vectors(), codecs(), bridges(), benches(), searches()]
        .into_iter()
        .flatten()
        .collect()
}

fn vectors() -> Vec<Case> {
    vec![
        case("vectors that are not there", 2, &["nowhere.npy"], |p| {
            p.kokeshi(&["shrink", "nowhere.npy"])
        }),
        case("no vectors at all", 2, &["expected a file of vectors"], |p| {
            p.kokeshi(&["shrink"])
        }),
        case("an empty file of vectors", 2, &["v.npy"], |p| {
            p.write("v.npy", "");
            p.kokeshi(&["shrink", "v.npy"])
        }),
        case("an array without rows", 2, &["v.npy", "found none"], |p| {
            npy(p, "v.npy", 0, 1.0);
            p.kokeshi(&["shrink", "v.npy"])
        }),
        case("an array cut short", 2, &["v.npy"], |p| {
            npy(p, "v.npy", 40, 1.0);
            truncate(&p.path("v.npy"), 0.7);
            p.kokeshi(&["shrink", "v.npy"])
        }),
        case("a NaN in a vector", 2, &["v.npy", "row 2", "column 0"], |p| {
            npy(p, "v.npy", 40, f32::NAN);
            p.kokeshi(&["shrink", "v.npy"])
        }),
        case(
            "infinity in a vector, taken as zeros",
            0,
            &["rows 2", "count as zeros"],
            |p| {
                npy(p, "v.npy", 300, f32::INFINITY);
                p.kokeshi(&[
                    "shrink",
                    "train",
                    "v.npy",
                    "--codec",
                    "int8",
                    "--to",
                    "c.bin",
                    "--on-error",
                    "skip",
                ])
            },
        ),
        case(
            "a vector of zeros under cosine: kept, and it is said",
            0,
            &["1 rows are all zeros"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "train", "v.npy", "--codec", "rabitq:4", "--to", "c.bin"])
            },
        ),
        case(
            "queries of another width",
            2,
            &["q.jsonl", "expected 4", "found 3"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                narrow(p, "q.jsonl");
                p.kokeshi(&["shrink", "v.npy", "--queries", "q.jsonl"])
            },
        ),
        case("judgements without queries", 2, &["required arguments"], |p| {
            npy(p, "v.npy", 300, 1.0);
            p.kokeshi(&["shrink", "v.npy", "--qrels", "test.tsv"])
        }),
        case(
            "a plot that is neither SVG nor PNG",
            2,
            &["front.pdf", ".svg or .png"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "v.npy", "--plot", "front.pdf"])
            },
        ),
        case("a budget that is not one", 2, &["32MB"], |p| {
            npy(p, "v.npy", 300, 1.0);
            p.kokeshi(&["shrink", "v.npy", "--budget", "much"])
        }),
        case(
            "a budget too small for anything",
            2,
            &["too few", "the smallest codec"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "v.npy", "--budget", "100"])
            },
        ),
        case(
            "a recall that nothing so small has",
            2,
            &["reaches that recall", "the best is", "a larger budget"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "v.npy", "--min-recall", "1", "--codecs", "pca:1|int4"])
            },
        ),
        case(
            "signs under a metric with lengths",
            2,
            &["sign", "cosine", "l2"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "v.npy", "--metric", "l2", "--codecs", "sign"])
            },
        ),
        case(
            "too few vectors to keep some aside",
            2,
            &["at least 5 rows", "found 3"],
            |p| {
                npy(p, "v.npy", 3, 1.0);
                p.kokeshi(&["shrink", "v.npy"])
            },
        ),
        case("a recall above 1", 2, &["0.98"], |p| {
            npy(p, "v.npy", 300, 1.0);
            p.kokeshi(&["shrink", "v.npy", "--min-recall", "1.5"])
        }),
        case(
            "a codec for a file as for a collection",
            2,
            &["--in", "shrink train"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "v.npy", "--codec", "int8"])
            },
        ),
    ]
}

fn codecs() -> Vec<Case> {
    vec![
        case("a codec that is not one", 2, &["zip:3", "one of prefix:N"], |p| {
            npy(p, "v.npy", 300, 1.0);
            p.kokeshi(&["shrink", "train", "v.npy", "--codec", "zip:3", "--to", "c.bin"])
        }),
        case(
            "more axes than dimensions",
            2,
            &["the step pca", "at most 4"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&[
                    "shrink",
                    "train",
                    "v.npy",
                    "--codec",
                    "pca:9|int8",
                    "--to",
                    "c.bin",
                ])
            },
        ),
        case(
            "too few vectors for codebooks",
            2,
            &["at least 256 rows", "40 rows"],
            |p| {
                npy(p, "v.npy", 40, 1.0);
                p.kokeshi(&["shrink", "train", "v.npy", "--codec", "pq:2", "--to", "c.bin"])
            },
        ),
        case(
            "a codec that learns from pairs without any",
            2,
            &["rbe:8", "pairs"],
            |p| {
                npy(p, "v.npy", 300, 1.0);
                p.kokeshi(&["shrink", "train", "v.npy", "--codec", "rbe:8", "--to", "c.bin"])
            },
        ),
        case(
            "a codec for vectors of another width",
            2,
            &["q.jsonl", "expected 4", "found 3"],
            |p| {
                trained(p);
                narrow(p, "q.jsonl");
                p.kokeshi(&["shrink", "apply", "codec.bin", "q.jsonl", "--to", "codes.bin"])
            },
        ),
        case("a flipped bit in a codec", 2, &["codec.bin", "checksum"], |p| {
            trained(p);
            flip_byte(&p.path("codec.bin"), 0.8);
            p.kokeshi(&["shrink", "inspect", "codec.bin"])
        }),
        case("a codec cut short", 2, &["codec.bin", "length"], |p| {
            trained(p);
            truncate(&p.path("codec.bin"), 0.8);
            p.kokeshi(&["shrink", "apply", "codec.bin", "v.npy", "--to", "codes.bin"])
        }),
        case(
            "codes where a codec is expected",
            2,
            &["codes.bin", "KKCODEC", "KKCODES"],
            |p| {
                trained(p);
                p.kokeshi(&["shrink", "apply", "codes.bin", "v.npy", "--to", "again.bin"])
            },
        ),
        case(
            "a codec for a collection that does not fit its model",
            2,
            &["pca:999", "at most 256"],
            |p| many(p, &["--codec", "pca:999|int8"]),
        ),
        case(
            "a codec for a collection that learns from pairs",
            2,
            &["rbe:64", "pairs to learn from"],
            |p| {
                p.collection();
                p.kokeshi(&["shrink", "--in", "c", "--codec", "rbe:64"])
            },
        ),
        case(
            "another codec for a collection that is there",
            2,
            &["when a collection is made", "kokeshi shrink --in"],
            |p| {
                many(p, &[]);
                many(p, &["--codec", "int8"])
            },
        ),
        case(
            "shrinking a collection that is not there",
            2,
            &["none.kokeshi", "not a collection"],
            |p| p.kokeshi(&["shrink", "--in", "none.kokeshi", "--codec", "int8"]),
        ),
        case("a budget too small for a collection", 2, &["too few"], |p| {
            many(p, &[]);
            p.kokeshi(&["shrink", "--in", "m", "--bytes-per-vector", "1"])
        }),
        case(
            "a flipped bit in a collection's codes",
            2,
            &["m/codes-", "damaged"],
            |p| {
                many(p, &["--codec", "int8"]);
                flip_byte(&p.find("m", "codes-"), 0.5);
                p.kokeshi(&["search", "note", "--in", "m"])
            },
        ),
        case(
            "a collection's codec that is gone",
            2,
            &["m/codec-", "damaged"],
            |p| {
                many(p, &["--codec", "int8"]);
                std::fs::remove_file(p.find("m", "codec-")).unwrap();
                p.kokeshi(&["info", "m"])
            },
        ),
    ]
}

fn bridges() -> Vec<Case> {
    vec![
        case(
            "a bridge from nowhere to nowhere",
            2,
            &["--from OLD", "--to NEW"],
            |p| p.kokeshi(&["bridge"]),
        ),
        case(
            "a bridge between files that are not there",
            2,
            &["old.npy", "--pairs"],
            |p| p.kokeshi(&["bridge", "--from", "old.npy", "--to", "new.npy"]),
        ),
        case(
            "a bridge between unequal numbers of vectors",
            2,
            &["300", "299"],
            |p| {
                npy(p, "old.npy", 300, 1.0);
                npy(p, "new.npy", 299, 1.0);
                p.kokeshi(&["bridge", "--from", "old.npy", "--to", "new.npy"])
            },
        ),
        case("too few pairs for a bridge", 2, &["at least 20", "7"], |p| {
            npy(p, "old.npy", 7, 1.0);
            p.kokeshi(&["bridge", "--from", "old.npy", "--to", "old.npy"])
        }),
        case("a NaN in a pair", 2, &["new.npy", "row 2"], |p| {
            npy(p, "old.npy", 40, 1.0);
            npy(p, "new.npy", 40, f32::NAN);
            p.kokeshi(&["bridge", "--from", "old.npy", "--to", "new.npy"])
        }),
        case(
            "too few texts for a bridge",
            2,
            &["t.txt", "at least 20 texts", "found 3"],
            |p| {
                p.write("t.txt", "One short text.");
                p.kokeshi(&[
                    "bridge",
                    "--from",
                    "kokeshi-static",
                    "--to",
                    "kokeshi-static",
                    "--pairs",
                    "t.txt",
                ])
            },
        ),
        case(
            "a bridge's method that is not one",
            2,
            &["spline", "balanced, orthogonal, linear or learned"],
            |p| p.kokeshi(&["bridge", "--from", "a.npy", "--to", "b.npy", "--method", "spline"]),
        ),
        case(
            "a bridge for vectors of another width",
            2,
            &["q.jsonl", "expected 4", "found 3"],
            |p| {
                bridged(p);
                narrow(p, "q.jsonl");
                p.kokeshi(&["bridge", "apply", "b.bin", "q.jsonl", "--to", "old.npy"])
            },
        ),
        case("a flipped bit in a bridge", 2, &["b.bin", "checksum"], |p| {
            bridged(p);
            flip_byte(&p.path("b.bin"), 0.6);
            p.kokeshi(&["bridge", "inspect", "b.bin"])
        }),
        case("a bridge cut short", 2, &["b.bin", "length"], |p| {
            bridged(p);
            truncate(&p.path("b.bin"), 0.6);
            p.kokeshi(&["bridge", "inspect", "b.bin"])
        }),
        case(
            "a bridge that leads to no vectors of the collection",
            2,
            &["old end", "256 dims"],
            |p| {
                p.collection();
                bridged(p);
                p.kokeshi(&["reindex", "c", "--bridge", "b.bin"])
            },
        ),
    ]
}

/// `rows` lines of attributes.
fn attributes(place: &Place, rows: usize) {
    let line = |row: usize| format!("{{\"kind\":\"{}\"}}\n", ["a", "b"][row % 2]);
    place.write("rows.jsonl", &(0..rows).map(line).collect::<String>());
}

/// Runs `kokeshi bench filtered` on 300 vectors and `lines` attributes.
fn bench(place: &Place, odd: f32, lines: usize, more: &[&str]) -> Printed {
    npy(place, "v.npy", 300, odd);
    attributes(place, lines);
    let usual = [
        "bench",
        "filtered",
        "v.npy",
        "--attributes",
        "rows.jsonl",
        "--equality",
    ];
    place.kokeshi(&[&usual[..], more].concat())
}

fn benches() -> Vec<Case> {
    vec![
        case(
            "a benchmark of vectors with a NaN",
            2,
            &["v.npy", "row 2", "--on-error"],
            |p| bench(p, f32::NAN, 300, &["kind"]),
        ),
        case(
            "a benchmark with fewer attributes than vectors",
            2,
            &["rows.jsonl", "300 lines", "299"],
            |p| bench(p, 1.0, 299, &["kind"]),
        ),
        case(
            "a benchmark of an attribute that is not there",
            2,
            &["colour"],
            |p| bench(p, 1.0, 300, &["colour"]),
        ),
        case("a benchmark of no hits", 2, &["'0'", "1..=1000"], |p| {
            bench(p, 1.0, 300, &["kind", "-k", "0"])
        }),
        case(
            "a benchmark without queries",
            2,
            &["--queries", "0 is not in"],
            |p| bench(p, 1.0, 300, &["kind", "--queries", "0"]),
        ),
        case(
            "a benchmark with too few rows",
            2,
            &["at least 2000", "300"],
            |p| bench(p, 1.0, 300, &["kind"]),
        ),
    ]
}

/// Searches a collection with a codec; of what is printed, how many hits there were.
fn search(place: &Place, more: &[&str]) -> Printed {
    many(place, &["--codec", "int8"]);
    counted(
        place.kokeshi(
            &[
                &["search", "note", "--in", "m", "--mode", "dense", "--no-cut"],
                more,
            ]
            .concat(),
        ),
    )
}

/// The line that counts hits, without its time.
fn counted(printed: Printed) -> Printed {
    let line = printed.text.lines().find_map(|line| line.split_once(" hits in "));
    let text = line.map(|(count, _)| format!("{count} hits"));
    Printed {
        code: printed.code,
        text: text.unwrap_or(printed.text),
    }
}

fn searches() -> Vec<Case> {
    vec![
        case(
            "more hits than there are, by codes: all of them",
            0,
            &["300 hits"],
            |p| search(p, &["-k", "1000"]),
        ),
        case("a filter that nothing passes, by codes", 0, &["0 hits"], |p| {
            search(p, &["--filter", "id:nobody"])
        }),
        case(
            "a filter that everything passes, by codes",
            0,
            &["300 hits"],
            |p| search(p, &["--filter", "NOT id:nobody", "-k", "1000"]),
        ),
        case("a recall of nothing", 2, &["recall", "above 0"], |p| {
            search(p, &["--recall", "0"])
        }),
        case(
            "a search of a collection with a codec and no documents",
            0,
            &["0 hits"],
            |p| {
                p.write("one.jsonl", "{\"id\":\"a\",\"text\":\"one\"}\n");
                p.kokeshi(&["index", "one.jsonl", "--to", "e", "--codec", "pq:8"]);
                p.kokeshi(&["delete", "--id", "a", "--in", "e"]);
                counted(p.kokeshi(&["search", "one", "--in", "e"]))
            },
        ),
    ]
}
