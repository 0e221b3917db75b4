//! `kokeshi eval --task longembed`: how well facts in long texts are found, by position method and length.

use kokeshi_core::{Progress, Seed, Size};
use kokeshi_encode::{Model, Options, Position, Task};
use kokeshi_eval::{Beir, LongTask, Measure};

use crate::args::{Eval, LoadArgs};
use crate::output::{Output, table};
use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// The methods that are compared when none is named; those that a model's positions don't allow are left out.
const METHODS: [&str; 6] = ["pcw", "gp", "rp", "pi", "ntk", "selfextend"];

/// One cell of a table.
#[derive(serde::Serialize)]
struct Figure {
    task: String,
    measure: String,
    method: String,
    length: usize,
    value: f64,
}

/// What is run: rows of the tables.
struct Rows<'a> {
    args: &'a Eval,
    /// The tokens that the model has positions for; `None`: a static model.
    trained: Option<usize>,
    /// The first is none: the text is cut.
    methods: Vec<Option<Position>>,
}

/// Hides facts in texts of each length and asks for them; with a directory also in its texts, and its own queries.
///
/// # Errors
/// Bad usage for a model or a directory that can't be read.
pub fn run(args: &Eval, output: &Output) -> Result<()> {
    let rows = Rows::new(args)?;
    let count = args.documents as usize;
    let asked = count.div_ceil(2);
    let beir = match &args.data {
        Some(folder) => Some((folder, Beir::open(folder).map_err(Stop::usage)?)),
        None => None,
    };
    let real = match &beir {
        Some((_, beir)) => Some(LongTask::from_beir(beir, &args.split).map_err(Stop::usage)?),
        None => None,
    };
    let haystack = real.as_ref().map(|task| {
        let texts: Vec<&str> = task
            .documents
            .iter()
            .map(|document| document.text.as_str())
            .collect();
        texts.join("\n")
    });
    let mut jobs = Vec::new();
    let mut seed = Seed(args.seed);
    for length in &args.lengths {
        let length = *length as usize;
        jobs.push((
            "passkey".to_owned(),
            "Acc@1",
            length,
            LongTask::passkey(length, count, asked, seed.fork(1)),
        ));
        if let Some(haystack) = &haystack {
            let task = LongTask::needle(length, count, asked, haystack, seed.fork(2));
            jobs.push(("needle".to_owned(), "Acc@1", length, task));
        }
    }
    if let (Some((folder, _)), Some(task), Some(longest)) = (&beir, real, args.lengths.iter().max()) {
        jobs.push((folder.display().to_string(), "nDCG@10", *longest as usize, task));
    }
    let bar = Bar::new(output.quiet || output.json);
    bar.start("encoding", Some(jobs.len() as u64), "tasks");
    let mut figures = Vec::new();
    for (name, measure, length, task) in &jobs {
        rows.judge(name, measure, *length, task, &bar, &mut figures)?;
        bar.advance(1);
    }
    bar.finish();
    if output.json {
        return output.value(&figures);
    }
    for (name, measure) in jobs
        .iter()
        .map(|(name, measure, ..)| (name, measure))
        .fold(Vec::new(), distinct)
    {
        let of_task: Vec<&Figure> = figures.iter().filter(|figure| figure.task == *name).collect();
        output.line(format!("{name}, {measure}"))?;
        output.line(grid(&of_task))?;
    }
    Ok(())
}

fn distinct<T: PartialEq>(mut seen: Vec<T>, item: T) -> Vec<T> {
    if !seen.contains(&item) {
        seen.push(item);
    }
    seen
}

/// A row for each method, a column for each length.
fn grid(figures: &[&Figure]) -> impl std::fmt::Display {
    let lengths = figures
        .iter()
        .map(|figure| figure.length)
        .fold(Vec::new(), distinct);
    let methods = figures
        .iter()
        .map(|figure| &figure.method)
        .fold(Vec::new(), distinct);
    let header: Vec<String> = std::iter::once("method".to_owned())
        .chain(lengths.iter().map(ToString::to_string))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = methods.iter().map(|method| {
        let of_method = figures.iter().filter(|figure| figure.method == **method);
        std::iter::once((*method).clone())
            .chain(of_method.map(|figure| format!("{:.2}", figure.value)))
            .collect()
    });
    table(&header, rows, 1)
}

impl<'a> Rows<'a> {
    fn new(args: &'a Eval) -> Result<Self> {
        let load = |how: &LoadArgs| super::model::load(args.model.model.as_deref(), how);
        let plain = LoadArgs {
            context: None,
            position: None,
            ..args.model.load.clone()
        };
        let trained = load(&plain)?.positions();
        let mut methods = vec![None];
        if let Some(method) = args.model.load.position {
            methods.push(Some(method));
        } else if let Some(trained) = trained {
            for method in METHODS {
                let method = method.parse().map_err(Stop::failed)?;
                let longer = LoadArgs {
                    context: u32::try_from(trained + 1).ok(),
                    position: Some(method),
                    ..plain.clone()
                };
                // The model could be read a moment ago: only the method can be wrong.
                methods.extend(load(&longer).is_ok().then_some(Some(method)));
            }
        }
        Ok(Self {
            args,
            trained,
            methods,
        })
    }

    fn judge(
        &self,
        name: &str,
        measure: &str,
        length: usize,
        task: &LongTask,
        bar: &Bar,
        figures: &mut Vec<Figure>,
    ) -> Result<()> {
        let parsed: Measure = measure.replace("Acc@", "P@").parse().map_err(Stop::failed)?;
        let mut cut = f64::NAN;
        for method in &self.methods {
            if bar.interrupted() {
                return Err(Stop::failed("stopped before the end"));
            }
            let same = self.trained.is_none_or(|trained| length <= trained);
            let value = match method {
                // Texts that fit are the same texts under every method.
                Some(_) if same => cut,
                method => {
                    let model = self.model(length, *method)?;
                    task.judge(parsed, |texts, question| self.encode(&model, texts, question))?
                }
            };
            cut = if method.is_none() { value } else { cut };
            figures.push(Figure {
                task: name.to_owned(),
                measure: measure.to_owned(),
                method: method.map_or_else(|| self.first(), |method| method.to_string()),
                length,
                value,
            });
        }
        Ok(())
    }

    fn first(&self) -> String {
        self.trained
            .map_or_else(|| "whole text".into(), |trained| format!("cut at {trained}"))
    }

    fn model(&self, length: usize, position: Option<Position>) -> Result<Model> {
        let read = match (self.trained, position) {
            (None, _) => None,
            (Some(trained), None) => Some(trained.min(length)),
            (Some(_), Some(_)) => Some(length),
        };
        let how = LoadArgs {
            context: read.and_then(|tokens| u32::try_from(tokens).ok()),
            position,
            ..self.args.model.load.clone()
        };
        super::model::load(self.args.model.model.as_deref(), &how)
    }

    fn encode(&self, model: &Model, texts: &[String], question: bool) -> Result<kokeshi_core::Embeddings> {
        let options = Options {
            task: if question { Task::Query } else { Task::Document },
            size: self.args.model.size.unwrap_or(Size::FULL),
            ..Options::default()
        };
        model.encode(texts, &options).map_err(Stop::usage)
    }
}
