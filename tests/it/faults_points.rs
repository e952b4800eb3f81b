//! A death at each named point of a send's way, with exact counts for both guarantees, on both databases.
//!
//! Nothing in the program helps with this: the server stalls at a phase, or somebody else holds what the database needs,
//! and the worker is killed there.

use std::time::Duration;

use bespoke::campaign::Guarantee;

use crate::support::Database;
use crate::support::live::Live;
use crate::support::patience::Holder;

const WORKER: &str = "[worker]\nin_flight = 1\nlease_seconds = 5\nretry_minutes = [1]\n";
/// The delay of the rules below, and a little more: what was to come has come.
const DELAY: Duration = Duration::from_millis(2_300);

/// What tells that the worker is at the point.
enum At {
    /// The claim is committed, and the decision cannot be saved.
    Claim,
    /// A rule has struck.
    Phase(&'static str),
    /// A delaying rule has struck: then the database is locked, and the delay waited for.
    Locked(&'static str),
    /// The mark is on its way to the disk, where it arrives, and nobody is there any more to hear of it.
    Mark,
    /// The send is in this state.
    State(&'static str),
}

struct Point {
    name: &'static str,
    rule: &'static str,
    at: At,
    /// The state in which the dead worker leaves the send.
    left: &'static str,
    /// Copies that the server has in the end, by guarantee.
    copies: [usize; 2],
    at_most_once: &'static str,
}

fn points() -> [Point; 10] {
    let point =
        |name, rule, at, left, copies, at_most_once| Point { name, rule, at, left, copies, at_most_once };
    let before = |name, rule, at| point(name, rule, at, "leased", [1, 1], "sent");
    let after = |name, rule, at, copies| point(name, rule, at, "submitting", copies, "unknown");
    [
        before("claimed, not decided", "connect#1=ok", At::Claim),
        before("rendered", "connect#1=stall", At::Phase("connect")),
        before("RCPT answered late", "rcpt#1=stall", At::Phase("rcpt")),
        before("354 awaited", "data#1=stall", At::Phase("data")),
        before("354 read, the mark not committed", "data#1=delay:2", At::Locked("data")),
        after("the mark committed, no byte of the body sent", "connect#1=ok", At::Mark, [0, 1]),
        after("half of the body", "body#1=stall", At::Phase("body"), [0, 1]),
        after("the dot sent", "reply#1=stall", At::Phase("reply"), [1, 2]),
        after("250 read, not recorded", "reply#1=delay:2", At::Locked("reply"), [1, 2]),
        point("recorded", "quit#1=stall", At::State("sent"), "sent", [1, 1], "sent"),
    ]
}

/// What keeps the worker's next step from being written.
enum Held {
    Nothing,
    Sqlite(sqlx::SqliteConnection),
    /// The file is not locked; its decisions take for ever.
    Slowed,
    Postgres(Holder),
}

impl Held {
    async fn all_writes(database: &Database) -> Self {
        if database.name() == "sqlite" {
            Self::Sqlite(database.locked().await)
        } else {
            Self::Postgres(Holder::of(database, "lock table sends in exclusive mode").await)
        }
    }

    async fn decisions(database: &Database) -> Self {
        if database.name() == "postgres" {
            return Self::Postgres(Holder::of(database, "lock table decisions in exclusive mode").await);
        }
        let slow = "create trigger slow before insert on decisions begin select count(*) from (
             with recursive n(i) as (select 1 union all select i + 1 from n) select i from n); end";
        database.execute(slow).await;
        Self::Slowed
    }

    /// The next mark waits in the middle of its commit.
    async fn commit_of_marks(database: &Database) -> Self {
        let wait = "create function wait() returns trigger language plpgsql as
               'begin perform pg_advisory_xact_lock(hashtext(current_schema())); return null; end';
             create constraint trigger wait after update on sends deferrable initially deferred for each row
               when (new.state = 'submitting' and old.state = 'leased') execute function wait()";
        database.execute(wait).await;
        let lock = "select pg_advisory_xact_lock(hashtext(current_schema()))";
        Self::Postgres(Holder::of(database, lock).await)
    }

    async fn lets_go(self, database: &Database) {
        match self {
            Self::Nothing => {}
            Self::Sqlite(connection) => drop(connection),
            Self::Slowed => database.execute("drop trigger slow").await,
            Self::Postgres(holder) => holder.lets_go().await,
        }
    }
}

async fn die_at(point: &Point, guarantee: Guarantee, mut live: Live) {
    let on = format!("{}, {} on {}", point.name, guarantee.as_str(), live.database.name());
    live.given_sends(guarantee, 1).await;
    live.serve(0.0, &[point.rule]);
    let mut held = match point.at {
        At::Claim => Held::decisions(&live.database).await,
        At::Mark => Held::commit_of_marks(&live.database).await,
        At::Phase(_) | At::Locked(_) | At::State(_) => Held::Nothing,
    };
    let mut worker = live.worker();
    match point.at {
        At::Claim | At::Mark => {
            if let Held::Postgres(holder) = &mut held {
                let pid = holder.pid;
                holder.waited_for(&[pid]).await;
            }
            live.waits_until(&on, || live.states().contains_key("leased"));
        }
        At::Phase(phase) => live.waits_until(&on, || live.struck(phase)),
        At::Locked(phase) => {
            live.waits_until(&on, || live.struck(phase));
            held = Held::all_writes(&live.database).await;
            Live::passes(DELAY);
        }
        At::State(state) => live.waits_until(&on, || live.states().contains_key(state)),
    }
    worker.kill();
    held.lets_go(&live.database).await;
    live.waits_until("it is as the dead one left it", || live.states().contains_key(point.left));
    live.serve(0.0, &[]);
    live.takes_over_and_drains().await;
    live.is_judged(1, 1);
    let (copies, state) = match guarantee {
        Guarantee::AtMostOnce => (point.copies[0], point.at_most_once),
        Guarantee::AtLeastOnce => (point.copies[1], "sent"),
    };
    assert_eq!((live.count("accept"), live.states()), (copies, [(state.to_owned(), 1)].into()), "{on}");
}

async fn die_at_each(guarantee: Guarantee) {
    for point in points() {
        for live in Live::on_each_database(WORKER).await {
            // SQLite cannot be held between the commit and its answer; half of the body is the same to its file.
            if matches!(point.at, At::Mark) && live.database.name() == "sqlite" {
                continue;
            }
            die_at(&point, guarantee, live).await;
        }
    }
}

#[tokio::test]
async fn a_death_at_any_point_has_the_outcome_that_its_guarantee_says_at_most_once() {
    die_at_each(Guarantee::AtMostOnce).await;
}

#[tokio::test]
async fn a_death_at_any_point_has_the_outcome_that_its_guarantee_says_at_least_once() {
    die_at_each(Guarantee::AtLeastOnce).await;
}
