//! One mail for real, to its author: as the worker would make it, marked as a test, without touching anyone's history.

use jiff::Timestamp;

use super::Gate;
use super::PreviewError;
use super::entry;
use super::ruling::Answer;
use super::ruling::rule;
use super::subject::load;
use crate::campaign::CampaignId;
use crate::deliver::message::ComposedMail;
use crate::deliver::message::MailPurpose;
use crate::deliver::smtp::prepare;
use crate::deliver::transport::KeptMail;
use crate::deliver::transport::Transport;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::send::EVERY_TOPIC;
use crate::send::SendId;
use crate::store::Store;
use crate::worker::engine::Engine;

/// What every test mail's subject begins with.
pub const SUBJECT_PREFIX: &str = "[Test] ";

/// A test mail that is ready to go.
#[derive(Debug)]
pub struct TestMail {
    /// A send that no database knows: what its links come back with changes nothing.
    pub send: SendId,
    /// Its subject, prefix included.
    pub subject: String,
    /// The variant that was drawn.
    pub variant: String,
    /// Sentences for people: what the gate would have said, where the data comes from.
    pub notes: Vec<String>,
    /// Its bytes and envelope.
    pub mail: ComposedMail,
}

/// Why a test mail was not made.
#[derive(Debug, thiserror::Error)]
pub enum TestMailError {
    /// The request, or the database.
    #[error(transparent)]
    Preview(#[from] PreviewError),
    /// The address must not be written to.
    #[error("{to} must not be written to: {reason} since {since}; remove the suppression first")]
    Suppressed {
        /// Masked.
        to: String,
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// This person would get nothing.
    #[error("profile {profile} would get no mail of this campaign ({reason}): {detail}")]
    Nothing {
        /// Who.
        profile: ProfileId,
        /// One word.
        reason: String,
        /// A sentence.
        detail: String,
    },
    /// The mail could not be made.
    #[error("the mail cannot be made: {0}")]
    Make(String),
}

/// Makes the mail that `profile` would get of `campaign`, addressed to `to`. Gate and quiet hours do not hold it.
pub async fn test_mail(
    store: &Store,
    engine: &Engine,
    campaign: &CampaignId,
    profile: &ProfileId,
    to: &EmailAddress,
    now: Timestamp,
) -> Result<TestMail, TestMailError> {
    let entry = entry(engine, campaign)?;
    let suppressions = store.suppressions_of(&[to.key()]).await.map_err(PreviewError::from)?;
    let found = suppressions.get(&to.key()).into_iter().flatten().find(|found| found.topic == EVERY_TOPIC);
    if let Some(found) = found {
        let to = crate::profile::mask(to.as_str());
        return Err(TestMailError::Suppressed { to, reason: found.reason.clone(), since: found.at });
    }
    let mut candidates = load(store, engine, entry, std::slice::from_ref(profile), now).await?;
    let Some(candidate) = candidates.pop() else {
        return Err(PreviewError::UnknownProfile(profile.to_string()).into());
    };
    let ruling = rule(store, engine, entry, &candidate, Gate::Ignored, now).await?;
    let decision = match ruling.answer {
        Answer::Mail(decision) => decision,
        Answer::Nothing(outcome, _) => {
            let (reason, detail) = (outcome.reason, outcome.detail);
            return Err(TestMailError::Nothing { profile: profile.clone(), reason, detail });
        }
    };
    let failed = |error: &dyn std::fmt::Display| TestMailError::Make(error.to_string());
    let (mut rendered, own) =
        engine.render(&decision, &entry.campaign, None).map_err(|error| failed(&error))?;
    rendered.subject.insert_str(0, SUBJECT_PREFIX);
    let mail = engine
        .sender
        .compose(&decision, &entry.campaign, to, &rendered, &own, MailPurpose::Test.alone())
        .and_then(|mail| engine.sender.sign(mail, &decision));
    let variant = match &decision.choice {
        crate::decision::Choice::Variant { variant, .. } => variant.as_str().to_owned(),
        crate::decision::Choice::NoSend => crate::decision::NO_SEND.to_owned(),
    };
    Ok(TestMail {
        send: decision.send.clone(),
        subject: rendered.subject,
        variant,
        notes: ruling.notes.into_iter().chain(ruling.warnings).collect(),
        mail: mail.map_err(|error| failed(&error))?,
    })
}

/// Hands a test mail over, outside of all marks and rates. Gives who took it and what they said, or why nobody did.
pub async fn transmit(transport: &Transport, test: &TestMail) -> Result<String, String> {
    match transport {
        Transport::Directory(directory) => {
            let path = directory.write(&test.send, &test.mail.bytes).map_err(|error| error.to_string())?;
            Ok(format!("written to {}", path.display()))
        }
        Transport::Memory(outbox) => {
            let to = test.mail.envelope.to()[0].to_string();
            outbox.keep(KeptMail { send: test.send.clone(), to, bytes: test.mail.bytes.clone() });
            Ok("kept in memory".to_owned())
        }
        Transport::Smtp(pool) => {
            let prepared = prepare(test.mail.bytes.as_slice()).map_err(|error| error.to_string())?;
            let mut session = pool.checkout().await.map_err(|none| none.to_string())?;
            let relay = session.relay_name().to_owned();
            let reply = match session.begin(&test.mail.envelope, &prepared).await {
                Ok(begun) => begun.submit().await,
                Err(failure) => Err(failure),
            };
            session.give_back();
            match reply {
                Ok(reply) => Ok(format!("{relay} took it: {reply}")),
                Err(failure) if failure.is_ambiguous() => {
                    Err(format!("{relay} may or may not have taken it: {failure}"))
                }
                Err(failure) => Err(format!("{relay} did not take it: {failure}")),
            }
        }
    }
}
