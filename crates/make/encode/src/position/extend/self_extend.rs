//! SelfExtend (arXiv 2401.01325), on both sides of a token as an encoder needs it: keys less than `window` tokens away are where they
//! are; of those farther away, `group` neighbours share a position, shifted so that distances go on where the window ends.

/// The usual group for texts `factor` times as long: 3 for 2, 5 for 4, 9 for 8 (arXiv 2404.12096, appendix).
pub(crate) fn group(factor: usize) -> usize {
    factor + 1
}

/// The usual window: 256, 128, 64 for 2, 4, 8 times 512 tokens (ibid.).
pub(crate) fn window(trained: usize, factor: usize) -> usize {
    (trained / factor).max(1)
}

/// What is added to the shared position of a query for keys before it, and taken away for keys after it.
pub(crate) fn shift(group: usize, window: usize) -> isize {
    (window - window / group) as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance that the token at `query` sees to the one at `key`.
    fn distance(query: usize, key: usize, group: usize, window: usize) -> isize {
        let (at, other) = ((query / group) as isize, (key / group) as isize);
        match query.abs_diff(key) {
            near if near < window => near as isize,
            _ if key < query => at + shift(group, window) - other,
            _ => -(at - shift(group, window) - other),
        }
    }

    #[test]
    fn distances_are_those_of_the_worked_example() {
        let seen = |query: usize| -> Vec<isize> { (0..10).map(|key| distance(query, key, 2, 4)).collect() };
        assert_eq!(seen(0), [0, 1, 2, 3, 4, 4, 5, 5, 6, 6]);
        assert_eq!(seen(4), [4, 3, 2, 1, 0, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn a_group_of_one_changes_no_distance() {
        assert_eq!(shift(1, 4), 0);
        assert_eq!([2, 4, 8].map(group), [3, 5, 9]);
        assert_eq!([2, 4, 8].map(|factor| window(512, factor)), [256, 128, 64]);
    }
}
