//! Recipes: one TOML file that says from which model, with what data and losses, for which sizes an encoder is trained, and everything
//! that happens then: reading, training, evaluation, checkpoints, and the model directory at the end.
//!
//! | file | what it holds |
//! |---|---|
//! | `recipe` | the file, checked |
//! | `loss` | losses by their names, `starbucks(ranking)` |
//! | `pooling` | poolings by their names |
//! | `objective` | what a step learns: a loss over vectors, or masked tokens |
//! | `scratch` | a base of random weights with a vocabulary of its own |
//! | `data` | pairs, triplets, scored pairs, NLI as token ids |
//! | `guide` | vectors of a guide or teacher |
//! | `pool` | texts by number, each once |
//! | `order` | which rows make which batch, from the seed alone |
//! | `schedule` | the learning rate by step |
//! | `judge` | how good each size is on scored pairs |
//! | `workplace` | the folder of a run, one run at a time |
//! | `checkpoint` | everything that a run needs to go on to the bit |
//! | `run` | the loop |
//! | `estimate` | time and memory before the first step |
//! | `output` | the sentence-transformers directory with its card |
//! | `mine` | hard negatives for pairs |
//! | `nearest` | the nearest rows of many others at once |
//! | `merge` | averages and slerp of models' weights |
//! | `peft` | adapters on disk, and a base with one added |
//! | `distill` | a static model of a teacher, as a recipe |

mod checkpoint;
mod data;
mod distill;
mod error;
mod estimate;
mod guide;
mod judge;
mod loss;
mod merge;
mod mine;
mod nearest;
mod objective;
mod order;
mod output;
mod peft;
mod pool;
mod pooling;
mod recipe;
mod run;
mod schedule;
mod scratch;
mod workplace;

pub use distill::{AnyRecipe, Distillation, Distilled, Texts};
pub use error::{Error, Result};
pub use estimate::{Estimate, estimate};
pub use judge::Scores;
pub use merge::{Merge, merge};
pub use mine::{Found, Mined, Mining, mine};
pub use peft::merge_adapter;
pub use pool::Pool;
pub use pooling::PoolingName;
pub use recipe::{Base, Data, DataKind, Evaluation, Recipe, Schedule, Train};
pub use run::{Event, Outcome, run};
pub use scratch::{Scratch, ScratchPooling};
