//! Longer texts than the model was trained on, without training (LongEmbed, arXiv 2404.12096). Texts that are not longer are encoded as
//! ever, bit for bit.
//!
//! | file | method | for |
//! |---|---|---|
//! | [`grouped`] | GP: neighbours share a position | learned tables |
//! | [`recurrent`] | RP: positions start over | learned tables |
//! | [`interpolated`] | PI: positions between the trained ones | learned tables, rotary |
//! | [`ntk`] | slower rotation of the slow dimensions | rotary |
//! | [`self_extend`] | exact positions nearby, shared ones far away | rotary |
//! | [`lambda`] | LM-Infinite: the nearest tokens and the first ones | decoders: rotary, ALiBi |
//! | none | NoPE: positions are left out, at every length | decoders |
//! | PCW | the text in pieces, and the mean of their vectors: in front of the encoder, see `transformer.rs` | all |

pub(crate) mod grouped;
pub(crate) mod interpolated;
pub(crate) mod lambda;
pub(crate) mod ntk;
pub(crate) mod recurrent;
pub(crate) mod self_extend;

use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;
use crate::options::LoadOptions;
use crate::position::alibi::AlibiPlan;
use crate::position::frequencies::Rotation;
use crate::position::rotary::{Angles, Place};
use crate::position::{Position, PositionPlan};

/// The longest context that is believed.
const LONGEST: usize = 1 << 24;

/// A method with its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extended {
    method: Position,
    /// The tokens that the model was trained on.
    pub(crate) trained: usize,
    /// How many times longer texts may be, rounded up.
    factor: usize,
}

/// The row of the table that each position of a long text gets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowMap {
    Grouped(usize),
    Recurrent(usize),
    Interpolated { factor: usize, last: usize },
}

impl RowMap {
    /// The row, which may lie between two.
    pub(crate) fn row(self, position: usize) -> f32 {
        match self {
            Self::Grouped(factor) => grouped::row(position, factor),
            Self::Recurrent(trained) => recurrent::row(position, trained),
            Self::Interpolated { factor, last } => interpolated::row(position, factor).min(last as f32),
        }
    }
}

/// How the queries and keys of a long text are turned.
pub(crate) enum LongRotation {
    /// By other angles.
    Other(Angles),
    /// By other angles for tokens far apart.
    Far(FarAngles),
}

/// Angles for tokens at least `window` apart: of queries for keys before them, for keys after them, and of the keys.
pub(crate) struct FarAngles {
    pub(crate) window: usize,
    pub(crate) before: Angles,
    pub(crate) after: Angles,
    pub(crate) keys: Angles,
}

/// Makes the plan's texts as long as the options ask; `None` if nothing is to be done by the encoder.
pub(crate) fn apply(plan: &mut Plan, config: &Fields, options: &LoadOptions) -> Result<Option<Extended>> {
    let trained = plan.longest;
    if options.position == Some(Position::Nope) {
        return without(plan, config, options.context).map(|()| None);
    }
    let wrong = |problem: String| Err(config.wrong("max_position_embeddings", problem));
    let (context, method) = match (options.context, options.position) {
        (None, None) => return Ok(None),
        (Some(context), _) if context <= trained => return Ok(None),
        // What knows no longest text needs no method.
        (Some(context), None) if plan.positions.is_endless() && context <= endless(plan) => {
            plan.longest = context;
            return Ok(None);
        }
        (Some(context), None) => {
            return wrong(format!(
                "the model reads {trained} tokens, asked for {context}: expected a position method (gp, rp, pi, pcw, ntk, selfextend, lambda)"
            ));
        }
        (None, Some(method)) => return wrong(format!("expected a context for the position method {method}")),
        (Some(context), Some(method)) => (context, method),
    };
    if context > LONGEST {
        return wrong(format!(
            "expected a context of at most {LONGEST}, found {context}"
        ));
    }
    if plan.positions.buckets.is_some() && method != Position::Pcw {
        return wrong(format!("{method} is not for relative buckets; expected pcw"));
    }
    let (table, rotary, alibi) = (
        plan.positions.table.is_some(),
        !plan.positions.rotations.is_empty(),
        plan.positions.alibi.is_some(),
    );
    let fits = match method {
        Position::Pcw => true,
        Position::Pi => table || rotary,
        Position::Gp | Position::Rp => table,
        Position::Ntk { .. } | Position::SelfExtend { .. } => rotary,
        Position::Lambda { .. } => rotary || alibi,
        Position::Nope => false,
    };
    if !fits {
        let expected = match (table, rotary) {
            (true, _) => "gp, rp, pi or pcw",
            (false, true) => "pi, pcw, ntk, selfextend or lambda",
            (false, false) if alibi => "pcw or lambda",
            (false, false) => "pcw",
        };
        return wrong(format!(
            "{method} is not for this model's positions; expected {expected}"
        ));
    }
    if method == Position::Pcw {
        return Ok(None);
    }
    if let Position::Lambda { first } = method
        && !lambda::mask(plan, first.unwrap_or(lambda::FIRST), trained)
    {
        return wrong(format!("{method} is for decoders: expected causal attention"));
    }
    plan.longest = context;
    Ok(Some(Extended {
        method,
        trained,
        factor: context.div_ceil(trained),
    }))
}

/// The longest text of a model whose positions know none.
fn endless(plan: &Plan) -> usize {
    let heads = plan.blocks.first().map_or(1, |block| block.attention.heads);
    match plan.positions.alibi {
        Some(_) => AlibiPlan::longest(heads),
        None if plan.positions.buckets.is_some() => plan.longest,
        None => LONGEST,
    }
}

/// Leaves all positions out.
fn without(plan: &mut Plan, config: &Fields, context: Option<usize>) -> Result<()> {
    let context = context.unwrap_or(plan.longest);
    let masks = plan.blocks.iter().map(|block| block.attention.mask);
    if context > LONGEST || masks.into_iter().any(|mask| mask.after > 0) {
        return Err(config.wrong(
            "max_position_embeddings",
            format!(
                "without positions nothing but a causal mask tells tokens apart: expected a decoder and a context of at most {LONGEST}"
            ),
        ));
    }
    plan.positions = PositionPlan::default();
    plan.longest = context;
    plan.blocks
        .iter_mut()
        .for_each(|block| block.attention.rotation = None);
    Ok(())
}

impl Extended {
    /// The distance from which all count as that far, if there is one.
    pub(crate) fn ceiling(self) -> Option<usize> {
        matches!(self.method, Position::Lambda { .. }).then_some(self.trained)
    }

    /// The rows of a long text.
    pub(crate) fn rows(self) -> Option<RowMap> {
        Some(match self.method {
            Position::Gp => RowMap::Grouped(self.factor),
            Position::Rp => RowMap::Recurrent(self.trained),
            Position::Pi => RowMap::Interpolated {
                factor: self.factor,
                last: self.trained - 1,
            },
            _ => return None,
        })
    }

    /// The turning of a long text.
    pub(crate) fn rotation(self, plain: &Rotation, longest: usize) -> Option<LongRotation> {
        let angles = |rotation: &Rotation, place: Place| Angles::new(rotation.speeds(0), longest, place);
        let factor = self.factor;
        Some(match self.method {
            Position::Pi => {
                LongRotation::Other(angles(plain, Box::new(move |at| interpolated::row(at, factor))))
            }
            Position::Ntk { lambda } => {
                let slower = ntk::slower(plain, lambda.unwrap_or(ntk::lambda(factor)));
                LongRotation::Other(angles(&slower, Box::new(|at| at as f32)))
            }
            Position::SelfExtend { group, window } => {
                let group = group.unwrap_or(self_extend::group(factor));
                let window = window.unwrap_or(self_extend::window(self.trained, factor));
                let shift = self_extend::shift(group, window);
                let grouped =
                    move |shift: isize| -> Place { Box::new(move |at| (at / group) as f32 + shift as f32) };
                LongRotation::Far(FarAngles {
                    window,
                    before: angles(plain, grouped(shift)),
                    after: angles(plain, grouped(-shift)),
                    keys: angles(plain, grouped(0)),
                })
            }
            Position::Lambda { .. } => {
                let trained = self.trained;
                let fixed = |place: usize| -> Place { Box::new(move |_| place as f32) };
                LongRotation::Far(FarAngles {
                    window: trained,
                    before: angles(plain, fixed(trained)),
                    // A decoder sees no key after its query.
                    after: angles(plain, fixed(trained)),
                    keys: angles(plain, fixed(0)),
                })
            }
            Position::Gp | Position::Rp | Position::Pcw | Position::Nope => return None,
        })
    }
}
