//! The sections of `bespoke.toml`. Every key has a default, a unit in its name where it has one, and a sentence.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::delivery::DkimSection;
use crate::config::delivery::Rates;
use crate::config::delivery::RelaySection;
use crate::config::delivery::Sender;
use crate::config::delivery::Transport;
use crate::config::feedback::FeedbackSection;
use crate::config::feedback::WebhookSection;
use crate::config::feedback::Webhooks;
use crate::config::http::Http;
use crate::config::retention::Retention;
use crate::product::money;
use crate::product::money::EURO;

/// All of `bespoke.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept.
    pub database: Database,
    /// The folder of the templates, relative to the folder of the file.
    pub templates: Templates,
    /// What templates know of the shop: `shop.name`, `shop.url` … Free form.
    pub shop: toml::Table,
    /// Traits that templates and rules may use: `first_name = "string"`.
    pub traits: BTreeMap<String, TraitType>,
    /// Event names of your own that rules may ask for, beside Segment's.
    pub events: Events,
    /// How much each deed says about where a person stands on the journey.
    pub stage: crate::stage::StageWeights,
    /// Whom mail is from.
    pub sender: Sender,
    /// How mail leaves.
    pub transport: Transport,
    /// Relays, with weights; the first is used where only one is stated.
    pub relay: Vec<RelaySection>,
    /// DKIM keys; every mail is signed with each.
    pub dkim: Vec<DkimSection>,
    /// How fast mail may leave.
    pub rates: Rates,
    /// How much mail one person may get.
    pub cap: Cap,
    /// When not to disturb people.
    pub quiet_hours: QuietHours,
    /// Loops, leases, limits.
    pub worker: Worker,
    /// How `bespoke serve` is reached.
    pub http: Http,
    /// Public address and links.
    pub public: Public,
    /// Bounces that are not for ever.
    pub soft_bounces: SoftBounces,
    /// Providers that tell us of bounces and complaints.
    pub feedback: FeedbackSection,
    /// How other systems are told.
    pub webhooks: Webhooks,
    /// Which other systems are told.
    pub webhook: Vec<WebhookSection>,
    /// Profiles that get no lifecycle mail at all, so that the whole programme can be measured.
    pub holdout: Holdout,
    /// How long what is kept.
    pub retention: Retention,
    /// What is logged, and how.
    pub log: Log,
}

impl Config {
    /// ISO 4217 code of the shop's currency, where one is stated.
    pub fn currency(&self) -> Option<&str> {
        self.shop.get("currency").and_then(toml::Value::as_str)
    }

    /// Digits behind the point of the shop's currency; of the euro where none is stated.
    pub fn minor_digits(&self) -> u32 {
        money::minor_digits(self.currency().unwrap_or(EURO))
    }

    /// The stated rates of relays, by name: the host where none is stated, as in `Relay::from_url`.
    pub fn relay_rates(&self) -> Vec<(String, f64)> {
        let host = |relay: &RelaySection| {
            let url = url::Url::parse(relay.url.expose_secret().trim()).ok()?;
            Some(url.host_str()?.to_owned())
        };
        let named =
            |relay: &RelaySection| Some((relay.name.clone().or_else(|| host(relay))?, relay.per_second?));
        self.relay.iter().filter_map(named).collect()
    }

    /// What people cannot do, and nobody sees, without a public address.
    pub fn without_pages(&self) -> Option<&'static str> {
        self.public.url.is_none().then_some(
            "note: public.url is not stated, so no click and no open is counted, and no mail has a link to choose what \
             one gets or to read it in a browser; people can only unsubscribe, by mail",
        )
    }

    /// What all relays together may take, mails per second; `None` where one of them has no stated rate.
    pub fn relays_rate(&self) -> Option<f64> {
        let rates: Option<Vec<f64>> = self.relay.iter().map(|relay| relay.per_second).collect();
        rates.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum())
    }
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://path` or `postgres://user:password@host/name`.
    pub url: SecretString,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite://bespoke.db".into() }
    }
}

/// `[templates]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// The folder; the templates inside the binary are used where it is `builtin`.
    pub folder: PathBuf,
    /// Locale of files without a locale suffix.
    pub default_locale: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self { folder: "templates".into(), default_locale: "en".to_owned() }
    }
}

/// The type of a trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraitType {
    /// Text.
    String,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// `1990-04-23`.
    Date,
}

/// `[events]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Names beside Segment's, such as `"Quote Requested"`.
    pub known: Vec<String>,
}

/// `[cap]`: lifecycle mails per person, across all campaigns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cap {
    /// At most this many …
    pub lifecycle_mails: u32,
    /// … within this many days.
    pub days: u32,
}

impl Default for Cap {
    fn default() -> Self {
        Self { lifecycle_mails: 3, days: 7 }
    }
}

/// `[quiet_hours]`: lifecycle mail waits until their end, in the recipient's zone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuietHours {
    /// `HH:MM`, local. Equal to `end`: no quiet hours.
    pub start: String,
    /// `HH:MM`, local; may lie on the next day.
    pub end: String,
    /// IANA name of the zone of people who state none.
    pub default_time_zone: String,
}

impl Default for QuietHours {
    fn default() -> Self {
        Self { start: "21:00".to_owned(), end: "08:00".to_owned(), default_time_zone: "UTC".to_owned() }
    }
}

/// `[worker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// Sends in work at once, at most.
    pub in_flight: usize,
    /// Sends claimed at once, at most.
    pub batch: usize,
    /// How long a worker holds a send without renewing its hold.
    pub lease_seconds: u32,
    /// Added to the lease and the relay's deadlines of body and dot before a send whose body was on the wire is settled.
    pub orphan_margin_seconds: u32,
    /// Outcomes and marks are committed together, with at least so much time between two transactions.
    pub group_commit_ms: u64,
    /// How often an idle worker looks for work.
    pub poll_ms: u64,
    /// How long a stopping worker waits for replies.
    pub grace_seconds: u64,
    /// A deferred send is tried again after these many minutes, the last one for ever after, with ±20 % jitter.
    pub retry_minutes: Vec<u32>,
    /// After this many counted attempts a send waits each time for half of what is left until its deadline.
    pub attempts_max: u32,
    /// A campaign pauses when over this percent of 100 of its sends fail by policy (5.7.x, 554).
    pub policy_failure_percent: f64,
    /// How often the leading worker plans what falls due; 0 = never: `bespoke plan` does it.
    pub plan_every_seconds: u64,
    /// How often the leading worker learns; 0 = never: `bespoke learn` does it.
    pub learn_every_minutes: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            in_flight: 100,
            batch: 200,
            lease_seconds: 60,
            orphan_margin_seconds: 60,
            group_commit_ms: 1,
            poll_ms: 500,
            grace_seconds: 30,
            retry_minutes: vec![1, 5, 15, 60, 120, 240],
            attempts_max: 30,
            policy_failure_percent: 5.0,
            plan_every_seconds: 10,
            learn_every_minutes: 60,
        }
    }
}

/// `[public]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Public {
    /// `https://mail.shop.example`, under which `bespoke serve` is reached. Clicks and opens are tracked, and
    /// one-click unsubscribe works, where it is stated.
    pub url: Option<String>,
    /// The key that signs links and return paths; at least 32 characters. Made, and kept in the database, where none is stated.
    pub secret: Option<SecretString>,
    /// Earlier keys that are still believed.
    pub previous_secrets: Vec<SecretString>,
    /// Whether links that the database's own secret signed, before `secret` was stated, are still believed.
    pub database_links: DatabaseLinks,
    /// Clicks and opens are tracked at all.
    pub tracking: crate::campaign::Tracking,
}

impl Default for Public {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            previous_secrets: Vec::new(),
            database_links: DatabaseLinks::Believed,
            tracking: crate::campaign::Tracking::On,
        }
    }
}

/// What becomes of links that the database's own secret signed, once another is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseLinks {
    /// They work on: mails that went out must not die of a secret that is stated later.
    Believed,
    /// They are dead: somebody has a copy of the database, and could forge them.
    Refused,
}

/// `[soft_bounces]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftBounces {
    /// An address gets no more lifecycle mail after this many within 30 days.
    pub limit: u32,
}

impl Default for SoftBounces {
    fn default() -> Self {
        Self { limit: 5 }
    }
}

/// `[holdout]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Holdout {
    /// Percent of profiles, by stable hash, over all lifecycle campaigns.
    pub percent: f64,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, or directives such as `bespoke::worker=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "warn".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one object a line.
    Json,
}
