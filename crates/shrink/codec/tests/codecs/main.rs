//! What codecs promise, on vectors that are made here.

mod chains;
mod files;
mod search;
mod support;
mod works;
