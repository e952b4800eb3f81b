//! A worker that is killed again and again, judged by the server's own journal: nothing lost, nothing doubled beyond
//! what SMTP makes undecidable.

use std::time::Duration;

use bespoke::campaign::Guarantee;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::is_long;

/// A lease that ends soon, so that a worker that comes after need not wait long.
const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\n";

/// Starts a worker, lets the server take some mails from it, and kills it in the middle of the others, a little later:
/// at any moment, not at those at which mails have just been taken.
fn work_and_be_killed(live: &Live, mails: usize, enough: usize, later: Duration) {
    let mut worker = live.worker();
    let before = live.count("accept");
    live.waits_until("the server takes mails", || {
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker ended by itself");
        live.count("accept") >= (before + mails).min(enough)
    });
    Live::passes(later);
    worker.kill();
}

async fn kill_loop(guarantee: Guarantee, kills: usize, sends: usize) {
    for mut live in Live::on_each_database(WORKER).await {
        live.given_sends(guarantee, sends).await;
        live.serve(0.004, &[]);
        for kill in 0..kills {
            let later = Duration::from_millis(kill as u64 * 7 % 23);
            // Spread over the whole run: a like share of what is left, each time.
            let mails = sends.saturating_sub(live.count("accept")) / (kills - kill + 1);
            work_and_be_killed(&live, mails, sends, later);
            live.dead_leases_end().await;
        }
        // What was ambiguous under at-least-once is due again a little later: work until nothing is open.
        live.takes_over_and_drains().await;
        let verdict = live.is_judged(kills, IN_FLIGHT);
        live.everybody_is_served(guarantee, sends);
        let doubled = live.count("accept").saturating_sub(sends);
        let unknown = live.states().get("unknown").copied().unwrap_or(0);
        let (bound, name) = (kills * IN_FLIGHT, live.database.name());
        eprintln!(
            "{kills} kills on {name}, {}: {doubled} doubled, {unknown} unknown, at most {bound}; {verdict}",
            guarantee.as_str()
        );
    }
}

/// `tests/run --faults` does the whole of it.
fn size() -> (usize, usize) {
    if is_long() { (40, 6_000) } else { (8, 600) }
}

#[tokio::test]
async fn a_killed_worker_loses_and_doubles_nobody_at_most_once() {
    let (kills, sends) = size();
    kill_loop(Guarantee::AtMostOnce, kills, sends).await;
}

#[tokio::test]
async fn a_killed_worker_loses_nobody_and_repeats_the_same_bytes_at_least_once() {
    let (kills, sends) = size();
    kill_loop(Guarantee::AtLeastOnce, kills, sends).await;
}
