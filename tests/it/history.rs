//! What must hold of any history: the order of its events says nothing, and a fact depends only on its own events.

use bespoke::event::Event;
use bespoke::event::name;
use bespoke::event::slug;
use bespoke::history::FoldContext;
use bespoke::history::History;
use bespoke::history::fold;
use bespoke::product::ProductIndex;
use bespoke::profile::ProfileId;
use bespoke::stage::StageWeights;
use bespoke::stage::place;
use jiff::SignedDuration;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn told(events: &[Event]) -> History {
    let context = FoldContext::new(&["Quiz Done".to_owned()], "EUR", &StageWeights::default());
    fold(&context, &ProductIndex::default(), now() - SignedDuration::from_hours(24 * 500), events, &[], now())
}

/// Few products, orders and times, so that they meet.
fn properties() -> impl Strategy<Value = Value> {
    let line = (0..4u8, 0..4u8, -1..4i32, 0..5000i32).prop_map(|(product, order, quantity, price)| {
        json!({"product_id": format!("p{product}"), "order_id": order, "quantity": quantity,
            "price": f64::from(price) / 100.0, "category": format!("c{}", product % 2)})
    });
    let list = (prop::collection::vec(line.clone(), 0..4), 0..4u8, proptest::option::of(0..9000i32))
        .prop_map(|(products, order, total)| {
            let mut whole = json!({"order_id": order, "products": products});
            if let Some(total) = total {
                whole["total"] = json!(f64::from(total) / 100.0);
            }
            whole
        });
    prop_oneof![4 => line, 1 => list, 1 => Just(json!({}))]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (prop::sample::select(name::ALL.to_vec()), -50..3000i64, properties());
    prop::collection::vec(event, 0..40).prop_map(|list| {
        let event = |(index, (name, hours, properties)): (usize, (&str, i64, Value))| Event {
            id: format!("e{index}"),
            profile: ProfileId::parse("ana").unwrap(),
            name: name.to_owned(),
            at: now() - SignedDuration::from_hours(hours / 10 * 10),
            properties: properties.as_object().unwrap().clone(),
        };
        list.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #[test]
    fn the_order_in_which_events_arrive_does_not_matter(
        (ordered, shuffled) in events().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let (history, other) = (told(&ordered), told(&shuffled));
        prop_assert_eq!(&history, &other);
        let weights = StageWeights::default();
        prop_assert_eq!(place(&history, None, &weights, now()), place(&other, None, &weights, now()));
    }

    #[test]
    fn an_unrelated_event_changes_no_other_fact(list in events(), declared in any::<bool>(), hours in 0..2000i64) {
        let mut more = list.clone();
        let name = if declared { "Quiz Done" } else { "Lamp Rubbed" };
        let at = now() - SignedDuration::from_hours(hours);
        let profile = ProfileId::parse("ana").unwrap();
        more.push(Event { id: "quiz".to_owned(), profile, name: name.to_owned(), at, properties: serde_json::Map::new() });
        let (before, mut after) = (told(&list), told(&more));
        prop_assert_eq!(after.events["quiz_done"].count, u32::from(declared));
        after.events.insert(slug("Quiz Done"), before.events["quiz_done"].clone());
        // These three are about any event at all.
        after.first_seen_at = before.first_seen_at;
        after.last_seen_at = before.last_seen_at;
        after.days_since_seen = before.days_since_seen;
        after.tenure_days = before.tenure_days;
        prop_assert_eq!(before, after);
    }

    #[test]
    fn what_is_dated_in_the_future_has_not_happened(list in events()) {
        let past: Vec<Event> = list.iter().filter(|event| event.at <= now()).cloned().collect();
        prop_assert_eq!(told(&list), told(&past));
    }

    #[test]
    fn money_and_counts_stay_within_what_happened(list in events()) {
        let history = told(&list);
        prop_assert!(history.spend_total >= 0 && history.spend_365d >= 0);
        prop_assert!(history.orders_365d <= history.orders_total);
        prop_assert!(history.cart.iter().all(|line| line.quantity > 0));
        prop_assert_eq!(history.cart.is_empty(), history.cart_age_hours.is_none());
    }
}
