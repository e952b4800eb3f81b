//! A shop of 2,000 people with believable histories, and their mails, on a fresh machine. Nothing leaves it: mail
//! goes to a catcher on loopback.

pub mod people;
pub mod products;
pub mod week;
