//! The head of the OpenAPI document; paths and schemas come from the handlers.

use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

/// The head of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kokeshi",
        description = "Search by words and meaning, with filters and a cut where relevance ends. Every error has the same shape: \
                       `{\"error\": {\"type\", \"code\", \"message\", \"param\", \"hint\"}}`."
    ),
    modifiers(&Keys),
    security((), ("bearer" = []), ("key" = [])),
    tags(
        (name = "search", description = "Find documents"),
        (name = "collections", description = "What there is"),
        (name = "documents", description = "Add, fetch, delete; a write is answered when it is durable"),
        (name = "embeddings", description = "Texts to vectors as OpenAI's clients ask for them, and texts by relevance as Cohere's do"),
        (name = "status", description = "For operators")
    )
)]
pub struct Head;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).build()),
        );
        components.add_security_scheme(
            "key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key"))),
        );
    }
}
