//! One file a paper.

pub(crate) mod a2ats;
pub(crate) mod lm_infinite;
pub(crate) mod scissorhands;
