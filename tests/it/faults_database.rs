//! The database goes away while mails are on the wire, and comes back: nothing is sent without its leave, and nothing
//! that was sent is forgotten.

use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::live::Live;
use crate::support::live::is_long;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";

#[tokio::test]
async fn a_locked_sqlite_file_stops_the_mail_and_loses_none() {
    let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 100).await;
    live.given_sends(Guarantee::AtLeastOnce, 100).await;
    live.serve(0.02, &[]);
    let mut worker = live.worker();
    live.waits_until("it has begun", || live.count("accept") >= 20);
    let lock = live.database.locked().await;
    let locked = Instant::now();
    let seconds = if is_long() { 20 } else { 7 };
    // What was marked may still go; then it is quiet.
    Live::passes(Duration::from_secs(1));
    let quiet = live.count("accept");
    assert_eq!(live.states().values().sum::<usize>(), 200, "who only looks need not wait");
    Live::passes(Duration::from_secs(seconds).saturating_sub(locked.elapsed()));
    assert_eq!(live.count("accept"), quiet, "no mail goes without its mark");
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    drop(lock);
    live.waits_until("all is sent", || live.states().get("sent") == Some(&200));
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), 200);
}

#[tokio::test]
async fn connections_that_postgresql_cuts_again_and_again_lose_and_double_nobody() {
    let Some(mut live) = Live::on_its_own_postgres(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 200).await;
    live.given_sends(Guarantee::AtLeastOnce, 200).await;
    live.serve(0.02, &[]);
    let mut workers = [live.worker(), live.worker()];
    for cut in 1..=5 {
        live.waits_until("mails go out", || live.count("accept") >= cut * 40);
        live.database.cut_all_connections().await;
    }
    live.waits_until("all is sent", || live.states().get("sent") == Some(&400));
    for worker in &mut workers {
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    }
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), 400);
}
