//! How tokens know where they are.
//!
//! | file | scheme |
//! |---|---|
//! | [`table`] | a learned vector for each position is added to the token's (absolute positions) |
//! | [`rotary`] | queries and keys are turned by an angle that grows with the position |
//! | [`frequencies`] | the angles' speeds, and the scalings that `config.json` may ask for |
//! | [`buckets`] | a learned bias on scores by distance (T5, MPNet) |
//! | [`alibi`] | a penalty on scores that grows with the distance (ALiBi) |
//! | [`extend`] | ways to read longer texts than the model was trained on, without training |
//!
//! A model without any of them, in which only a causal mask tells tokens apart (NoPE), has an empty plan.

pub(crate) mod alibi;
pub(crate) mod buckets;
pub(crate) mod extend;
pub(crate) mod frequencies;
mod method;
pub(crate) mod rotary;
pub(crate) mod table;

use kokeshi_kernels::{Bias, Far, Level};

use crate::encoder::Parts;
use crate::error::Result;
use alibi::AlibiPlan;
use buckets::BucketPlan;
use extend::Extended;
use frequencies::Rotation;
pub use method::Position;
pub(crate) use rotary::FarScratch;
use rotary::Rotary;
use table::{Table, TablePlan, Walk};

/// What a family says about positions.
#[derive(Default)]
pub(crate) struct PositionPlan {
    /// A learned vector for each position.
    pub(crate) table: Option<TablePlan>,
    /// Rotations; each block says which one it uses.
    pub(crate) rotations: Vec<Rotation>,
    /// A learned bias by distance, shared by all blocks.
    pub(crate) buckets: Option<BucketPlan>,
    /// A penalty by distance, shared by all blocks; not beside `buckets`.
    pub(crate) alibi: Option<AlibiPlan>,
}

impl PositionPlan {
    /// Whether nothing in it says how long a text may be.
    pub(crate) fn is_endless(&self) -> bool {
        self.table.is_none() && self.rotations.is_empty()
    }
}

/// The positions of a loaded model.
pub(crate) struct Positions {
    table: Option<Table>,
    rotations: Vec<Rotary>,
    bias: Option<Bias>,
}

impl Positions {
    /// Reads what `plan` names; texts have at most `longest` tokens.
    pub(crate) fn load(
        parts: &Parts<'_>,
        plan: &PositionPlan,
        hidden: usize,
        heads: usize,
        longest: usize,
        extension: Option<Extended>,
    ) -> Result<Self> {
        let table = match &plan.table {
            Some(plan) => Some(Table::load(
                parts,
                plan,
                hidden,
                extension.and_then(Extended::rows),
            )?),
            None => None,
        };
        let rotations = plan.rotations.iter();
        Ok(Self {
            table,
            rotations: rotations
                .map(|rotation| Rotary::new(rotation, longest, extension))
                .collect(),
            bias: match &plan.buckets {
                Some(plan) => Some(plan.load(parts, heads, longest)?),
                None => plan.alibi.map(|alibi| {
                    let ceiling = extension.and_then(Extended::ceiling);
                    alibi.bias(heads, longest, ceiling)
                }),
            },
        })
    }

    /// The table of positions.
    pub(crate) fn table_mut(&mut self) -> Option<&mut Table> {
        self.table.as_mut()
    }

    /// Adds the vectors of the positions of a text of `len` tokens, one after the other.
    pub(crate) fn walk(&self, len: usize) -> Walk<'_> {
        Walk::new(self.table.as_ref(), len)
    }

    /// What is added to scores.
    pub(crate) fn bias(&self) -> Option<&Bias> {
        self.bias.as_ref()
    }

    /// Turns the queries and keys of one text, which stand side by side at the start of each row of `joint`; `heads` are those of
    /// queries and of keys. Gives others for tokens far apart if the scheme has them.
    pub(crate) fn rotate<'a>(
        &self,
        level: Level,
        rotation: usize,
        heads: [usize; 2],
        head_dims: usize,
        joint: &mut [f32],
        scratch: &'a mut FarScratch,
    ) -> Option<Far<'a>> {
        self.rotations[rotation].apply(level, heads, head_dims, joint, scratch)
    }
}
