//! Templates become variants: load, expand slots, compile rules, check.

pub mod contract;
pub mod nearest;
