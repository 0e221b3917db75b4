//! `kokeshi demo`: the whole way on one's own files, in one command.

use kokeshi_collection::{Collection, CreateOptions, SearchRequest};
use kokeshi_sources::{Source, SourceOptions};

use crate::args::Demo;
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

use super::search::show;

/// Two questions that the repository of Kokeshi answers, and one that it doesn't.
const QUERIES: [&str; 3] = [
    "how is a crash in the middle of writing survived",
    "licence for contributions",
    "cheapest ferry to Sicily in August",
];
/// Files that hold questions, which would be the best answers to them: this one, and the queries about nothing.
const QUESTIONS: [&str; 3] = ["commands/demo.rs", "src/chance.rs", "no_answer/run.py"];

/// Indexes, searches three times, says where to go next.
///
/// # Errors
/// Bad usage if the folder can't be read, a failure if the disk refuses.
pub fn run(args: &Demo, output: &Output) -> Result<()> {
    catch_interrupts();
    let scratch = std::env::temp_dir().join(format!("kokeshi-demo-{}", std::process::id()));
    let folder = args.to.clone().unwrap_or_else(|| scratch.clone());
    let result = demo(args, &folder, output);
    if args.to.is_none() {
        // What a temporary folder leaves behind is the system's to clear.
        let _ = std::fs::remove_dir_all(&scratch);
    }
    result
}

fn demo(args: &Demo, folder: &std::path::Path, output: &Output) -> Result<()> {
    let paths = [args.folder.clone()];
    let source = Source::open(&paths, SourceOptions::default()).map_err(Stop::usage)?;
    let mut options = CreateOptions::compiled_in().map_err(Stop::failed)?;
    options.schema = source.detected().schema.clone();
    let collection = Collection::create(folder, options).map_err(Stop::usage)?;
    let started = std::time::Instant::now();
    let mut writer = collection.writer().map_err(Stop::failed)?;
    let bar = Bar::new(output.quiet || output.json);
    let asks = |id: &str| QUESTIONS.iter().any(|file| id.ends_with(file));
    let documents = source
        .documents()
        .filter_map(|row| row.ok())
        .filter(|document| !asks(&document.id));
    writer.index(documents, &bar).map_err(Stop::failed)?;
    writer.optimize(&bar).map_err(Stop::failed)?;
    drop(writer);
    let info = collection.info();
    let mut answers = Vec::new();
    for query in QUERIES {
        let request = SearchRequest {
            query: query.into(),
            k: 3,
            explain: true,
            ..SearchRequest::default()
        };
        let mut answer = collection.search(&request).map_err(Stop::failed)?;
        answer.explain = None;
        answer.hits.iter_mut().for_each(|hit| hit.why = None);
        answers.push((query, answer));
    }
    if output.json {
        let searches: Vec<_> = answers
            .iter()
            .map(|(query, answer)| serde_json::json!({"query": query, "answer": answer}))
            .collect();
        return output.value(&serde_json::json!({"info": info, "searches": searches}));
    }
    output.line(format!(
        "{} documents ({} passages) of {} indexed in {:.1} s with {}, {} dims\n",
        info.documents,
        info.passages,
        args.folder.display(),
        started.elapsed().as_secs_f64(),
        info.model,
        info.dims
    ))?;
    for (query, answer) in &answers {
        output.line(output.bold(format!("kokeshi search \"{query}\"")))?;
        show(answer, output)?;
        output.line("")?;
    }
    output.line(
        "Where to go next:\n  \
         kokeshi index docs/ papers.jsonl --to my.kokeshi      your own documents\n  \
         kokeshi search \"a question\" --in my.kokeshi           words and meaning together; --explain says why\n  \
         kokeshi serve my.kokeshi                              the same over HTTP, with a web page\n  \
         kokeshi index docs/ --to better.kokeshi --model DIR   any sentence-transformers model\n\
         The model that is compiled in is small; a larger one is one flag away: --model DIR|ID.",
    )
}
