//! Routes and what lies around every one of them: counting, keys, limits, headers, errors as JSON.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::Head;
use crate::routes::{collections, documents, embeddings, page, rerank, search, sparse, status};
use crate::state::App;
use crate::{Error, Problem, Result, auth};

/// Bytes of a request's path and query string at most; longer queries go into a POST.
const LONGEST_URI: usize = 16 << 10;

/// The whole API as a service.
///
/// # Errors
/// [`Error::Config`] if an origin for CORS is not one.
pub fn router(app: Arc<App>) -> Result<Router> {
    let (api, document) = OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(search::post, search::get))
        .routes(routes!(search::similar))
        .routes(routes!(collections::list))
        .routes(routes!(collections::one))
        .routes(routes!(documents::add))
        .routes(routes!(documents::delete_many))
        .routes(routes!(documents::fetch, documents::delete))
        .routes(routes!(embeddings::embed))
        .routes(routes!(sparse::embed))
        .routes(routes!(rerank::rerank))
        .routes(routes!(embeddings::models))
        .routes(routes!(status::health))
        .routes(routes!(status::metrics))
        .split_for_parts();
    let cors = cors(&app.config.cors)?;
    let mut routes = api
        .route("/openapi.json", get(async move || axum::Json(document)))
        .merge(page::routes())
        .fallback(async |request: Request| {
            Problem::missing(
                "unknown_route",
                format!("There is nothing at {}.", shown(&request)),
            )
            .hint("GET /docs lists what there is.")
        })
        .method_not_allowed_fallback(async |request: Request| {
            let message = format!("{} does not take {}.", shown(&request), request.method());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
        .layer(from_fn_with_state(app.clone(), auth::check))
        .layer(from_fn(limit_uri));
    if let Some(cors) = cors {
        routes = routes.layer(cors);
    }
    Ok(routes
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Problem::internal("The request failed inside the server.").into_response()
        }))
        .layer(from_fn(headers))
        .layer(from_fn_with_state(app.clone(), count))
        .with_state(app))
}

/// The path for a message, cut.
fn shown(request: &Request) -> String {
    request.uri().path().chars().take(200).collect()
}

async fn limit_uri(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if length > LONGEST_URI {
        let message = format!("The URL has {length} bytes; at most {LONGEST_URI} are possible.");
        return Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", message)
            .hint("Search with POST and a JSON body.")
            .into_response();
    }
    next.run(request).await
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    app.metrics
        .answered(&method, route, response.status().as_u16(), start.elapsed());
    response
}

/// Headers that keep browsers from guessing, framing and telling others.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn cors(origins: &[String]) -> Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let parsed = origins.iter().map(|origin| {
            origin
                .parse::<HeaderValue>()
                .ok()
                .filter(|_| origin.starts_with("http://") || origin.starts_with("https://"))
                .ok_or_else(|| Error::Config(format!("{origin:?} is no origin such as https://example.org")))
        });
        AllowOrigin::list(parsed.collect::<Result<Vec<_>>>()?)
    };
    Ok(Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::CONTENT_TYPE,
                header::AUTHORIZATION,
                HeaderName::from_static("x-api-key"),
            ])
            .expose_headers([header::RETRY_AFTER]),
    ))
}
