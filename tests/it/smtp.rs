//! The SMTP client against servers that behave, misbehave, and lie.

mod helpers;
mod transaction;
