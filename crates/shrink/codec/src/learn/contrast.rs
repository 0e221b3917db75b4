//! Two-way InfoNCE over pairs (BEBR, arXiv 2302.08714, its equation 6): a query's own document against the hardest others of the batch,
//! and the same the other way round.

use kokeshi_core::distance;

use crate::product;

/// The loss and how it is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contrast {
    /// Cosines are divided by this.
    pub temperature: f32,
    /// The negatives that count, hardest first; all if there are fewer.
    pub hardest: usize,
}

impl Contrast {
    /// The loss of `queries` and `documents` (`[n, width]`, unit rows, row i of one belonging to row i of the other), and its gradients.
    pub(crate) fn gradients(
        &self,
        queries: &[f32],
        documents: &[f32],
        width: usize,
    ) -> (f64, Vec<f32>, Vec<f32>) {
        self.directions(queries, documents, width, &[false, true])
    }

    /// The same from queries to documents alone; rows need not have unit length.
    pub(crate) fn one_way(
        &self,
        queries: &[f32],
        documents: &[f32],
        width: usize,
    ) -> (f64, Vec<f32>, Vec<f32>) {
        self.directions(queries, documents, width, &[false])
    }

    fn directions(
        &self,
        queries: &[f32],
        documents: &[f32],
        width: usize,
        directions: &[bool],
    ) -> (f64, Vec<f32>, Vec<f32>) {
        let count = queries.len() / width.max(1);
        let mut scores = vec![0.0; count * count];
        product::by_rows(queries, documents, width, &mut scores);
        // Of the loss by every score.
        let mut slopes = vec![0.0; count * count];
        let mut loss = 0.0;
        let mut line = vec![0.0; count];
        for at in 0..count {
            for &by_column in directions {
                let place = |other: usize| {
                    if by_column {
                        other * count + at
                    } else {
                        at * count + other
                    }
                };
                (0..count).for_each(|other| line[other] = scores[place(other)] / self.temperature);
                let mut order: Vec<usize> = (0..count).filter(|&other| other != at).collect();
                if order.len() > self.hardest {
                    order.select_nth_unstable_by(self.hardest, |&a, &b| line[b].total_cmp(&line[a]));
                    order.truncate(self.hardest);
                }
                let most = order
                    .iter()
                    .fold(line[at], |most, &other| f32::max(most, line[other]));
                let sum: f32 = order
                    .iter()
                    .chain([&at])
                    .map(|&other| (line[other] - most).exp())
                    .sum();
                loss += f64::from(sum.ln() + most - line[at]);
                for &other in order.iter().chain([&at]) {
                    let share = (line[other] - most).exp() / sum - f32::from(u8::from(other == at));
                    slopes[place(other)] += share / self.temperature / count as f32;
                }
            }
        }
        let (mut to_queries, mut to_documents) = (vec![0.0; queries.len()], vec![0.0; documents.len()]);
        product::plain(&slopes, documents, count, width, &mut to_queries);
        product::by_columns(&slopes, queries, count, width, &mut to_documents);
        (loss / count as f64, to_queries, to_documents)
    }
}

/// Rows of unit length, and the lengths that they had.
pub(crate) fn units(rows: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let mut units = rows.to_vec();
    let lengths = units
        .chunks_exact_mut(width)
        .map(|row| {
            let length = distance::dot(row, row).sqrt().max(1e-12);
            row.iter_mut().for_each(|value| *value /= length);
            length
        })
        .collect();
    (units, lengths)
}

/// The gradient by rows, from that by the unit rows that [`units`] gave.
pub(crate) fn unit_gradient(units: &[f32], lengths: &[f32], gradient: &[f32], width: usize) -> Vec<f32> {
    let mut back = gradient.to_vec();
    for ((back, unit), length) in back
        .chunks_exact_mut(width)
        .zip(units.chunks_exact(width))
        .zip(lengths)
    {
        let along = distance::dot(back, unit);
        back.iter_mut()
            .zip(unit)
            .for_each(|(value, unit)| *value = (*value - along * unit) / length);
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::Seed;

    #[test]
    fn gradients_are_what_finite_differences_say() {
        let (count, width) = (6, 5);
        let mut seed = Seed(4);
        let mut random = || {
            (0..count * width)
                .map(|_| seed.normal() as f32)
                .collect::<Vec<f32>>()
        };
        let (queries, documents) = (random(), random());
        let contrast = Contrast {
            temperature: 0.5,
            hardest: 3,
        };
        let loss = |queries: &[f32]| {
            let (queries, documents) = (units(queries, width), units(&documents, width));
            contrast.gradients(&queries.0, &documents.0, width).0
        };
        let (units_q, lengths) = units(&queries, width);
        let (_, slopes, _) = contrast.gradients(&units_q, &units(&documents, width).0, width);
        let gradient = unit_gradient(&units_q, &lengths, &slopes, width);
        for at in 0..queries.len() {
            let mut moved = queries.clone();
            moved[at] += 1e-3;
            let up = loss(&moved);
            moved[at] -= 2e-3;
            let expected = (up - loss(&moved)) / 2e-3;
            assert!(
                (f64::from(gradient[at]) - expected).abs() < 2e-3,
                "{at}: {} {expected}",
                gradient[at]
            );
        }
    }
}
