//! Small histories and what must be said of them.

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::campaign::Kind;
use crate::event::Event;
use crate::product::Product;
use crate::product::ProductIndex;
use crate::profile::ProfileId;
use crate::stage::StageWeights;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// `days` before now.
fn ago(days: f64) -> Timestamp {
    now() - SignedDuration::from_secs_f64(days * 86_400.0)
}

fn events(list: &[(f64, &str, Value)]) -> Vec<Event> {
    let event = |(index, (days, name, properties)): (usize, &(f64, &str, Value))| Event {
        id: format!("e{index}"),
        profile: ProfileId::parse("ana").unwrap(),
        name: (*name).to_owned(),
        at: ago(*days),
        properties: properties.as_object().unwrap().clone(),
    };
    list.iter().enumerate().map(event).collect()
}

fn product(id: &str, category: &str, price_minor: i64) -> Product {
    serde_json::from_value(json!({"id": id, "name": id, "category": category, "price_minor": price_minor}))
        .unwrap()
}

fn folded(list: &[(f64, &str, Value)]) -> History {
    let products = ProductIndex::from_iter([product("tea", "Drinks", 450), product("mug", "Kitchen", 1200)]);
    let context = FoldContext::new(&["Quiz Done".to_owned()], "GBP", &StageWeights::default());
    fold(&context, &products, ago(400.0), &events(list), &[], now())
}

/// Checks one fact of a history, found by its JSON pointer.
fn check(list: &[(f64, &str, Value)], pointer: &str, expected: &Value) {
    let history = serde_json::to_value(folded(list)).unwrap();
    assert_eq!(history.pointer(pointer), Some(expected), "{pointer} of {list:?}");
}

#[test]
fn nothing_known_is_a_history_of_zeros_with_an_entry_for_every_known_event() {
    let history = folded(&[]);
    let mut expected = History { tenure_days: 400, ..History::default() };
    expected.mails.click_rate_last_5 = 0.03;
    for name in crate::event::name::ALL.iter().copied().chain(["Quiz Done"]) {
        expected.events.insert(crate::event::slug(name), EventCounts::default());
    }
    assert_eq!(history, expected);
}

#[test]
fn events_are_counted_by_window_and_decay() {
    let view = |days| (days, "Quiz Done", json!({}));
    let list = [view(0.5), view(6.9), view(14.0), view(40.0), view(100.0), view(400.0), view(-1.0)];
    let counts = folded(&list).events.remove("quiz_done").unwrap();
    let recent =
        [0.5_f64, 6.9, 14.0, 40.0, 100.0, 400.0].iter().map(|days| (-days / 14.0).exp2()).sum::<f64>();
    assert!((counts.recent - recent).abs() < 1e-9, "{counts:?}");
    let expected = EventCounts {
        count: 6,
        count_1d: 1,
        count_7d: 2,
        count_30d: 3,
        count_90d: 4,
        count_365d: 5,
        recent: counts.recent,
        days_since: Some(0),
    };
    assert_eq!(counts, expected);
}

#[test]
fn orders_are_distinct_by_id_whether_lines_or_lists() {
    let line = |days, order: Value, product: &str, quantity: Value, price: Value| {
        let properties =
            json!({"order_id": order, "product_id": product, "quantity": quantity, "price": price});
        (days, "Order Completed", properties)
    };
    let lines = [
        line(10.0, json!(7), "tea", json!(2), json!(4.5)),
        line(10.0, json!("7"), "mug", json!("1"), json!("12,00")),
        line(3.0, json!("8"), "tea", json!(1), json!("£4.50")),
    ];
    check(&lines, "/orders_total", &json!(2));
    check(&lines, "/spend_total", &json!(900 + 1200 + 450));
    check(&lines, "/average_order_value", &json!(1275));
    check(&lines, "/events/order_completed/count_30d", &json!(2));
    check(&lines, "/days_since_first_order", &json!(10));
    let tea = json!({"product_id": "tea", "quantity": 3, "orders": 2, "days_since": 3});
    let mug = json!({"product_id": "mug", "quantity": 1, "orders": 1, "days_since": 10});
    check(&lines, "/purchased", &json!([tea, mug]));

    let list = json!({"order_id": "7", "total": 25.5, "products": [
        {"product_id": "tea", "quantity": 2, "price": 4.5}, {"sku": "mug", "price": 12}]});
    // Page and server both report the order; lines of it were imported too.
    let reported =
        [(10.0, "Order Completed", list.clone()), (9.9, "Order Completed", list), lines[0].clone()];
    check(&reported, "/orders_total", &json!(1));
    check(&reported, "/spend_total", &json!(2550));
    check(
        &reported,
        "/purchased/0",
        &json!({"product_id": "mug", "quantity": 1, "orders": 1, "days_since": 10}),
    );
    let bare = [(1.0, "Order Completed", json!({"products": [{"product_id": "tea", "price": 4.5}]}))];
    check(&bare, "/spend_total", &json!(450));
    check(&[bare[0].clone(), bare[0].clone()], "/orders_total", &json!(2));
}

#[test]
fn a_refund_is_taken_off_its_order_and_never_more_than_it_was_worth() {
    let order = (20.0, "Order Completed", json!({"order_id": "7", "total": 30}));
    let other = (10.0, "Order Completed", json!({"order_id": "8", "total": 5}));
    let refund = |properties: Value| (1.0, "Order Refunded", properties);
    for (properties, expected) in [
        (json!({"order_id": "7", "total": 10}), 2500),
        (json!({"order_id": "7", "total": -10}), 2500),
        (json!({"order_id": "7"}), 500),
        (json!({"order_id": "7", "total": 99}), 500),
        (json!({"order_id": "7", "products": [{"product_id": "tea", "quantity": 2, "price": 4.5}]}), 2600),
        (json!({"order_id": "unknown", "total": 10}), 3500),
        (json!({"total": 10}), 2500),
        (json!({"total": 99}), 0),
    ] {
        check(&[order.clone(), other.clone(), refund(properties)], "/spend_total", &json!(expected));
    }
    check(&[order, refund(json!({"order_id": "7"}))], "/days_since_seen", &json!(20));
}

#[test]
fn the_interval_between_orders_is_a_median_from_three_orders_on() {
    let order = |days: f64| (days, "Order Completed", json!({"order_id": days.to_string(), "total": 1}));
    check(&[order(30.0), order(10.0)], "/order_interval_days", &json!(null));
    check(&[order(30.0), order(10.0), order(9.0), order(100.0)], "/order_interval_days", &json!(20));
}

#[test]
fn the_cart_holds_what_was_added_and_neither_removed_nor_bought_since() {
    let add = |days, id: &str, more: Value| {
        let mut properties = json!({"product_id": id});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (days, "Product Added", properties)
    };
    let remove = |days, properties: Value| (days, "Product Removed", properties);
    let two_teas = add(5.0, "tea", json!({"quantity": 2, "price": 4}));
    let line =
        |id: &str, quantity: u32, price: i64| json!({"product_id": id, "quantity": quantity, "price": price});

    let full = [two_teas.clone(), add(4.0, "mug", json!({}))];
    check(&full, "/cart", &json!([line("mug", 1, 1200), line("tea", 2, 400)]));
    check(&full, "/cart_value", &json!(2000));
    check(&full, "/cart_age_hours", &json!(96));
    let one_left = [two_teas.clone(), remove(4.0, json!({"product_id": "tea", "quantity": 1}))];
    check(&one_left, "/cart", &json!([line("tea", 1, 400)]));
    for end in [
        remove(4.0, json!({"product_id": "tea"})),
        remove(4.0, json!({"product_id": "tea", "quantity": 5})),
        (4.0, "Cart Cleared", json!({})),
        (4.0, "Order Completed", json!({"order_id": 1, "product_id": "tea", "price": 4})),
        (4.0, "Order Completed", json!({"order_id": 1, "total": 8})),
        (5.0, "Order Completed", json!({"order_id": 1, "products": [{"product_id": "tea"}]})),
    ] {
        check(&[two_teas.clone(), end.clone()], "/cart", &json!([]));
        check(&[two_teas.clone(), end], "/cart_age_hours", &json!(null));
    }
    let other = (4.0, "Order Completed", json!({"order_id": 1, "products": [{"product_id": "mug"}]}));
    check(&[two_teas.clone(), other], "/cart", &json!([line("tea", 2, 400)]));
    let before = (6.0, "Order Completed", json!({"order_id": 1, "product_id": "tea"}));
    check(&[before, two_teas], "/cart/0/product_id", &json!("tea"));
}

#[test]
fn wishes_last_until_taken_back_or_bought() {
    let wish = |days, id: &str| (days, "Product Added to Wishlist", json!({"product_id": id}));
    check(&[wish(3.0, "tea"), wish(2.0, "mug")], "/wish_list", &json!(["mug", "tea"]));
    let back = (1.0, "Product Removed from Wishlist", json!({"product_id": "mug"}));
    let bought = (1.0, "Order Completed", json!({"order_id": 1, "product_id": "tea"}));
    check(&[wish(3.0, "tea"), wish(2.0, "mug"), back, bought], "/wish_list", &json!([]));
}

#[test]
fn favourites_go_by_decayed_interest_and_the_catalogues_categories() {
    let view = |days, id: &str| (days, "Product Viewed", json!({"product_id": id, "category": "stated"}));
    let list = [
        view(1.0, "mug"),
        view(0.5, "mug"),
        view(0.4, "unknown"),
        (100.0, "Order Completed", json!({"order_id": 1, "product_id": "tea"})),
        (0.2, "Article Viewed", json!({"category": "Garden"})),
    ];
    check(&list, "/favourite_products", &json!(["mug", "unknown", "tea"]));
    check(&list, "/favourite_categories", &json!(["Kitchen", "Garden", "stated", "Drinks"]));
    check(&list, "/viewed_products", &json!(["unknown", "mug"]));
    check(&list, "/repeat_views/count", &json!(1));
    check(&list, "/viewed_products_7d", &json!(2));
}

#[test]
fn machines_and_the_shop_do_not_count_as_the_person() {
    let list = [
        (9.0, "Email Link Clicked", json!({"class": "human"})),
        (8.0, "Email Link Clicked", json!({"class": "scanner"})),
        (7.0, "Order Shipped", json!({"order_id": 1})),
    ];
    check(&list, "/events/email_link_clicked/count", &json!(1));
    check(&list, "/events/order_shipped/count", &json!(1));
    check(&list, "/days_since_seen", &json!(9));
}

#[test]
fn mails_are_counted_newest_first_and_the_click_rate_is_shrunk() {
    let mail = |number: u32, days: f64, clicked: Option<f64>| Mail {
        send: SendId::parse(&format!("{number:032x}")).unwrap(),
        campaign: CampaignId("picks".to_owned()),
        kind: Kind::Lifecycle,
        variant: VariantId::new("picks/any/a"),
        products: vec![],
        at: ago(days),
        opened_at: clicked.map(ago),
        clicked_at: clicked.map(ago),
    };
    let mails = [mail(1, 40.0, None), mail(2, 3.0, Some(2.0)), mail(3, 20.0, None), mail(4, -1.0, None)];
    let context = FoldContext::new(&[], "GBP", &StageWeights::default());
    let told = fold(&context, &ProductIndex::default(), ago(1.0), &[], &mails, now()).mails;
    let expected = MailHistory {
        sent: 3,
        sent_7d: 1,
        sent_30d: 2,
        opened: 1,
        clicked: 1,
        days_since_sent: Some(3),
        days_since_clicked: Some(2),
        click_rate_last_5: (1.0 + 0.06) / 5.0,
        last: vec![mails[1].clone(), mails[2].clone(), mails[0].clone()],
    };
    assert_eq!(told, expected);
}

#[test]
fn nonsense_in_properties_counts_for_nothing_and_never_panics() {
    let nonsense = [
        json!({"order_id": {"a": 1}, "products": "tea", "total": "free"}),
        json!({"order_id": true, "products": [1, null, {"product_id": ""}, {"product_id": [1]}]}),
        json!({"product_id": "tea", "quantity": 1e300, "price": 1e300}),
        json!({"product_id": "tea", "quantity": -3, "price": "NaN"}),
        json!({"product_id": 12, "quantity": "many", "price": null, "category": 5}),
    ];
    for name in crate::event::name::ALL {
        let list: Vec<_> = nonsense.iter().map(|properties| (1.0, *name, properties.clone())).collect();
        let history = folded(&list);
        assert_eq!(history.spend_total, 0, "{name}");
    }
}
