//! LM-Infinite (arXiv 2308.16137): a token sees as many tokens before it as the model was trained on, and the first ones of the text, which
//! count as no farther away than that. What lies between is not read: texts keep their sense of language, not what they said long before.

use kokeshi_kernels::Mask;

use crate::encoder::plan::Plan;

/// The first tokens that are always seen, as in the authors' code; 5 to 100 are equally good there.
pub(crate) const FIRST: usize = 10;

/// Gives the blocks that see the whole text the mask; whether all of them are causal.
pub(crate) fn mask(plan: &mut Plan, first: usize, trained: usize) -> bool {
    let mut masks = plan.blocks.iter_mut().map(|block| &mut block.attention.mask);
    masks.all(|mask| {
        if mask.before >= trained {
            *mask = Mask {
                before: trained - 1,
                first,
                ..*mask
            };
        }
        mask.after == 0
    })
}
