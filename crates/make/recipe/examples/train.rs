//! A recipe without the command line: `cargo run --release -p kokeshi-recipe --example train -- recipes/1-pairs.toml`.

use std::path::Path;
use std::time::Instant;

use kokeshi_recipe::{Event, Recipe, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected a recipe")?;
    let recipe = Recipe::read(Path::new(&path))?;
    let started = Instant::now();
    let outcome = run(&recipe, &mut |event| {
        match event {
            Event::Step {
                step,
                loss,
                rate,
                tokens_per_second,
            } if step % 25 == 0 || step == 1 => {
                println!(
                    "step {step}  loss {loss:.4}  lr {rate:.2e}  {tokens_per_second:.0} tokens/s  {:.0?}",
                    started.elapsed()
                );
            }
            Event::Judged { step, scores, best } => {
                let sizes = recipe.sizes.iter().filter_map(|(layers, dims)| {
                    Some(format!("{layers}x{dims} {:.4}", scores.at(*layers, *dims)?))
                });
                println!(
                    "step {step}  {}  best {best}",
                    sizes.collect::<Vec<_>>().join("  ")
                );
            }
            Event::Read {
                rows, texts, steps, ..
            } => println!("{rows} rows, {texts} texts, {steps} steps"),
            _ => {}
        }
        true
    })?;
    for (name, scores) in [
        ("base", &outcome.before),
        ("trained", &outcome.after),
        ("test", &outcome.test),
    ] {
        for (layers, dims) in &recipe.sizes {
            if let Some(found) = scores.as_ref().and_then(|scores| scores.at(*layers, *dims)) {
                println!("{name:>8}  {layers}x{dims}  {found:.4}");
            }
        }
    }
    println!("{} steps in {:.0} s", outcome.steps, outcome.seconds);
    Ok(())
}
