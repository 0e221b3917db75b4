//! Vectors from code, at several sizes of one model.

use kokeshi_core::{Size, distance::dot};
use kokeshi_encode::{Model, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = match std::env::args().nth(1) {
        Some(path_or_id) => Model::load(&path_or_id)?,
        None => Model::compiled_in(),
    };
    let texts = [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "The stock market fell today.",
    ];
    for dims in [32, 64, 128, model.dims()] {
        let options = Options {
            size: Size::dims(dims),
            normalize: Some(true),
            ..Options::default()
        };
        let vectors = model.encode(&texts, &options)?;
        let close = dot(vectors.row(0), vectors.row(1));
        let far = dot(vectors.row(0), vectors.row(2));
        println!("{dims:>4} dims: alike {close:.3}, unlike {far:.3}");
    }
    Ok(())
}
