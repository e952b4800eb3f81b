//! One variant for one person, with its exact propensity.

pub mod model;
pub mod policy;
pub mod recommend;
