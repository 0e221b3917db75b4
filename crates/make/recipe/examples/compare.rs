//! Models side by side at some sizes, as a table and a picture, from what `kokeshi sizes MODEL --eval DATA --json` printed:
//! `cargo run --release -p kokeshi-recipe --example compare -- 2x64,3x128,6x384 out.svg "Starbucks=starbucks.json" "plain=base.json"`.

use kokeshi_core::Size;
use kokeshi_plot::{Axis, Mark, Panel, Series, svg};
use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sizes, out, models @ ..] = &arguments[..] else {
        return Err("expected sizes, the picture's file and NAME=FILE for each model".into());
    };
    let sizes: Vec<Size> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let mut series = Vec::new();
    for (colour, model) in models.iter().enumerate() {
        let (name, file) = model.split_once('=').ok_or("expected NAME=FILE")?;
        let grid: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let place = |axis: &str, value: Option<usize>| -> Option<usize> {
            grid[axis]
                .as_array()?
                .iter()
                .position(|known| known.as_u64() == value.map(|value| value as u64))
        };
        let score = |size: &Size| -> Option<f64> {
            let (layers, dims) = (place("layers", size.layers)?, place("dims", size.dims)?);
            grid["values"][0][layers][dims].as_f64()
        };
        let scores: Vec<f64> = sizes
            .iter()
            .map(|size| score(size).ok_or_else(|| format!("{file}: expected the size {size}, found none")))
            .collect::<Result<_, _>>()?;
        let full = scores.last().copied().unwrap_or(f64::NAN);
        print!("| {name} |");
        scores
            .iter()
            .for_each(|score| print!(" {score:.4} ({:.1} %) |", 100.0 * score / full));
        println!();
        let values = |size: &Size| (size.layers.unwrap_or(1) * size.dims.unwrap_or(1)) as f64;
        series.push(Series {
            name: name.into(),
            marks: sizes
                .iter()
                .zip(scores)
                .map(|(size, score)| Mark {
                    label: if colour == 0 {
                        size.to_string()
                    } else {
                        String::new()
                    },
                    ..Mark::at(values(size), score)
                })
                .collect(),
            line: true,
            colour,
        });
    }
    let panel = Panel {
        title: "STS-B test by size".into(),
        x: Axis::log("layers x dims"),
        y: Axis::linear("Spearman"),
        series,
    };
    std::fs::write(out, svg(&[panel]))?;
    Ok(())
}
