//! Files of the field are read, and what is wrong with one is said with its line.

use std::{fs, io::Write, path::PathBuf};

use kokeshi_eval::{Beir, Missing, Qrels, Run, evaluate, read_qrels, read_run, read_sts, write_run};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

#[test]
fn a_run_reads_back_with_its_order() {
    let folder = Folder::new();
    let mut run = Run::default();
    for (document, score) in [("a", 0.5), ("b", 0.1 + 0.2), ("c", 0.5), ("d", -1e-30)] {
        run.insert("q 1", document, score);
    }
    let path = folder.0.path().join("mine.run");
    write_run(&path, &run, "my system").unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap().lines().next(),
        Some("q_1 Q0 c 1 0.5 my_system")
    );
    let read = read_run(&path).unwrap();
    assert_eq!(read.ranked("q_1"), Some(vec!["c", "a", "b", "d"]));
    assert_eq!(read.documents("q_1").unwrap()[2].1, 0.1 + 0.2);
}

#[test]
fn anyones_run_is_read() {
    let folder = Folder::new();
    let text = b"\xEF\xBB\xBFq1 Q0  d1\t1 1e-3 tag\r\n\nq1\t0\td2\t7\t-inf\ttag\nq2 Q0 d1 1 .5 tag";
    for path in [folder.file("a.run", text), folder.file("packed", &gzip(text))] {
        let run = read_run(&path).unwrap();
        assert_eq!(run.ranked("q1"), Some(vec!["d1", "d2"]));
        assert_eq!(run.len(), 2);
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let folder = Folder::new();
    let run = |text: &str| {
        read_run(&folder.file("x.run", text.as_bytes()))
            .unwrap_err()
            .to_string()
    };
    let qrels = |text: &str| {
        read_qrels(&folder.file("x.qrels", text.as_bytes()))
            .unwrap_err()
            .to_string()
    };
    let sts = |name: &str, text: &str| {
        read_sts(&folder.file(name, text.as_bytes()))
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (
            run("q Q0 d 1 0.5 t\nq Q0 e 2 NaN t\n"),
            "x.run:2: expected a number as score, found \"NaN\"",
        ),
        (
            run("q Q0 d 1 high t\n"),
            "x.run:1: expected a number as score, found \"high\"",
        ),
        (
            run("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n"),
            "x.run:2: expected document \"d\" once for query \"q\"",
        ),
        (
            run("q d 0.5\n"),
            "x.run:1: expected query, Q0, document, rank, score and tag, found \"q d 0.5\"",
        ),
        (
            qrels("q 0 d 1\nq 0 d 2\n"),
            "x.qrels:2: expected document \"d\" judged once",
        ),
        (
            qrels("q 0 d 0.5\n"),
            "x.qrels:1: expected a whole number as grade, found \"0.5\"",
        ),
        (
            qrels("\nq\n"),
            "x.qrels:2: expected query, iteration, document and grade",
        ),
        (
            sts("x.tsv", "5\ta\tb\n?\tc\td\n"),
            "x.tsv:2: expected a number as score, found \"?\"",
        ),
        (
            sts("x.tsv", "5\ta\n"),
            "x.tsv:1: expected score, sentence1 and sentence2, or a header",
        ),
        (
            sts("x.csv", "score,sentence1,sentence2\n1,a\n"),
            "x.csv:2: expected score, sentence1 and sentence2, found",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\nexpected {expected}");
    }
    let broken = folder.file("y.run", b"q Q0 \xFF 1 1 t\n");
    assert!(
        read_run(&broken)
            .unwrap_err()
            .to_string()
            .contains("y.run:1: expected UTF-8")
    );
    let cut = gzip(b"q Q0 d 1 0.5 t\n");
    assert!(
        read_run(&folder.file("cut.gz", &cut[..cut.len() / 2]))
            .unwrap_err()
            .to_string()
            .contains("cut.gz")
    );
}

#[test]
fn a_beir_directory_is_read_compressed_and_in_parts() {
    let folder = Folder::new();
    let path = folder.0.path();
    assert!(
        Beir::open(path)
            .unwrap_err()
            .to_string()
            .contains("expected a BEIR directory with corpus")
    );
    folder.file(
        "corpus.0.jsonl",
        b"{\"_id\": \"1\", \"title\": \"T\", \"text\": \"one\", \"metadata\": {}}\n",
    );
    folder.file("corpus.1.jsonl.gz", &gzip(b"{\"_id\": 2, \"text\": \"two\"}\n"));
    folder.file("queries.jsonl", b"{\"_id\": \"q\", \"text\": \"what\"}\n");
    folder.file("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq\t1\t2\n");
    folder.file("qrels/dev.tsv.gz", &gzip(b"q\t2\t1\n"));
    let beir = Beir::open(path).unwrap();
    let joined: Vec<String> = beir
        .documents()
        .unwrap()
        .iter()
        .map(|document| document.joined())
        .collect();
    assert_eq!(joined, ["T one", "two"]);
    assert_eq!(beir.queries().unwrap()[0].text, "what");
    assert_eq!(beir.splits().unwrap(), ["dev", "test"]);
    assert_eq!(beir.qrels("test").unwrap().judged("q").unwrap()["1"], 2);
    assert_eq!(beir.qrels("dev").unwrap().judged("q").unwrap()["2"], 1);
    assert!(
        beir.qrels("train")
            .unwrap_err()
            .to_string()
            .contains("there are: dev, test")
    );
    folder.file("corpus.0.jsonl", b"{\"_id\": \"1\", \"text\": \"one\"}\n[1]\n");
    let error = beir.documents().unwrap_err().to_string();
    assert!(error.contains("corpus.0.jsonl:2: expected an object"), "{error}");
}

#[test]
fn pairs_are_read_with_and_without_a_header() {
    let folder = Folder::new();
    let files = [
        (
            "a.tsv",
            "genre\tscore\tsentence1\tsentence2\nnews\t4.5\ta \"b\tc, d\n",
        ),
        ("b.tsv", "4.5\ta \"b\tc, d\n"),
        ("c.csv", "4.5,\"a \"\"b\",\"c, d\"\n"),
        ("d.csv", "score,sentence1,sentence2\n4.5,\"a \"\"b\",\"c, d\"\n"),
    ];
    for (name, text) in files {
        let pairs = read_sts(&folder.file(name, text.as_bytes())).unwrap();
        assert_eq!(pairs.len(), 1, "{name}");
        assert_eq!(
            (pairs[0].score, pairs[0].first.as_str(), pairs[0].second.as_str()),
            (4.5, "a \"b", "c, d"),
            "{name}"
        );
    }
}

#[test]
fn a_judged_query_without_an_answer_counts_as_asked() {
    let (mut qrels, mut run) = (Qrels::default(), Run::default());
    qrels.insert("a", "d", 1);
    qrels.insert("b", "d", 1);
    run.insert("a", "d", 1.0);
    let measures = ["MRR".parse().unwrap()];
    assert_eq!(evaluate(&qrels, &run, &measures, Missing::Zero).mean(0), 0.5);
    assert_eq!(evaluate(&qrels, &run, &measures, Missing::Skip).mean(0), 1.0);
    let report = evaluate(&qrels, &run, &measures, Missing::Zero).report_with_intervals("mine", 200, 1);
    assert_eq!(report.rows[0].interval, Some([0.0, 1.0]));
    assert_eq!(report.table(), "mine (2)\n  MRR  0.5000  [0.0000, 1.0000]\n");
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_shared_sets_are_read() {
    for name in [
        "scifact",
        "nfcorpus",
        "cranfield",
        "cacm",
        "npl_vaswani",
        "cosqa",
        "msmarco_5k",
    ] {
        let beir = Beir::open(&kokeshi_testing::data(name)).unwrap();
        let (documents, queries) = (beir.documents().unwrap(), beir.queries().unwrap());
        assert!(documents.len() > 500 && !queries.is_empty(), "{name}");
        // Cranfield keeps its original grades beside the binary ones.
        for split in beir
            .splits()
            .unwrap()
            .into_iter()
            .filter(|split| split != "original_codes")
        {
            let qrels = beir.qrels(&split).unwrap();
            let known = qrels
                .queries()
                .filter(|query| queries.iter().any(|known| known.id == *query))
                .count();
            assert_eq!(known, qrels.len(), "{name} {split}");
        }
    }
    for (name, pairs) in [("stsb", 1379), ("stsb_tr", 1379)] {
        assert_eq!(
            read_sts(&kokeshi_testing::data(name).join("test.tsv"))
                .unwrap()
                .len(),
            pairs
        );
    }
    assert_eq!(
        read_sts(&kokeshi_testing::data("sts12_15").join("2012.OnWN.test.tsv"))
            .unwrap()
            .len(),
        750
    );
}
