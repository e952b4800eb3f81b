//! The SMTP client against servers that behave, misbehave, and lie.

mod faults;
mod helpers;
mod transaction;
