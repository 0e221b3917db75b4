//! `GET /collections` and `GET /collections/{name}`: what there is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kokeshi_collection::Info;

use crate::Problem;
use crate::body::Path;
use crate::problem::ErrorBody;
use crate::state::App;

/// All collections.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Collections {
    /// By name.
    pub collections: Vec<Info>,
}

/// All collections
#[utoipa::path(get, path = "/collections", tag = "collections",
    responses((status = 200, body = Collections), (status = 401, body = ErrorBody)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Collections>, Problem> {
    let backends: Vec<_> = app
        .collections
        .iter()
        .map(|(name, served)| (name.clone(), served.backend.clone()))
        .collect();
    let collections = app
        .light
        .run(move || {
            backends
                .into_iter()
                .map(|(name, backend)| {
                    Ok(Info {
                        name,
                        ..backend.info()?
                    })
                })
                .collect()
        })
        .await?;
    Ok(Json(Collections { collections }))
}

/// One collection: schema, counts, sizes, model
#[utoipa::path(get, path = "/collections/{name}", tag = "collections",
    params(("name" = String, Path, description = "The collection")),
    responses((status = 200, body = Info), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn one(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Info>, Problem> {
    let backend = app.collection(&name)?.backend.clone();
    let info = app.light.run(move || backend.info()).await?;
    Ok(Json(Info { name, ..info }))
}
