//! What happens on bad input: every row of docs/bad-input.md is run here, and the page is checked against what was printed.
//!
//! `KOKESHI_BLESS=1 cargo test -p kokeshi --test bad_input` writes the page anew after a message was changed on purpose.

mod benching;
mod making;
mod shrinking;
mod support;

use std::fmt::Write as _;
use std::fs;

use support::{Place, Printed, flip_byte, truncate};

/// One row: what is wrong, how it is brought about, what must come of it.
struct Case {
    /// What is wrong with the input.
    input: &'static str,
    /// The exit code or HTTP status.
    code: i32,
    /// Phrases that the message must hold: what was expected, what was found, where.
    says: &'static [&'static str],
    /// Makes the input and runs the command.
    run: fn(&Place) -> Printed,
}

/// Short for a row.
fn case(input: &'static str, code: i32, says: &'static [&'static str], run: fn(&Place) -> Printed) -> Case {
    Case {
        input,
        code,
        says,
        run,
    }
}

fn reading() -> Vec<Case> {
    vec![
        case("a path that is not there", 2, &["nowhere", "no such file"], |p| {
            p.kokeshi(&["index", "nowhere", "--to", "c"])
        }),
        case("an empty folder", 2, &["nothing to read"], |p| {
            fs::create_dir(p.path("empty")).unwrap();
            p.kokeshi(&["index", "empty", "--to", "c"])
        }),
        case("an empty file", 2, &["empty.jsonl"], |p| {
            p.write("empty.jsonl", "");
            p.kokeshi(&["index", "empty.jsonl", "--to", "c"])
        }),
        case("a CSV with a header and no rows", 2, &["head.csv"], |p| {
            p.write("head.csv", "id,text\n");
            p.kokeshi(&["index", "head.csv", "--to", "c"])
        }),
        case(
            "a line that is not JSON: skipped, the rest is indexed",
            0,
            &["bad.jsonl:2"],
            |p| {
                p.write(
                    "bad.jsonl",
                    "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\n{\"id\":\"b\",\"text\":\"two\"}\n",
                );
                p.kokeshi(&["index", "bad.jsonl", "--to", "c"])
            },
        ),
        case("the same with --on-error fail", 2, &["bad.jsonl:2"], |p| {
            p.write(
                "bad.jsonl",
                "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\n{\"id\":\"b\",\"text\":\"two\"}\n",
            );
            p.kokeshi(&["index", "bad.jsonl", "--to", "c", "--on-error", "fail"])
        }),
        case(
            "bytes that are not UTF-8 in JSONL",
            0,
            &["utf.jsonl:2", "UTF-8"],
            |p| {
                p.write_bytes(
                    "utf.jsonl",
                    b"{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":\"\xff\xfe\"}\n",
                );
                p.kokeshi(&["index", "utf.jsonl", "--to", "c"])
            },
        ),
        case("a line of 40 MB", 0, &["long.jsonl:1"], |p| {
            let long = "x".repeat(40 << 20);
            p.write(
                "long.jsonl",
                &format!("{{\"id\":\"a\",\"text\":\"{long}\"}}\n{{\"id\":\"b\",\"text\":\"two\"}}\n"),
            );
            p.kokeshi(&["index", "long.jsonl", "--to", "c", "--id", "id", "--text", "text"])
        }),
        case("NaN in JSON", 0, &["nan.jsonl:2"], |p| {
            p.write(
                "nan.jsonl",
                "{\"id\":\"a\",\"text\":\"one\",\"x\":1.5}\n{\"id\":\"b\",\"text\":\"two\",\"x\":NaN}\n",
            );
            p.kokeshi(&["index", "nan.jsonl", "--to", "c"])
        }),
        case("JSON nested 10,000 deep", 0, &["deep.jsonl:2"], |p| {
            let deep = format!(
                "{{\"id\":\"b\",\"text\":{}1{}}}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            );
            p.write(
                "deep.jsonl",
                &format!("{{\"id\":\"a\",\"text\":\"one\"}}\n{deep}\n"),
            );
            p.kokeshi(&["index", "deep.jsonl", "--to", "c"])
        }),
        case(
            "two documents with one id: the last wins, and it is said",
            0,
            &["id", "replace"],
            |p| {
                p.write(
                    "twice.jsonl",
                    "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"a\",\"text\":\"two\"}\n",
                );
                p.kokeshi(&["index", "twice.jsonl", "--to", "c"])
            },
        ),
        case(
            "a value that does not fit its type: left out and counted",
            0,
            &["year", "types.jsonl:2"],
            |p| {
                p.write("types.jsonl", "{\"id\":\"a\",\"text\":\"x\",\"year\":1}\n{\"id\":\"b\",\"text\":\"y\",\"year\":\"soon\"}\n");
                p.kokeshi(&["index", "types.jsonl", "--to", "c", "--attr", "year:integer"])
            },
        ),
        case(
            "the same with --on-error fail",
            2,
            &["year", "types.jsonl:2", "soon"],
            |p| {
                p.write("types.jsonl", "{\"id\":\"a\",\"text\":\"x\",\"year\":1}\n{\"id\":\"b\",\"text\":\"y\",\"year\":\"soon\"}\n");
                p.kokeshi(&[
                    "index",
                    "types.jsonl",
                    "--to",
                    "c",
                    "--attr",
                    "year:integer",
                    "--on-error",
                    "fail",
                ])
            },
        ),
        case("a column that is not there", 2, &["nope", "body"], |p| {
            p.write("t.csv", "id,body\n1,one\n");
            p.kokeshi(&["index", "t.csv", "--to", "c", "--text", "nope"])
        }),
        case(
            "a field whose name no attribute can have: it is said what it is called",
            0,
            &["yıl", "yu131l"],
            |p| {
                p.write("t.csv", "id,body,yıl\n1,one,1999\n");
                p.kokeshi(&["index", "t.csv", "--to", "c"])
            },
        ),
        case("an unknown attribute type", 2, &["colour", "integer"], |p| {
            p.write("t.csv", "id,body,year\n1,one,2\n");
            p.kokeshi(&["index", "t.csv", "--to", "c", "--attr", "year:colour"])
        }),
        case("a CSV row with too many fields", 0, &["ragged.csv:3"], |p| {
            p.write("ragged.csv", "id,text\n1,one\n2,two,three,four\n");
            p.kokeshi(&["index", "ragged.csv", "--to", "c"])
        }),
        case("a gzip file that ends too early", 0, &["torn.jsonl.gz"], |p| {
            p.write_gzip(
                "torn.jsonl.gz",
                &"{\"id\":\"a\",\"text\":\"one two three\"}\n".repeat(4000),
            );
            truncate(&p.path("torn.jsonl.gz"), 0.6);
            p.kokeshi(&["index", "torn.jsonl.gz", "--to", "c"])
        }),
        case("a .parquet file that is not one", 2, &["p.parquet"], |p| {
            p.write("p.parquet", "PAR1 but no more than that");
            p.kokeshi(&["index", "p.parquet", "--to", "c"])
        }),
        case("a link that leads nowhere", 2, &["link.txt"], |p| {
            std::os::unix::fs::symlink(p.path("gone"), p.path("link.txt")).unwrap();
            p.kokeshi(&["index", "link.txt", "--to", "c"])
        }),
        case("nothing on standard input", 2, &["nothing to read"], |p| {
            p.kokeshi(&["index", "-", "--to", "c"])
        }),
    ]
}

fn collections() -> Vec<Case> {
    vec![
        case(
            "a collection that is not there",
            2,
            &["none.kokeshi", "not a collection"],
            |p| p.kokeshi(&["search", "x", "--in", "none.kokeshi"]),
        ),
        case(
            "a folder that is not a collection",
            2,
            &["not a collection"],
            |p| {
                fs::create_dir(p.path("plain")).unwrap();
                p.kokeshi(&["info", "plain"])
            },
        ),
        case(
            "indexing into a folder with other files",
            2,
            &["expected an empty or new directory", "keep.txt"],
            |p| {
                p.write("full/keep.txt", "mine");
                p.write("a.txt", "text");
                p.kokeshi(&["index", "a.txt", "--to", "full"])
            },
        ),
        case("a place where nothing can be written", 2, &["/proc/"], |p| {
            p.write("a.txt", "text");
            p.kokeshi(&["index", "a.txt", "--to", "/proc/kokeshi"])
        }),
        case(
            "a collection that another process is writing",
            1,
            &["being written by"],
            |p| {
                let collection = p.collection();
                let _writer = collection.writer().unwrap();
                p.kokeshi(&["delete", "--in", "c", "--id", "a"])
            },
        ),
        case(
            "a disk that is full before all is indexed: what was there stays",
            1,
            &["vectors-", "too large"],
            |p| {
                p.collection();
                let rows: Vec<String> = (0..2000)
                    .map(|at| format!("{{\"id\":\"new{at}\",\"text\":\"text number {at}\",\"year\":1}}"))
                    .collect();
                p.write("many.jsonl", &rows.join("\n"));
                let printed = p.kokeshi_on_small_disk(&["index", "many.jsonl", "--to", "c", "-q"]);
                let kept = p.kokeshi(&["info", "c", "--json"]).text;
                assert!(kept.contains("\"documents\": 4"), "{kept}");
                printed
            },
        ),
        case("a collection of a newer format", 2, &["newer"], |p| {
            p.collection();
            p.newer_format("c/manifest.json");
            p.kokeshi(&["info", "c"])
        }),
        case("a manifest cut short", 2, &["manifest.json"], |p| {
            p.collection();
            truncate(&p.path("c/manifest.json"), 0.5);
            p.kokeshi(&["info", "c"])
        }),
        case(
            "a flipped bit in a vectors file",
            2,
            &["vectors-", "checksum"],
            |p| {
                p.collection();
                flip_byte(&p.find("c", "vectors-"), 0.9);
                p.kokeshi(&["search", "x", "--in", "c"])
            },
        ),
        case("a vectors file cut short", 2, &["vectors-"], |p| {
            p.collection();
            truncate(&p.find("c", "vectors-"), 0.7);
            p.kokeshi(&["search", "x", "--in", "c"])
        }),
        case("a vectors file that is gone", 2, &["vectors-"], |p| {
            p.collection();
            fs::remove_file(p.find("c", "vectors-")).unwrap();
            p.kokeshi(&["search", "x", "--in", "c"])
        }),
        case("a flipped bit in the text index", 2, &["text/"], |p| {
            p.collection();
            flip_byte(&p.find_suffix("c/text", ".store"), 0.3);
            p.kokeshi(&["search", "x", "--in", "c"])
        }),
        case(
            "the text index's own list of files cut short",
            2,
            &["meta.json"],
            |p| {
                p.collection();
                truncate(&p.path("c/text/meta.json"), 0.5);
                p.kokeshi(&["info", "c"])
            },
        ),
        case(
            "another model for a collection",
            2,
            &["made with model", "reindex"],
            |p| {
                p.collection();
                p.write("a.txt", "text");
                p.kokeshi(&["index", "a.txt", "--to", "c", "--size", "32"])
            },
        ),
        case(
            "a context for the compiled-in model",
            2,
            &["--context", "static", "--model"],
            |p| p.kokeshi_with("a", &["embed", "--context", "512"]),
        ),
        case("a position method without a context", 2, &["--context"], |p| {
            p.kokeshi_with("a", &["embed", "--position", "pi"])
        }),
        case(
            "a position method that is not one",
            2,
            &["expected a position method", "yarn"],
            |p| p.kokeshi_with("a", &["embed", "--context", "512", "--position", "yarn"]),
        ),
        case("a context for a static model", 2, &["static", "context"], |p| {
            p.static_model("m");
            p.kokeshi_with("one", &["embed", "--model", "m", "--context", "512"])
        }),
    ]
}

fn searching() -> Vec<Case> {
    vec![
        case("a filter with bad syntax", 2, &["filter", "year:["], |p| {
            p.collection();
            p.kokeshi(&["search", "x", "--in", "c", "--filter", "year:["])
        }),
        case(
            "a filter over an attribute that is not there",
            2,
            &["colour", "year"],
            |p| {
                p.collection();
                p.kokeshi(&["search", "x", "--in", "c", "--filter", "colour:red"])
            },
        ),
        case(
            "a graph for filters on an attribute that is not there",
            2,
            &["colour", "year"],
            |p| {
                p.collection();
                p.kokeshi(&["optimize", "c", "--index-attr", "year,colour"])
            },
        ),
        case("a filter value of the wrong type", 2, &["year", "soon"], |p| {
            p.collection();
            p.kokeshi(&["search", "x", "--in", "c", "--filter", "year:soon"])
        }),
        case("a filter without an attribute", 2, &["filter"], |p| {
            p.collection();
            p.kokeshi(&["delete", "--in", "c", "--filter", "loose"])
        }),
        case("facets of an attribute that is not there", 2, &["colour"], |p| {
            p.collection();
            p.kokeshi(&["search", "x", "--in", "c", "--facets", "colour"])
        }),
        case("a weight outside 0..1", 2, &["alpha", "2"], |p| {
            p.collection();
            p.kokeshi(&["search", "x", "--in", "c", "--alpha", "2"])
        }),
        case("no hits asked for", 2, &["1..=10000"], |p| {
            p.kokeshi(&["search", "x", "--in", "c", "-k", "0"])
        }),
        case("documents like one that is not there", 2, &["nobody"], |p| {
            p.collection();
            p.kokeshi(&["similar", "nobody", "--in", "c"])
        }),
        case(
            "a deletion without id and filter",
            2,
            &["required arguments"],
            |p| p.kokeshi(&["delete", "--in", "c"]),
        ),
    ]
}

fn models() -> Vec<Case> {
    vec![
        case("a size that is not one", 2, &["6x128x1"], |p| {
            p.kokeshi_with("hi\n", &["embed", "--size", "big"])
        }),
        case("more dimensions than the model has", 2, &["4096"], |p| {
            p.kokeshi_with("hi\n", &["embed", "--size", "4096"])
        }),
        case("a model directory that is empty", 2, &["m", "config.json"], |p| {
            fs::create_dir(p.path("m")).unwrap();
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case(
            "a model that is neither a directory nor in the hub's cache",
            2,
            &["no-such-model"],
            |p| p.kokeshi_with("hi\n", &["embed", "--model", "nobody/no-such-model"]),
        ),
        case("a pooling that is not known", 2, &["1_Pooling", "median"], |p| {
            p.pooled_model(
                "m",
                r#"{"word_embedding_dimension": 32, "pooling_mode": "median"}"#,
            );
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case(
            "words made of bytes with heads that don't divide their width",
            2,
            &["0_BytesToWords/config.json", "heads", "8 dims", "found 3"],
            |p| {
                p.byte_words("m", r#"{"dims": 8, "heads": 3}"#);
                p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
            },
        ),
        case(
            "words made of bytes without their weights",
            2,
            &["0_BytesToWords", "model.safetensors"],
            |p| {
                p.byte_words("m", r#"{"dims": 8, "heads": 2}"#);
                p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
            },
        ),
        case("weights cut short", 2, &["model.safetensors"], |p| {
            p.static_model("m");
            truncate(&p.path("m/model.safetensors"), 0.5);
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case(
            "weights whose header claims 2^60 bytes",
            2,
            &["model.safetensors"],
            |p| {
                p.static_model("m");
                let mut bytes = fs::read(p.path("m/model.safetensors")).unwrap();
                bytes[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
                fs::write(p.path("m/model.safetensors"), bytes).unwrap();
                p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
            },
        ),
        case("the tokenizer of another, larger model", 2, &["tokenizer"], |p| {
            p.static_model("m");
            p.larger_tokenizer("m");
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case("a tokenizer that is not JSON", 2, &["tokenizer.json"], |p| {
            p.static_model("m");
            p.write("m/tokenizer.json", "{\"version\":");
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case("a precision that is not one", 2, &["int3", "--precision"], |p| {
            p.kokeshi_with("hi\n", &["embed", "--precision", "int3"])
        }),
        case(
            "a model that sees both sides without its positions",
            2,
            &["causal mask", "decoder"],
            |p| {
                let model = small("qwen2-bidirectional");
                p.kokeshi_with("hi\n", &["embed", "--model", &model, "--position", "none"])
            },
        ),
        case(
            "a window and first tokens for a model that sees both sides",
            2,
            &["lambda", "causal"],
            |p| {
                let model = small("qwen2-bidirectional");
                let long = ["--context", "512", "--position", "lambda"];
                p.kokeshi_with("hi\n", &[&["embed", "--model", &model][..], &long].concat())
            },
        ),
        case(
            "a model with routes for queries and documents, and no task",
            2,
            &["document or query"],
            |p| p.kokeshi_with("hi\n", &["embed", "--model", &small("route-asym")]),
        ),
        case(
            "a route of modules that are not known",
            2,
            &["router_config.json", "SpladePooling", "supported are"],
            |p| {
                p.write(
                    "m/modules.json",
                    r#"[{"path": "", "type": "sentence_transformers.models.Router"}]"#,
                );
                let types = r#""a": "sentence_transformers.sparse_encoder.models.SpladePooling""#;
                let text = format!(
                    r#"{{"types": {{{types}}}, "structure": {{"query": ["a"]}}, "parameters": {{}}}}"#
                );
                p.write("m/router_config.json", &text);
                p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
            },
        ),
        case("an NV-Embed without its decoder", 2, &["text_config"], |p| {
            p.write("m/config.json", r#"{"model_type": "nvembed"}"#);
            p.kokeshi_with("hi\n", &["embed", "--model", "./m"])
        }),
        case("a field that is not there", 2, &["nope"], |p| {
            p.write("t.jsonl", "{\"id\":\"a\",\"text\":\"one\"}\n");
            p.kokeshi(&["embed", "t.jsonl", "--field", "nope"])
        }),
        case(
            "a vectors file of an unknown kind",
            2,
            &["out.xyz", ".npy"],
            |p| p.kokeshi_with("hi\n", &["embed", "--to", "out.xyz"]),
        ),
        case(
            "a model without a classifier as a reranker",
            2,
            &["classifier"],
            |p| p.kokeshi_with("hi\n", &["rerank", "--query", "x", "--model", &small("qwen2")]),
        ),
        case("a reranker that is not there", 2, &["nobody"], |p| {
            p.kokeshi_with(
                "hi\n",
                &["rerank", "--query", "x", "--model", "nobody/no-such-model"],
            )
        }),
        case("sparse vectors as .npy", 2, &[".jsonl"], |p| {
            p.kokeshi_with("hi\n", &["embed", "--sparse", "--model", "m", "--to", "v.npy"])
        }),
        case(
            "sparse vectors of a model without such a head",
            2,
            &["qwen2"],
            |p| p.kokeshi_with("hi\n", &["embed", "--sparse", "--model", &small("qwen2")]),
        ),
        case("a full disk", 1, &["o space left"], |p| {
            p.write("t.jsonl", &"{\"id\":\"a\",\"text\":\"one\"}\n".repeat(2000));
            p.kokeshi_to_full_disk(&["embed", "t.jsonl"])
        }),
    ]
}

/// The path of a small model of the encoder's tests.
fn small(name: &str) -> String {
    kokeshi_testing::small_model(name).to_string_lossy().into_owned()
}

fn judging() -> Vec<Case> {
    vec![
        case("a data set without judgements", 2, &["qrels"], |p| {
            p.write("beir/corpus.jsonl", "{\"_id\":\"1\",\"text\":\"one\"}\n");
            p.write("beir/queries.jsonl", "{\"_id\":\"q\",\"text\":\"one\"}\n");
            p.kokeshi(&["eval", "beir"])
        }),
        case("a split that is not there", 2, &["dev"], |p| {
            p.beir("beir");
            p.kokeshi(&["eval", "beir", "--split", "dev"])
        }),
        case(
            "a run with a score that is not a number",
            2,
            &["bad.run:2"],
            |p| {
                p.beir("beir");
                p.write("bad.run", "q Q0 1 1 0.5 me\nq Q0 2 2 nan me\n");
                p.kokeshi(&["eval", "beir", "--run", "bad.run"])
            },
        ),
        case(
            "a run with a document twice for a query",
            2,
            &["bad.run:2"],
            |p| {
                p.beir("beir");
                p.write("bad.run", "q Q0 1 1 0.5 me\nq Q0 1 2 0.4 me\n");
                p.kokeshi(&["eval", "beir", "--run", "bad.run"])
            },
        ),
        case("a paired test that is none", 2, &["ttest", "'--test "], |p| {
            p.beir("beir");
            p.kokeshi(&["eval", "beir", "--test", "ttest"])
        }),
        case("judgements with a missing column", 2, &["test.tsv:2"], |p| {
            p.beir("beir");
            p.write("beir/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t1\n");
            p.kokeshi(&["eval", "beir"])
        }),
    ]
}

fn serving() -> Vec<Case> {
    let get = |input, code, says, run: fn(&Place) -> Printed| case(input, code, says, run);
    vec![
        get("HTTP: a collection that is not served", 404, &["nowhere"], |p| {
            p.http("POST", "/collections/nowhere/search", "{}")
        }),
        get("HTTP: a route that is not there", 404, &["error"], |p| {
            p.http("GET", "/nothing/here", "")
        }),
        get("HTTP: a method that is not allowed", 405, &["error"], |p| {
            p.http("PUT", "/collections/c/search", "{}")
        }),
        get("HTTP: a body that is not JSON", 400, &["error"], |p| {
            p.http("POST", "/collections/c/search", "{\"query\":")
        }),
        get(
            "HTTP: an array where an object is expected",
            400,
            &["sequence", "an object"],
            |p| p.http("POST", "/collections/c/search", "[\"apple\"]"),
        ),
        get("HTTP: a field that is not known", 400, &["querry"], |p| {
            p.http("POST", "/collections/c/search", "{\"querry\":\"x\"}")
        }),
        get(
            "HTTP: a filter over an unknown attribute",
            400,
            &["colour"],
            |p| {
                p.http(
                    "POST",
                    "/collections/c/search",
                    "{\"query\":\"x\",\"filter\":\"colour:red\"}",
                )
            },
        ),
        get("HTTP: a document without an id", 400, &["id"], |p| {
            p.http("POST", "/collections/c/documents", "[{\"text\":\"x\"}]")
        }),
        get("HTTP: an attribute of the wrong type", 400, &["year"], |p| {
            p.http(
                "POST",
                "/collections/c/documents",
                "[{\"id\":\"z\",\"text\":\"x\",\"attributes\":{\"year\":\"soon\"}}]",
            )
        }),
        get("HTTP: embeddings of nothing", 400, &["input"], |p| {
            p.http("POST", "/v1/embeddings", "{\"model\":\"m\"}")
        }),
        get("HTTP: more dimensions than the model has", 400, &["4096"], |p| {
            p.http("POST", "/v1/embeddings", "{\"input\":\"x\",\"dimensions\":4096}")
        }),
        get("HTTP: reranking without a reranker", 404, &["--reranker"], |p| {
            p.http("POST", "/v1/rerank", "{\"query\":\"x\",\"documents\":[\"y\"]}")
        }),
        get(
            "HTTP: sparse vectors without a model for them",
            404,
            &["--sparse"],
            |p| p.http("POST", "/v1/embed_sparse", "{\"inputs\":\"x\"}"),
        ),
        get("HTTP: a body of 50 MB", 413, &["error"], |p| {
            p.http("POST", "/collections/c/documents", &"x".repeat(50_000_000))
        }),
        get(
            "HTTP: a write with no key to a server that wants one",
            401,
            &["key"],
            |p| p.http_keyed("DELETE", "/collections/c/documents/a"),
        ),
    ]
}

#[test]
fn bad_input_gets_a_clear_error_and_the_documented_code() {
    let parts = [
        ("Reading documents", reading()),
        ("Collections", collections()),
        ("Searching and deleting", searching()),
        ("Models and vectors", models()),
        ("Training", making::cases()),
        ("Shrinking and bridging", shrinking::cases()),
        ("Judging", judging()),
        ("Benchmarks", benching::cases()),
        ("Serving", serving()),
    ];
    let mut page = String::from(
        "# What happens on bad input\n\n\
         Exit codes: 0 done, 1 the work failed, 2 bad usage or bad input. HTTP: 4xx with `{\"error\": {\"type\", \"message\", \"hint\"}}`.\n\
         This page is checked against the program by `cargo test -p kokeshi --test bad_input`; `DIR` stands for the working directory.\n",
    );
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (title, cases) in parts {
        write!(
            page,
            "\n## {title}\n\n| input | code | message |\n|---|---|---|\n"
        )
        .unwrap();
        for case in cases {
            rows += 1;
            let place = Place::new();
            let printed = (case.run)(&place);
            let message = place.message(&printed);
            if printed.code != case.code {
                wrong.push(format!(
                    "{}: expected {}, found {}: {message}",
                    case.input, case.code, printed.code
                ));
            }
            for phrase in case.says {
                if !message.contains(phrase) {
                    wrong.push(format!(
                        "{}: expected the message to hold {phrase:?}, found: {message}",
                        case.input
                    ));
                }
            }
            if printed.text.contains("panicked") {
                wrong.push(format!("{}: a panic: {}", case.input, printed.text));
            }
            let shown = message.replace('|', "\\|").replace('<', "&lt;");
            writeln!(page, "| {} | {} | {} |", case.input, printed.code, shown).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows are not as they should be:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(rows >= 40, "the page promises at least 40 rows, found {rows}");
    let file = kokeshi_testing::workspace().join("docs/bad-input.md");
    if std::env::var_os("KOKESHI_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "docs/bad-input.md does not say what the program does; KOKESHI_BLESS=1 writes it anew"
    );
}
