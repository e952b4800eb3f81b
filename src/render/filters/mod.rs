//! Filters and functions that templates may call, beside those of Tera itself.

use tera::Tera;

/// Adds all of them.
pub(super) fn register(_tera: &mut Tera) {}
