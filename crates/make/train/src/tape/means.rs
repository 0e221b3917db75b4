//! Means of neighbouring rows.

use std::ops::Range;

use super::{Gradients, Matrix, Op, Tape, Var};

struct Means {
    x: Var,
    groups: Vec<Range<usize>>,
}

impl Op for Means {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let x = tape.value(self.x);
        let mut out = Matrix::zeros(x.rows, x.cols);
        for (at, group) in self.groups.iter().enumerate() {
            let share = 1.0 / group.len() as f32;
            for row in group.clone() {
                let pairs = out.row_mut(row).iter_mut().zip(gradient.row(at));
                pairs.for_each(|(sum, value)| *sum += share * value);
            }
        }
        sink.add(self.x, out);
    }
}

impl Tape {
    /// The mean of each group of rows: `[groups, cols]`; zeros for a group without rows.
    pub fn means(&mut self, x: Var, groups: Vec<Range<usize>>) -> Var {
        let from = self.value(x);
        let mut out = Matrix::zeros(groups.len(), from.cols);
        for (at, group) in groups.iter().enumerate() {
            let share = 1.0 / group.len().max(1) as f32;
            for row in group.clone() {
                let pairs = out.row_mut(at).iter_mut().zip(from.row(row));
                pairs.for_each(|(sum, value)| *sum += share * value);
            }
        }
        self.push(out, &[x], Means { x, groups })
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn means_differentiate() {
        gradients(&[g(1.0, 5, 3), g(2.0, 3, 3)], |tape, v| {
            let out = tape.means(v[0], vec![1..4, 0..2, 5..5]);
            let out = tape.multiply(out, v[1]);
            tape.total(&[(out, 1.0)])
        });
    }
}
