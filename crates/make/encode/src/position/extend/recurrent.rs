//! RP, recurrent positions: they start over at the end of the table. The first token of each round shares its row with the first one of
//! all, so that a model which pools the first token is better served by another method.

/// The row of a position in a table with `trained` rows.
pub(crate) fn row(position: usize, trained: usize) -> f32 {
    (position % trained) as f32
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_start_over() {
        let rows: Vec<f32> = (0..6).map(|at| super::row(at, 4)).collect();
        assert_eq!(rows, [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
    }
}
