//! What the indexes promise: exactness, recall under filters, growth, files that can be trusted, and calm in odd cases.

mod arxiv;
mod files;
mod flat;
mod graph;
mod support;
