//! Rows of docs/bad-input.md about `kokeshi bench`.

use super::shrinking::npy;
use super::support::{Place, Printed};
use super::{Case, case};

/// `bench filtered` of 40 vectors whose attributes are `lines`, with more flags.
fn filtered(place: &Place, lines: &str, more: &[&str]) -> Printed {
    npy(place, "v.npy", 40, 1.0);
    place.write("rows.jsonl", lines);
    let asked = [
        "bench",
        "filtered",
        "v.npy",
        "--attributes",
        "rows.jsonl",
        "--queries",
        "10",
    ];
    place.kokeshi(&[&asked, more].concat())
}

/// A line a row.
fn lines(rows: usize) -> String {
    let line = |row: usize| format!("{{\"kind\":\"k{}\",\"tags\":[\"t\"],\"year\":{row}}}\n", row % 3);
    (0..rows).map(line).collect()
}

/// All rows.
pub fn cases() -> Vec<Case> {
    vec![
        case("attributes that are not there", 2, &["none.jsonl"], |p| {
            npy(p, "v.npy", 40, 1.0);
            p.kokeshi(&[
                "bench",
                "filtered",
                "v.npy",
                "--attributes",
                "none.jsonl",
                "--equality",
                "kind",
            ])
        }),
        case(
            "attributes of other rows than the vectors",
            2,
            &["rows.jsonl", "40", "39"],
            |p| filtered(p, &lines(39), &["--equality", "kind"]),
        ),
        case("no attribute to filter by", 2, &["required"], |p| {
            filtered(p, &lines(40), &[])
        }),
        case(
            "an attribute that no row has",
            2,
            &["rows.jsonl", "colour"],
            |p| filtered(p, &lines(40), &["--equality", "colour"]),
        ),
        case(
            "a list where one label is expected",
            2,
            &["rows.jsonl, line 1, tags"],
            |p| filtered(p, &lines(40), &["--equality", "tags"]),
        ),
        case(
            "a text where a list of labels is expected",
            2,
            &["rows.jsonl, line 1, kind"],
            |p| filtered(p, &lines(40), &["--set", "kind"]),
        ),
        case(
            "a line of attributes that is not JSON",
            2,
            &["rows.jsonl, line 41"],
            |p| filtered(p, &(lines(40) + "kind: k1\n"), &["--equality", "kind"]),
        ),
        case(
            "a benchmark of more queries than rows",
            2,
            &["at least 80 vectors", "40"],
            |p| {
                npy(p, "v.npy", 40, 1.0);
                p.write("rows.jsonl", &lines(40));
                let asked = ["bench", "filtered", "v.npy", "--attributes", "rows.jsonl"];
                p.kokeshi(&[&asked[..], &["--equality", "kind", "--queries", "40"]].concat())
            },
        ),
        case("a benchmark of no hits", 2, &["--k"], |p| {
            filtered(p, &lines(40), &["--equality", "kind", "--k", "0"])
        }),
        case(
            "a NaN in the vectors of a benchmark",
            2,
            &["v.npy", "row 2"],
            |p| {
                npy(p, "v.npy", 40, f32::NAN);
                p.write("rows.jsonl", &lines(40));
                p.kokeshi(&[
                    "bench",
                    "filtered",
                    "v.npy",
                    "--attributes",
                    "rows.jsonl",
                    "--equality",
                    "kind",
                ])
            },
        ),
    ]
}
