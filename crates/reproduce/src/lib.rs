//! The catalogue of papers and their reproductions.
