//! One variant for one person, with its exact propensity.

pub mod policy;
pub mod recommend;
