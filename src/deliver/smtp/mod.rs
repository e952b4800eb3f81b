//! The SMTP client session: phases, deadlines, replies, and the pool over it.
//!
//! A message goes out in two steps, so that its mark can be committed in between:
//!
//! ```no_run
//! # use bespoke::deliver::smtp::{Failure, Pool, PoolSettings, Relay, prepare};
//! # async fn example(envelope: lettre::address::Envelope, message: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(vec![Relay::from_url("smtp://127.0.0.1:2525")?], PoolSettings::default())?;
//! let message = prepare(message)?;
//! let mut session = pool.checkout().await?;
//! let begun = session.begin(&envelope, &message).await?; // MAIL, RCPT, DATA → 354
//! // … commit that the message is on the wire …
//! let reply = begun.submit().await?;                     // message and dot → 250
//! session.give_back();
//! # Ok(()) }
//! ```
//!
//! In reading order: [`relay`] settings, [`failure`] and [`reply`] what can come back, [`prepare()`] the message on
//! the wire, `envelope` its commands, `tls` and `connection` the bytes, `session` and `transaction` the
//! conversation, `pool` many conversations with many relays.

pub mod failure;
pub mod relay;
pub mod reply;

mod connection;
mod deadlines;
mod envelope;
mod extension;
mod pool;
mod prepare;
mod section;
mod session;
mod tls;
mod transaction;

pub use deadlines::{DEADLINE_MS_MAX, Deadlines};
pub use envelope::{ADDRESS_BYTES_MAX, RECIPIENTS_MAX};
pub use extension::Extensions;
pub use failure::{Cause, Failure, Party, Phase, Unsendable};
pub use pool::{
    Held, NoRelay, NoRelayKind, Pool, PoolSettings, PooledSession, RELAYS_MAX, RelayCondition, RelayStatus,
};
pub use prepare::{BodyTraits, Content, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, PrepareError, Prepared, prepare};
pub use relay::{Credentials, Relay, RelayError, Security};
pub use reply::{EnhancedCode, Reply};
pub use session::Session;
pub use tls::Connector;
pub use transaction::Begun;
