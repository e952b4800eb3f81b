//! All orders of a shop, summed from their events in any order: what an order is worth, and who bought when.

use std::collections::BTreeMap;
use std::collections::HashMap;

use jiff::Timestamp;

use super::clv::purchases::{Day, day_of};
use super::stats::as_f64;
use crate::event::Event;
use crate::history::order_worth;

/// Orders of this many days are averaged.
const MEAN_DAYS: i64 = 365;

/// Orders by customer. Memory grows with orders, not with events.
#[derive(Debug, Default)]
pub struct OrderBook {
    customers: HashMap<String, Vec<Order>>,
}

/// One order; see [`order_worth`] about whole ones and lines.
#[derive(Debug)]
struct Order {
    id: Option<String>,
    at: Timestamp,
    whole: Option<i64>,
    lines: i64,
}

impl Order {
    fn minor(&self) -> i64 {
        self.whole.unwrap_or(self.lines)
    }
}

impl OrderBook {
    /// Takes an `Order Completed`; `digits` is how many digits the currency has behind the point.
    pub fn take(&mut self, event: &Event, digits: u32) {
        let worth = order_worth(event, digits);
        let orders = self.customers.entry(event.profile.as_str().to_owned()).or_default();
        let known = worth.order.as_deref().and_then(|id| {
            orders.iter().rposition(|order| order.id.as_deref().is_some_and(|known| known == id))
        });
        let index = known.unwrap_or_else(|| {
            let id = worth.order.as_deref().map(str::to_owned);
            orders.push(Order { id, at: event.at, whole: None, lines: 0 });
            orders.len() - 1
        });
        let order = &mut orders[index];
        order.at = order.at.min(event.at);
        if worth.whole {
            order.whole = Some(worth.minor);
        } else {
            order.lines = order.lines.saturating_add(worth.minor);
        }
    }

    /// The mean worth of the last year's orders, in minor units; `None` where there is none of any worth.
    #[expect(clippy::cast_precision_loss, reason = "money of one order is far below 2^52")]
    pub fn mean_minor(&self, now: Timestamp) -> Option<f64> {
        let orders = self.customers.values().flatten();
        let recent = orders.filter(|order| {
            let hours = now.duration_since(order.at).as_hours();
            (0..24 * MEAN_DAYS).contains(&hours) && order.minor() > 0
        });
        let worths: Vec<f64> = recent.map(|order| order.minor() as f64).collect();
        (!worths.is_empty()).then(|| worths.iter().sum::<f64>() / as_f64(worths.len()))
    }

    /// When somebody ordered.
    pub fn times(&self, customer: &str) -> Vec<Timestamp> {
        self.customers.get(customer).into_iter().flatten().map(|order| order.at).collect()
    }

    /// Each customer's days with purchases up to `now`, and what they paid, in minor units; customers by name.
    #[expect(clippy::cast_precision_loss, reason = "money of one day is far below 2^52")]
    pub fn days(&self, now: Timestamp) -> BTreeMap<String, BTreeMap<Day, f64>> {
        let mut days: BTreeMap<String, BTreeMap<Day, f64>> = BTreeMap::new();
        for (customer, orders) in &self.customers {
            for order in orders.iter().filter(|order| order.at <= now) {
                let of_customer = days.entry(customer.clone()).or_default();
                *of_customer.entry(day_of(order.at)).or_default() += order.minor() as f64;
            }
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::profile::ProfileId;

    fn event(who: &str, at: &str, properties: Value) -> Event {
        let Value::Object(properties) = properties else { unreachable!() };
        Event {
            id: format!("{at}{properties:?}"),
            profile: ProfileId::parse(who).unwrap(),
            name: "Order Completed".to_owned(),
            at: at.parse().unwrap(),
            properties,
        }
    }

    #[test]
    fn an_order_counts_once_however_its_events_come() {
        let mut book = OrderBook::default();
        let first = "2026-05-01T10:00:00Z";
        // Two lines, then the whole; the same order twice.
        book.take(
            &event("ana", first, json!({"order_id": "1", "product_id": "a", "price": 3, "quantity": 2})),
            2,
        );
        book.take(&event("ana", first, json!({"order_id": "1", "product_id": "b", "price": 4})), 2);
        book.take(&event("bo", first, json!({"order_id": "1", "total": 30})), 2);
        book.take(&event("bo", first, json!({"order_id": "1", "total": 20})), 2);
        book.take(&event("bo", "2024-05-01T10:00:00Z", json!({"total": 999})), 2);
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        assert_eq!(book.mean_minor(now), Some(1_500.0));
        let days = book.days(now);
        assert_eq!(days["ana"].values().copied().collect::<Vec<_>>(), [1_000.0]);
        assert_eq!(days["bo"].values().copied().collect::<Vec<_>>(), [99_900.0, 2_000.0]);
        assert_eq!(OrderBook::default().mean_minor(now), None);
    }
}
