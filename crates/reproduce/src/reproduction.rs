//! What a reproduction is, and how one is run.

use std::path::PathBuf;

use crate::{
    check::{Check, Claim},
    paper::paper,
    papers::{
        a2ats, aspects, basic, bebr, bidr, byte2word, clex, fanns, gistembed, kalm, lm_infinite, loki,
        longembed, mrl, mse_2d, mup, nope, nv_embed, pca_rag, pooling_attention, qwen3, scissorhands, sesa,
        starbucks, tempscale,
    },
    record::Record,
};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a reproduction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such paper.
    #[error("no paper has the id {0:?}; `kokeshi papers` lists them")]
    Unknown(String),
    /// The paper has no reproduction.
    #[error("{0} is not reproduced yet")]
    NotYet(String),
    /// The reproduction could not be carried out.
    #[error("{id}: {problem}")]
    Failed {
        /// The paper's id.
        id: String,
        /// Why.
        problem: String,
    },
    /// A record can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// An [`Error::Failed`].
pub(crate) fn failed(id: &str, problem: impl std::fmt::Display) -> Error {
    Error::Failed {
        id: id.to_owned(),
        problem: problem.to_string(),
    }
}

/// Where a reproduction finds what it needs.
#[derive(Debug, Clone)]
pub struct Context {
    /// The folder of the shared data sets.
    pub data: PathBuf,
    /// The folder of models.
    pub models: PathBuf,
    /// The seed of every random choice.
    pub seed: u64,
}

/// The program that checks a paper's claims: one file a paper, which composes the crates below.
pub trait Reproduction: Sync {
    /// The id of the paper in the catalogue.
    fn id(&self) -> &'static str;

    /// What it checks; all of it must pass for the paper to count as working.
    fn claims(&self) -> &'static [Claim];

    /// Measures: one check for each claim, in their order.
    ///
    /// # Errors
    /// What can't be measured here, for instance because a data set is missing.
    fn run(&self, context: &Context) -> Result<Vec<Check>>;
}

/// Every reproduction there is.
pub fn reproductions() -> &'static [&'static dyn Reproduction] {
    &[
        &a2ats::A2ats,
        &aspects::Aspects,
        &basic::Basic,
        &bebr::Bebr,
        &bidr::Bidr,
        &byte2word::Byte2Word,
        &clex::ClexPaper,
        &fanns::Fanns,
        &gistembed::GistEmbed,
        &kalm::Kalm,
        &lm_infinite::LmInfinite,
        &loki::Loki,
        &longembed::LongEmbed,
        &mrl::Mrl,
        &mse_2d::Mse2d,
        &mup::Mup,
        &nope::Nope,
        &nv_embed::NvEmbed,
        &pca_rag::PcaRag,
        &pooling_attention::PoolingAttention,
        &qwen3::Qwen3Paper,
        &scissorhands::Scissorhands,
        &sesa::Sesa,
        &starbucks::StarbucksPaper,
        &tempscale::TempScale,
    ]
}

/// Runs the reproduction of the paper `id`.
///
/// # Errors
/// An unknown id, a paper without reproduction, or what went wrong in it.
pub fn reproduce(id: &str, context: &Context) -> Result<Record> {
    let Some(known) = paper(id) else {
        return Err(Error::Unknown(id.to_owned()));
    };
    let found = reproductions()
        .iter()
        .find(|reproduction| reproduction.id() == known.id);
    let reproduction = found.ok_or_else(|| Error::NotYet(id.to_owned()))?;
    Ok(Record::new(id, reproduction.run(context)?))
}
