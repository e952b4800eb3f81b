//! The pure fold of a profile's events and mails into the facts that rules, stages, policies and templates ask for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::campaign::CampaignId;
use crate::decision::VariantId;
use crate::send::SendId;

mod fold;
mod mails;
mod orders;
mod properties;
#[cfg(test)]
mod tests;
mod things;

pub use fold::FoldContext;
pub use fold::fold;
pub use orders::OrderWorth;
pub use orders::PlacedOrder;
pub use orders::order_worth;
pub use orders::placed_orders;

/// Events older than this many, counted from the newest, are not read.
pub const EVENTS_PER_PROFILE_MAX: usize = 5_000;
/// Mails older than this many, counted from the newest, are not read.
pub const MAILS_PER_PROFILE_MAX: usize = 50;

/// What a profile's events and mails say, at one moment. Serialised, it is `history` in rules and templates.
///
/// Money is in minor units (cents) of the shop's currency. `days_since_*` are whole days, absent when it never happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// By slug of the event's name: `history.events.product_viewed.count_30d`. Every known and every declared event
    /// has an entry. `order_completed` counts distinct orders, however many events each came in; opens and clicks
    /// are counted when a person made them.
    pub events: BTreeMap<String, EventCounts>,
    /// Views of a product that was viewed before within 30 days: the mark of somebody who weighs.
    pub repeat_views: EventCounts,
    /// When anything at all was first seen, milliseconds.
    pub first_seen_at: Option<i64>,
    /// When anything at all was last done by the person, milliseconds.
    pub last_seen_at: Option<i64>,
    /// Days since the profile's first event, or since it was created where there is none.
    pub tenure_days: i64,
    /// Days since the person last did anything.
    pub days_since_seen: Option<i64>,
    /// Distinct orders.
    pub orders_total: u32,
    /// Distinct orders of the last 365 days.
    pub orders_365d: u32,
    /// Money spent, less refunds.
    pub spend_total: i64,
    /// Money spent in the last 365 days, less refunds.
    pub spend_365d: i64,
    /// `spend_total / orders_total`, 0 without orders.
    pub average_order_value: i64,
    /// Days since the first order.
    pub days_since_first_order: Option<i64>,
    /// Days since the last order.
    pub days_since_order: Option<i64>,
    /// Median days between orders, from three orders on.
    pub order_interval_days: Option<i64>,
    /// Categories by decayed interest, best first, at most 5.
    pub favourite_categories: Vec<String>,
    /// Products by decayed interest, best first, at most 10.
    pub favourite_products: Vec<String>,
    /// Product ids lately looked at, newest first, each once, at most 20.
    pub viewed_products: Vec<String>,
    /// Distinct products looked at in the last 7 days.
    pub viewed_products_7d: u32,
    /// Distinct products looked at in the last 30 days.
    pub viewed_products_30d: u32,
    /// Products bought, newest first, each once, at most 100.
    pub purchased: Vec<Purchased>,
    /// What lies in the cart now: added, not removed, not bought since; newest first, at most 50 lines.
    pub cart: Vec<CartLine>,
    /// Worth of the cart.
    pub cart_value: i64,
    /// Hours since the cart last changed; absent when it is empty.
    pub cart_age_hours: Option<i64>,
    /// Product ids on the wish list and not bought since, newest first, at most 50.
    pub wish_list: Vec<String>,
    /// What we sent, and what came of it.
    pub mails: MailHistory,
    /// Days with orders, ascending, counted from 1970 in UTC, and what was kept of them in minor units. For models of
    /// value; neither rules nor templates see it.
    #[serde(skip)]
    pub order_days: Vec<(i64, i64)>,
    /// P(alive), expected purchases and customer value, where a value model was fitted.
    pub value: Option<CustomerValue>,
}

/// How often one event happened, by window, and when last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventCounts {
    /// Ever (as far back as events are read).
    pub count: u32,
    /// In the last 24 hours.
    pub count_1d: u32,
    /// In the last 7 days.
    pub count_7d: u32,
    /// In the last 30 days.
    pub count_30d: u32,
    /// In the last 90 days.
    pub count_90d: u32,
    /// In the last 365 days.
    pub count_365d: u32,
    /// Decayed count: one of this moment is 1, one of a half-life ago ½ ([`crate::stage::StageWeights::half_life_days`]).
    pub recent: f64,
    /// Whole days since the last one.
    pub days_since: Option<i64>,
}

/// One product bought before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchased {
    /// Which.
    pub product_id: String,
    /// How many in all.
    pub quantity: u32,
    /// In how many orders.
    pub orders: u32,
    /// Days since the last time.
    pub days_since: i64,
}

/// One line of the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// Which product.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, as it was when put in.
    pub price: i64,
}

/// What we sent to this person, and what came of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailHistory {
    /// Mails sent, ever (as far back as mails are read).
    pub sent: u32,
    /// Mails of the last 7 days.
    pub sent_7d: u32,
    /// Mails of the last 30 days.
    pub sent_30d: u32,
    /// Opened by a person, of those read.
    pub opened: u32,
    /// Clicked by a person, of those read.
    pub clicked: u32,
    /// Days since the last mail.
    pub days_since_sent: Option<i64>,
    /// Days since a person last clicked.
    pub days_since_clicked: Option<i64>,
    /// Of the last five mails, the share clicked, shrunk towards the base rate with weight two: (clicks + 2·0.03)/(mails + 2).
    pub click_rate_last_5: f64,
    /// The newest mails, newest first, at most 10.
    pub last: Vec<Mail>,
}

/// One mail that was sent to a profile, as the store reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// Its send.
    pub send: SendId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Lifecycle mails count towards the cap.
    pub kind: crate::campaign::Kind,
    /// Which variant it was.
    pub variant: VariantId,
    /// Product ids that it showed.
    pub products: Vec<String>,
    /// When it was handed over.
    pub at: Timestamp,
    /// When a person first opened it.
    pub opened_at: Option<Timestamp>,
    /// When a person first clicked in it.
    pub clicked_at: Option<Timestamp>,
}

/// The value model's view of a customer (BG/NBD with Gamma-Gamma).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerValue {
    /// Probability that the customer still buys.
    pub p_alive: f64,
    /// Orders expected in the next 365 days.
    pub expected_orders_365d: f64,
    /// Their worth, in minor units.
    pub clv_365d: i64,
}

/// A number of things held in memory, for a fact: over four thousand million cannot be.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
