//! Recall on real text: abstracts as vectors of the compiled-in model, with other abstracts and titles as queries.

use std::io::BufRead;

use kokeshi_core::Metric;
use kokeshi_encode::{Model, Options};
use kokeshi_index::Effort;

use crate::support::{build, random_filter, recall};

#[test]
#[ignore = "needs ../shared/data"]
fn recall_on_abstracts_is_at_least_95_percent_at_every_selectivity() {
    let mut files: Vec<_> = std::fs::read_dir(kokeshi_testing::data("arxiv"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    files.sort();
    let lines = files.iter().flat_map(|path| {
        let file = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap());
        std::io::BufReader::new(file).lines()
    });
    // Every third of them, and of those every hundredth is a query.
    let (mut abstracts, mut others, mut titles) = (Vec::new(), Vec::new(), Vec::new());
    for (at, line) in lines.step_by(3).enumerate() {
        let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |field: &str| record[field].as_str().unwrap().to_string();
        if at % 100 == 0 {
            others.push(text("abstract"));
            titles.push(text("title"));
        } else {
            abstracts.push(text("abstract"));
        }
    }
    assert_eq!((abstracts.len(), titles.len()), (22_670, 229));
    let model = Model::compiled_in();
    let embed = |texts: &[String]| model.encode(texts, &Options::default()).unwrap();
    let index = build(&embed(&abstracts), Metric::Cosine);
    for (kind, queries) in [("abstracts", embed(&others)), ("titles", embed(&titles))] {
        for share in [1.0, 0.5, 0.1, 0.01, 0.001] {
            let filter = (share < 1.0).then(|| random_filter(abstracts.len(), share, 1));
            let (recall, distances) = recall(&index, &queries, 10, Effort::Default, filter.as_ref());
            println!("{kind} at {share}: recall@10 {recall:.4} with {distances:.0} comparisons");
            assert!(recall >= 0.95, "{kind} at {share}: recall {recall}");
        }
    }
}
