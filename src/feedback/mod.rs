//! What comes back about our mails, taken for true only with a proof, and what follows from it.
//!
//! Anybody can write a mail that looks like a bounce. So a report acts only on the send that it proves to know: by a
//! return path that we signed, or by a Message-ID that we gave out; who it says it is from, or about, is no proof. And
//! it acts only on the address that the send went to, never on an address that the report names.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::bounce::Kind;
use crate::bounce::Report;
use crate::bounce::Returned;
use crate::config::Config;
use crate::send::SendId;
use crate::store::Error;
use crate::store::Feedback;
use crate::store::FeedbackKind;
use crate::store::Recorded;
use crate::store::Store;
use crate::store::Target;
use crate::token::Keyring;

pub mod providers;

/// How a report shows which send it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It came to, or returned, a return path that we signed.
    ReturnPath,
    /// It came to an unsubscribe address that we signed.
    UnsubscribeAddress,
    /// It returned a Message-ID of our form; the send must still be found.
    MessageId,
}

/// One report, and the send that it proves to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Names the mail or call that it came by.
    pub id: String,
    /// What it says.
    pub report: Report,
    /// About which send, and how that is known.
    pub send: Option<(SendId, Proof)>,
}

/// What became of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Recorded, and what follows from it was done. In a dry run: would be.
    Applied,
    /// Recorded before.
    Known,
    /// Of a kind from which nothing follows: delays, automatic answers.
    Noted,
    /// Another report of the same mail speaks for the send.
    Aside,
    /// It does not prove to be about a send of ours.
    Unproven,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Known, Self::Noted, Self::Aside, Self::Unproven];

    /// The word that tables show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Known => "known",
            Self::Noted => "noted",
            Self::Aside => "aside",
            Self::Unproven => "unproven",
        }
    }
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It is.
    Record,
    /// The answer is the same, as far as it can be without writing.
    DryRun,
}

/// Judges reports and records what is proven.
#[derive(Debug, Clone)]
pub struct Judge {
    keyring: Arc<Keyring>,
    message_id_domain: String,
    soft_bounces_max: u32,
}

impl Judge {
    /// With the keys that sign return paths.
    pub fn new(config: &Config, keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            message_id_domain: config.message_id_domain(),
            soft_bounces_max: config.soft_bounces.limit,
        }
    }

    /// What a mail, or a provider's call, says of which send. Nothing is looked up.
    pub fn claims(&self, returned: &Returned) -> Vec<Claim> {
        let claim = |report: Report, send| Claim { id: returned.id.clone(), report, send };
        let failed = |report: &Report| {
            matches!(report.kind, Kind::HardBounce | Kind::SoftBounce | Kind::PolicyBounce | Kind::Delayed)
        };
        if let Some(send) = self.unsubscribed(returned)
            && !returned.reports.iter().any(failed)
        {
            let who = returned.reports.first().and_then(|report| report.recipient.clone());
            let report = Report::plain(Kind::Unsubscribe, who, "a mail to the unsubscribe address");
            return vec![claim(report, Some((send, Proof::UnsubscribeAddress)))];
        }
        let send = self.send_of(returned);
        returned.reports.iter().map(|report| claim(report.clone(), send.clone())).collect()
    }

    fn unsubscribed(&self, returned: &Returned) -> Option<SendId> {
        returned.origin.addressed.iter().find_map(|local| {
            let token = local.strip_prefix(['u', 'U'])?;
            self.keyring.verify_return_path(&format!("b{token}"))
        })
    }

    fn send_of(&self, returned: &Returned) -> Option<(SendId, Proof)> {
        let origin = &returned.origin;
        let signed = origin
            .addressed
            .iter()
            .chain(&origin.return_paths)
            .find_map(|local| self.keyring.verify_return_path(local));
        if let Some(send) = signed {
            return Some((send, Proof::ReturnPath));
        }
        origin.message_ids.iter().find_map(|id| {
            let (send, domain) = id.split_once('@')?;
            let ours = domain.eq_ignore_ascii_case(&self.message_id_domain);
            SendId::parse(&send.to_ascii_lowercase()).filter(|_| ours).map(|send| (send, Proof::MessageId))
        })
    }

    /// Judges mails or calls, and records what is proven, all in one transaction. The answer has one entry a report,
    /// in their order; a mail that reports nothing has none.
    pub async fn receive(
        &self,
        store: &Store,
        returned: &[Returned],
        source: &str,
        writing: Writing,
        now: Timestamp,
    ) -> Result<Vec<(Claim, Verdict)>, Error> {
        let claims: Vec<Vec<Claim>> = returned.iter().map(|one| self.claims(one)).collect();
        let sends: Vec<SendId> = claims
            .iter()
            .flatten()
            .filter_map(|claim| claim.send.as_ref().map(|(send, _)| send.clone()))
            .collect();
        let targets = store.feedback_targets(&sends).await?;
        let mut judged: Vec<(Claim, Verdict)> = Vec::new();
        let mut feedback: Vec<(usize, Feedback)> = Vec::new();
        for group in claims {
            let first = judged.len();
            let spoken = speaks(&group, &targets);
            judged.extend(group.into_iter().enumerate().map(|(index, claim)| {
                let verdict = verdict(&claim, index, spoken, &targets);
                (claim, verdict)
            }));
            if let Some((index, kind)) = spoken {
                let at = first + index;
                feedback.extend(feedback_of(&judged[at].0, kind, source).map(|feedback| (at, feedback)));
            }
        }
        if writing == Writing::Record && !feedback.is_empty() {
            let (places, feedback): (Vec<usize>, Vec<Feedback>) = feedback.into_iter().unzip();
            let recorded = store.record_feedback(&feedback, self.soft_bounces_max, now).await?;
            for (place, recorded) in places.into_iter().zip(recorded) {
                judged[place].1 = match recorded {
                    Recorded::New => Verdict::Applied,
                    Recorded::Known => Verdict::Known,
                    Recorded::NoSuchSend => Verdict::Unproven,
                };
            }
        }
        Ok(judged)
    }
}

/// What is recorded of a claim that speaks for its send.
fn feedback_of(claim: &Claim, kind: FeedbackKind, source: &str) -> Option<Feedback> {
    let (send, _) = claim.send.clone()?;
    Some(Feedback {
        send,
        kind,
        report: claim.id.clone(),
        source: source.to_owned(),
        status: claim.report.status.clone(),
        diagnostic: claim.report.diagnostic.clone(),
    })
}

fn verdict(
    claim: &Claim,
    index: usize,
    spoken: Option<(usize, FeedbackKind)>,
    targets: &HashMap<SendId, Target>,
) -> Verdict {
    let known = claim.send.as_ref().is_some_and(|(send, _)| targets.contains_key(send));
    match spoken {
        Some((speaker, _)) if speaker == index => Verdict::Applied,
        _ if effect(claim.report.kind).is_none() => Verdict::Noted,
        _ if !known => Verdict::Unproven,
        _ => Verdict::Aside,
    }
}

/// Which report of one mail speaks for the send, and what it comes to.
///
/// A report about another address than the one that we wrote to is of a host that forwards: our address may well
/// exist, and another mailbox behind it may have got the mail. Such a hard bounce counts as a soft one. Of several
/// reports the one about our address speaks, else the mildest.
fn speaks(claims: &[Claim], targets: &HashMap<SendId, Target>) -> Option<(usize, FeedbackKind)> {
    let judged = claims.iter().enumerate().filter_map(|(index, claim)| {
        let (send, _) = claim.send.as_ref()?;
        let target = targets.get(send)?;
        let kind = effect(claim.report.kind)?;
        let named = claim.report.recipient.as_deref();
        let ours = named.is_none_or(|named| named.eq_ignore_ascii_case(&target.address));
        let kind = if ours || kind != FeedbackKind::HardBounce { kind } else { FeedbackKind::SoftBounce };
        Some((!ours, severity(kind), index, kind))
    });
    judged
        .min_by_key(|(stranger, severity, index, _)| (*stranger, *severity, *index))
        .map(|found| (found.2, found.3))
}

/// What is recorded of a report; `None`: nothing follows from it.
fn effect(kind: Kind) -> Option<FeedbackKind> {
    match kind {
        Kind::HardBounce => Some(FeedbackKind::HardBounce),
        Kind::SoftBounce => Some(FeedbackKind::SoftBounce),
        Kind::PolicyBounce => Some(FeedbackKind::PolicyBounce),
        Kind::Complaint => Some(FeedbackKind::Complaint),
        Kind::Unsubscribe => Some(FeedbackKind::Unsubscribe),
        Kind::Delayed | Kind::Delivered | Kind::Notice | Kind::AutoReply | Kind::Challenge => None,
    }
}

fn severity(kind: FeedbackKind) -> u8 {
    match kind {
        FeedbackKind::PolicyBounce => 0,
        FeedbackKind::SoftBounce => 1,
        FeedbackKind::HardBounce => 2,
        FeedbackKind::Unsubscribe => 3,
        FeedbackKind::Complaint => 4,
    }
}
