//! The HTTP API and the web page of `kokeshi serve`.
//!
//! ```no_run
//! use kokeshi_collection::{Collection, OpenOptions};
//! use kokeshi_server::{ServerConfig, serve};
//!
//! let notes = Collection::open("notes.kokeshi", OpenOptions::default())?;
//! let models = vec![kokeshi_encode::Model::compiled_in()];
//! serve(ServerConfig::default(), vec![notes], models.into(), |address| {
//!     println!("http://{address}");
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod auth;
mod backend;
mod body;
mod collection;
mod config;
mod gate;
mod metrics;
mod models;
mod openapi;
mod problem;
mod router;
mod routes;
mod serve;
mod state;
mod writes;

pub use backend::{Backend, Write};
pub use collection::Opened;
pub use config::ServerConfig;
pub use models::Models;
pub use problem::{ErrorBody, ErrorDetail, Problem};
pub use router::router;
pub use serve::{Server, serve};
pub use state::App;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the server can't start or stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that contradict each other or are dangerous.
    #[error("{0}")]
    Config(String),
    /// The address can't be listened to.
    #[error("can't listen to {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused threads or signals.
    #[error("the server can't run: {0}")]
    Io(#[source] std::io::Error),
    /// Accepted writes were not committed before the deadline; they were not acknowledged.
    #[error("{0} accepted documents were not committed before the deadline; none of them was acknowledged")]
    Deadline(usize),
}
