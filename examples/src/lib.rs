//! Small programs that use Kokeshi as a library: `cargo run --release -p kokeshi-examples --example find`.
