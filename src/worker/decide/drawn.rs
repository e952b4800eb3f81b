//! What was drawn for somebody, in words.

use crate::decision::Slice;
use crate::decision::Withdrawn;
use crate::select::Selection;
use crate::stage::Placement;
use crate::words::counted;

/// A selection with what led to it.
pub(super) struct Drawn<'a> {
    pub(super) selection: Selection<'a>,
    /// Draws before it.
    pub(super) withdrawn: &'a [Withdrawn],
    pub(super) slice: Slice,
}

/// Sentences for people: why it was this one.
pub(super) fn reasons(drawn: &Drawn<'_>, placement: &Placement) -> Vec<String> {
    let Drawn { selection, withdrawn, slice } = drawn;
    let mut reasons = vec![placement.reason.clone()];
    reasons.extend(withdrawn.iter().map(|draw| {
        format!(
            "{} was drawn first, but no coupon was left for offer {}: drawn again without it",
            draw.variant.as_str(),
            draw.offer
        )
    }));
    let candidates = counted(selection.candidates.len(), "candidate");
    match (selection.variant, slice) {
        (Some(variant), Slice::Uniform) => {
            reasons
                .push(format!("{} was drawn evenly from {candidates} (learning slice)", variant.id.as_str()));
        }
        (Some(variant), _) => reasons.push(format!(
            "{} was drawn from {candidates} with probability {:.4}",
            variant.id.as_str(),
            selection.propensity
        )),
        (None, _) => reasons.push("nothing is sent".to_owned()),
    }
    reasons.extend(selection.reasons.iter().cloned());
    reasons
}
