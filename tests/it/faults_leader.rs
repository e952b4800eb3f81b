//! One worker plans and learns for all; when it dies, another takes over.

use std::time::Duration;
use std::time::Instant;

use bespoke::event::Event;
use bespoke::store::SendFilter;
use serde_json::json;

use crate::support::given;
use crate::support::live::Live;
use crate::support::live::Running;

/// How long is waited for what a worker learns.
const PATIENCE: Duration = Duration::from_mins(1);

fn leading_worker(live: &Live) -> Running {
    let mut command = live.bespoke();
    command.env("BESPOKE_WORKER__PLAN_EVERY_SECONDS", "1").env("BESPOKE_WORKER__LEARN_EVERY_MINUTES", "1");
    Running(command.arg("work").spawn().unwrap())
}

/// Somebody buys: the receipt is due at once, as soon as somebody plans.
async fn buys(live: &Live, order: &str) {
    let at = bespoke::clock::Clock::System.now();
    let properties =
        json!({"order_id": order, "products": [{"product_id": "p1"}]}).as_object().unwrap().clone();
    let name = "Order Completed".to_owned();
    let event = Event { id: order.to_owned(), profile: given::id("ana"), name, at, properties };
    live.store().insert_events(&[event]).await.unwrap();
}

#[tokio::test]
async fn a_worker_plans_and_learns_by_itself_and_another_takes_over_within_fifteen_seconds() {
    let config = "[worker]\nlease_seconds = 5\n[rates]\nper_second = 100\n";
    for mut live in Live::on_each_database(config).await {
        let name = live.database.name();
        live.store()
            .upsert_profiles(&[given::profile("ana")], bespoke::clock::Clock::System.now())
            .await
            .unwrap();
        live.serve(0.0, &[]);
        let mut first = leading_worker(&live);
        buys(&live, "A-1").await;
        live.waits_until("the first receipt is sent", || live.count("accept") == 1);
        // Two workers of a SQLite file are refused; there the next one comes after the first.
        let second = (name == "postgres").then(|| leading_worker(&live));
        first.kill();
        let died = Instant::now();
        let _second = second.unwrap_or_else(|| leading_worker(&live));
        buys(&live, "A-2").await;
        live.waits_until("the second receipt is sent", || live.count("accept") == 2);
        assert!(died.elapsed() < Duration::from_secs(15), "{:?} on {name}", died.elapsed());
        assert_eq!(live.store().sends(&SendFilter::default(), None, 10).await.unwrap().len(), 2);
        // It plans at once, and what it learns is there when it is there.
        let model = bespoke::worker::assemble::POPULARITY_MODEL;
        let begun = Instant::now();
        while live.store().newest_model(model).await.unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "nothing was learnt on {name}");
        }
    }
}
