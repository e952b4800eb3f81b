//! What it costs to know a person. Budget: 100 events in 30 µs, on one core.

use std::hint::black_box;

use bespoke::event::Event;
use bespoke::event::name;
use bespoke::history::FoldContext;
use bespoke::history::History;
use bespoke::history::fold;
use bespoke::product::Product;
use bespoke::product::ProductIndex;
use bespoke::profile::ProfileId;
use bespoke::stage::StageWeights;
use bespoke::stage::place;
use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::json;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}

/// A believable mix: mostly views, some carts, every twentieth an order line; 30 products.
fn events(count: usize) -> Vec<Event> {
    let names = [name::PRODUCT_VIEWED, name::PAGE_VIEWED, name::PRODUCT_VIEWED, name::PRODUCT_ADDED];
    let event = |index: usize| {
        Event {
        id: format!("{index:032x}"),
        profile: ProfileId::parse("ana").expect("an id"),
        name: if index.is_multiple_of(20) { name::ORDER_COMPLETED } else { names[index % 4] }.to_owned(),
        at: now() - SignedDuration::from_hours(i64::try_from(7 * (count - index)).expect("small")),
        properties: json!({"product_id": format!("product-{}", index * 7 % 30), "quantity": 1, "price": 12.5,
            "order_id": format!("order-{}", index / 40), "url": "https://shop.example/some/page", "referrer": ""})
        .as_object()
        .expect("an object")
        .clone(),
    }
    };
    (0..count).map(event).collect()
}

fn products() -> ProductIndex {
    let product = |index: usize| -> Product {
        let id = format!("product-{index}");
        serde_json::from_value(json!({"id": id, "name": id, "category": format!("category-{}", index % 6)}))
            .expect("a product")
    };
    (0..30).map(product).collect()
}

fn bench(criterion: &mut Criterion) {
    let weights = StageWeights::default();
    let context = FoldContext::new(&[], "EUR", &weights);
    let products = products();
    let told = |events: &[Event]| -> History { fold(&context, &products, now(), events, &[], now()) };
    let mut group = criterion.benchmark_group("fold");
    for count in [0, 100, 1_000, 5_000] {
        let events = events(count);
        group.bench_with_input(BenchmarkId::from_parameter(count), &events, |bencher, events| {
            bencher.iter(|| told(black_box(events)));
        });
    }
    group.finish();
    let history = told(&events(100));
    criterion.bench_function("place", |bencher| {
        bencher.iter(|| place(black_box(&history), None, &weights, now()));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
