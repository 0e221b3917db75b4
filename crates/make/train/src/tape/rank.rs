//! CoSENT's ranking of scores by labels.

use super::{Gradients, Matrix, Op, Tape, Var};

struct Cosent {
    scores: Var,
    /// What each score's gradient is.
    pulls: Vec<f32>,
}

impl Op for Cosent {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let pulls = self.pulls.iter().map(|pull| pull * gradient.data[0]).collect();
        sink.add(self.scores, Matrix::new(self.pulls.len(), 1, pulls));
    }
}

impl Tape {
    /// `log(1 + sum over pairs with label i < label j of exp(score i - score j))`, scores being `[rows, 1]`.
    ///
    /// # Panics
    /// If there are not as many labels as scores.
    pub fn cosent(&mut self, scores: Var, labels: &[f32]) -> Var {
        let values = &self.value(scores).data;
        assert_eq!(values.len(), labels.len(), "a label for each score");
        let pairs: Vec<(usize, usize, f64)> = (0..labels.len())
            .flat_map(|i| (0..labels.len()).map(move |j| (i, j)))
            .filter(|(i, j)| labels[*i] < labels[*j])
            .map(|(i, j)| (i, j, f64::from(values[i]) - f64::from(values[j])))
            .collect();
        let most = pairs.iter().map(|pair| pair.2).fold(0.0, f64::max);
        let sum = (-most).exp() + pairs.iter().map(|pair| (pair.2 - most).exp()).sum::<f64>();
        let mut pulls = vec![0.0; labels.len()];
        for (i, j, difference) in pairs {
            let share = ((difference - most).exp() / sum) as f32;
            pulls[i] += share;
            pulls[j] -= share;
        }
        let loss = Matrix::scalar((most + sum.ln()) as f32);
        self.push(loss, &[scores], Cosent { scores, pulls })
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn cosent_differentiates() {
        gradients(&[g(1.0, 5, 1)], |tape, v| {
            tape.cosent(v[0], &[0.1, 0.9, 0.4, 0.4, 0.0])
        });
    }
}
