//! One file a command; each turns arguments into library calls and prints what comes back.

mod bench;
mod bridge;
mod delete;
mod demo;
mod distill;
mod embed;
mod eval;
mod eval_long;
mod grid;
mod index;
mod info;
mod maintain;
mod merge;
mod mine;
mod model;
mod papers;
mod rerank;
mod search;
mod serve;
mod shell;
mod shrink;
mod sizes;
mod texts;
mod train;

use crate::args::Command;
use crate::output::Output;
use crate::stop::Result;

/// Carries out one command.
///
/// # Errors
/// A [`crate::stop::Stop`] with the message, the hint and the exit code.
pub fn run(command: Command, output: &Output) -> Result<()> {
    match command {
        Command::Index(args) => index::run(&args, output),
        Command::Search(args) => search::run(&args, output),
        Command::Similar(args) => search::similar(&args, output),
        Command::Info(args) => info::run(&args, output),
        Command::Delete(args) => delete::run(&args, output),
        Command::Check(args) => maintain::check(&args, output),
        Command::Optimize(args) => maintain::optimize(&args, output),
        Command::Reindex(args) => maintain::reindex(&args, output),
        Command::Serve(args) => serve::run(args, output),
        Command::Embed(args) => embed::run(&args, output),
        Command::Rerank(args) => rerank::run(&args, output),
        Command::Eval(args) => eval::run(&args, output),
        Command::Train(args) => train::run_recipe(&args, output),
        Command::Mine(args) => mine::run(&args, output),
        Command::Sizes(args) => grid::run(&args, output),
        Command::Merge(args) => merge::run(&args, output),
        Command::Distill(args) => distill::run(&args, output),
        Command::Shrink(args) => shrink::run(&args, output),
        Command::Bridge(args) => bridge::run(&args, output),
        Command::Bench(args) => bench::run(&args, output),
        Command::Papers(args) => papers::run(&args, output),
        Command::Reproduce(args) => papers::run_one(&args, output),
        Command::Demo(args) => demo::run(&args, output),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { to } => shell::man(&to, output),
    }
}
