//! The `kokeshi` command: a thin shell over the libraries.

mod args;
mod commands;
mod output;
mod progress;
mod stop;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    if let Some(threads) = cli.threads {
        // Fails only if the pool was already started, and nothing ran before this line.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global();
    }
    let output = output::Output::new(cli.json, cli.quiet);
    match commands::run(cli.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(&output),
    }
}
