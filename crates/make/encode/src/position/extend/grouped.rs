//! GP, grouped positions: `factor` neighbours share a row of the table.

/// The row of a position.
pub(crate) fn row(position: usize, factor: usize) -> f32 {
    (position / factor) as f32
}

#[cfg(test)]
mod tests {
    #[test]
    fn neighbours_share_a_row() {
        let rows: Vec<f32> = (0..7).map(|at| super::row(at, 3)).collect();
        assert_eq!(rows, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]);
    }
}
