//! A death at each of nine named points of a send's way, with exact counts for both guarantees.
//!
//! Nothing in the program helps with this: the server stalls at a phase, or somebody else holds the database's lock,
//! and the worker is killed there.

use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;
use bespoke::send::State;
use bespoke::store::SendFilter;

use crate::support::live::Live;

const WORKER: &str = "[worker]\nin_flight = 1\nlease_seconds = 5\nretry_minutes = [1]\n";
/// The delay of the rules below, and a little more: what was to come has come.
const DELAY: Duration = Duration::from_millis(1_300);

/// What tells that the worker is at the point.
enum At {
    /// A rule has struck.
    Phase(&'static str),
    /// A delaying rule has struck: then the database is locked, and the delay waited for.
    Locked(&'static str),
    /// The send is in this state.
    State(State),
}

struct Point {
    name: &'static str,
    rule: &'static str,
    at: At,
    /// Copies that the server has in the end, by guarantee.
    copies: [usize; 2],
    at_most_once: State,
}

fn points() -> [Point; 9] {
    let point = |name, rule, at, copies, at_most_once| Point { name, rule, at, copies, at_most_once };
    let safe = |name, rule, at| point(name, rule, at, [1, 1], State::Sent);
    [
        safe("claimed", "connect#1=stall", At::State(State::Leased)),
        safe("rendered", "connect#1=stall", At::Phase("connect")),
        safe("RCPT answered late", "rcpt#1=stall", At::Phase("rcpt")),
        safe("354 awaited", "data#1=stall", At::Phase("data")),
        safe("354 read, the mark not committed", "data#1=delay:1", At::Locked("data")),
        point("half of the body", "body#1=stall", At::Phase("body"), [0, 1], State::Unknown),
        point("the dot sent", "reply#1=stall", At::Phase("reply"), [1, 2], State::Unknown),
        point("250 read, not recorded", "reply#1=delay:1", At::Locked("reply"), [1, 2], State::Unknown),
        safe("recorded", "quit#1=stall", At::State(State::Sent)),
    ]
}

async fn die_at(point: &Point, guarantee: Guarantee) {
    let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(guarantee, 1).await;
    live.serve(0.0, &[point.rule]);
    let mut worker = live.worker();
    let lock = match point.at {
        At::Phase(phase) => {
            live.waits_until(point.name, || live.struck(phase));
            None
        }
        At::Locked(phase) => {
            live.waits_until(point.name, || live.struck(phase));
            let lock = live.database.locked().await;
            let begun = Instant::now();
            live.waits_until("the delay is over", || begun.elapsed() > DELAY);
            Some(lock)
        }
        At::State(state) => {
            live.waits_until(point.name, || live.states().contains_key(state.as_str()));
            None
        }
    };
    worker.kill();
    drop(lock);
    live.serve(0.0, &[]);
    live.drains();
    live.is_judged(1, 1);
    let (copies, state) = match guarantee {
        Guarantee::AtMostOnce => (point.copies[0], point.at_most_once),
        Guarantee::AtLeastOnce => (point.copies[1], State::Sent),
    };
    assert_eq!(live.count("accept"), copies, "{}, {}", point.name, guarantee.as_str());
    let found = live.store().sends(&SendFilter::default(), None, 2).await.unwrap();
    let found: Vec<_> = found.iter().map(|stored| stored.send.state).collect();
    assert_eq!(found, [state], "{}, {}", point.name, guarantee.as_str());
}

#[tokio::test]
async fn a_death_at_any_point_has_the_outcome_that_its_guarantee_says_at_most_once() {
    for point in points() {
        die_at(&point, Guarantee::AtMostOnce).await;
    }
}

#[tokio::test]
async fn a_death_at_any_point_has_the_outcome_that_its_guarantee_says_at_least_once() {
    for point in points() {
        die_at(&point, Guarantee::AtLeastOnce).await;
    }
}
