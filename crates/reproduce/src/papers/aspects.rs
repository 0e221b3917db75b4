//! Aspect embeddings (arXiv 2203.14541) on the static bench: documents of two parts, a question and a title, with an aspect of their own each.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Aux, Gist, Margins};
use kokeshi_train::tape::Matrix;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Text, Vocabulary, WORDS};
use crate::training::bag::Bag;
use crate::training::tfidf::{Sparse, TfIdf, dot};
use crate::training::trec;

const ID: &str = "aspect-embeddings";

const TRAIN: usize = 4_400;
const TEST: usize = 1_000;
const DIMS: usize = 64;
const BATCH: usize = 32;
const STEPS: usize = 600;
const RATE: f32 = 5e-3;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "type",
        claim: "precision at 10 by the question's type of a model for types against tf-idf: ratio",
        bar: Bar::AtLeast(1.5),
    },
    Claim {
        name: "field",
        claim: "precision at 10 by the title's field of a model for fields against tf-idf: ratio",
        bar: Bar::AtLeast(1.5),
    },
    Claim {
        name: "other field",
        claim: "the model for types knows less of fields than tf-idf: ratio",
        bar: Bar::AtMost(1.0),
    },
    Claim {
        name: "other type",
        claim: "the model for fields knows less of types than tf-idf: ratio",
        bar: Bar::AtMost(1.0),
    },
];

/// The reproduction.
pub(crate) struct Aspects;

impl Reproduction for Aspects {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let documents = read(context)?;
        let (train, test) = documents.split_at(TRAIN);
        let words = TfIdf::new(train.iter().map(|document| document.words.as_slice()));
        let sparse: Vec<Sparse> = test
            .iter()
            .map(|document| words.sparse(&document.words))
            .collect();
        let generic = precision(test, |a, b| dot(&sparse[a], &sparse[b]));
        eprintln!("tf-idf: precision at 10 by type and field {generic:.3?}");
        let run = |name: &str, aspects: &[usize]| {
            let bag = learn(train, aspects, Seed(context.seed));
            let mut rows = bag.vectors(test.iter().map(|document| document.words.as_slice()));
            rows.chunks_exact_mut(DIMS)
                .for_each(kokeshi_core::distance::normalize);
            let row = |at: usize| &rows[at * DIMS..][..DIMS];
            let found = precision(test, |a, b| kokeshi_core::distance::dot(row(a), row(b)));
            eprintln!("{name}: precision at 10 by type and field {found:.3?}");
            found
        };
        let types = run("for types", &[0]);
        let fields = run("for fields", &[1]);
        run("for both", &[0, 1]);
        Ok(measured(
            CLAIMS,
            [
                types[0] / generic[0],
                fields[1] / generic[1],
                types[1] / generic[1],
                fields[0] / generic[0],
            ],
        ))
    }
}

/// A question and a title.
struct Document {
    words: Vec<u32>,
    /// Numbers of the question's type and of the title's field.
    labels: [usize; 2],
}

fn read(context: &Context) -> Result<Vec<Document>> {
    let questions = trec::read(context, ID, "train")?;
    let papers = Text::read(context, ID)?;
    let joined: Vec<(String, [&str; 2])> = questions
        .iter()
        .zip(&papers)
        .take(TRAIN + TEST)
        .map(|(question, paper)| {
            let text = format!("{} {}", question.text, paper.title);
            (text, [question.kind.as_str(), paper.primary.as_str()])
        })
        .collect();
    let vocabulary = Vocabulary::of(joined[..TRAIN].iter().map(|(text, _)| text.as_str()));
    let mut names: [Vec<&str>; 2] = [Vec::new(), Vec::new()];
    let mut documents = Vec::with_capacity(joined.len());
    for (text, labels) in &joined {
        let mut numbers = [0; 2];
        for ((number, label), names) in numbers.iter_mut().zip(labels).zip(&mut names) {
            *number = names.iter().position(|known| known == label).unwrap_or_else(|| {
                names.push(label);
                names.len() - 1
            });
        }
        documents.push(Document {
            words: vocabulary.ids(text, usize::MAX),
            labels: numbers,
        });
    }
    Ok(documents)
}

/// The share of the ten nearest test documents with the same label, for each aspect.
fn precision(test: &[Document], score: impl Fn(usize, usize) -> f32 + Sync) -> [f64; 2] {
    use rayon::prelude::*;

    let one = |own: usize| -> [f64; 2] {
        let mut order: Vec<(f32, usize)> = (0..test.len())
            .filter(|other| *other != own)
            .map(|other| (score(own, other), other))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let same = |aspect: usize| {
            let right = order[..10]
                .iter()
                .filter(|(_, at)| test[*at].labels[aspect] == test[own].labels[aspect]);
            right.count() as f64 / 10.0
        };
        [same(0), same(1)]
    };
    let found: Vec<[f64; 2]> = (0..test.len()).into_par_iter().map(one).collect();
    [0, 1].map(|aspect| found.iter().map(|found| found[aspect]).sum::<f64>() / test.len() as f64)
}

/// Trains on pairs that share a label of one of the aspects, which take turns; other documents with that label are no negatives.
fn learn(train: &[Document], aspects: &[usize], mut seed: Seed) -> Bag {
    let mut bag = Bag::new(WORDS, DIMS, seed.fork(1));
    let loss = Gist {
        temperature: 0.05,
        margin: Margins::Absolute(0.5),
        anchors: false,
        positives: false,
    };
    for step in 0..STEPS {
        let aspect = aspects[step % aspects.len()];
        let mut columns: [Vec<&[u32]>; 2] = [Vec::new(), Vec::new()];
        let mut labels = Vec::with_capacity(BATCH);
        while labels.len() < BATCH {
            let [one, two] = [(); 2].map(|()| &train[seed.below(train.len())]);
            if one.labels[aspect] == two.labels[aspect] {
                columns[0].push(&one.words);
                columns[1].push(&two.words);
                labels.push(one.labels[aspect]);
            }
        }
        // The label itself is the guide: cosine 1 where it is the same.
        let mut guide = Matrix::zeros(BATCH, labels.iter().max().map_or(1, |most| most + 1));
        labels
            .iter()
            .enumerate()
            .for_each(|(row, label)| guide.row_mut(row)[*label] = 1.0);
        let aux = Aux {
            guide: vec![guide.clone(), guide],
            ..Aux::default()
        };
        bag.step(&columns, &loss, &aux, RATE);
    }
    bag
}
