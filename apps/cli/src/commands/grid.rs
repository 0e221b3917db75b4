//! `kokeshi sizes`: a model judged at every number of layers, dims and bits; each text is run through its layers once.

use std::path::Path;

use kokeshi_codec::Spec;
use kokeshi_core::{Embeddings, Metric, Seed, Size};
use kokeshi_encode::{Model, Options, Task};
use kokeshi_eval::{Beir, Document, Measure, Missing, Qrels, Run, StsPair, evaluate, read_sts, spearman};
use kokeshi_index::{Effort, FlatIndex, Index};
use kokeshi_plot::{Heat, heat};
use serde::Serialize;

use super::sizes::{self, encode};
use crate::args::Sizes;
use crate::output::{Output, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Documents that a query is given, enough for nDCG@10.
const DEPTH: usize = 10;
/// Where the rotation of codes begins.
const SEED: Seed = Seed(42);

/// What was measured: `values[bits][layers][dims]`.
#[derive(Serialize)]
struct Grid<'a> {
    model: &'a str,
    data: &'a Path,
    measure: &'a str,
    bits: &'a [u8],
    layers: &'a [usize],
    dims: &'a [usize],
    values: Vec<Vec<Vec<f64>>>,
}

/// What a model is judged on.
enum Data {
    Pairs(Vec<StsPair>),
    Retrieval {
        documents: Vec<Document>,
        queries: Vec<Document>,
        qrels: Qrels,
    },
}

/// Judges the model at every size of the grid.
///
/// # Errors
/// Bad usage for data, layers, dims or bits that can't be.
pub fn run(args: &Sizes, output: &Output) -> Result<()> {
    catch_interrupts();
    let data = Data::read(&args.eval, &args.split)?;
    let model = super::model::load(Some(&args.model), &args.load)?;
    let layers = axis("--layers", &args.layers, model.layers(), || {
        (1..=model.layers()).collect()
    })?;
    let dims = axis("--dims", &args.dims, model.dims(), || halves(model.dims()))?;
    let specs = args
        .bits
        .iter()
        .map(|bits| codec(*bits))
        .collect::<Result<Vec<_>>>()?;
    let all: Vec<Size> = layers
        .iter()
        .flat_map(|layers| {
            dims.iter().map(|dims| Size {
                layers: Some(*layers),
                dims: Some(*dims),
                bits: None,
            })
        })
        .collect();
    let bar = Bar::new(output.quiet || output.json);
    let encoded = data.encode(&model, &all, &bar)?;
    let mut values = Vec::with_capacity(specs.len());
    for spec in &specs {
        let mut found = Vec::with_capacity(all.len());
        for (asked, rows) in &encoded {
            found.push(data.judge(&model, asked.as_ref(), rows, spec.as_ref())?);
        }
        values.push(found.chunks(dims.len()).map(<[f64]>::to_vec).collect());
    }
    let grid = Grid {
        model: model.id(),
        data: &args.eval,
        measure: data.measure(),
        bits: &args.bits,
        layers: &layers,
        dims: &dims,
        values,
    };
    if let Some(file) = &args.plot {
        let picture = kokeshi_plot::file::bytes(file, &grid.svg()).map_err(Stop::failed)?;
        std::fs::write(file, picture)
            .map_err(|error| Stop::failed(format!("{}: {error}", file.display())))?;
        output.note(format!("plot: {}", file.display()));
    }
    if output.json {
        return output.value(&grid);
    }
    grid.print(output)
}

/// The values of one axis: what was asked for, checked, or `usual`.
fn axis(flag: &str, given: &[usize], most: usize, usual: impl Fn() -> Vec<usize>) -> Result<Vec<usize>> {
    if given.is_empty() {
        return Ok(usual());
    }
    match given.iter().find(|value| !(1..=most).contains(*value)) {
        None => Ok(given.to_vec()),
        Some(wrong) => Err(Stop::usage(format!(
            "{flag}: expected 1 to {most}, which the model has, found {wrong}"
        ))),
    }
}

/// 16, 32, ... up to the full width.
fn halves(full: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(16), |dims| Some(dims * 2));
    powers.take_while(|dims| *dims < full).chain([full]).collect()
}

/// What makes so many bits of a value.
fn codec(bits: u8) -> Result<Option<Spec>> {
    let name = match bits {
        32 => return Ok(None),
        16 => "f16".to_string(),
        1..=8 => format!("rabitq:{bits}"),
        other => {
            return Err(Stop::usage(format!(
                "--bits: expected 32, 16 or 1 to 8, found {other}"
            )));
        }
    };
    name.parse().map(Some).map_err(Stop::failed)
}

impl Data {
    fn read(path: &Path, split: &str) -> Result<Self> {
        if let Some(file) = super::eval::pairs(path, split)? {
            return Ok(Self::Pairs(read_sts(&file).map_err(Stop::usage)?));
        }
        let beir = Beir::open(path).map_err(Stop::usage)?;
        let qrels = beir.qrels(split).map_err(Stop::usage)?;
        let mut queries = beir.queries().map_err(Stop::usage)?;
        queries.retain(|query| qrels.judged(&query.id).is_some());
        Ok(Self::Retrieval {
            documents: beir.documents().map_err(Stop::usage)?,
            queries,
            qrels,
        })
    }

    fn measure(&self) -> &'static str {
        match self {
            Self::Pairs(_) => "Spearman",
            Self::Retrieval { .. } => "nDCG@10",
        }
    }

    /// For each size the vectors of what is asked (of the pairs, nothing) and of what is compared with it, of length one if the model's
    /// similarity is the cosine.
    fn encode(
        &self,
        model: &Model,
        sizes: &[Size],
        bar: &Bar,
    ) -> Result<Vec<(Option<Embeddings>, Embeddings)>> {
        let (asked, mut rows) = match self {
            Self::Pairs(pairs) => {
                let texts: Vec<&str> = pairs
                    .iter()
                    .flat_map(|pair| [pair.first.as_str(), pair.second.as_str()])
                    .collect();
                let options = Options::default();
                (None, encode(model, &texts, sizes, &options, bar)?)
            }
            Self::Retrieval {
                documents, queries, ..
            } => {
                let texts: Vec<String> = documents.iter().map(Document::joined).collect();
                let rows = encode(model, &texts, sizes, &sizes::task(Task::Document), bar)?;
                let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
                (
                    Some(encode(model, &texts, sizes, &sizes::task(Task::Query), bar)?),
                    rows,
                )
            }
        };
        // Sentence pairs are compared by their cosines whatever the model's similarity is.
        if asked.is_none() || model.metric() == Metric::Cosine {
            rows.iter_mut().for_each(Embeddings::normalize);
        }
        Ok(match asked {
            None => rows.into_iter().map(|rows| (None, rows)).collect(),
            Some(asked) => asked.into_iter().map(Some).zip(rows).collect(),
        })
    }

    /// How good vectors are when they are stored by `spec`.
    fn judge(
        &self,
        model: &Model,
        asked: Option<&Embeddings>,
        rows: &Embeddings,
        spec: Option<&Spec>,
    ) -> Result<f64> {
        let metric = match self {
            Self::Pairs(_) => Metric::Cosine,
            Self::Retrieval { .. } => model.metric(),
        };
        let stored = match spec {
            None => rows.clone(),
            Some(spec) => {
                let chain = spec.train(rows, metric, SEED).map_err(Stop::failed)?;
                let codes = chain.encode_all(rows).map_err(Stop::failed)?;
                chain.decode_all(&codes).map_err(Stop::failed)?
            }
        };
        match self {
            Self::Pairs(pairs) => {
                let cosine =
                    |pair| kokeshi_core::distance::cosine(stored.row(2 * pair), stored.row(2 * pair + 1));
                let found: Vec<f64> = (0..pairs.len()).map(|pair| f64::from(cosine(pair))).collect();
                let wanted: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
                spearman(&found, &wanted)
                    .ok_or_else(|| Stop::usage("fewer than two different scores: nothing to correlate"))
            }
            Self::Retrieval {
                documents,
                queries,
                qrels,
            } => {
                let index = FlatIndex::new(stored.into(), metric);
                let mut run = Run::default();
                for (query, vector) in queries.iter().zip(asked.into_iter().flat_map(Embeddings::iter)) {
                    run.insert_query(&query.id);
                    let hits = index.search(vector, DEPTH, Effort::Exact, None);
                    for hit in hits.map_err(Stop::failed)?.hits {
                        run.insert(&query.id, &documents[hit.id as usize].id, f64::from(hit.score));
                    }
                }
                let measure: Measure = self.measure().parse().map_err(Stop::failed)?;
                Ok(evaluate(qrels, &run, &[measure], Missing::Zero).mean(0))
            }
        }
    }
}

impl Grid<'_> {
    fn print(&self, output: &Output) -> Result<()> {
        output.line(format!(
            "{} · {} · {} by layers (down) and dims (across)",
            self.data.display(),
            self.model,
            self.measure
        ))?;
        for (bits, values) in self.bits.iter().zip(&self.values) {
            let mut header = vec![format!("{bits} bits")];
            header.extend(self.dims.iter().map(ToString::to_string));
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let rows = self.layers.iter().zip(values).map(|(layers, values)| {
                let cells = values.iter().map(|value| format!("{value:.4}"));
                std::iter::once(layers.to_string()).chain(cells).collect()
            });
            output.line(table(&header, rows, 1))?;
        }
        Ok(())
    }

    /// One table for all bits, below each other.
    fn svg(&self) -> String {
        let several = self.bits.len() > 1;
        let rows = self.bits.iter().flat_map(|bits| {
            self.layers.iter().map(move |layers| match several {
                true => format!("{layers} · {bits} bits"),
                false => layers.to_string(),
            })
        });
        heat(&Heat {
            title: format!("{} of {}", self.measure, self.model),
            x: "dims".into(),
            y: if several { "layers · bits" } else { "layers" }.into(),
            columns: self.dims.iter().map(ToString::to_string).collect(),
            rows: rows.collect(),
            values: self.values.iter().flatten().cloned().collect(),
        })
    }
}
