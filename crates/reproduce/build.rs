//! Builds the committed result files into the crate, so that an installed `kokeshi papers` knows them.

use std::{env, fmt::Write, fs, io, path::Path};

fn main() -> io::Result<()> {
    let missing = |_| io::Error::other("this is a build script of cargo");
    let results = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(missing)?).join("results");
    println!("cargo::rerun-if-changed=results");
    let mut files: Vec<_> = fs::read_dir(&results)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let id = file.file_stem().unwrap_or_default().to_string_lossy();
        // The folder is the compiler's to say: another copy of the sources may share what is built here.
        let path = format!("/results/{id}.json");
        let _ = writeln!(
            code,
            "    ({id:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
        );
    }
    code.push(']');
    fs::write(
        Path::new(&env::var("OUT_DIR").map_err(missing)?).join("results.rs"),
        code,
    )
}
