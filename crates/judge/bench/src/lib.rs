//! The benchmark of filtered search: every method on real attributes, by kind of filter and selectivity, after "Benchmarking Filtered
//! Approximate Nearest Neighbor Search Algorithms on Transformer-based Embedding Vectors" (arXiv 2507.21989).
//!
//! | module | what it holds |
//! |---|---|
//! | [`attributes`] | columns of a JSON Lines file: labels and numbers |
//! | [`questions`] | queries with filters, and what an exact scan finds for them |
//! | [`measure`] | recall, distances and processor time of a method at one length of its candidate list |
//! | [`workload`] | filters of each kind at each selectivity |
//! | [`methods`] | all methods that serve a column, built, and the planner of collections beside them |
//! | [`filtered`] | all of it, and the report |
//! | [`picture`] | the report as pictures |

pub mod attributes;
pub mod filtered;
pub mod measure;
pub mod methods;
pub mod picture;
pub mod questions;
pub mod workload;

pub use filtered::{Options, Report, run};
