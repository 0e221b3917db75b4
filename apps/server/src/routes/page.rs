//! The web page, the page to try the API, and their files: compiled in, no other host is ever asked.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::state::App;

/// Only files of this server, no inline code: a text that slips through unescaped still can't run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The pages' routes; their paths are listed in [`crate::auth::OPEN`].
pub fn routes() -> Router<Arc<App>> {
    let html = "text/html; charset=utf-8";
    let script = "text/javascript; charset=utf-8";
    let style = "text/css; charset=utf-8";
    Router::new()
        .route(
            "/",
            get(async move || file(html, include_str!("../../web/index.html"))),
        )
        .route(
            "/app.js",
            get(async move || file(script, include_str!("../../web/app.js"))),
        )
        .route(
            "/style.css",
            get(async move || file(style, include_str!("../../web/style.css"))),
        )
        .route(
            "/docs",
            get(async move || file(html, include_str!("../../web/docs.html"))),
        )
        .route(
            "/docs.js",
            get(async move || file(script, include_str!("../../web/docs.js"))),
        )
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
