//! The SMTP client against servers that behave, misbehave, and lie.

mod faults;
mod helpers;
mod login;
mod pool;
mod python;
mod raw;
mod transaction;
