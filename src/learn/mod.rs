//! From decisions and rewards back to a model, and evaluation of any policy on any log.

pub mod ab;
pub mod arms;
pub mod clv;
pub mod context;
pub mod contextual;
pub mod fit;
pub mod items;
pub mod learner;
pub mod lift;
pub mod log;
pub mod ope;
pub mod orders;
pub mod policy;
pub mod reading;
pub mod recommend;
pub mod replay;
pub mod rewards;
pub mod sample;
pub mod stats;
pub mod table;
pub mod teach;
pub mod value;
pub mod weigh;
