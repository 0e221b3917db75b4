//! `/v1/embed_sparse` as text-embeddings-inference's clients expect it: weights of tokens (SPLADE).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::embeddings::{TextOrTexts, texts};
use crate::Problem;
use crate::problem::ErrorBody;
use crate::state::App;

/// Texts of one request at most: each answers with up to a few hundred weights.
const MOST_TEXTS: usize = 256;

/// What is to be embedded.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub struct SparseRequest {
    /// A text or an array of texts.
    #[serde(alias = "input")]
    #[schema(value_type = TextOrTexts)]
    inputs: serde_json::Value,
}

/// The weight of a token.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SparseValue {
    /// The token's id in the model's vocabulary.
    pub index: u32,
    /// Above 0.
    pub value: f32,
}

/// Texts to weights of tokens, ascending by token, in the order of the input
#[utoipa::path(post, path = "/v1/embed_sparse", tag = "embeddings", request_body(content = SparseRequest, example = json!({"inputs": ["a wooden doll"]})),
    responses((status = 200, body = Vec<Vec<SparseValue>>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody, description = "The server was started without a sparse model"), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn embed(
    State(app): State<Arc<App>>,
    crate::body::Json(request): crate::body::Json<SparseRequest>,
) -> Result<Json<Vec<Vec<SparseValue>>>, Problem> {
    let Some(model) = app.sparse.clone() else {
        return Err(
            Problem::missing("model_not_found", "This server has no sparse model.")
                .hint("Start it with --sparse MODEL."),
        );
    };
    let texts = texts(request.inputs, "inputs", MOST_TEXTS)?;
    let vectors = app
        .heavy
        .run(move || {
            model
                .encode(&texts)
                .map_err(|error| Problem::internal(format!("The model failed: {error}.")))
        })
        .await?;
    let values = |vector: Vec<(u32, f32)>| {
        let values = vector.into_iter();
        values
            .map(|(index, value)| SparseValue { index, value })
            .collect()
    };
    Ok(Json(vectors.into_iter().map(values).collect()))
}
