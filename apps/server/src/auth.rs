//! Who may do what: API keys, and the host name under which the server is called.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::{Choice, ConstantTimeEq};

use crate::state::App;
use crate::{Problem, ServerConfig};

/// Routes that need no key: they hold no data of the collections.
pub const OPEN: [&str; 7] = [
    "/",
    "/app.js",
    "/style.css",
    "/docs",
    "/docs.js",
    "/openapi.json",
    "/health",
];

/// POST routes that only read; every other POST, PUT or DELETE writes.
const READING: [&str; 4] = [
    "/v1/embeddings",
    "/v1/embed_sparse",
    "/v1/rerank",
    "/collections/{name}/search",
];

/// Refuses requests without the key that their route needs.
pub async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // An unknown route is a 404 for everyone.
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        return next.run(request).await;
    };
    let route = route.as_str();
    let verdict = host(&app.config, request.headers())
        .and_then(|()| key(&app.config, request.method(), route, request.headers()));
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn key(config: &ServerConfig, method: &Method, route: &str, headers: &HeaderMap) -> Result<(), Problem> {
    if !config.protected() || OPEN.contains(&route) {
        return Ok(());
    }
    let Some(given) = given(headers) else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "missing_api_key",
            "This server needs an API key.",
        )
        .hint("Send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."));
    };
    if holds(&config.api_keys, given) {
        return Ok(());
    }
    let reads = matches!(*method, Method::GET | Method::HEAD) || READING.contains(&route);
    match (holds(&config.read_keys, given), reads) {
        (true, true) => Ok(()),
        (true, false) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "read_only_key",
            "This API key may only read.",
        )),
        (false, _) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong_api_key",
            "This API key is not one of the server's.",
        )),
    }
}

fn given(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

/// Whether `given` is one of `keys`; takes the same time whichever it is and wherever it differs.
fn holds(keys: &[String], given: &[u8]) -> bool {
    let mut found = Choice::from(0);
    for key in keys {
        found |= key.as_bytes().ct_eq(given);
    }
    found.into()
}

/// A server without keys that listens to this machine only trusts whoever can reach it. A page of another site can reach it
/// through the user's browser, by giving its own host name the address 127.0.0.1; the Host header shows that.
fn host(config: &ServerConfig, headers: &HeaderMap) -> Result<(), Problem> {
    if config.protected() || config.insecure {
        return Ok(());
    }
    let Some(host) = headers.get(header::HOST) else {
        return Ok(());
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || config.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
    if local {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "unknown_host",
        format!("This server has no API key and is not called {name:?}."),
    )
    .hint("Call it as localhost, name the host when starting the server, or give it an API key."))
}
