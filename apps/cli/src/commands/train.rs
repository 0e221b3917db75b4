//! `kokeshi train`.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kokeshi_recipe::{AnyRecipe, Error, Event, Outcome, Recipe, Scores, estimate, run};
use serde_json::json;

use crate::args::TrainRecipe;
use crate::output::{Output, bytes, table};
use crate::progress::{catch_interrupts, interrupted};
use crate::stop::{Result, Stop};

/// Trains as the recipe says, or says what that would take.
///
/// # Errors
/// Bad usage for a recipe, base or data that can't be; a failure if training itself fails or is interrupted.
pub fn run_recipe(args: &TrainRecipe, output: &Output) -> Result<()> {
    let recipe = match AnyRecipe::read(&args.recipe).map_err(Stop::usage)? {
        AnyRecipe::Train(recipe) => recipe,
        AnyRecipe::Distill(_) if args.dry_run => {
            let problem = "--dry-run: expected a recipe that trains an encoder, found a distillation";
            return Err(Stop::usage(problem));
        }
        AnyRecipe::Distill(distillation) => return super::distill::make(&distillation, output),
    };
    if args.dry_run {
        return dry_run(&recipe, output);
    }
    catch_interrupts();
    let mut board = Board::new(output, &recipe);
    let outcome = run(&recipe, &mut |event| {
        board.show(event);
        !interrupted()
    });
    board.bar.finish_and_clear();
    let outcome = outcome.map_err(stop)?;
    report(&recipe, &outcome, output)
}

fn stop(error: Error) -> Stop {
    let text = error.to_string();
    match error {
        Error::NotFinite { .. } | Error::Interrupted(_) | Error::Core(_) => Stop::failed(text),
        _ => Stop::usage(text),
    }
}

fn dry_run(recipe: &Recipe, output: &Output) -> Result<()> {
    let found = estimate(recipe).map_err(stop)?;
    if output.json {
        return output.value(&found);
    }
    output.line(format!(
        "{} rows, {} texts of {:.1} tokens in the mean, {} parameters, of which {} learn",
        HumanCount(found.rows as u64),
        HumanCount(found.texts as u64),
        found.mean_tokens,
        HumanCount(found.parameters as u64),
        HumanCount(found.learning as u64)
    ))?;
    output.line(format!(
        "{} steps of {:.0} ms: about {}, without evaluations and checkpoints; about {} of memory",
        found.steps,
        found.seconds_per_step * 1e3,
        HumanDuration(Duration::from_secs_f64(found.seconds)),
        bytes(found.bytes)
    ))
}

fn report(recipe: &Recipe, outcome: &Outcome, output: &Output) -> Result<()> {
    if output.json {
        return output.value(&json!({
            "model": recipe.out, "steps": outcome.steps, "stopped_early": outcome.early, "seconds": outcome.seconds,
            "before": outcome.before, "after": outcome.after, "test": outcome.test,
        }));
    }
    let early = if outcome.early { ", stopped early" } else { "" };
    output.line(format!(
        "{} steps in {:.0} s{early}: {}",
        outcome.steps,
        outcome.seconds,
        recipe.out.display()
    ))?;
    if outcome.after.is_some() {
        let cell = |scores: &Option<Scores>, size: &(usize, usize)| {
            let found = scores.as_ref().and_then(|scores| scores.at(size.0, size.1));
            found.map_or("-".into(), |found| format!("{found:.4}"))
        };
        let rows = recipe.sizes.iter().map(|size| {
            vec![
                format!("{}x{}", size.0, size.1),
                cell(&outcome.before, size),
                cell(&outcome.after, size),
                cell(&outcome.test, size),
            ]
        });
        output.line(table(&["Spearman", "base", "trained", "test data"], rows, 1))?;
    }
    output.line(format!(
        "try it: kokeshi embed TEXTS --model {}",
        recipe.out.display()
    ))
}

/// The live lines on a terminal, plain ones elsewhere.
struct Board<'a> {
    output: &'a Output,
    recipe: &'a Recipe,
    bar: ProgressBar,
    live: bool,
    total: u64,
    /// A mean of the last losses and speeds, so that they can be read.
    loss: f64,
    speed: f64,
    judged: String,
}

impl<'a> Board<'a> {
    fn new(output: &'a Output, recipe: &'a Recipe) -> Self {
        let silent = output.quiet || output.json;
        let target = if silent {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(8)
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{bar:32.cyan/dim} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─"),
        );
        Self {
            output,
            recipe,
            live: !bar.is_hidden(),
            bar,
            total: 0,
            loss: f64::NAN,
            speed: 0.0,
            judged: String::new(),
        }
    }

    fn note(&self, text: String) {
        match self.live {
            true => self.bar.println(text),
            false => self.output.note(text),
        }
    }

    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Read {
                rows,
                texts,
                steps,
                skipped,
            } => {
                self.total = steps;
                self.bar.set_length(steps);
                self.note(format!("{rows} rows, {texts} texts, {steps} steps"));
                for problem in skipped.iter().take(10) {
                    self.note(format!("skipped: {problem}"));
                }
            }
            Event::Resumed { step } => {
                self.bar.set_position(step);
                self.bar.reset_eta();
                self.note(format!("goes on after step {step}"));
            }
            Event::Step {
                step,
                loss,
                rate,
                tokens_per_second,
            } => {
                let blend = |old: f64, new: f64| {
                    if old.is_finite() {
                        0.95 * old + 0.05 * new
                    } else {
                        new
                    }
                };
                self.loss = blend(self.loss, f64::from(loss));
                self.speed = if self.speed > 0.0 {
                    blend(self.speed, tokens_per_second)
                } else {
                    tokens_per_second
                };
                let text = format!(
                    "loss {:.4}  lr {rate:.2e}  {:.0} tokens/s{}",
                    self.loss, self.speed, self.judged
                );
                self.bar.set_position(step);
                if self.live {
                    self.bar.set_message(text);
                } else if step == 1 || step == self.total || step.is_multiple_of((self.total / 50).max(1)) {
                    self.note(format!("step {step}/{}  {text}", self.total));
                }
            }
            Event::Judged { step, scores, best } => {
                let sizes = self.recipe.sizes.iter();
                let found: Vec<String> = sizes
                    .filter_map(|(layers, dims)| {
                        let score = scores.at(*layers, *dims)?;
                        Some(format!("{layers}x{dims} {score:.4}"))
                    })
                    .collect();
                let mark = if best { "  (best)" } else { "" };
                self.judged = format!("  mean {:.4}", scores.mean(&self.recipe.sizes));
                self.note(format!("step {step}  {}{mark}", found.join("  ")));
            }
        }
    }
}
