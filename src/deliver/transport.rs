//! How mail leaves: over SMTP, into a folder, or into memory (tests). One more is one more arm here.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::deliver::directory::Directory;
use crate::deliver::smtp::Pool;
use crate::send::SendId;

/// How mail leaves.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Over SMTP, by the pool of relays.
    Smtp(Pool),
    /// Into a folder, as .eml files.
    Directory(Directory),
    /// Into memory.
    Memory(Outbox),
}

impl Transport {
    /// How long a mail may be on its way after its mark, by the deadlines of the slowest relay, milliseconds.
    pub fn on_wire_ms(&self) -> i64 {
        match self {
            Self::Smtp(pool) => pool.on_wire_ms(),
            Self::Directory(_) | Self::Memory(_) => 0,
        }
    }
}

/// Mails that a test reads.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<KeptMail>>>);

/// One mail in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMail {
    /// Its send.
    pub send: SendId,
    /// The envelope's recipient.
    pub to: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Keeps a mail.
    pub fn keep(&self, mail: KeptMail) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
    }

    /// All mails so far, oldest first.
    pub fn mails(&self) -> Vec<KeptMail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
