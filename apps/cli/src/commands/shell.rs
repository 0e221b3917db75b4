//! `kokeshi completions` and `kokeshi man`: made from the same definitions as `--help`.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::output::Output;
use crate::stop::{Result, Stop};

/// Prints the completion script of a shell.
///
/// # Errors
/// A failure if standard output can't be written.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kokeshi", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Stop::quiet(),
        _ => Stop::failed(format!("standard output: {error}")),
    })
}

/// Writes `kokeshi.1` and one page a command.
///
/// # Errors
/// A failure if the folder can't be written.
pub fn man(to: &Path, output: &Output) -> Result<()> {
    let failed = |error: std::io::Error| Stop::failed(format!("{}: {error}", to.display()));
    std::fs::create_dir_all(to).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), to).map_err(failed)?;
    output.note(format!("man pages are in {}", to.display()));
    Ok(())
}
