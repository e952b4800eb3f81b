//! The mail becomes bytes, is signed, and leaves: over SMTP or into a folder.

pub mod dkim;
pub mod message;
pub mod quoted_printable;
pub mod smtp;
