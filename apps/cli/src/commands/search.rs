//! `kokeshi search` and `kokeshi similar`.

use std::io::{BufRead, IsTerminal, Write};

use kokeshi_collection::{Collection, Explain, Fusion, Hit, Part, SearchRequest, SearchResponse};
use kokeshi_encode::Reranker;
use kokeshi_index::{Cost, Effort, Plan};
use kokeshi_sources::Attribute;

use super::info::open;
use crate::args::{LoadArgs, Search, Similar};
use crate::output::{Output, table};
use crate::stop::{Result, Stop};

/// How much of a passage is shown, in characters.
const SHOWN: usize = 320;

/// Searches once, or for every line of standard input when there is no query.
///
/// # Errors
/// Bad usage for a collection, filter or value that is not right.
pub fn run(args: &Search, output: &Output) -> Result<()> {
    let collection = open(&args.common.collection)?;
    let reranker = match &args.rerank {
        None => None,
        Some(name) => Some(super::model::reranker(name, &LoadArgs::default())?),
    };
    let once = |query: &str| once(&collection, args, reranker.as_ref(), query, output);
    if let Some(query) = &args.query {
        return once(query);
    }
    let asking = std::io::stdin().is_terminal();
    if asking {
        output.note(format!(
            "{} documents; an empty line ends.",
            collection.info().documents
        ));
    }
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if asking {
            let mut prompt = std::io::stderr().lock();
            // A prompt that can't be drawn is no reason to stop.
            let _ = write!(prompt, "{} ", output.bold(">")).and_then(|()| prompt.flush());
        }
        match lines.next() {
            None => return Ok(()),
            Some(Err(error)) => return Err(Stop::usage(format!("standard input: {error}"))),
            Some(Ok(query)) if query.trim().is_empty() => {
                if asking {
                    return Ok(());
                }
            }
            Some(Ok(query)) => once(&query)?,
        }
    }
}

/// The documents nearest to one of the collection's.
///
/// # Errors
/// Bad usage if there is no such document.
pub fn similar(args: &Similar, output: &Output) -> Result<()> {
    let collection = open(&args.common.collection)?;
    let answer = collection
        .similar(&args.id, args.common.k.into(), args.common.filter.as_deref())
        .map_err(Stop::usage)?
        .ok_or_else(|| {
            Stop::usage(format!(
                "no document {:?} in {}",
                args.id,
                args.common.collection.display()
            ))
        })?;
    show(&answer, output)
}

fn once(
    collection: &Collection,
    args: &Search,
    reranker: Option<&Reranker>,
    query: &str,
    output: &Output,
) -> Result<()> {
    let request = SearchRequest {
        query: query.to_string(),
        mode: args.mode.into(),
        filter: args.common.filter.clone(),
        k: args.common.k.into(),
        fusion: match (args.alpha, args.rrf) {
            (Some(alpha), _) => Fusion::Convex { alpha },
            (None, Some(k)) => Fusion::Rrf { k },
            (None, None) => Fusion::Default,
        },
        effort: match (args.exact, args.effort, args.recall) {
            (true, _, _) => Effort::Exact,
            (false, Some(length), _) => Effort::List(length),
            (false, None, Some(share)) => Effort::Recall(share),
            (false, None, None) => Effort::Default,
        },
        no_cut: args.no_cut,
        explain: args.explain,
        facets: args.facets.clone(),
        rerank: reranker.map(|_| args.rerank_depth.into()),
        ..SearchRequest::default()
    };
    let answer = match reranker {
        None => collection.search(&request),
        Some(reranker) => collection.search_reranked(&request, reranker),
    };
    let answer = answer.map_err(Stop::usage)?;
    show(&answer, output)
}

/// Prints an answer.
///
/// # Errors
/// A failure if standard output can't be written.
pub fn show(answer: &SearchResponse, output: &Output) -> Result<()> {
    if output.json {
        return output.value(answer);
    }
    for (place, hit) in answer.hits.iter().enumerate() {
        show_hit(place + 1, hit, output)?;
    }
    if let Some(note) = &answer.note {
        output.line(note)?;
    }
    if !answer.facets.is_empty() {
        let rows = answer.facets.iter().flat_map(|(name, facet)| {
            let counts = facet.values.iter().take(8);
            counts.map(move |(value, count)| vec![name.clone(), shown(value), count.to_string()])
        });
        output.line(table(&["attribute", "value", "documents"], rows, 2))?;
    }
    if let Some(explain) = &answer.explain {
        let stages = explain
            .stages
            .iter()
            .map(|(name, ms)| vec![name.clone(), format!("{ms:.2}")]);
        output.line(table(&["stage", "ms"], stages, 1))?;
        let [lexical, dense] = explain.candidates;
        let mut facts = vec![format!("{lexical} candidates by words, {dense} by meaning")];
        if let Some(cost) = &explain.dense {
            output.line(table(&["meaning", "value"], meaning(cost, explain), 2))?;
        }
        if let Some(matches) = explain.filter_matches {
            facts.push(format!("filter lets {matches} passages through"));
        }
        if let Some(bar) = explain.bar {
            facts.push(format!("relevance below {bar:.2} is cut"));
        }
        output.line(output.dim(facts.join(" · ")))?;
    }
    let cut = if answer.cut > 0 {
        format!(", {} cut as not relevant", answer.cut)
    } else {
        String::new()
    };
    let hits = answer.hits.len();
    output.line(output.dim(format!(
        "{hits} hit{} in {:.1} ms{cut}",
        if hits == 1 { "" } else { "s" },
        answer.took_ms
    )))
}

/// How nearest vectors were looked for, and what it cost.
fn meaning(cost: &Cost, explain: &Explain) -> Vec<Vec<String>> {
    let micros = |micros: f32| format!("{micros:.0} us");
    let plan = match cost.plan {
        Plan::Scan => "comparing the vectors of all that pass",
        Plan::Codes => "comparing codes of those that pass, then the best of the vectors",
        Plan::Graph => "a walk through the graph",
        Plan::GraphFiltered => "a walk through the graph that keeps what passes",
    };
    let mut rows = vec![("plan", plan.to_string())];
    if let Some(part) = &explain.part {
        rows.push(("in the graph of", part.clone()));
    }
    rows.push((
        "distances",
        format!(
            "{}, {} of them of vectors; {} nodes visited",
            cost.distances, cost.vectors, cost.visited
        ),
    ));
    rows.push(("took", micros(explain.dense_us as f32)));
    if let Some(expected) = &cost.expected {
        let mut ways = vec![format!("walk {}", micros(expected.walk))];
        ways.extend(expected.codes.map(|codes| format!("codes {}", micros(codes))));
        ways.push(format!("vectors {}", micros(expected.scan)));
        rows.push(("expected", ways.join(", ")));
    }
    rows.into_iter()
        .map(|(what, value)| vec![what.into(), value])
        .collect()
}

fn show_hit(place: usize, hit: &Hit, output: &Output) -> Result<()> {
    let title = if hit.title.is_empty() { &hit.id } else { &hit.title };
    let score = output.dim(format!("{:.3}", hit.score));
    output.line(format!("{place:>2}. {}  {score}", output.bold(one_line(title))))?;
    let part = match hit.passage.of {
        0 | 1 => String::new(),
        of => format!(" · passage {} of {of}", hit.passage.number + 1),
    };
    let attributes: String = hit
        .attributes
        .iter()
        .map(|(name, value)| format!(" · {name}: {}", clipped(&shown(value), 60)))
        .collect();
    output.line(format!(
        "    {}",
        output.dim(format!("{}{part}{attributes}", hit.id))
    ))?;
    let (text, ranges) = window(&hit.passage.text, &hit.passage.highlights);
    let marked = output.highlighted(&text, &ranges);
    output.line(format!("    {}\n", one_line(&marked)))?;
    if let Some(why) = &hit.why {
        let part = |name: &str, part: Option<Part>| match part {
            Some(Part { score, rank, share }) => format!("{name} {score:.3} (rank {rank}) gave {share:.3}"),
            None => format!("{name}: not among its candidates"),
        };
        let mut facts = vec![part("words", why.lexical), part("meaning", why.dense)];
        if let Some(relevance) = why.relevance {
            facts.push(format!("relevance {relevance:.2}"));
        }
        if let (Some(score), Some(before)) = (why.reranked, why.first_stage) {
            facts.push(format!("reranked {score:.3}, {before:.3} before"));
        }
        if let Some(chance) = why.chance {
            facts.push(format!("a random pair gets there with chance {chance:.1e}"));
        }
        if !why.words.is_empty() {
            facts.push(format!("matched: {}", why.words.join(", ")));
        }
        output.line(format!(
            "    {}\n",
            output.dim(format!("why: {}", facts.join(" · ")))
        ))?;
    }
    Ok(())
}

/// An attribute as a person writes it.
pub fn shown(value: &Attribute) -> String {
    match value {
        Attribute::Bool(value) => value.to_string(),
        Attribute::Integer(value) => value.to_string(),
        Attribute::Float(value) => value.to_string(),
        Attribute::Text(value) => value.strip_suffix("T00:00:00Z").unwrap_or(value).to_string(),
        Attribute::List(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `most` characters of `text`, with a mark where it was cut.
pub fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// The part of a passage with the most highlighted words, and its highlights.
fn window(text: &str, highlights: &[[usize; 2]]) -> (String, Vec<[usize; 2]>) {
    if text.chars().nth(SHOWN).is_none() {
        return (text.to_string(), highlights.to_vec());
    }
    let density = |start: usize| {
        highlights
            .iter()
            .filter(|range| (start..start + SHOWN).contains(&range[0]))
            .count()
    };
    let mut best = 0;
    for &[start, _] in highlights {
        if density(start) > density(best) {
            best = start;
        }
    }
    // Begin a little before the first highlighted word, at a blank.
    let mut start = best.saturating_sub(60);
    while start > 0 && !(text.is_char_boundary(start) && text[start..].starts_with(char::is_whitespace)) {
        start -= 1;
    }
    let end = text[start..]
        .char_indices()
        .nth(SHOWN)
        .map_or(text.len(), |(at, _)| start + at);
    let (before, after) = (
        if start > 0 { "…" } else { "" },
        if end < text.len() { "…" } else { "" },
    );
    let ranges = highlights
        .iter()
        .filter(|range| range[0] >= start && range[1] <= end)
        .map(|range| [range[0] - start + before.len(), range[1] - start + before.len()])
        .collect();
    (format!("{before}{}{after}", &text[start..end]), ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_highlights_on_their_words() {
        let text = format!(
            "{} the needle lies here {}",
            "häy ".repeat(200),
            "stack ".repeat(200)
        );
        let at = text.find("needle").unwrap();
        let (shown, ranges) = window(&text, &[[at, at + 6]]);
        assert!(shown.chars().count() <= SHOWN + 2);
        assert_eq!(&shown[ranges[0][0]..ranges[0][1]], "needle");
    }

    #[test]
    fn short_passages_are_shown_whole() {
        assert_eq!(window("a b", &[[0, 1]]), ("a b".to_string(), vec![[0, 1]]));
    }
}
