//! How a transaction can fail: in which phase, and whether the server said so or the connection broke.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::Reply;

/// Where in the SMTP conversation something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Name resolution and the TCP connection.
    Connect,
    /// The server's first line.
    Greeting,
    /// STARTTLS and the TLS handshake.
    Tls,
    /// EHLO, before or after TLS.
    Ehlo,
    /// AUTH, all its steps.
    Auth,
    /// MAIL FROM, and the RSET that may precede it.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, until 354.
    Data,
    /// The message is being written and its last byte has not left us: the server cannot have accepted it.
    Body,
    /// The final dot is written and its reply awaited: the server may have accepted the message.
    Dot,
    /// QUIT.
    Quit,
}

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Tls => "TLS",
            Self::Ehlo => "EHLO",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "message",
            Self::Dot => "final dot",
            Self::Quit => "QUIT",
        })
    }
}

/// Why a message was not accepted, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused with a 4yz or 5yz reply. Nothing was accepted.
    #[error("refused at {phase}: {reply}")]
    Refused {
        /// The first phase whose reply was a refusal.
        phase: Phase,
        /// The reply.
        reply: Reply,
    },
    /// The connection is of no more use, and was dropped.
    #[error("connection lost at {phase}: {cause}")]
    Broken {
        /// The phase whose end was not seen.
        phase: Phase,
        /// What happened.
        cause: Cause,
    },
    /// We refused by ourselves: this envelope or message can never go to this relay. Nothing was sent.
    #[error("cannot be sent: {0}")]
    Unsendable(#[from] Unsendable),
}

impl Failure {
    /// Whether the server may have accepted the message although we have no 250.
    ///
    /// True exactly when the last byte of the final `CRLF . CRLF` was handed to the operating system (or to TLS)
    /// and no reply with a 4yz or 5yz code came back: the connection was cut, a deadline passed, or what came was
    /// not a reply to a message. While even one byte of that ending is unwritten, no server can have taken the
    /// message: such failures are of [`Phase::Body`] and are not ambiguous.
    ///
    /// A caller that drops the future of [`Begun::submit`](super::Begun::submit) gets no `Failure` at all and
    /// must treat the message as ambiguous.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Broken { phase: Phase::Dot, .. })
    }

    /// The phase; [`Phase::Rcpt`] and [`Phase::Mail`] for what we refused by ourselves.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Refused { phase, .. } | Self::Broken { phase, .. } => *phase,
            Self::Unsendable(why) => why.phase(),
        }
    }

    /// The failure without the server's words, which may hold addresses: for logs.
    pub fn summary(&self) -> String {
        match (self, self.reply()) {
            (Self::Unsendable(why), _) => why.to_string(),
            (_, Some(Reply { code, enhanced: Some(enhanced), .. })) => {
                format!("answered {code} {enhanced} at {}", self.phase())
            }
            (_, Some(reply)) => format!("answered {} at {}", reply.code, self.phase()),
            (Self::Broken { phase, cause: Cause::Garbage(_) }, _) => format!("garbage at {phase}"),
            (failure, None) => failure.to_string(),
        }
    }

    /// The server's reply, if there was one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } | Self::Broken { cause: Cause::Unexpected(reply), .. } => Some(reply),
            Self::Broken { .. } | Self::Unsendable(_) => None,
        }
    }
}

/// Why a connection was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The deadline of the phase passed.
    Timeout(Duration),
    /// The server closed the connection.
    Closed,
    /// The operating system reported an error: refused, reset, unreachable, unknown host.
    Io(String),
    /// Bytes that are no SMTP reply, or more of them than a reply may have.
    Garbage(String),
    /// A well-formed reply that is no answer to what we said: we no longer know who speaks about what.
    Unexpected(Reply),
    /// The TLS handshake or a TLS record failed.
    Tls(String),
    /// The server's certificate is expired, unknown, or for another host.
    Certificate(String),
    /// TLS is required and the server does not offer STARTTLS.
    StartTlsMissing,
    /// Plaintext arrived together with the reply to STARTTLS: somebody injected it (CVE-2011-0411).
    PlaintextInjected,
    /// We must log in and cannot: no common mechanism, or it would send the password in clear.
    AuthUnavailable(String),
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(deadline) => write!(f, "no answer within {deadline:?}"),
            Self::Closed => f.write_str("closed by the server"),
            Self::Io(why) => f.write_str(why),
            Self::Garbage(what) => write!(f, "the server sent {what}"),
            Self::Unexpected(reply) => write!(f, "unexpected reply {reply}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Certificate(why) => write!(f, "the certificate was not accepted: {why}"),
            Self::StartTlsMissing => f.write_str("TLS is required and the server does not offer STARTTLS"),
            Self::PlaintextInjected => {
                f.write_str("plaintext was injected after STARTTLS; somebody may be on the line")
            }
            Self::AuthUnavailable(why) => write!(f, "cannot log in: {why}"),
        }
    }
}

/// Why we refuse to send, before a byte of it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// An address holds a control character, a space, or an angle bracket: it could inject commands.
    #[error("the {0} address has a character that SMTP commands may not carry")]
    UnsafeAddress(Party),
    /// An address is longer than SMTP allows.
    #[error("the {0} address is longer than {max} bytes", max = super::envelope::ADDRESS_BYTES_MAX)]
    AddressTooLong(Party),
    /// A domain that has no A-label form.
    #[error("the {0} address has a domain that IDNA refuses")]
    BadDomain(Party),
    /// The local part is not ASCII and the relay cannot carry that.
    #[error("the {0} address needs SMTPUTF8, which the relay does not offer")]
    NeedsSmtputf8(Party),
    /// The header section is not ASCII and the relay cannot carry that.
    #[error("the header needs SMTPUTF8, which the relay does not offer")]
    HeaderNeedsSmtputf8,
    /// The body is not ASCII and the relay takes seven bits only.
    #[error("the message needs 8BITMIME, which the relay does not offer")]
    NeedsEightBitMime,
    /// Larger than the relay's SIZE.
    #[error("the message has {size_bytes} bytes, the relay takes {size_bytes_max}")]
    TooLarge {
        /// Of the message.
        size_bytes: u64,
        /// Announced by the relay.
        size_bytes_max: u64,
    },
    /// More recipients than one transaction may have.
    #[error("more than {max} recipients", max = super::envelope::RECIPIENTS_MAX)]
    TooManyRecipients,
}

impl Unsendable {
    fn phase(&self) -> Phase {
        match self {
            Self::UnsafeAddress(party)
            | Self::AddressTooLong(party)
            | Self::BadDomain(party)
            | Self::NeedsSmtputf8(party) => match party {
                Party::Sender => Phase::Mail,
                Party::Recipient => Phase::Rcpt,
            },
            Self::TooManyRecipients => Phase::Rcpt,
            Self::HeaderNeedsSmtputf8 | Self::NeedsEightBitMime | Self::TooLarge { .. } => Phase::Mail,
        }
    }
}

/// Whose address of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Of MAIL FROM.
    Sender,
    /// Of RCPT TO.
    Recipient,
}

impl Display for Party {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "sender's",
            Self::Recipient => "recipient's",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::smtp::EnhancedCode;

    #[test]
    fn a_summary_has_no_word_of_the_server() {
        let enhanced = Some(EnhancedCode { class: 5, subject: 1, detail: 1 });
        let reply = |enhanced| Reply { code: 550, enhanced, text: "ada@x.test is unknown".to_owned() };
        let broken = |cause| Failure::Broken { phase: Phase::Dot, cause };
        for (failure, expected) in [
            (Failure::Refused { phase: Phase::Rcpt, reply: reply(enhanced) }, "answered 550 5.1.1 at RCPT"),
            (Failure::Refused { phase: Phase::Dot, reply: reply(None) }, "answered 550 at final dot"),
            (broken(Cause::Unexpected(reply(None))), "answered 550 at final dot"),
            (broken(Cause::Garbage("ada@x.test".to_owned())), "garbage at final dot"),
            (broken(Cause::Closed), "connection lost at final dot: closed by the server"),
        ] {
            assert_eq!(failure.summary(), expected);
        }
    }
}
