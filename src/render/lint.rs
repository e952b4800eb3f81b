//! What is wrong with the MJML itself.

use super::fault::CompileFault;
use super::mask::Edited;
use super::mask::Tag;
use super::mask::Words;
use super::tree::Element;

/// All faults of the tree.
pub(super) fn check(_: &Element<'_>, _: &str, _: &Edited, _: &[Tag], _: &Words) -> Vec<CompileFault> {
    Vec::new()
}
