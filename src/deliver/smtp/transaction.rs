//! One message over a session, in two steps, so that the caller can commit its mark between them.

use lettre::address::Envelope;

use super::connection::Connection;
use super::envelope::{Commands, Reset};
use super::failure::{Cause, Failure, Phase};
use super::prepare::Prepared;
use super::reply::Reply;
use super::session::{Session, broken, expect};

/// The code of a server that is about to close the connection, in any phase.
const CLOSING: u16 = 421;

/// A transaction whose DATA was answered with 354: the server waits for the message.
///
/// Dropped without [`Begun::submit`], it closes the connection and nothing of the message is sent.
#[derive(Debug)]
#[must_use = "dropping it closes the connection"]
pub struct Begun<'a> {
    session: &'a mut Session,
    connection: Connection,
    message: &'a Prepared,
}

impl Session {
    /// Asks the server to take `message` for `envelope`: MAIL, RCPT and DATA, in one write where the server offers
    /// PIPELINING. All recipients must be accepted.
    ///
    /// # Errors
    ///
    /// The refusal of the earliest phase that refused. The session stays usable after a clean refusal, and after
    /// [`Failure::Unsendable`]; after anything else the connection is closed. No error is ambiguous.
    pub async fn begin<'a>(
        &'a mut self,
        envelope: &Envelope,
        message: &'a Prepared,
    ) -> Result<Begun<'a>, Failure> {
        let connection = self.invite(envelope, message).await?;
        Ok(Begun::new(self, connection, message))
    }

    /// The connection on which the server waits for the message.
    pub(super) async fn invite(
        &mut self,
        envelope: &Envelope,
        message: &Prepared,
    ) -> Result<Connection, Failure> {
        let commands = Commands::new(envelope, message.traits(), &self.extensions, self.reset)?;
        let mut connection = self.connection.take().ok_or(broken(Phase::Mail, Cause::Closed))?;
        // Whatever came since the last reply, an end or words, it is not for us to answer: with it in the buffer each
        // reply would be taken for the one after it.
        if !connection.is_quiet() {
            return Err(broken(Phase::Mail, Cause::Closed));
        }
        match self.ask(&mut connection, &commands).await {
            Ok(Asked::Invited) => Ok(connection),
            Ok(Asked::Refused(failure, reset)) => {
                if connection.is_quiet() {
                    self.connection = Some(connection);
                    self.reset = reset;
                }
                self.last_failure = Some(failure.clone());
                Err(failure)
            }
            Err(failure) => {
                self.last_failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// `Err` means that the connection must be dropped.
    async fn ask(&self, connection: &mut Connection, commands: &Commands) -> Result<Asked, Failure> {
        let mut answers = Answers::default();
        if self.extensions.pipelining {
            connection.write(commands.all(), Phase::Mail).await?;
        }
        for command in commands.each() {
            let step = Step::of(command);
            let reply = if self.extensions.pipelining {
                connection.read_reply(step.phase()).await
            } else {
                connection.exchange(command, step.phase()).await
            };
            let outcome = reply.and_then(|reply| answers.note(step, reply));
            // A refusal that came before the connection broke stands: it is what the server thinks of this mail.
            outcome.map_err(|failure| answers.refusal.clone().unwrap_or(failure))?;
            if answers.refusal.is_some() && !self.extensions.pipelining {
                break;
            }
        }
        answers.end(connection).await
    }
}

impl<'a> Begun<'a> {
    pub(super) fn new(session: &'a mut Session, connection: Connection, message: &'a Prepared) -> Self {
        Self { session, connection, message }
    }

    /// Writes the message with its final dot and waits for the reply.
    ///
    /// # Errors
    ///
    /// [`Failure::is_ambiguous`] says whether the server may have the message all the same. A caller that drops
    /// this future must treat the message as ambiguous.
    pub async fn submit(self) -> Result<Reply, Failure> {
        let Self { session, mut connection, message } = self;
        let result = match connection.write_message(message.wire()).await {
            Ok(()) => connection.read_reply(Phase::Dot).await,
            Err(failure) => Err(failure),
        };
        let result = result.and_then(|reply| {
            session.messages_count += 1;
            let reusable = reply.code != CLOSING;
            let result = expect(reply, Phase::Dot, 250);
            if reusable && !matches!(result, Err(Failure::Broken { .. })) && connection.is_quiet() {
                session.connection = Some(connection);
                session.reset = Reset::NotNeeded;
            }
            result
        });
        session.last_failure = result.as_ref().err().cloned();
        result
    }
}

/// Which command a reply is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Recipient,
    Data,
}

impl Step {
    fn of(command: &[u8]) -> Self {
        match command.first() {
            Some(b'M') => Self::Mail,
            Some(b'D') => Self::Data,
            _ if command.starts_with(b"RSET") => Self::Reset,
            _ => Self::Recipient,
        }
    }

    fn phase(self) -> Phase {
        match self {
            Self::Reset | Self::Mail => Phase::Mail,
            Self::Recipient => Phase::Rcpt,
            Self::Data => Phase::Data,
        }
    }
}

/// How the server took the commands.
enum Asked {
    /// 354: it waits for the message.
    Invited,
    /// It refused and the connection is in step; whether RSET must come next.
    Refused(Failure, Reset),
}

/// What the replies of one transaction add up to.
#[derive(Default)]
struct Answers {
    /// Of the earliest phase that refused.
    refusal: Option<Failure>,
    mail_accepted: bool,
    recipients_accepted: usize,
    invited: bool,
}

impl Answers {
    /// `Err` means that the connection must be dropped; the refusal noted so far tells more, if there is one.
    fn note(&mut self, step: Step, reply: Reply) -> Result<(), Failure> {
        let phase = step.phase();
        match (step, reply.code) {
            (Step::Reset, 250) => {}
            (Step::Reset, _) => return Err(broken(phase, Cause::Unexpected(reply))),
            (Step::Mail, 250) => self.mail_accepted = true,
            // 251: the server forwards. 252 cannot come after RCPT by RFC 5321 and does from some servers.
            (Step::Recipient, 250..=252) => self.recipients_accepted += 1,
            (Step::Data, 354) => self.invited = true,
            (_, CLOSING) => {
                let failure = Failure::Refused { phase, reply };
                return Err(self.refusal.get_or_insert(failure).clone());
            }
            _ if reply.is_positive() => return Err(broken(phase, Cause::Unexpected(reply))),
            _ => {
                self.refusal.get_or_insert(Failure::Refused { phase, reply });
            }
        }
        Ok(())
    }

    async fn end(self, connection: &mut Connection) -> Result<Asked, Failure> {
        let reset = if self.mail_accepted { Reset::Needed } else { Reset::NotNeeded };
        match (self.refusal, self.invited) {
            (None, true) if connection.is_quiet() => Ok(Asked::Invited),
            (None, _) => {
                let cause = Cause::Garbage("more than it was asked for".to_owned());
                Err(broken(Phase::Data, cause))
            }
            (Some(refusal), false) => Ok(Asked::Refused(refusal, reset)),
            // The server wants a message for nobody: it gets an empty one, which it must refuse (RFC 2920 §3.1).
            // With one recipient accepted that would deliver an empty mail; then only closing is safe.
            (Some(refusal), true) if self.mail_accepted && self.recipients_accepted == 0 => {
                match connection.exchange(b".\r\n", Phase::Data).await {
                    Ok(reply) if !reply.is_positive() && reply.code != CLOSING => {
                        Ok(Asked::Refused(refusal, reset))
                    }
                    _ => Err(refusal),
                }
            }
            (Some(refusal), true) => Err(refusal),
        }
    }
}
