//! One variant for one person, with its exact propensity.

pub mod recommend;
