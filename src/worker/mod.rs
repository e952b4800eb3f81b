//! Plan, gate, and the loop that sends.

pub mod gate;
pub mod schedule;
pub mod slices;
