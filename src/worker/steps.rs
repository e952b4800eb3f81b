//! Steps of a series: lifecycle campaigns that one event, or one step on the journey, starts together, each after its own
//! delay. To one person they go in that order and keep half of their distance at least, also where many come due at once:
//! after a night of quiet hours, after an outage, on the first day. A step that was overtaken, because its campaign was
//! paused or it failed and was brought back, keeps that distance from those that went out meanwhile.

use std::collections::HashMap;
use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::Timestamp;

use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::catalog::Catalog;
use crate::clock::later_by;
use crate::send::EARLIER_STEP;
use crate::send::Outcome;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Occurrence;
use crate::store::SendOfOccurrence;
use crate::store::Store;
use crate::words::counted;

/// A step that waits for one before it looks again so long after that one is due.
const LOOKS_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Per campaign, the other steps of its series.
#[derive(Debug, Default)]
pub(super) struct Steps(HashMap<CampaignId, Vec<OtherStep>>);

#[derive(Debug, PartialEq, Eq)]
struct OtherStep {
    campaign: CampaignId,
    /// From that step to this one: negative where that one comes later.
    distance: SignedDuration,
}

impl Steps {
    /// Those of a catalogue.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let lifecycle = || {
            let all = catalog.campaigns().map(|entry| &*entry.campaign);
            all.filter(|campaign| campaign.kind == Kind::Lifecycle)
        };
        let others = |campaign: &Campaign| -> Vec<OtherStep> {
            lifecycle()
                .filter(|other| other.trigger.starts_with(&campaign.trigger))
                .filter_map(|other| {
                    let minutes = i64::from(campaign.trigger.delay_minutes())
                        - i64::from(other.trigger.delay_minutes());
                    let distance = SignedDuration::from_mins(minutes);
                    (!distance.is_zero()).then(|| OtherStep { campaign: other.id.clone(), distance })
                })
                .collect()
        };
        let steps = lifecycle().map(|campaign| (campaign.id.clone(), others(campaign)));
        Self(steps.filter(|(_, others)| !others.is_empty()).collect())
    }

    /// Which of these sends must wait for another step, and until when.
    pub(super) async fn waiting(
        &self,
        store: &Store,
        sends: impl Iterator<Item = &ScheduledSend> + Clone,
        now: Timestamp,
    ) -> Result<HashMap<SendId, Outcome>, Error> {
        let of = |send: &ScheduledSend, campaign: &CampaignId| Occurrence {
            campaign: campaign.clone(),
            profile: send.profile.clone(),
            occurrence: send.occurrence.clone(),
        };
        let others = |send: &ScheduledSend| {
            let due_at = send.id.derived_at();
            let steps = self.0.get(&send.campaign).map_or(&[][..], Vec::as_slice).iter();
            // A later step that was never due cannot have gone out.
            steps.filter(move |step| later_by(due_at, -step.distance) <= now)
        };
        let asked: HashSet<Occurrence> =
            sends.clone().flat_map(|send| others(send).map(|step| of(send, &step.campaign))).collect();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let found = store.sends_of_occurrences(&asked.into_iter().collect::<Vec<_>>()).await?;
        let waits = sends.filter_map(|send| {
            let waits =
                others(send).filter_map(|step| step.keeps(found.get(&of(send, &step.campaign))?, now));
            Some((send.id.clone(), waits.max_by_key(|outcome| outcome.retry_at)?))
        });
        Ok(waits.collect())
    }
}

impl OtherStep {
    /// What becomes of a send for now, where this step stands so.
    fn keeps(&self, found: &SendOfOccurrence, now: Timestamp) -> Option<Outcome> {
        let Self { campaign, distance } = self;
        let comes_before = distance.is_positive();
        if comes_before && !found.state.is_terminal() {
            let detail = format!("{campaign}, the step before it, has not gone out yet");
            return Some(Outcome::later(
                EARLIER_STEP,
                detail,
                later_by(found.due_at.max(now), LOOKS_AGAIN_AFTER),
            ));
        }
        // What is on the wire waits for nobody any more; a later step that merely is held does.
        let went_out = matches!(found.state, State::Sent | State::Unknown | State::Submitting);
        let sent_at = found.submitted_at.filter(|_| went_out)?;
        let apart = distance.abs();
        if now >= later_by(sent_at, apart / 2) {
            return None;
        }
        let minutes = counted(apart.as_mins().unsigned_abs(), "minute");
        let place = if comes_before { "before" } else { "after" };
        let detail =
            format!("{campaign}, the step {place} it, went out at {sent_at}; {minutes} lie between them");
        Some(Outcome::later(EARLIER_STEP, detail, later_by(sent_at, apart)))
    }
}
