//! Vectors of a guide (GISTEmbed) or a teacher (distillation) for the texts of the data, made once before training.

use kokeshi_core::Embeddings;
use kokeshi_encode::{Model, Options};
use kokeshi_train::tape::Matrix;

use crate::data::{Examples, Set};
use crate::error::Result;
use crate::recipe::Recipe;

/// No vector was made for this text.
const NONE: u32 = u32::MAX;
/// Texts that are encoded together.
const BATCH: usize = 1024;

/// A guide's vectors for the texts of one data set.
pub(crate) struct Guide {
    /// For each text the row of its vector.
    rows: Vec<u32>,
    vectors: Embeddings,
    margins: bool,
}

impl Guide {
    /// Makes the vectors that the losses of `recipe` want, for each of its data sets.
    ///
    /// # Errors
    /// A guide that can't be loaded, or has fewer dims than the student where its values are copied.
    pub fn read(recipe: &Recipe, examples: &Examples, dims: usize) -> Result<Vec<Option<Self>>> {
        let one = |(number, data): (usize, &crate::Data)| -> Result<Option<Self>> {
            let Some(name) = data.loss.guide() else {
                return Ok(None);
            };
            let model = Model::load(name)?;
            if data.loss.wants_width() && model.dims() < dims {
                let problem = format!(
                    "{name}: expected at least the {dims} dims of the base, found {}",
                    model.dims()
                );
                return Err(recipe.wrong("loss", problem));
            }
            let (mut rows, mut wanted) = (vec![NONE; examples.strings.len()], Vec::new());
            for text in examples
                .sets
                .iter()
                .filter(|set| set.data == number)
                .flat_map(|set| &set.rows)
            {
                let row = &mut rows[*text as usize];
                if *row == NONE {
                    *row = wanted.len() as u32;
                    wanted.push(examples.strings[*text as usize].as_str());
                }
            }
            let (mut values, options) = (Vec::new(), Options::default());
            for texts in wanted.chunks(BATCH) {
                values.extend_from_slice(model.encode(texts, &options)?.as_slice());
            }
            Ok(Some(Self {
                rows,
                vectors: Embeddings::from_vec(values, model.dims())?,
                margins: data.loss.wants_margins(),
            }))
        };
        recipe.data.iter().enumerate().map(one).collect()
    }

    /// A matrix for each column of these rows of `set`.
    pub fn columns(&self, set: &Set, rows: &[u32]) -> Vec<Matrix> {
        let column = |column: usize| {
            let values = rows
                .iter()
                .flat_map(|row| self.vector(set.row(*row as usize)[column]));
            Matrix::new(rows.len(), self.vectors.dims(), values.copied().collect())
        };
        (0..set.columns).map(column).collect()
    }

    /// For each row by how much its anchor scores the positive above the first negative; empty if nobody wants to know.
    pub fn margins(&self, set: &Set, rows: &[u32]) -> Vec<f32> {
        let score = |a, b| kokeshi_core::distance::dot(self.vector(a), self.vector(b));
        let margin = |row: &u32| match set.row(*row as usize) {
            [anchor, positive, negative, ..] => score(*anchor, *positive) - score(*anchor, *negative),
            _ => 0.0,
        };
        match self.margins {
            true => rows.iter().map(margin).collect(),
            false => Vec::new(),
        }
    }

    fn vector(&self, text: u32) -> &[f32] {
        self.vectors.row(self.rows[text as usize] as usize)
    }
}
