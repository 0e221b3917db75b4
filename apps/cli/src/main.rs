//! The `kokeshi` command.

fn main() {
    println!("kokeshi {}", env!("CARGO_PKG_VERSION"));
}
