//! What the worker would do with a send, asked of the worker's own code.

use jiff::Timestamp;
use serde_json::Value;

use super::Gate;
use super::PreviewError;
use super::subject::Candidate;
use crate::catalog::variant::CampaignEntry;
use crate::clock::later_by;
use crate::decision::Channel;
use crate::decision::Decision;
use crate::decision::Slice;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::select::slices;
use crate::send::Outcome;
use crate::send::SendId;
use crate::stage::Stage;
use crate::store::Store;
use crate::worker::decide::Verdict;
use crate::worker::engine::Engine;
use crate::worker::exhausted::Exhausted;
use crate::worker::gate;

/// Stands for a code that nobody has claimed yet: a preview claims none.
pub(super) const PLACEHOLDER_CODE: &str = "PREVIEW-CODE";
/// Where a preview for somebody without an address pretends to go.
const NO_ADDRESS: &str = "no-address@preview.invalid";

/// What would become of one send.
#[derive(Debug)]
pub(super) struct Ruling {
    /// To whom.
    pub(super) profile: ProfileId,
    /// Its hypothetical send.
    pub(super) send: SendId,
    /// Where it would go.
    pub(super) to: EmailAddress,
    /// Where the person stands, as far as it came to that.
    pub(super) stage: Option<(Stage, String)>,
    /// The sample recipient, where it is for one.
    pub(super) sample: Option<String>,
    /// Sentences for people that are no faults.
    pub(super) notes: Vec<String>,
    /// Sentences for people about what to look at.
    pub(super) warnings: Vec<String>,
    /// The mail's decision, or why there is none.
    pub(super) answer: Answer,
}

/// A mail, or none.
#[derive(Debug)]
pub(super) enum Answer {
    /// It would be sent.
    Mail(Box<Decision>),
    /// It would not, and this would stand on its row; the decision where it came to one.
    Nothing(Outcome, Option<Box<Decision>>),
}

/// An address for somebody who has none.
pub(super) fn no_address() -> EmailAddress {
    EmailAddress::parse(NO_ADDRESS).expect("a constant that a test parses")
}

/// Decides as the worker would at `now`, or at the end of quiet hours.
pub(super) async fn rule(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    candidate: &Candidate,
    gate: Gate,
    now: Timestamp,
) -> Result<Ruling, PreviewError> {
    let subject = &candidate.subject;
    let mut notes: Vec<String> = candidate.start.note().into_iter().collect();
    let mut warnings = Vec::new();
    let mut verdict = engine.decide(subject, &Exhausted::default(), now);
    if let Verdict::Stop { outcome, .. } = &verdict
        && let ("quiet_hours", Some(end)) = (outcome.reason.as_str(), outcome.retry_at)
    {
        notes.push(format!("{}; it would wait until {end}, and is shown as of then", outcome.detail));
        let mut later = subject.clone();
        later.send.expires_at = later_by(subject.send.expires_at, end.duration_since(now));
        verdict = engine.decide(&later, &Exhausted::default(), end);
    }
    if let (Gate::Ignored, Verdict::Stop { outcome, placement: None, decision: None }) = (gate, &verdict) {
        notes.push(format!("the gate would stop it ({}): {}", outcome.reason, outcome.detail));
        let slice = slices::slice(&entry.campaign, &subject.profile.id, engine.config.holdout.percent);
        let slice = if slice == Slice::Holdout { Slice::Policy } else { slice };
        verdict = engine.choose(subject, Channel::Mail, entry, slice, &Exhausted::default(), now);
    }
    let (stage, answer) = match verdict {
        Verdict::Go(plan) => {
            let mut plan = *plan;
            if let Some(offer) = &plan.coupon {
                let (code, warning) = code(store, offer, &subject.profile.id).await?;
                plan.decision.inputs["offer"]["code"] = Value::from(code);
                warnings.extend(warning);
            }
            let stage = (plan.placement.stage, plan.placement.reason);
            (Some(stage), Answer::Mail(Box::new(plan.decision)))
        }
        Verdict::Stop { outcome, placement, decision } => {
            let stage = placement.map(|placement| (placement.stage, placement.reason));
            (stage, Answer::Nothing(outcome, decision))
        }
    };
    Ok(Ruling {
        profile: subject.profile.id.clone(),
        send: subject.send.id.clone(),
        to: gate::recipient(&subject.send, &subject.profile).cloned().unwrap_or_else(no_address),
        stage,
        sample: None,
        notes,
        warnings,
        answer,
    })
}

/// The person's own code where they have one; a preview claims none.
async fn code(
    store: &Store,
    offer: &str,
    profile: &ProfileId,
) -> Result<(String, Option<String>), PreviewError> {
    if let Some(code) = store.coupon_of(offer, profile).await? {
        return Ok((code, None));
    }
    let free = store.count_coupons().await?.get(offer).map_or(0, |count| count.free);
    let warning = (free == 0).then(|| {
        format!("no coupon is left for offer {offer}: the worker would choose another variant; import codes with `bespoke import coupons`")
    });
    Ok((PLACEHOLDER_CODE.to_owned(), warning))
}
