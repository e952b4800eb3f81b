//! How long each phase of the conversation may take.

use std::time::Duration;

use super::failure::Phase;

/// How long each phase may take, in milliseconds. A phase is over when its whole reply is read, so that a server
/// that sends a byte a second meets the same deadline as one that is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Name resolution and TCP, all addresses of the host together.
    pub connect_ms: u64,
    /// The greeting.
    pub greeting_ms: u64,
    /// STARTTLS and the handshake, each.
    pub tls_ms: u64,
    /// EHLO.
    pub ehlo_ms: u64,
    /// Each step of AUTH.
    pub auth_ms: u64,
    /// RSET and MAIL.
    pub mail_ms: u64,
    /// Each RCPT.
    pub rcpt_ms: u64,
    /// DATA.
    pub data_ms: u64,
    /// Writing the whole message.
    pub body_ms: u64,
    /// The reply to the final dot: ten minutes, since giving up early makes duplicates (RFC 5321 §4.5.3.2.6).
    pub dot_ms: u64,
    /// QUIT.
    pub quit_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect_ms: 30_000,
            greeting_ms: 60_000,
            tls_ms: 30_000,
            ehlo_ms: 60_000,
            auth_ms: 60_000,
            mail_ms: 60_000,
            rcpt_ms: 60_000,
            data_ms: 120_000,
            body_ms: 180_000,
            dot_ms: 600_000,
            quit_ms: 5_000,
        }
    }
}

/// Longest deadline, in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 3_600_000;

impl Deadlines {
    /// The first phase whose deadline is zero or over [`DEADLINE_MS_MAX`].
    pub(super) fn first_bad(&self) -> Option<Phase> {
        const PHASES: [Phase; 11] = [
            Phase::Connect,
            Phase::Greeting,
            Phase::Tls,
            Phase::Ehlo,
            Phase::Auth,
            Phase::Mail,
            Phase::Rcpt,
            Phase::Data,
            Phase::Body,
            Phase::Dot,
            Phase::Quit,
        ];
        let good = Duration::from_millis(1)..=Duration::from_millis(DEADLINE_MS_MAX);
        PHASES.into_iter().find(|phase| !good.contains(&self.of(*phase)))
    }

    /// How long a mail may be on its way after its mark: its bytes, and the reply to the final dot. Milliseconds.
    pub(super) fn on_wire_ms(&self) -> i64 {
        i64::try_from(self.body_ms.saturating_add(self.dot_ms)).unwrap_or(i64::MAX)
    }

    /// The deadline of `phase`.
    pub fn of(&self, phase: Phase) -> Duration {
        Duration::from_millis(match phase {
            Phase::Connect => self.connect_ms,
            Phase::Greeting => self.greeting_ms,
            Phase::Tls => self.tls_ms,
            Phase::Ehlo => self.ehlo_ms,
            Phase::Auth => self.auth_ms,
            Phase::Mail => self.mail_ms,
            Phase::Rcpt => self.rcpt_ms,
            Phase::Data => self.data_ms,
            Phase::Body => self.body_ms,
            Phase::Dot => self.dot_ms,
            Phase::Quit => self.quit_ms,
        })
    }
}
