//! Serves collections, for tests and benchmarks: `serve [--listen ADDRESS] [--new SCHEMA.json] DIRECTORY...`; with `--new`
//! directories that are not there yet become empty collections with that schema. Prints the address once it answers.

use kokeshi_collection::{Collection, CreateOptions, OpenOptions};
use kokeshi_encode::Model;
use kokeshi_server::{ServerConfig, serve};
use kokeshi_sources::Schema;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ServerConfig::default();
    let mut schema: Option<Schema> = None;
    let mut collections = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--listen" => config.address = arguments.next().ok_or("--listen needs an address")?.parse()?,
            "--new" => {
                let file = arguments.next().ok_or("--new needs a file")?;
                schema = Some(serde_json::from_slice(&std::fs::read(file)?)?);
            }
            directory => collections.push(match &schema {
                Some(schema) if !Collection::exists(directory) => {
                    let options = CreateOptions {
                        schema: schema.clone(),
                        ..CreateOptions::compiled_in()?
                    };
                    Collection::create(directory, options)?
                }
                _ => Collection::open(directory, OpenOptions::default())?,
            }),
        }
    }
    serve(
        config,
        collections,
        vec![Model::compiled_in()].into(),
        |address| {
            println!("http://{address}");
        },
    )?;
    Ok(())
}
