//! A named program: kind, audience, trigger, schedule, policy, guarantee. The shape of `campaign.toml`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Time;
use serde::Deserialize;
use serde::Serialize;

/// A campaign's name: its folder under `templates/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CampaignId(pub String);

impl CampaignId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the author of a campaign states in `campaign.toml`. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The folder's name; not a key of the file.
    #[serde(skip, default = "no_id")]
    pub id: CampaignId,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Lifecycle mail needs consent and counts towards the cap; transactional mail does neither.
    pub kind: Kind,
    /// What people may unsubscribe from; the campaign's name where none is stated.
    #[serde(default)]
    pub topic: Option<String>,
    /// `Shop <hello@shop.example>`; the configuration's sender where none is stated.
    #[serde(default)]
    pub from: Option<String>,
    /// Where answers go.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// On which side to err when a worker dies with a mail on the wire; by kind where none is stated.
    #[serde(default)]
    pub guarantee: Option<Guarantee>,
    /// How one variant is chosen among the eligible.
    #[serde(default)]
    pub policy: PolicyKind,
    /// CEL over `profile`, `history`, `stage`: who may get this campaign. Everybody where none is stated.
    #[serde(default)]
    pub audience: Option<String>,
    /// When a send comes into being.
    pub trigger: Trigger,
    /// A send not delivered this many hours after it was due expires.
    #[serde(default = "default_deadline_hours")]
    pub deadline_hours: u32,
    /// A variant is not shown again to the same person within this many days, but in an A/B test, where everybody keeps
    /// their own.
    #[serde(default = "default_variant_days")]
    pub no_repeat_variant_days: u32,
    /// A recommended product is not shown again to the same person within this many days.
    #[serde(default = "default_product_days")]
    pub no_repeat_product_days: u32,
    /// Lifecycle only: the hours in which this campaign waits, in place of the configuration's.
    #[serde(default)]
    pub quiet_hours: Option<LocalHours>,
    /// Weight of sending nothing, beside the variants' weights (`weighted`); 0 = always send.
    #[serde(default)]
    pub no_send_weight: f64,
    /// Percent of profiles that never get this campaign, by stable hash, so that lift can be measured.
    #[serde(default)]
    pub holdout_percent: f64,
    /// Percent of profiles that get a variant drawn evenly, whatever the policy thinks (learning slice).
    #[serde(default)]
    pub uniform_percent: f64,
    /// What the policy learns from.
    #[serde(default)]
    pub reward: Reward,
    /// What stops the campaign by itself.
    #[serde(default)]
    pub guard: Guard,
    /// Who gets it first; everybody at once where nothing is stated.
    #[serde(default)]
    pub pilot: Option<Pilot>,
    /// Whether clicks and opens are tracked where a public address is configured.
    #[serde(default)]
    pub tracking: Tracking,
    /// Lifecycle only: write only to people whose newest consent came by a link that was mailed to them.
    #[serde(default)]
    pub double_opt_in: bool,
    /// Columns for reports: whatever the author wants to group by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Hours of a day, by the recipient's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalHours {
    /// From then on.
    pub start: Time,
    /// Until then; may lie on the next day. Equal to `start`: never.
    pub end: Time,
}

fn no_id() -> CampaignId {
    CampaignId(String::new())
}
fn default_deadline_hours() -> u32 {
    72
}
fn default_variant_days() -> u32 {
    60
}
fn default_product_days() -> u32 {
    14
}

impl Campaign {
    /// The topic that people see and unsubscribe from.
    pub fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or(self.id.as_str())
    }

    /// The stated guarantee, or the kind's default (design §5).
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee.unwrap_or(match self.kind {
            Kind::Lifecycle => Guarantee::AtMostOnce,
            Kind::Transactional => Guarantee::AtLeastOnce,
        })
    }
}

/// Lifecycle or transactional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Sent because we think it helps; needs consent, has an unsubscribe link, is capped.
    Lifecycle,
    /// Sent because the person did something and expects it; overtakes lifecycle work.
    Transactional,
}

impl Kind {
    /// The word that files and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Transactional => "transactional",
        }
    }

    /// Claims go by this first, then by due time: less is sooner.
    pub fn priority(self) -> i16 {
        match self {
            Self::Transactional => 0,
            Self::Lifecycle => 10,
        }
    }
}

/// On which side of the undecidable window (dot sent, reply not read) a campaign errs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Never twice: what is undecidable becomes `unknown` and is shown.
    AtMostOnce,
    /// Never lost: what is undecidable is sent again, the same bytes under the same Message-ID.
    AtLeastOnce,
}

impl Guarantee {
    /// `amo` or `alo`, as in exports and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "amo",
            Self::AtLeastOnce => "alo",
        }
    }

    /// Reads [`Guarantee::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "amo" => Some(Self::AtMostOnce),
            "alo" => Some(Self::AtLeastOnce),
            _ => None,
        }
    }
}

/// How one variant is chosen among the eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Learns: each variant is drawn as often as it is likely to earn most (Thompson sampling). Even at first.
    #[default]
    Thompson,
    /// Drawn by the weights in the variants' heads.
    Weighted,
    /// The first eligible variant, by `order` in its head, then by name.
    Rules,
    /// A fixed split, sticky by hash.
    Ab,
}

impl PolicyKind {
    /// The word that files and decisions use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thompson => "thompson",
            Self::Weighted => "weighted",
            Self::Rules => "rules",
            Self::Ab => "ab",
        }
    }
}

/// When a send comes into being. Exactly one of the forms; the occurrence names it uniquely per profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// `cron = { schedule = "0 9 * * TUE" }`: five fields, in the recipient's zone. Occurrence: the local date and time.
    Cron {
        /// Minute, hour, day of month, month, day of week.
        schedule: String,
    },
    /// `event = { name = "Order Completed", delay_minutes = 60, cancel_on = ["Order Refunded"] }`. Occurrence: the event's id.
    Event {
        /// The event that starts it.
        name: String,
        /// How long to wait after it.
        #[serde(default)]
        delay_minutes: u32,
        /// Events of the same profile, later than the starting one, that cancel the send before it is claimed.
        #[serde(default)]
        cancel_on: Vec<String>,
        /// At most one send per profile within this many hours, whatever the number of events; 0 = one per event.
        #[serde(default)]
        once_per_hours: u32,
    },
    /// `stage_entry = { stage = "compare", delay_minutes = 30 }`. Occurrence: the transition.
    StageEntry {
        /// The stage entered.
        stage: crate::stage::Stage,
        /// How long to wait after it.
        #[serde(default)]
        delay_minutes: u32,
    },
    /// `date_trait = { name = "birthday", at = "09:00", days_before = 3 }`: each year, in the recipient's zone. Occurrence: the local date.
    DateTrait {
        /// A trait holding a date (`1990-04-23`); 29 February is kept on 28 February in other years.
        name: String,
        /// Local time of day, `HH:MM`.
        #[serde(default = "default_at")]
        at: String,
        /// Days before the date.
        #[serde(default)]
        days_before: u32,
    },
    /// `api = {}`: only by request.
    Api {},
}

impl Trigger {
    /// How long its mail waits behind what starts it.
    pub fn delay_minutes(&self) -> u32 {
        match self {
            Self::Event { delay_minutes, .. } | Self::StageEntry { delay_minutes, .. } => *delay_minutes,
            Self::Cron { .. } | Self::DateTrait { .. } | Self::Api {} => 0,
        }
    }

    /// Whether the same starts the mail of both, with the same occurrence.
    pub fn starts_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Event { name, .. }, Self::Event { name: other, .. }) => name == other,
            (Self::StageEntry { stage, .. }, Self::StageEntry { stage: other, .. }) => stage == other,
            _ => false,
        }
    }
}

fn default_at() -> String {
    "09:00".to_owned()
}

/// What the policy learns from. All windows begin when the mail goes out.
///
/// A purchase is a mail's reward where the person clicked in it before, and in none later. One that no click came before
/// teaches nothing: whether it would have come without the mail is what the holdout tells, not the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reward {
    /// A human click within this many hours counts.
    pub click_hours: u32,
    /// A purchase after a click, within this many days, counts.
    pub purchase_days: u32,
    /// An unsubscribe or a complaint within this many days counts.
    pub unsubscribe_days: u32,
    /// Share of revenue that is margin.
    pub margin: f64,
    /// Cost of a send, in minor units.
    pub cost_minor: f64,
    /// Cost of an unsubscribe, in minor units. Two in a thousand mails, the usual rate, cost 0.6 a mail by default.
    pub unsubscribe_cost_minor: f64,
}

impl Default for Reward {
    fn default() -> Self {
        Self {
            click_hours: 72,
            purchase_days: 7,
            unsubscribe_days: 7,
            margin: 0.3,
            cost_minor: 0.1,
            unsubscribe_cost_minor: 300.0,
        }
    }
}

/// Limits of a lifecycle campaign over the last seven days, in percent of its mails. Beyond one of them it is paused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Complaints; mailbox providers act at 0.3.
    pub complaint_percent: f64,
    /// Hard bounces.
    pub bounce_percent: f64,
    /// Unsubscribes.
    pub unsubscribe_percent: f64,
    /// Nothing is said of fewer mails than these.
    pub sends_min: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self { complaint_percent: 0.3, bounce_percent: 5.0, unsubscribe_percent: 2.0, sends_min: 500 }
    }
}

/// `pilot = { active_days = [30, 90], step_hours = 24 }`: people active within 30 days get the campaign first, a day
/// later those active within 90, then everybody; each step only while the guard's limits hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pilot {
    /// By ring, the most active first: active within so many days. Everybody else is the last ring.
    pub active_days: Vec<u32>,
    /// How long a ring is watched before the next one opens, from its first mail on; mails whose deadline ends before
    /// expire. A ring that got no mail is passed after 26 hours, when its people have been asked in every zone, or
    /// before, where those who wait would expire; who asked for a mail sooner than the campaign's deadline hurries no
    /// ring.
    #[serde(default = "default_step_hours")]
    pub step_hours: u32,
}

fn default_step_hours() -> u32 {
    24
}

/// Whether clicks and opens are tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracking {
    /// Links are signed redirects, and a pixel is placed.
    #[default]
    On,
    /// Links are as written; no pixel.
    Off,
}
