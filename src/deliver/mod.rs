//! The mail becomes bytes, is signed, and leaves: over SMTP or into a folder.

pub mod attachment;
pub mod catcher;
pub mod classify;
pub mod directory;
pub mod dkim;
pub mod domain;
mod encoded_words;
pub mod limit;
pub mod message;
pub mod quoted_printable;
pub mod seven_bit;
pub mod smtp;
pub mod transport;
