//! A worker that is told to stop, and one that is frozen for longer than its lease: nobody is lost, nobody gets a
//! mail twice, and nothing is unknown.

use bespoke::campaign::Guarantee;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::is_long;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\n";

#[tokio::test]
async fn a_worker_that_is_told_to_stop_leaves_nothing_undecided() {
    let times = if is_long() { 20 } else { 3 };
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce] {
        for mut live in Live::on_each_database(WORKER).await {
            let sends = times * 60;
            live.given_sends(guarantee, sends).await;
            live.serve(0.02, &[]);
            for time in 0..times {
                let mut worker = live.worker();
                let before = live.count("accept");
                let enough = (before + 10 + time % 13).min(sends);
                live.waits_until("mails are taken", || live.count("accept") >= enough);
                worker.signal("TERM");
                assert_eq!(worker.ends(), Some(0));
                let states = live.states();
                assert!(!states.contains_key("submitting") && !states.contains_key("leased"), "{states:?}");
            }
            live.drains();
            live.is_judged(0, IN_FLIGHT);
            assert_eq!(live.states().get("sent"), Some(&sends), "{}", live.database.name());
        }
    }
}

#[tokio::test]
async fn a_worker_that_was_frozen_past_its_lease_has_no_say_over_what_others_took_over() {
    for guarantee in
        [Guarantee::AtLeastOnce, Guarantee::AtMostOnce].into_iter().take(if is_long() { 2 } else { 1 })
    {
        let Some(mut live) = Live::on_postgres(WORKER).await else { return };
        live.given_sends(guarantee, 200).await;
        live.serve(0.02, &[]);
        let frozen = live.worker();
        live.waits_until("mails are taken", || live.count("accept") >= 20);
        frozen.signal("STOP");
        // What it had claimed and not begun is taken over; what was on the wire is left to it for ten minutes.
        let _other = live.worker();
        live.waits_until("the other takes over", || {
            let states = live.states();
            !states.contains_key("scheduled") && !states.contains_key("leased")
        });
        frozen.signal("CONT");
        live.waits_until("what was on the wire is settled", || live.states().get("sent") == Some(&200));
        live.is_judged(0, IN_FLIGHT);
    }
}

#[tokio::test]
async fn eight_workers_share_one_backlog() {
    let Some(mut live) = Live::on_postgres(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 400).await;
    live.given_sends(Guarantee::AtLeastOnce, 400).await;
    live.serve(0.004, &[]);
    let _workers: Vec<_> = (0..8).map(|_| live.worker()).collect();
    live.waits_until("everybody has mail", || live.states().get("sent") == Some(&800));
    live.is_judged(0, 8 * IN_FLIGHT);
    assert_eq!(live.count("accept"), 800);
}
