//! How bars look.

use indicatif::ProgressState;
use indicatif::ProgressStyle;

/// A style by indicatif's template, in which `{per_sec}` is a whole number.
pub(super) fn style(template: &str) -> anyhow::Result<ProgressStyle> {
    let per_second = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Where nothing can be drawn, nothing is missed.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    Ok(ProgressStyle::with_template(template)?.with_key("per_sec", per_second))
}
