//! The way of a search: filter, candidates by meaning and by words, fusion, one hit a document, relevance cut, highlights.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use kokeshi_core::{Bitmap, Metric, distance};
use kokeshi_index::{Cost, Effort};
use tantivy::DocAddress;
use tantivy::collector::{FilterCollector, TopDocs};
use tantivy::query::AllQuery;

use crate::collection::{Collection, Current, Passing, attributes};
use crate::fuse::{Candidate, Scored, fuse};
use crate::lexical::Words;
use crate::parts::Inside;
use crate::snapshot::Snapshot;
use crate::{
    Error, Explain, Fusion, Hit, Mode, Part, Passage, Result, SearchRequest, SearchResponse, Why, facets,
    highlight,
};

/// The most hits of one request, skipped ones included.
const MOST: usize = 10_000;
/// Longer queries are cut: no model reads more, and every word costs a posting list.
const LONGEST_QUERY: usize = 32 << 10;
/// Candidates that each side gives at least.
const DEPTH: usize = 100;
/// Candidates that each side gives when values are to be counted.
const FACET_DEPTH: usize = 1000;

/// Time by stage.
struct Clock {
    start: Instant,
    last: Instant,
    stages: Vec<(String, f64)>,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            last: now,
            stages: Vec::new(),
        }
    }

    fn stage(&mut self, name: &str) {
        let now = Instant::now();
        self.stages
            .push((name.into(), now.duration_since(self.last).as_secs_f64() * 1e3));
        self.last = now;
    }

    fn took_ms(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1e3
    }
}

/// What a query is compared by.
struct Query<'a> {
    mode: Mode,
    fusion: Fusion,
    effort: Effort,
    vector: Option<Vec<f32>>,
    words: Words,
    filter: Option<Arc<Passing>>,
    snapshot: &'a Snapshot,
}

/// Candidates, best first, and how they came about.
struct Ranked {
    candidates: Vec<Candidate>,
    lists: [usize; 2],
    cost: Option<Cost>,
    micros: f64,
    /// Whether each list may go on.
    more: bool,
}

impl Collection {
    /// Searches the open generation.
    ///
    /// # Errors
    /// [`Error::Filter`], [`Error::Request`], or what the model reports.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse> {
        let current = self.current();
        let mut clock = Clock::new();
        let wanted = check(request)?;
        if request.rerank.is_some() {
            return Err(Error::Request("rerank: this search has no reranker".into()));
        }
        let filter = match &request.filter {
            Some(filter) => Some(current.passing(filter)?),
            None => None,
        };
        clock.stage("filter");
        let query = request.query.trim();
        if query.is_empty() {
            let rows = filter.as_ref().map(|passing| passing.rows.clone());
            return list(&current, request, rows, clock);
        }
        let query = shorten(query);
        let vector = match request.mode {
            Mode::Lexical => None,
            _ => {
                let mut vector = current.embedder.encode_query(query)?;
                if current.snapshot.state.metric == Metric::Cosine {
                    distance::normalize(&mut vector);
                }
                Some(vector)
            }
        };
        clock.stage("encode");
        let words = Words::new(query, &current.snapshot)?;
        let query = Query {
            mode: request.mode,
            fusion: match request.fusion {
                Fusion::Default => current.snapshot.state.fusion,
                given => given,
            },
            effort: request.effort,
            vector,
            words,
            filter,
            snapshot: &current.snapshot,
        };
        answer(&query, request, wanted, None, clock)
    }

    /// Documents whose meaning is nearest to that of document `id`; `None` if there is no such document.
    ///
    /// # Errors
    /// [`Error::Filter`], or if the collection can't be read.
    pub fn similar(&self, id: &str, k: usize, filter: Option<&str>) -> Result<Option<SearchResponse>> {
        let current = self.current();
        let mut clock = Clock::new();
        let snapshot = &current.snapshot;
        let request = SearchRequest {
            mode: Mode::Dense,
            k,
            filter: filter.map(str::to_string),
            no_cut: true,
            ..SearchRequest::default()
        };
        let wanted = check(&request)?;
        let key = crate::known::document_key(id);
        let rows = facets::rows_of(snapshot, id)?;
        if rows.is_empty() {
            return Ok(None);
        }
        // The mean of a document's passages stands for the whole of it.
        let mut mean = vec![0.0; snapshot.state.dims];
        for &row in &rows {
            for (sum, value) in mean.iter_mut().zip(snapshot.data.vectors.row(row)) {
                *sum += value / rows.len() as f32;
            }
        }
        let filter = filter.map(|filter| current.passing(filter)).transpose()?;
        clock.stage("filter");
        let query = Query {
            mode: Mode::Dense,
            fusion: Fusion::Default,
            effort: Effort::Default,
            vector: Some(mean),
            words: Words::new("", snapshot)?,
            filter,
            snapshot,
        };
        answer(&query, &request, wanted, Some(key), clock).map(Some)
    }
}

/// The first [`LONGEST_QUERY`] bytes, or a few less so that no character is cut in two.
fn shorten(query: &str) -> &str {
    let mut end = query.len().min(LONGEST_QUERY);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    &query[..end]
}

/// Hits wanted, skipped ones included.
fn check(request: &SearchRequest) -> Result<usize> {
    let wanted = request.k.saturating_add(request.offset);
    if wanted > MOST {
        return Err(Error::Request(format!(
            "k + offset: expected at most {MOST}, found {wanted}"
        )));
    }
    if let Effort::Recall(share) = request.effort
        && !(share > 0.0 && share <= 1.0)
    {
        return Err(Error::Request(format!(
            "effort recall: expected a share above 0 and up to 1, found {share}"
        )));
    }
    match request.fusion {
        Fusion::Convex { alpha } if !(0.0..=1.0).contains(&alpha) => Err(Error::Request(format!(
            "fusion alpha: expected a number from 0 to 1, found {alpha}"
        ))),
        Fusion::Rrf { k } if !(k.is_finite() && k >= 0.0) => Err(Error::Request(format!(
            "fusion k: expected a number of at least 0, found {k}"
        ))),
        _ => Ok(wanted),
    }
}

impl Query<'_> {
    fn rank(&self, depth: usize) -> Result<Ranked> {
        let snapshot = self.snapshot;
        let mut by_row: HashMap<u32, Candidate> = HashMap::with_capacity(depth * 2);
        let (mut lists, mut cost, mut micros) = ([0, 0], None, 0.0);
        if let (Some(vector), Mode::Hybrid | Mode::Dense) = (&self.vector, self.mode) {
            let all_live = snapshot.live.count() == snapshot.rows();
            let rows = match &self.filter {
                Some(passing) => Some(&*passing.rows),
                None if all_live => None,
                None => Some(&snapshot.live),
            };
            let started = Instant::now();
            let data = &snapshot.data;
            let found = match (rows, self.inside()) {
                (Some(rows), Some(inside)) => {
                    data.parts
                        .search(inside, &data.vectors, vector, depth, self.effort, rows)?
                }
                _ => data.index.search(vector, depth, self.effort, rows)?,
            };
            micros = started.elapsed().as_secs_f64() * 1e6;
            lists[0] = found.hits.len();
            cost = Some(found.cost);
            for (at, hit) in found.hits.iter().enumerate() {
                let candidate = by_row.entry(hit.id).or_default();
                candidate.row = hit.id;
                candidate.dense = Some(Scored {
                    score: hit.score,
                    rank: at as u32 + 1,
                });
            }
        }
        if self.mode != Mode::Dense {
            let found = self.words.search(snapshot, depth, self.rows())?;
            lists[1] = found.len();
            for (at, hit) in found.iter().enumerate() {
                let candidate = by_row.entry(hit.id).or_default();
                candidate.row = hit.id;
                candidate.lexical = Some(Scored {
                    score: hit.score,
                    rank: at as u32 + 1,
                });
            }
        }
        let mut candidates: Vec<Candidate> = by_row.into_values().collect();
        self.score_missing(&mut candidates)?;
        let floor = match snapshot.state.calibration {
            Some(calibration) => calibration.mean,
            None => 0.0,
        };
        fuse(&mut candidates, self.mode, self.fusion, floor);
        Ok(Ranked {
            candidates,
            lists,
            cost,
            micros,
            more: lists.contains(&depth),
        })
    }

    /// The rows that pass the filter.
    fn rows(&self) -> Option<&Arc<Bitmap>> {
        self.filter.as_ref().map(|passing| &passing.rows)
    }

    /// The part that holds them all.
    fn inside(&self) -> Option<&Inside> {
        self.filter.as_ref()?.inside.as_ref()
    }

    /// Gives candidates of one list their score in the other: both are cheap for a few passages.
    fn score_missing(&self, candidates: &mut [Candidate]) -> Result<()> {
        if self.mode != Mode::Hybrid {
            return Ok(());
        }
        let snapshot = self.snapshot;
        if let Some(vector) = &self.vector {
            for candidate in candidates
                .iter_mut()
                .filter(|candidate| candidate.dense.is_none())
            {
                let row = snapshot.data.vectors.row(candidate.row);
                let score = snapshot.state.metric.score(vector, row);
                candidate.dense = Some(Scored { score, rank: 0 });
            }
        }
        let mut missing = Vec::new();
        let mut addresses = Vec::new();
        for (at, candidate) in candidates.iter().enumerate() {
            if candidate.lexical.is_none()
                && let Some(address) = snapshot.address(candidate.row)
            {
                missing.push(at);
                addresses.push(address);
            }
        }
        for (at, score) in missing.into_iter().zip(self.words.scores(snapshot, &addresses)?) {
            candidates[at].lexical = Some(Scored { score, rank: 0 });
        }
        Ok(())
    }
}

fn answer(
    query: &Query<'_>,
    request: &SearchRequest,
    wanted: usize,
    without: Option<u64>,
    mut clock: Clock,
) -> Result<SearchResponse> {
    let snapshot = query.snapshot;
    let least = if request.facets.is_empty() {
        DEPTH
    } else {
        FACET_DEPTH
    };
    let mut depth = least.max(wanted * 2).min(snapshot.rows().max(1));
    // A document may have many passages among the candidates; then more are looked at.
    let (ranked, documents) = loop {
        let ranked = query.rank(depth)?;
        let documents = best_passages(snapshot, &ranked.candidates, without);
        if documents.len() >= wanted || !ranked.more || depth >= snapshot.rows() {
            break (ranked, documents);
        }
        depth = (depth * 4).min(snapshot.rows());
    };
    clock.stage("candidates");
    let searched = query.rows().map_or(snapshot.live.count(), |rows| rows.count());
    let calibration = snapshot.state.calibration;
    let bar = calibration.map(|calibration| calibration.bar(searched));
    let wanted_words: BTreeSet<String> = query.words.terms.iter().map(|(word, _)| word.clone()).collect();
    let weight: f32 = query.words.terms.iter().map(|(_, idf)| idf).sum();
    let cutting = !request.no_cut && query.mode != Mode::Lexical;
    let mut response = SearchResponse::default();
    let mut kept = Vec::new();
    let considered = documents.len().min(wanted);
    for (candidate, address) in &documents[..considered] {
        let stored = snapshot.stored(*address)?;
        let text = snapshot.fields.stored_text(&stored, snapshot.fields.text);
        let title = snapshot.fields.stored_text(&stored, snapshot.fields.title);
        let (highlights, mut found) = highlight::find(text, &wanted_words);
        found.extend(highlight::find(title, &wanted_words).1);
        let held: f32 = query
            .words
            .terms
            .iter()
            .filter(|(word, _)| found.contains(word))
            .map(|(_, idf)| idf)
            .sum();
        let coverage = if weight > 0.0 { held / weight } else { 0.0 };
        let relevance = calibration.map(|calibration| {
            calibration.relevance(
                candidate.dense.map(|dense| dense.score),
                coverage,
                query.words.known,
            )
        });
        if cutting && relevance.is_some_and(|relevance| bar.is_some_and(|bar| relevance < bar)) {
            response.cut += 1;
            continue;
        }
        let why = request.explain.then(|| {
            why(
                snapshot,
                candidate,
                found.into_iter().collect(),
                coverage,
                relevance,
            )
        });
        kept.push(Hit {
            id: snapshot.fields.stored_text(&stored, snapshot.fields.id).into(),
            title: title.into(),
            score: candidate.score,
            passage: Passage {
                number: snapshot.number(*address, "_passage") as u32,
                of: snapshot.number(*address, "_passages") as u32,
                text: text.into(),
                highlights,
            },
            attributes: attributes(snapshot, &stored),
            why,
        });
    }
    clock.stage("hits");
    if kept.is_empty() && response.cut > 0 {
        response.note = Some("nothing in this collection is about that".into());
    }
    if !request.facets.is_empty() {
        let addresses: Vec<DocAddress> = documents.iter().map(|(_, address)| *address).collect();
        let counted = if kept.is_empty() { &[][..] } else { &addresses[..] };
        response.facets = facets::count(snapshot, &request.facets, Some(counted))?;
        clock.stage("facets");
    }
    response.hits = kept.into_iter().skip(request.offset).collect();
    if request.explain {
        response.explain = Some(Explain {
            dense: ranked.cost,
            dense_us: ranked.micros,
            part: query
                .inside()
                .filter(|_| ranked.cost.is_some())
                .map(|inside| snapshot.data.parts.name(inside).to_string()),
            filter_matches: query.rows().map(|rows| rows.count()),
            candidates: [ranked.lists[1], ranked.lists[0]],
            known_words: query.words.known,
            bar,
            stages: clock.stages.clone(),
        });
    }
    response.took_ms = clock.took_ms();
    Ok(response)
}

/// The best passage of each document, best document first.
fn best_passages(
    snapshot: &Snapshot,
    candidates: &[Candidate],
    without: Option<u64>,
) -> Vec<(Candidate, DocAddress)> {
    let mut seen: HashSet<u64> = without.into_iter().collect();
    let mut best = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if let Some(address) = snapshot.address(candidate.row)
            && seen.insert(snapshot.number(address, "_document"))
        {
            best.push((*candidate, address));
        }
    }
    best
}

fn why(
    snapshot: &Snapshot,
    candidate: &Candidate,
    words: Vec<String>,
    coverage: f32,
    relevance: Option<f32>,
) -> Why {
    let part = |scored: Option<Scored>, share: f32| {
        let scored = scored.filter(|scored| scored.rank > 0)?;
        Some(Part {
            score: scored.score,
            rank: scored.rank,
            share,
        })
    };
    Why {
        lexical: part(candidate.lexical, candidate.shares[1]),
        dense: part(candidate.dense, candidate.shares[0]),
        first_stage: None,
        reranked: None,
        chance: candidate.dense.and_then(|dense| {
            let calibration = snapshot.state.calibration?;
            Some(calibration.chance(dense.score))
        }),
        words,
        coverage,
        relevance,
    }
}

/// The documents that pass the filter (all, without one), in the order of their ids.
fn list(
    current: &Current,
    request: &SearchRequest,
    filter: Option<Arc<Bitmap>>,
    mut clock: Clock,
) -> Result<SearchResponse> {
    let snapshot = &current.snapshot;
    let failed = |error: tantivy::TantivyError| Error::Request(format!("documents can't be listed: {error}"));
    let wanted = request.k + request.offset;
    let mut limit = wanted.max(1);
    let addresses = loop {
        let top = TopDocs::with_limit(limit).order_by_string_fast_field("id", tantivy::Order::Asc);
        let found = match &filter {
            None => snapshot.searcher.search(&AllQuery, &top),
            Some(rows) => {
                let rows = rows.clone();
                let passes = move |row: u64| u32::try_from(row).is_ok_and(|row| rows.contains(row));
                snapshot
                    .searcher
                    .search(&AllQuery, &FilterCollector::new("_row".into(), passes, top))
            }
        }
        .map_err(failed)?;
        let complete = found.len() < limit;
        let mut seen = HashSet::new();
        let addresses: Vec<DocAddress> = found
            .into_iter()
            .map(|(_, address)| address)
            .filter(|address| seen.insert(snapshot.number(*address, "_document")))
            .collect();
        if complete || addresses.len() >= wanted {
            break addresses;
        }
        limit *= 4;
    };
    let mut response = SearchResponse::default();
    for address in addresses.into_iter().skip(request.offset).take(request.k) {
        let stored = snapshot.stored(address)?;
        let text_of = |column| snapshot.fields.stored_text(&stored, column).to_string();
        response.hits.push(Hit {
            id: text_of(snapshot.fields.id),
            title: text_of(snapshot.fields.title),
            score: 0.0,
            passage: Passage {
                number: snapshot.number(address, "_passage") as u32,
                of: snapshot.number(address, "_passages") as u32,
                text: text_of(snapshot.fields.text),
                highlights: Vec::new(),
            },
            attributes: attributes(snapshot, &stored),
            why: None,
        });
    }
    clock.stage("hits");
    response.facets = match &filter {
        _ if request.facets.is_empty() => BTreeMap::new(),
        None => facets::count(snapshot, &request.facets, None)?,
        Some(rows) => {
            let mut seen = HashSet::new();
            let addresses: Vec<DocAddress> = rows
                .iter()
                .filter_map(|row| snapshot.address(row))
                .filter(|address| seen.insert(snapshot.number(*address, "_document")))
                .collect();
            facets::count(snapshot, &request.facets, Some(&addresses))?
        }
    };
    if request.explain {
        response.explain = Some(Explain {
            filter_matches: filter.as_ref().map(|rows| rows.count()),
            stages: clock.stages.clone(),
            ..Explain::default()
        });
    }
    response.took_ms = clock.took_ms();
    Ok(response)
}
