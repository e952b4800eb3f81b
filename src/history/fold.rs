//! The fold itself: one pass over the events, oldest first.

use std::cmp::Ordering;
use std::collections::HashMap;

use jiff::Timestamp;

use super::EventCounts;
use super::History;
use super::Mail;
use super::mails;
use super::orders::Orders;
use super::things::Things;
use crate::event::Event;
use crate::event::name;
use crate::event::slug;
use crate::product::ProductIndex;
use crate::product::money;
use crate::stage::StageWeights;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What the fold must know besides events; made once, used for every profile.
#[derive(Debug, Clone)]
pub struct FoldContext {
    /// Slugs of all events with an entry of their own.
    slugs: Vec<String>,
    by_name: HashMap<String, usize>,
    minor_digits: u32,
    half_life_days: f64,
}

impl FoldContext {
    /// `declared` are names of events beyond [`name::ALL`] that rules ask for; amounts are in `currency`, the shop's.
    pub fn new(declared: &[String], currency: &str, weights: &StageWeights) -> Self {
        let mut slugs: Vec<String> = Vec::new();
        let mut by_name = HashMap::new();
        for name in name::ALL.iter().copied().chain(declared.iter().map(String::as_str)) {
            let slug = slug(name);
            let index = slugs.iter().position(|known| *known == slug).unwrap_or(slugs.len());
            if index == slugs.len() {
                slugs.push(slug);
            }
            by_name.insert(name.to_owned(), index);
        }
        Self {
            slugs,
            by_name,
            minor_digits: money::minor_digits(currency),
            half_life_days: weights.half_life_days,
        }
    }
}

/// The moment for which a history is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    now_ms: i64,
    half_life_days: f64,
}

impl Moment {
    pub(super) fn is_past(&self, at: Timestamp) -> bool {
        at.as_millisecond() <= self.now_ms
    }

    pub(super) fn days(&self, at_ms: i64) -> i64 {
        whole_days(self.now_ms.saturating_sub(at_ms))
    }

    pub(super) fn days_since(&self, at: Timestamp) -> i64 {
        self.days(at.as_millisecond())
    }

    pub(super) fn hours(&self, at_ms: i64) -> i64 {
        self.now_ms.saturating_sub(at_ms) / HOUR_MS
    }

    /// 2^(−age / half-life).
    pub(super) fn decay(&self, at_ms: i64, half_life_days: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of any calendar date fit 53 bits")]
        let age_days = (self.now_ms.saturating_sub(at_ms)) as f64 / DAY_MS as f64;
        (-age_days / half_life_days).exp2()
    }
}

pub(super) fn whole_days(milliseconds: i64) -> i64 {
    milliseconds / DAY_MS
}

impl EventCounts {
    /// Counts one more; times must not descend.
    pub(super) fn add(&mut self, at_ms: i64, moment: &Moment) {
        let days = moment.days(at_ms);
        self.count += 1;
        for (window_days, count) in [
            (1, &mut self.count_1d),
            (7, &mut self.count_7d),
            (30, &mut self.count_30d),
            (90, &mut self.count_90d),
            (365, &mut self.count_365d),
        ] {
            *count += u32::from(days < window_days);
        }
        self.recent += moment.decay(at_ms, moment.half_life_days);
        self.days_since = Some(days);
    }
}

/// What events and mails say at `now`.
///
/// Events and mails may come in any order; of each, what is dated after `now` has not happened yet, and beyond
/// [`super::EVENTS_PER_PROFILE_MAX`] and [`super::MAILS_PER_PROFILE_MAX`] only the newest are read. No event may come
/// twice. `products` is asked for categories, and for prices that cart events do not state.
/// Linear, but for sorting what does not come in order of time.
pub fn fold<'a>(
    context: &FoldContext,
    products: &'a ProductIndex,
    profile_created_at: Timestamp,
    events: &'a [Event],
    mails: &[Mail],
    now: Timestamp,
) -> History {
    let moment = Moment { now_ms: now.as_millisecond(), half_life_days: context.half_life_days };
    let mut past: Vec<&Event> = events.iter().filter(|event| moment.is_past(event.at)).collect();
    past.sort_by(|a, b| chronological(a, b));
    let past = &past[past.len().saturating_sub(super::EVENTS_PER_PROFILE_MAX)..];

    let mut history = History::default();
    let mut counts = vec![EventCounts::default(); context.slugs.len()];
    let mut orders = Orders::default();
    let mut things = Things::new(products);
    for event in past {
        let at_ms = event.at.as_millisecond();
        history.first_seen_at.get_or_insert(at_ms);
        let doer = doer(event);
        if doer == Doer::Person {
            history.last_seen_at = Some(at_ms);
        }
        match event.name.as_str() {
            _ if doer == Doer::Machine => continue,
            name::ORDER_COMPLETED => {
                orders.take(event, context.minor_digits, &mut things);
                continue;
            }
            name::ORDER_REFUNDED => orders.refund(event, context.minor_digits),
            _ => things.take(event, context.minor_digits, &moment, &mut history),
        }
        if let Some(index) = context.by_name.get(&event.name) {
            counts[*index].add(at_ms, &moment);
        }
    }
    orders.finish(&moment, &mut history);
    if let Some(index) = context.by_name.get(name::ORDER_COMPLETED) {
        for order in orders.all() {
            counts[*index].add(order.at_ms, &moment);
        }
    }
    things.finish(orders.all(), &moment, &mut history);
    history.events = context.slugs.iter().cloned().zip(counts).collect();
    let known_since = history.first_seen_at.unwrap_or(profile_created_at.as_millisecond());
    history.tenure_days = moment.days(known_since).max(0);
    history.days_since_seen = history.last_seen_at.map(|at_ms| moment.days(at_ms));
    history.mails = mails::fold(mails, &moment);
    history
}

/// Who made an event happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doer {
    /// The person.
    Person,
    /// The shop, or a mail server: says nothing about when the person was last there.
    Shop,
    /// A scanner or a privacy proxy: not counted at all.
    Machine,
}

fn doer(event: &Event) -> Doer {
    match event.name.as_str() {
        name::ORDER_SHIPPED | name::ORDER_REFUNDED | name::EMAIL_BOUNCED => Doer::Shop,
        name::EMAIL_OPENED | name::EMAIL_LINK_CLICKED => {
            let class = super::properties::text(&event.properties, "class");
            if class.is_none_or(|class| class == "human") { Doer::Person } else { Doer::Machine }
        }
        _ => Doer::Person,
    }
}

/// By time; within a millisecond (files often know only seconds) by what must come first, then by id.
fn chronological(a: &Event, b: &Event) -> Ordering {
    a.at.cmp(&b.at).then_with(|| turn(&a.name).cmp(&turn(&b.name))).then_with(|| a.id.cmp(&b.id))
}

fn turn(name: &str) -> u8 {
    match name {
        name::CART_CLEARED | name::PRODUCT_REMOVED | name::PRODUCT_REMOVED_FROM_WISHLIST => 1,
        name::CHECKOUT_STARTED => 2,
        name::ORDER_COMPLETED => 3,
        name::ORDER_REFUNDED | name::ORDER_SHIPPED => 4,
        _ => 0,
    }
}
