//! PI, position interpolation (arXiv 2306.15595): positions are divided by `factor`; between two rows of a table, each counts by how near
//! it is. Positions behind the last row have the last row.

/// The row, or the rotary position, of a token.
pub(crate) fn row(position: usize, factor: usize) -> f32 {
    position as f32 / factor as f32
}

#[cfg(test)]
mod tests {
    use crate::position::extend::RowMap;

    #[test]
    fn positions_are_divided_and_the_last_row_is_held() {
        let map = RowMap::Interpolated { factor: 4, last: 2 };
        let rows: Vec<f32> = (0..12).map(|at| map.row(at)).collect();
        assert_eq!(
            rows,
            [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0, 2.0, 2.0]
        );
    }
}
