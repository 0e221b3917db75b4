//! `kokeshi reproduce` without the rest of the program, which takes a fraction of the time to build:
//! `cargo run -p kokeshi-reproduce --example reproduce -- a2ats [--to crates/reproduce/results]`. Records are the same.

use std::path::PathBuf;

use kokeshi_reproduce::{Context, reproduce};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("expected the id of a paper")?;
    let to = arguments.position(|argument| argument == "--to").is_some();
    let folder = |name: &str, missing: PathBuf| std::env::var_os(name).map_or(missing, PathBuf::from);
    let home = folder("HOME", PathBuf::new());
    let context = Context {
        data: folder("KOKESHI_DATA", "../shared/data".into()),
        models: folder("KOKESHI_MODELS", home.join(".cache/kokeshi/models")),
        seed: 42,
    };
    let record = reproduce(&id, &context)?;
    for check in &record.checks {
        let measured = check.measured.map_or("-".into(), |value| format!("{value:.6}"));
        let result = if check.pass { "holds" } else { "fails" };
        println!("{result}  {}: {measured} ({})", check.name, check.bar);
    }
    if to {
        let to = std::env::args()
            .next_back()
            .ok_or("expected a folder after --to")?;
        println!("recorded in {}", record.write(&PathBuf::from(to))?.display());
    }
    Ok(())
}
