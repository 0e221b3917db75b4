//! `/v1/embeddings` and `/v1/models` as OpenAI's clients expect them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine;
use kokeshi_core::Size;
use kokeshi_encode::{Model, Options, Task};

use crate::Problem;
use crate::problem::ErrorBody;
use crate::state::App;

/// Texts in one request at most, as OpenAI has it.
const MOST_TEXTS: usize = 2048;

/// What is to be embedded.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub struct EmbeddingRequest {
    /// A text or an array of texts. Arrays of token numbers are not taken: they belong to one tokenizer.
    #[schema(value_type = TextOrTexts)]
    input: serde_json::Value,
    /// A model of `/v1/models`; the first if left out.
    #[serde(default)]
    model: Option<String>,
    /// Leading dimensions to keep; scaled to unit length again.
    #[serde(default)]
    dimensions: Option<usize>,
    /// As numbers, or as base64 of little-endian 32-bit floats.
    #[serde(default)]
    encoding_format: Format,
    /// Chooses the model's prompt; an addition to OpenAI's fields.
    #[serde(default, alias = "task")]
    input_type: InputType,
    /// Encoder layers to run, fewer being faster; an addition to OpenAI's fields.
    #[serde(default)]
    layers: Option<usize>,
    /// Embed as this collection does: with its model at its size, where `dimensions` and `layers` don't say otherwise; an addition to
    /// OpenAI's fields. In place of `model`.
    #[serde(default)]
    collection: Option<String>,
    /// Taken and not used: OpenAI's clients send it.
    #[serde(default, rename = "user")]
    _user: Option<String>,
}

/// A text or several.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only the OpenAPI document uses it: other forms of input get messages of their own"
)]
pub enum TextOrTexts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Numbers.
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

/// What the texts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// No prompt but the model's default one.
    #[default]
    Plain,
    /// Questions.
    Query,
    /// Documents.
    #[serde(alias = "passage")]
    Document,
}

/// The vectors.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct EmbeddingResponse {
    /// Always `list`.
    pub object: String,
    /// In the order of the input.
    pub data: Vec<EmbeddingItem>,
    /// The model that was used.
    pub model: String,
    /// What it cost.
    pub usage: Usage,
}

/// The vector of one text.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct EmbeddingItem {
    /// Always `embedding`.
    pub object: String,
    /// The text's place in the input, from 0.
    pub index: usize,
    /// The vector.
    pub embedding: Vector,
}

/// A vector.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// As numbers.
    Float(Vec<f32>),
    /// As base64 of little-endian 32-bit floats.
    Base64(String),
}

/// Tokens that were read.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens of the texts, special tokens not counted.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}

/// The models.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Models {
    /// Always `list`.
    pub object: String,
    /// By id.
    pub data: Vec<ModelItem>,
}

/// A model.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ModelItem {
    /// As `/v1/embeddings` takes it.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// Always 0: OpenAI's clients expect a number.
    pub created: u64,
    /// Always `kokeshi`.
    pub owned_by: String,
    /// The route that takes it: `embeddings`, `rerank` or `embed_sparse`.
    pub capability: String,
    /// The width of its vectors: `dimensions` of `/v1/embeddings` may be anything up to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// How many layers there are: `layers` of `/v1/embeddings` may be anything from 1 to it; 0 for a static model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// The sizes that it was trained for, layers x dims, as its `kokeshi.json` says; others work too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<String>,
    /// The most tokens of a text that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

/// Texts to vectors, as OpenAI's clients ask for them
#[utoipa::path(post, path = "/v1/embeddings", tag = "embeddings", request_body(content = EmbeddingRequest, example = json!({"input": ["a wooden doll", "a search engine"], "dimensions": 32})),
    responses((status = 200, body = EmbeddingResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "Overloaded: try again after Retry-After")))]
pub async fn embed(
    State(app): State<Arc<App>>,
    crate::body::Json(request): crate::body::Json<EmbeddingRequest>,
) -> Result<Json<EmbeddingResponse>, Problem> {
    let (model, usual) = match &request.collection {
        None => (model(&app, request.model.as_deref())?.clone(), Size::FULL),
        Some(name) => of_collection(&app, name, request.model.as_deref())?,
    };
    let texts = texts(request.input, "input", MOST_TEXTS)?;
    let (dims, layers) = (request.dimensions.or(usual.dims), request.layers.or(usual.layers));
    let size = size(&model, dims, layers)?;
    let task = match request.input_type {
        InputType::Plain => Task::Plain,
        InputType::Query => Task::Query,
        InputType::Document => Task::Document,
    };
    let options = Options {
        task,
        size,
        ..Options::default()
    };
    let format = request.encoding_format;
    let response = app
        .heavy
        .run(move || run(&model, &texts, &options, format))
        .await?;
    Ok(Json(response))
}

fn run(
    model: &Model,
    texts: &[String],
    options: &Options,
    format: Format,
) -> Result<EmbeddingResponse, Problem> {
    let vectors = model.encode(texts, options).map_err(|error| match error {
        kokeshi_encode::Error::Request(message) => Problem::bad("invalid_field", message),
        other => Problem::internal(format!("The model failed: {other}.")),
    })?;
    let data = vectors.iter().enumerate().map(|(index, row)| EmbeddingItem {
        object: "embedding".into(),
        index,
        embedding: match format {
            Format::Float => Vector::Float(row.to_vec()),
            Format::Base64 => {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                Vector::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        },
    });
    let limit = model.max_tokens().unwrap_or(usize::MAX);
    let tokens = texts
        .iter()
        .map(|text| model.token_ranges(text).len().min(limit))
        .sum();
    Ok(EmbeddingResponse {
        object: "list".into(),
        data: data.collect(),
        model: model.id().into(),
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    })
}

fn model<'a>(app: &'a App, id: Option<&str>) -> Result<&'a Model, Problem> {
    let found = match id {
        Some(id) => app.models.get(id),
        None => app.models.values().next(),
    };
    found.ok_or_else(|| {
        let ids: Vec<_> = app.models.keys().map(String::as_str).collect();
        Problem::missing(
            "model_not_found",
            format!("There is no model {:?}.", id.unwrap_or_default()),
        )
        .param("model")
        .hint(format!("Models here: {}.", ids.join(", ")))
    })
}

/// A collection's model, and the size at which it is used.
fn of_collection(app: &App, name: &str, asked: Option<&str>) -> Result<(Model, Size), Problem> {
    let backend = &app.collection(name)?.backend;
    let model = backend.model().ok_or_else(|| {
        let message = format!("The collection {name:?} has no model that can embed.");
        Problem::missing("model_not_found", message).param("collection")
    })?;
    if asked.is_some_and(|asked| asked != model.id()) {
        let message = format!("The model of collection {name:?} is {}.", model.id());
        return Err(Problem::bad("invalid_field", message)
            .param("model")
            .hint("Leave out model, or collection."));
    }
    Ok((model, backend.size()))
}

/// The texts in the field called `name`.
///
/// # Errors
/// 400 for what is neither a text nor an array of 1 to `most` texts.
pub fn texts(input: serde_json::Value, name: &str, most: usize) -> Result<Vec<String>, Problem> {
    use serde_json::Value;
    let wrong = |message: String| Problem::bad("invalid_field", message).param(name);
    let texts = match input {
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(text),
                Value::Number(_) | Value::Array(_) => Err(wrong(format!(
                    "{name}[{index}]: token numbers are not taken, since they belong to one tokenizer; send the text."
                ))),
                _ => Err(wrong(format!("{name}[{index}] must be a text."))),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong(format!("{name} must be a text or an array of texts."))),
    };
    if texts.is_empty() {
        return Err(wrong(format!("{name} is empty: at least one text is needed.")));
    }
    if texts.len() > most {
        return Err(wrong(format!(
            "{name} has {} texts; at most {most} at once.",
            texts.len()
        )));
    }
    Ok(texts)
}

fn size(model: &Model, dims: Option<usize>, layers: Option<usize>) -> Result<Size, Problem> {
    let range = |name: &str, most: usize, found: usize| {
        Problem::bad(
            "invalid_field",
            format!("{name} must be between 1 and {most}; found {found}."),
        )
        .param(name)
    };
    match (dims, layers) {
        (Some(dims), _) if dims == 0 || dims > model.dims() => Err(range("dimensions", model.dims(), dims)),
        (_, Some(_)) if model.layers() == 0 => {
            let message = format!("layers: the model {} has no layers to leave out.", model.id());
            Err(Problem::bad("invalid_field", message).param("layers"))
        }
        (_, Some(layers)) if layers == 0 || layers > model.layers() => {
            Err(range("layers", model.layers(), layers))
        }
        _ => Ok(Size {
            layers,
            dims,
            bits: None,
        }),
    }
}

/// The models, and what each can do
#[utoipa::path(get, path = "/v1/models", tag = "embeddings",
    responses((status = 200, body = Models), (status = 401, body = ErrorBody)))]
pub async fn models(State(app): State<Arc<App>>) -> Json<Models> {
    let item = |id: &str, capability: &str| ModelItem {
        id: id.into(),
        object: "model".into(),
        created: 0,
        owned_by: "kokeshi".into(),
        capability: capability.into(),
        dimensions: None,
        layers: None,
        sizes: Vec::new(),
        max_tokens: None,
    };
    let mut data: Vec<ModelItem> = app
        .models
        .values()
        .map(|model| ModelItem {
            dimensions: Some(model.dims()),
            layers: Some(model.layers()),
            sizes: model.sizes().iter().map(Size::to_string).collect(),
            max_tokens: model.max_tokens(),
            ..item(model.id(), "embeddings")
        })
        .collect();
    data.extend(app.reranker.iter().map(|model| ModelItem {
        max_tokens: Some(model.max_tokens()),
        ..item(model.id(), "rerank")
    }));
    data.extend(app.sparse.iter().map(|model| ModelItem {
        dimensions: Some(model.dims()),
        max_tokens: Some(model.max_tokens()),
        ..item(model.id(), "embed_sparse")
    }));
    Json(Models {
        object: "list".into(),
        data,
    })
}
