//! Search, by POST with a JSON body or by GET with a query string, and documents like a given one.

use std::sync::Arc;

use axum::extract::State;
use kokeshi_collection::{Fusion, Mode, SearchRequest, SearchResponse};
use kokeshi_index::Effort;

use crate::Problem;
use crate::body::{Json, Path, Query};
use crate::problem::ErrorBody;
use crate::state::App;

/// Hits that can be asked for at most, `offset` included: deeper pages cost more than they are worth to anyone.
const DEEPEST: usize = 10_000;
/// Bytes of a query at most: the longest models read a few thousand tokens.
const LONGEST_QUERY: usize = 32 << 10;
/// Hits that can be sorted anew: each is a run of the reranker.
const MOST_RERANKED: usize = 1000;
/// Attributes that can be counted at once.
const MOST_FACETS: usize = 64;

/// Search with a JSON body
#[utoipa::path(post, path = "/collections/{name}/search", tag = "search",
    params(("name" = String, Path, description = "The collection")), request_body(content = SearchRequest, example = json!({"query": "how small can an embedding be?", "k": 3, "explain": true})),
    responses((status = 200, body = SearchResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn post(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, Problem> {
    run(&app, &name, request).await
}

/// Search with a query string
#[utoipa::path(get, path = "/collections/{name}/search", tag = "search",
    params(("name" = String, Path, description = "The collection"),
        ("q" = Option<String>, Query, description = "What is looked for; `query` is the same"),
        ("mode" = Option<Mode>, Query, description = "Which candidates: hybrid if not given"),
        ("filter" = Option<String>, Query, description = "Over attributes, in tantivy's query syntax, such as `year:[2022 TO *]`"),
        ("k" = Option<usize>, Query, description = "How many hits at most; 10 if not given"),
        ("offset" = Option<usize>, Query, description = "Skip this many hits first"),
        ("alpha" = Option<f32>, Query, description = "Fuse by convex combination with this weight of the dense score"),
        ("rrf" = Option<f32>, Query, description = "Fuse by reciprocal rank with this constant"),
        ("effort" = Option<String>, Query, description = "`default`, `exact`, or the length of the graph search's candidate list"),
        ("recall" = Option<f32>, Query, description = "The share of the 10 nearest vectors that should be found, such as 0.95"),
        ("no_cut" = Option<bool>, Query, description = "Leave out the relevance cut"),
        ("rerank" = Option<usize>, Query, description = "Let the server's reranker sort this many of the best hits anew"),
        ("explain" = Option<bool>, Query, description = "Say which part gave which score"),
        ("facets" = Option<String>, Query, description = "Count the values of these attributes; names with commas between")),
    responses((status = 200, body = SearchResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn get(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(pairs): Query,
) -> Result<axum::Json<SearchResponse>, Problem> {
    run(&app, &name, from_pairs(pairs)?).await
}

async fn run(app: &App, name: &str, request: SearchRequest) -> Result<axum::Json<SearchResponse>, Problem> {
    let backend = app.collection(name)?.backend.clone();
    check(&request)?;
    let reranker = match request.rerank {
        None => None,
        Some(_) => Some(app.reranker()?.clone()),
    };
    let search = move || match reranker {
        None => backend.search(&request),
        Some(reranker) => backend
            .search(&request.first_stage())?
            .reranked(&request, &reranker)
            .map_err(|error| Problem::internal(format!("The reranker failed: {error}."))),
    };
    Ok(axum::Json(app.heavy.run(search).await?))
}

fn check(request: &SearchRequest) -> Result<(), Problem> {
    let field = |name: &str, message: String| Err(Problem::bad("invalid_field", message).param(name));
    if request.k == 0 {
        return field("k", "k must be at least 1; found 0.".into());
    }
    if request.k > DEEPEST || request.offset > DEEPEST - request.k {
        return field(
            "k",
            format!(
                "offset + k must be at most {DEEPEST}; found {} + {}.",
                request.offset, request.k
            ),
        );
    }
    if let Some(found) = request
        .rerank
        .filter(|depth| !(1..=MOST_RERANKED).contains(depth))
    {
        return field(
            "rerank",
            format!("rerank must be between 1 and {MOST_RERANKED}; found {found}."),
        );
    }
    if request.query.len() > LONGEST_QUERY {
        let found = request.query.len();
        return field(
            "query",
            format!("query must have at most {LONGEST_QUERY} bytes; found {found}."),
        );
    }
    if request
        .filter
        .as_ref()
        .is_some_and(|filter| filter.len() > LONGEST_QUERY)
    {
        return field(
            "filter",
            format!("filter must have at most {LONGEST_QUERY} bytes."),
        );
    }
    if request.facets.len() > MOST_FACETS {
        let found = request.facets.len();
        return field(
            "facets",
            format!("at most {MOST_FACETS} facets at once; found {found}."),
        );
    }
    if let Effort::Recall(share) = request.effort
        && !(share > 0.0 && share <= 1.0)
    {
        return field(
            "effort",
            format!("recall must be above 0 and at most 1; found {share}."),
        );
    }
    match request.fusion {
        Fusion::Convex { alpha } if !(0.0..=1.0).contains(&alpha) => {
            field("fusion", format!("alpha must be between 0 and 1; found {alpha}."))
        }
        Fusion::Rrf { k } if !(k > 0.0 && k.is_finite()) => field(
            "fusion",
            format!("the constant of rrf must be positive; found {k}."),
        ),
        _ => Ok(()),
    }
}

fn from_pairs(pairs: Vec<(String, String)>) -> Result<SearchRequest, Problem> {
    let mut request = SearchRequest {
        k: 10,
        ..SearchRequest::default()
    };
    for (name, value) in pairs {
        match name.as_str() {
            "q" | "query" => request.query = value,
            "mode" => {
                request.mode = match value.as_str() {
                    "hybrid" => Mode::Hybrid,
                    "dense" => Mode::Dense,
                    "lexical" => Mode::Lexical,
                    _ => return Err(wrong("mode", "hybrid, dense or lexical", &value)),
                }
            }
            "filter" => request.filter = Some(value).filter(|filter| !filter.trim().is_empty()),
            "k" => request.k = number("k", &value)?,
            "offset" => request.offset = number("offset", &value)?,
            "alpha" => {
                request.fusion = Fusion::Convex {
                    alpha: number("alpha", &value)?,
                }
            }
            "rrf" => {
                request.fusion = Fusion::Rrf {
                    k: number("rrf", &value)?,
                }
            }
            "effort" => {
                request.effort = match value.as_str() {
                    "default" => Effort::Default,
                    "exact" => Effort::Exact,
                    length => Effort::List(number("effort", length)?),
                }
            }
            "recall" => request.effort = Effort::Recall(number("recall", &value)?),
            "no_cut" => request.no_cut = flag("no_cut", &value)?,
            "rerank" => request.rerank = Some(number("rerank", &value)?),
            "explain" => request.explain = flag("explain", &value)?,
            "facets" | "facet" => request
                .facets
                .extend(value.split(',').filter(|name| !name.is_empty()).map(String::from)),
            unknown => {
                return Err(
                    Problem::bad("unknown_parameter", format!("There is no parameter {unknown:?}."))
                        .param(unknown)
                        .hint(
                            "Known: q, mode, filter, k, offset, alpha, rrf, effort, recall, no_cut, rerank, explain, facets.",
                        ),
                );
            }
        }
    }
    Ok(request)
}

fn wrong(name: &str, expected: &str, found: &str) -> Problem {
    let found: String = found.chars().take(80).collect();
    Problem::bad(
        "invalid_field",
        format!("{name} must be {expected}; found {found:?}."),
    )
    .param(name)
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|_| wrong(name, "a number", value))
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(wrong(name, "true or false", value)),
    }
}

/// Documents like this one
#[utoipa::path(get, path = "/collections/{name}/documents/{id}/similar", tag = "search",
    params(("name" = String, Path, description = "The collection"), ("id" = String, Path, description = "The document"),
        ("k" = Option<usize>, Query, description = "How many hits at most; 10 if not given"),
        ("filter" = Option<String>, Query, description = "Over attributes, in tantivy's query syntax")),
    responses((status = 200, body = SearchResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn similar(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
    Query(pairs): Query,
) -> Result<axum::Json<SearchResponse>, Problem> {
    let backend = app.collection(&name)?.backend.clone();
    let mut k = 10;
    let mut filter = None;
    for (name, value) in pairs {
        match name.as_str() {
            "k" => k = number("k", &value)?,
            "filter" => filter = Some(value).filter(|filter| !filter.trim().is_empty()),
            unknown => {
                return Err(
                    Problem::bad("unknown_parameter", format!("There is no parameter {unknown:?}."))
                        .param(unknown)
                        .hint("Known: k, filter."),
                );
            }
        }
    }
    check(&SearchRequest {
        k,
        filter: filter.clone(),
        ..SearchRequest::default()
    })?;
    let found = {
        let id = id.clone();
        app.heavy
            .run(move || backend.similar(&id, k, filter.as_deref()))
            .await?
    };
    found
        .map(axum::Json)
        .ok_or_else(|| super::documents::unknown(&id))
}
