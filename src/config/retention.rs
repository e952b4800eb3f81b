//! The section that says how long what is kept; `bespoke prune` deletes what is older.

use serde::Deserialize;

use crate::campaign::Campaign;
use crate::campaign::Trigger;
use crate::config::Cap;

/// The limits of campaigns (`[guard]`) are kept over so many days.
const GUARD_DAYS: u32 = 7;

/// `[retention]`: days by table; what is not stated is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What people did. Histories, stages and recommendations see no further back.
    pub events_days: Option<u32>,
    /// How people moved along the journey.
    pub stage_transitions_days: Option<u32>,
    /// Sends that came to their end, with their decisions, attempts, files and hits. Reports see no further back.
    pub sends_days: Option<u32>,
    /// Why people got what they got; learning and `bespoke explain` see no further back.
    pub decisions_days: Option<u32>,
    /// Requests for links and pixels, as they came.
    pub hits_days: Option<u32>,
    /// Files of sends that came to their end.
    pub attachments_days: Option<u32>,
    /// What receivers of webhooks have not been told, or did not take; less only while they are called all the time.
    pub webhooks_days: Option<u32>,
    /// Which request made which send; at least 24, so that a client may repeat a request for a day.
    pub idempotency_keys_hours: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_days: None,
            stage_transitions_days: None,
            sends_days: None,
            decisions_days: None,
            hits_days: None,
            attachments_days: Some(30),
            webhooks_days: Some(30),
            idempotency_keys_hours: 48,
        }
    }
}

impl Retention {
    /// Every stated number of days, by its key.
    pub fn days(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let stated = [
            ("events_days", self.events_days),
            ("stage_transitions_days", self.stage_transitions_days),
            ("sends_days", self.sends_days),
            ("decisions_days", self.decisions_days),
            ("hits_days", self.hits_days),
            ("attachments_days", self.attachments_days),
            ("webhooks_days", self.webhooks_days),
        ];
        stated.into_iter().filter_map(|(key, days)| Some((key, days?)))
    }

    /// Whether something looks further back than sends are kept: it would forget, and people would get again what they
    /// have got, or more than they may. Gives the days that it needs, and what to say.
    pub fn forgets<'c>(
        &self,
        cap: &Cap,
        campaigns: impl Iterator<Item = &'c Campaign>,
    ) -> Option<(u32, String)> {
        let kept = self.sends_days?;
        let own = [
            (cap.days, format!("cap.days = {}", cap.days)),
            (GUARD_DAYS, format!("the guard of campaigns looks at {GUARD_DAYS} days")),
        ];
        let (needed, what) =
            own.into_iter().chain(campaigns.flat_map(windows)).max_by_key(|(days, _)| *days)?;
        let message = format!("retention.sends_days = {kept} is less than the program looks back ({what})");
        (kept < needed).then_some((needed, message))
    }
}

/// How many days a campaign looks back at what was sent, and where it says so.
fn windows(campaign: &Campaign) -> impl Iterator<Item = (u32, String)> {
    let days = [
        ("no_repeat_variant_days", campaign.no_repeat_variant_days),
        ("no_repeat_product_days", campaign.no_repeat_product_days),
        ("reward.purchase_days", campaign.reward.purchase_days),
        ("reward.unsubscribe_days", campaign.reward.unsubscribe_days),
    ];
    let hours = match campaign.trigger {
        Trigger::Event { once_per_hours, .. } => Some(("trigger.event.once_per_hours", once_per_hours)),
        _ => None,
    };
    let days = days.into_iter().map(|(key, days)| (key, days, days));
    let hours = hours.into_iter().map(|(key, hours)| (key, hours, hours.div_ceil(24)));
    days.chain(hours)
        .map(|(key, stated, days)| (days, format!("{key} = {stated} of campaign {}", campaign.id)))
}
