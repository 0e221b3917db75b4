//! `/v1/rerank` as Cohere's and Jina's clients expect it; text-embeddings-inference's names for the fields are taken too.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kokeshi_encode::Reranker;

use crate::Problem;
use crate::problem::ErrorBody;
use crate::state::App;

/// Documents in one request at most: each is a run of the model.
const MOST_DOCUMENTS: usize = 1000;

/// What is to be compared with a query.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub struct RerankRequest {
    /// What the documents should be relevant to.
    query: String,
    /// Texts, or objects with a `text`.
    #[serde(alias = "texts")]
    #[schema(value_type = Vec<RerankDocument>)]
    documents: Vec<serde_json::Value>,
    /// The server's reranker; may be left out.
    #[serde(default)]
    model: Option<String>,
    /// How many results at most, the best; all if left out.
    #[serde(default)]
    top_n: Option<usize>,
    /// Whether results hold the text of their document.
    #[serde(default, alias = "return_text")]
    return_documents: bool,
}

/// A document to compare.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only the OpenAPI document uses it: other forms of documents get messages of their own"
)]
pub enum RerankDocument {
    /// As such.
    Text(String),
    /// In an object.
    Object(RerankText),
}

/// A text.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RerankText {
    /// The text.
    pub text: String,
}

/// The documents by relevance.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RerankResponse {
    /// The model that was used.
    pub model: String,
    /// Best first.
    pub results: Vec<RerankResult>,
}

/// How relevant a document is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RerankResult {
    /// Its place in `documents`, from 0.
    pub index: usize,
    /// More is better; in 0..1 unless the model's configuration asks for raw scores.
    pub relevance_score: f32,
    /// The document, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RerankText>,
}

/// Documents by how relevant they are to a query, as Cohere's and Jina's clients ask for them
#[utoipa::path(post, path = "/v1/rerank", tag = "embeddings", request_body(content = RerankRequest, example = json!({"query": "wooden dolls", "documents": ["Kokeshi are wooden dolls.", "An engine searches."], "top_n": 1, "return_documents": true})),
    responses((status = 200, body = RerankResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody, description = "The server was started without a reranker"), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn rerank(
    State(app): State<Arc<App>>,
    crate::body::Json(request): crate::body::Json<RerankRequest>,
) -> Result<Json<RerankResponse>, Problem> {
    let model = app.reranker()?.clone();
    if let Some(asked) = request.model.as_deref().filter(|asked| *asked != model.id()) {
        return Err(
            Problem::missing("model_not_found", format!("There is no reranker {asked:?}."))
                .param("model")
                .hint(format!("The reranker here: {}.", model.id())),
        );
    }
    if request.top_n == Some(0) {
        return Err(Problem::bad("invalid_field", "top_n must be at least 1; found 0.").param("top_n"));
    }
    let texts = texts(request.documents)?;
    let (query, top, with_text) = (request.query, request.top_n, request.return_documents);
    let response = app
        .heavy
        .run(move || run(&model, &query, texts, top.unwrap_or(usize::MAX), with_text))
        .await?;
    Ok(Json(response))
}

fn run(
    model: &Reranker,
    query: &str,
    mut texts: Vec<String>,
    top: usize,
    with_text: bool,
) -> Result<RerankResponse, Problem> {
    let scores = model
        .score(query, &texts)
        .map_err(|error| Problem::internal(format!("The model failed: {error}.")))?;
    let mut order: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
    // Stable: of equal scores the earlier document.
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.truncate(top);
    let results = order.into_iter().map(|(index, relevance_score)| RerankResult {
        index,
        relevance_score,
        document: with_text.then(|| RerankText {
            text: std::mem::take(&mut texts[index]),
        }),
    });
    Ok(RerankResponse {
        results: results.collect(),
        model: model.id().into(),
    })
}

fn texts(documents: Vec<serde_json::Value>) -> Result<Vec<String>, Problem> {
    use serde_json::Value;
    let wrong = |message: String| Problem::bad("invalid_field", message).param("documents");
    if documents.is_empty() {
        return Err(wrong("documents is empty: at least one text is needed.".into()));
    }
    if documents.len() > MOST_DOCUMENTS {
        return Err(wrong(format!(
            "documents has {} texts; at most {MOST_DOCUMENTS} at once.",
            documents.len()
        )));
    }
    let text = |(index, document)| match document {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) => match fields.remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(wrong(format!("documents[{index}].text must be a text."))),
        },
        _ => Err(wrong(format!(
            "documents[{index}] must be a text or an object with a text."
        ))),
    };
    documents.into_iter().enumerate().map(text).collect()
}
