//! Absolute positions: a learned vector for each (Attention Is All You Need, arXiv 1706.03762, section 3.5; BERT, arXiv 1810.04805).

use crate::encoder::Parts;
use crate::error::Result;
use crate::position::extend::RowMap;

/// Where the vectors are.
pub(crate) struct TablePlan {
    /// The tensor.
    pub(crate) name: String,
    /// How many positions it has.
    pub(crate) rows: usize,
    /// The padding token's id, if positions start behind it and padding tokens aren't counted (RoBERTa).
    pub(crate) padding: Option<usize>,
}

impl TablePlan {
    /// How many tokens of a text have a position.
    pub(crate) fn usable(&self) -> usize {
        match self.padding {
            Some(padding) => self.rows.saturating_sub(padding.saturating_add(1)),
            None => self.rows,
        }
    }
}

/// The vectors.
pub(crate) struct Table {
    /// `[rows, hidden]`
    values: Vec<f32>,
    padding: Option<usize>,
    usable: usize,
    /// The rows of longer texts.
    longer: Option<RowMap>,
}

impl Table {
    /// Reads the table; `longer` says which rows texts with more tokens than it has rows for use.
    pub(crate) fn load(
        parts: &Parts<'_>,
        plan: &TablePlan,
        hidden: usize,
        longer: Option<RowMap>,
    ) -> Result<Self> {
        Ok(Self {
            values: parts.values(&plan.name, &[plan.rows, hidden])?,
            padding: plan.padding,
            usable: plan.usable(),
            longer,
        })
    }

    /// Adds the same vector to each row.
    pub(crate) fn add(&mut self, vector: &[f32]) {
        for row in self.values.chunks_exact_mut(vector.len()) {
            add(row, vector, 1.0);
        }
    }
}

/// Goes through the positions of one text.
pub(crate) struct Walk<'a> {
    table: Option<&'a Table>,
    longer: Option<RowMap>,
    counted: usize,
}

impl<'a> Walk<'a> {
    /// From the first token of a text of `len`.
    pub(crate) fn new(table: Option<&'a Table>, len: usize) -> Self {
        let stretched = table.filter(|table| len > table.usable);
        Self {
            table,
            longer: stretched.and_then(|table| table.longer),
            counted: 0,
        }
    }

    /// Adds the vector of the next token's position to `row`.
    pub(crate) fn add(&mut self, id: u32, row: &mut [f32]) {
        let Some(table) = self.table else { return };
        let hidden = row.len();
        let vector = |at: usize| &table.values[at * hidden..][..hidden];
        let first = match table.padding {
            Some(padding) if id as usize == padding => return add(row, vector(padding), 1.0),
            Some(padding) => padding + 1,
            None => 0,
        };
        let position = self.counted;
        self.counted += 1;
        match &self.longer {
            None => add(row, vector(first + position), 1.0),
            Some(map) => {
                let at = map.row(position);
                let (low, part) = (at as usize, at.fract());
                let high = (low + 1).min(table.usable - 1);
                add(row, vector(first + low), 1.0 - part);
                if part > 0.0 {
                    add(row, vector(first + high), part);
                }
            }
        }
    }
}

fn add(row: &mut [f32], vector: &[f32], factor: f32) {
    if factor == 1.0 {
        row.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    } else {
        row.iter_mut()
            .zip(vector)
            .for_each(|(sum, value)| *sum += factor * value);
    }
}
