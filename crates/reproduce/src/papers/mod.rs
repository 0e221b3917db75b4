//! One file a paper.

pub(crate) mod a2ats;
pub(crate) mod aspects;
pub(crate) mod basic;
pub(crate) mod bebr;
pub(crate) mod bidr;
pub(crate) mod byte2word;
pub(crate) mod clex;
pub(crate) mod fanns;
pub(crate) mod gistembed;
pub(crate) mod kalm;
pub(crate) mod lm_infinite;
pub(crate) mod loki;
pub(crate) mod longembed;
pub(crate) mod mrl;
pub(crate) mod mse_2d;
pub(crate) mod mup;
pub(crate) mod nope;
pub(crate) mod nv_embed;
pub(crate) mod pca_rag;
pub(crate) mod pooling_attention;
pub(crate) mod qwen3;
pub(crate) mod scissorhands;
pub(crate) mod sesa;
pub(crate) mod starbucks;
pub(crate) mod tempscale;
