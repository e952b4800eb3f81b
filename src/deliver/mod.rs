//! The mail becomes bytes, is signed, and leaves: over SMTP or into a folder.

pub mod smtp;
