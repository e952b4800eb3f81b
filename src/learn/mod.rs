//! From decisions and rewards back to a model, and evaluation of any policy on any log.

pub mod clv;
pub mod items;
pub mod lift;
pub mod ope;
pub mod recommend;
pub mod stats;
pub mod table;
