//! Templates become variants: load, expand slots, compile rules, check.

pub mod condition;
pub mod contract;
pub mod nearest;
pub mod rule;
