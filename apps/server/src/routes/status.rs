//! `/health`, `/metrics` and `/openapi.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Problem;
use crate::problem::ErrorBody;
use crate::state::App;

/// Whether the server lives and takes requests.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ready`, or `stopping`.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// How many collections it serves.
    pub collections: usize,
}

/// Whether the server takes requests; answers without an API key
#[utoipa::path(get, path = "/health", tag = "status",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "The server is stopping")))]
pub async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let (code, status) = match app.stopping() {
        false => (StatusCode::OK, "ready"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let health = Health {
        status: status.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        collections: app.collections.len(),
    };
    (code, Json(health))
}

/// Counters for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "status",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), (status = 401, body = ErrorBody)))]
pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.metrics
        .jobs("search", app.heavy.running(), app.heavy.waiting());
    app.metrics
        .jobs("lookup", app.light.running(), app.light.waiting());
    let text = {
        let app = app.clone();
        app.clone()
            .light
            .run(move || {
                for (name, served) in &app.collections {
                    let mut info = served.backend.info()?;
                    info.name.clone_from(name);
                    app.metrics.collection(&info, served.writes.waiting());
                }
                Ok(app.metrics.text())
            })
            .await?
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
