//! One file a paper.

pub(crate) mod a2ats;
pub(crate) mod bebr;
pub(crate) mod bidr;
pub(crate) mod clex;
pub(crate) mod fanns;
pub(crate) mod lm_infinite;
pub(crate) mod longembed;
pub(crate) mod nope;
pub(crate) mod pca_rag;
pub(crate) mod scissorhands;
