//! Plan, gate, and the loop that sends.
//!
//! In reading order: [`schedule`] when, [`gate`] whether, [`decide`] what, [`make`] the bytes,
//! `submit` the way out, [`journal`] what is committed, [`run`] the loop around it all.

pub mod assemble;
mod batch;
mod claimed;
pub mod decide;
pub mod engine;
pub mod exhausted;
pub mod gate;
pub mod guard;
pub mod in_use;
pub mod in_work;
pub mod journal;
mod jump;
pub mod lead;
pub mod links;
pub mod load;
pub mod make;
pub mod models;
pub mod outcomes;
mod panics;
pub mod plan;
mod rates;
pub mod run;
pub mod schedule;
pub mod sender;
mod shared;
mod steps;
mod submit;
pub mod tally;
