//! Orders and refunds: distinct by order id, however many events each came in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::History;
use super::fold::Moment;
use super::properties;
use super::things::Things;
use crate::clock::from_millisecond;
use crate::event::Event;
use crate::event::name;
use crate::product::ProductIndex;
use crate::product::money;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The orders of one profile while its events are read, oldest first.
#[derive(Debug, Default)]
pub(super) struct Orders<'a> {
    list: Vec<Order>,
    by_id: HashMap<Cow<'a, str>, usize>,
    refunds: Vec<Refund<'a>>,
}

/// One order.
///
/// A whole-order event (with a `products` list, or with no product at all) stands for all of it: of several, as
/// when page and server both report, the newest counts. Events of one line each add up; they count when no whole
/// one came.
#[derive(Debug)]
pub(super) struct Order {
    /// When its first event happened.
    pub(super) at_ms: i64,
    whole: Option<Bought>,
    lines: Bought,
    refunded_minor: i64,
}

/// What was bought, and for how much.
#[derive(Debug, Default)]
struct Bought {
    lines: Vec<Line>,
    minor: i64,
}

/// One line of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Which product, as [`Things`] numbers them.
    pub(super) thing: usize,
    /// How many; 0 on a line that gives something back.
    pub(super) pieces: u32,
}

#[derive(Debug)]
struct Refund<'a> {
    order: Option<Cow<'a, str>>,
    at_ms: i64,
    /// The stated amount; without one, all of the order.
    minor: Option<i64>,
}

impl Order {
    /// Its lines.
    pub(super) fn lines(&self) -> &[Line] {
        &self.whole.as_ref().unwrap_or(&self.lines).lines
    }

    fn minor(&self) -> i64 {
        self.whole.as_ref().unwrap_or(&self.lines).minor
    }
}

impl<'a> Orders<'a> {
    /// Takes an `Order Completed`. What was bought leaves the cart and the wish list.
    pub(super) fn take(&mut self, event: &'a Event, digits: u32, things: &mut Things<'a>) {
        let at_ms = event.at.as_millisecond();
        let order = match properties::id(&event.properties, "order_id") {
            Some(id) => *self.by_id.entry(id).or_insert(self.list.len()),
            None => self.list.len(),
        };
        if order == self.list.len() {
            self.list.push(Order { at_ms, whole: None, lines: Bought::default(), refunded_minor: 0 });
        }
        let list = event.properties.get("products").and_then(Value::as_array);
        if list.is_none()
            && let Some(id) = properties::product_id(&event.properties)
        {
            let thing = things.index(id, text_category(&event.properties));
            let (line, minor) = line(thing, &event.properties, digits);
            let minor = minor.or_else(|| stated_total(&event.properties, digits)).unwrap_or(0);
            things.bought(&line);
            let bought = &mut self.list[order].lines;
            bought.lines.push(line);
            bought.minor = bought.minor.saturating_add(minor);
            return;
        }
        let mut whole = Bought::default();
        for item in list.into_iter().flatten().filter_map(Value::as_object) {
            let Some(id) = properties::product_id(item) else { continue };
            let (line, minor) = line(things.index(id, text_category(item)), item, digits);
            things.bought(&line);
            whole.minor = whole.minor.saturating_add(minor.unwrap_or(0));
            whole.lines.push(line);
        }
        if whole.lines.is_empty() {
            things.clear_cart(at_ms);
        }
        whole.minor = stated_total(&event.properties, digits).unwrap_or(whole.minor);
        self.list[order].whole = Some(whole);
    }

    /// Takes an `Order Refunded`: `total`, else its `products`, else all of the order.
    pub(super) fn refund(&mut self, event: &'a Event, digits: u32) {
        let listed = event.properties.get("products").and_then(Value::as_array).map(|list| {
            let items = list.iter().filter_map(Value::as_object);
            items.filter_map(|item| line(0, item, digits).1).fold(0, i64::saturating_add)
        });
        self.refunds.push(Refund {
            order: properties::id(&event.properties, "order_id"),
            at_ms: event.at.as_millisecond(),
            minor: stated_total(&event.properties, digits).or(listed).map(i64::saturating_abs),
        });
    }

    /// All orders, oldest first.
    pub(super) fn all(&self) -> &[Order] {
        &self.list
    }

    /// Writes what orders and refunds say into the history.
    ///
    /// A refund is taken off its order, never more than the order was worth. One whose order is not among the events
    /// is left out, as its order is; one that names no order is taken off the sum.
    pub(super) fn finish(&mut self, moment: &Moment, history: &mut History) {
        let mut loose_total = 0_i64;
        let mut loose_365d = 0_i64;
        for (at_ms, minor) in self.take_back() {
            loose_total = loose_total.saturating_add(minor);
            if moment.days(at_ms) < 365 {
                loose_365d = loose_365d.saturating_add(minor);
            }
        }
        let last_year = |order: &&Order| moment.days(order.at_ms) < 365;
        let kept = |order: &Order| order.minor().saturating_sub(order.refunded_minor);
        let sum = |orders: &mut dyn Iterator<Item = &Order>| orders.map(kept).fold(0, i64::saturating_add);
        history.orders_total = super::count(self.list.len());
        history.orders_365d = super::count(self.list.iter().filter(last_year).count());
        history.spend_total = sum(&mut self.list.iter()).saturating_sub(loose_total).max(0);
        history.spend_365d = sum(&mut self.list.iter().filter(last_year)).saturating_sub(loose_365d).max(0);
        history.average_order_value =
            history.spend_total.checked_div(i64::from(history.orders_total)).unwrap_or(0);
        history.days_since_first_order = self.list.first().map(|order| moment.days(order.at_ms));
        history.days_since_order = self.list.last().map(|order| moment.days(order.at_ms));
        history.order_interval_days = self.interval_days();
        let mut days: BTreeMap<i64, i64> = BTreeMap::new();
        for order in &self.list {
            let sum = days.entry(order.at_ms.div_euclid(DAY_MS)).or_default();
            *sum = sum.saturating_add(kept(order));
        }
        history.order_days = days.into_iter().collect();
    }

    /// Takes refunds off their orders; returns when and how much was given back for no stated order.
    fn take_back(&mut self) -> Vec<(i64, i64)> {
        let mut loose = Vec::new();
        for refund in &self.refunds {
            let Some(id) = &refund.order else {
                loose.push((refund.at_ms, refund.minor.unwrap_or(0)));
                continue;
            };
            if let Some(order) = self.by_id.get(id).map(|index| &mut self.list[*index]) {
                let worth = order.minor().max(0);
                let back = order.refunded_minor.saturating_add(refund.minor.unwrap_or(worth));
                order.refunded_minor = back.min(worth);
            }
        }
        loose
    }

    /// The median of the gaps between orders, from three orders on.
    fn interval_days(&self) -> Option<i64> {
        if self.list.len() < 3 {
            return None;
        }
        let mut gaps: Vec<i64> = self.list.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect();
        gaps.sort_unstable();
        let middle = gaps.len() / 2;
        let median =
            if gaps.len() % 2 == 1 { gaps[middle] } else { i64::midpoint(gaps[middle - 1], gaps[middle]) };
        Some(super::fold::whole_days(median))
    }
}

/// What one event says of an order, for whoever sums orders without a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderWorth<'a> {
    /// The order's id; without one the event is an order of its own.
    pub order: Option<Cow<'a, str>>,
    /// Whether the event stands for all of the order, or for one line of it.
    pub whole: bool,
    /// Its worth, in minor units.
    pub minor: i64,
}

/// What an `Order Completed` says, by the rules of the history.
pub fn order_worth(event: &Event, digits: u32) -> OrderWorth<'_> {
    let order = properties::id(&event.properties, "order_id");
    let list = event.properties.get("products").and_then(Value::as_array);
    let stated = stated_total(&event.properties, digits);
    if list.is_none() && properties::product_id(&event.properties).is_some() {
        let minor = line(0, &event.properties, digits).1.or(stated).unwrap_or(0);
        return OrderWorth { order, whole: false, minor };
    }
    let items = list.into_iter().flatten().filter_map(Value::as_object);
    let lines = items.filter(|item| properties::product_id(item).is_some());
    let sum = lines.filter_map(|item| line(0, item, digits).1).fold(0, i64::saturating_add);
    OrderWorth { order, whole: true, minor: stated.unwrap_or(sum) }
}

/// An order, as reports count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedOrder {
    /// When its first event happened.
    pub at: Timestamp,
    /// What it was worth when it was placed, in minor units.
    pub minor: i64,
    /// What of that was given back, in minor units; at most `minor`.
    pub refunded_minor: i64,
}

/// The orders that these events of one profile tell of, oldest first, and refunds that name no order (when, and how
/// much in minor units). It is the reading that [`super::fold`] has of them, without its limit and without its window.
pub fn placed_orders(events: &[Event], minor_digits: u32) -> (Vec<PlacedOrder>, Vec<(Timestamp, i64)>) {
    let products = ProductIndex::default();
    let (mut orders, mut things) = (Orders::default(), Things::new(&products));
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
    for event in sorted {
        match event.name.as_str() {
            name::ORDER_COMPLETED => orders.take(event, minor_digits, &mut things),
            name::ORDER_REFUNDED => orders.refund(event, minor_digits),
            _ => {}
        }
    }
    let loose = orders.take_back();
    let loose = loose.into_iter().map(|(at_ms, minor)| (from_millisecond(at_ms), minor)).collect();
    let placed = orders.list.iter().map(|order| PlacedOrder {
        at: from_millisecond(order.at_ms),
        minor: order.minor(),
        refunded_minor: order.refunded_minor,
    });
    (placed.collect(), loose)
}

fn text_category(properties: &Map<String, Value>) -> Option<&str> {
    properties::text(properties, "category")
}

/// A line and its worth, where it states a price.
fn line(thing: usize, properties: &Map<String, Value>, digits: u32) -> (Line, Option<i64>) {
    let quantity = properties::quantity(properties).unwrap_or(1.0);
    let pieces = if quantity > 0.0 { properties::pieces(quantity) } else { 0 };
    let price = properties::amount(properties, "price", digits);
    (Line { thing, pieces }, price.and_then(|price| money::to_minor(price * quantity, digits)))
}

/// What the event itself says that it is worth: Segment's `total`, else `revenue`, else `value`.
fn stated_total(properties: &Map<String, Value>, digits: u32) -> Option<i64> {
    ["total", "revenue", "value"]
        .into_iter()
        .find_map(|key| properties::amount(properties, key, digits))
        .and_then(|major| money::to_minor(major, digits))
}
