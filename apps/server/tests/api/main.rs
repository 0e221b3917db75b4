//! The API through its router, over a collection in memory.

mod limits;
mod memory;
mod models;
mod routes;
mod shutdown;
