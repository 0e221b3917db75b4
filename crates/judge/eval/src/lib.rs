//! How good a ranking or a similarity is: measures with trec_eval's and SciPy's definitions, the file layouts of the field, and
//! whether a difference means anything.
//!
//! ```
//! use kokeshi_eval::{Missing, Qrels, Run, evaluate};
//!
//! let mut qrels = Qrels::default();
//! qrels.insert("q1", "d2", 1);
//! let mut run = Run::default();
//! run.insert("q1", "d1", 0.9);
//! run.insert("q1", "d2", 0.8);
//! let found = evaluate(&qrels, &run, &["nDCG@10".parse()?, "MRR".parse()?], Missing::Zero);
//! assert_eq!(found.mean(1), 0.5);
//! println!("{}", found.report("mine").table());
//! # Ok::<(), kokeshi_eval::Error>(())
//! ```

mod beir;
mod correlation;
mod error;
mod evaluation;
mod frechet;
mod lines;
mod longembed;
mod measure;
mod ranking;
mod report;
mod significance;
mod sts;
mod trec;
mod wilcoxon;

pub use beir::{Beir, Document};
pub use correlation::{pearson, spearman};
pub use error::{Error, Result};
pub use evaluation::{Evaluation, Missing, evaluate};
pub use frechet::LabelMetric;
pub use longembed::LongTask;
pub use measure::Measure;
pub use ranking::{Qrels, Run};
pub use report::{Report, Row};
pub use significance::{Interval, bootstrap_mean, bootstrap_mean_difference, paired_randomisation};
pub use sts::{StsPair, read_sts};
pub use trec::{read_qrels, read_run, write_run};
pub use wilcoxon::{Wilcoxon, wilcoxon};
