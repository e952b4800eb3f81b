//! A long run with a little of everything going wrong: a worker that lives through it neither grows nor leaks.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::Running;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";
/// How long mails go out; draining comes on top.
const RUN: Duration = Duration::from_mins(4);
/// New sends, by each guarantee, whenever fewer than these are open.
const SENDS: usize = 1_000;
/// What goes wrong at the server, of each hundred.
const RULES: [&str; 11] = [
    "connect~0.01=drop",
    "ehlo~0.01=rst",
    "mail~0.01=451 4.3.0 later",
    "mail~0.002=stall",
    "rcpt~0.01=450 4.2.0 greylisted",
    "rcpt~0.005=drop",
    "data~0.01=452 4.3.1 full for now",
    "body~0.005=rst",
    "dot~0.005=drop",
    "reply~0.005=drop",
    "reply~0.005=nonutf8",
];

/// What a process holds: memory in kB, and open files.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory_kb: u64,
    files: usize,
}

fn held(worker: &Running) -> Held {
    let process = Path::new("/proc").join(worker.0.id().to_string());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory_kb = line.trim().trim_end_matches(" kB").parse().unwrap();
    Held { memory_kb, files: std::fs::read_dir(process.join("fd")).unwrap().count() }
}

/// The most of each.
fn most(held: &[Held]) -> Held {
    let memory_kb = held.iter().map(|held| held.memory_kb).max().unwrap();
    Held { memory_kb, files: held.iter().map(|held| held.files).max().unwrap() }
}

/// Faults after which only the server knows whether it has the mail.
fn struck_after_the_mark(live: &Live) -> usize {
    let after_the_mark = |line: &serde_json::Value| {
        line["ev"] == "fault" && ["body", "dot", "reply"].iter().any(|phase| line["phase"] == *phase)
    };
    live.journal().iter().filter(|line| after_the_mark(line)).count()
}

fn relay(live: &Live) -> String {
    // Only commands are stalled; what comes after the body has all the time that a busy machine takes.
    let deadlines = "greeting = 2.0, ehlo = 2.0, mail = 2.0, rcpt = 2.0, data = 2.0, body = 30.0, dot = 30.0";
    format!("[[relay]]\nurl = \"smtp://{}:{}\"\ndeadline_seconds = {{ {deadlines} }}\n", live.host, live.port)
}

async fn more(live: &Live, round: usize) {
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce] {
        let names: Vec<String> = (0..SENDS).map(|i| format!("r{round}-{i}")).collect();
        live.given_sends_to(guarantee, &names, |_| {}).await;
    }
}

async fn open(live: &Live) -> usize {
    let counts = live.store().count_sends().await.unwrap();
    let open = counts.iter().filter(|count| !count.state.is_terminal());
    open.map(|count| usize::try_from(count.count).unwrap()).sum()
}

#[tokio::test]
#[ignore = "six minutes of everything: tests/run --faults"]
async fn a_worker_that_lives_through_everything_keeps_its_size_and_loses_and_doubles_nobody() {
    let Some(mut live) = Live::on_postgres(WORKER).await else { return };
    live.state_relays(&relay(&live));
    more(&live, 0).await;
    live.serve(0.004, &RULES);
    let mut lasting = live.worker();
    let mut dying = live.worker();
    let begun = Instant::now();
    let (mut looks, mut rounds, mut kills) = (Vec::new(), 1, 0);
    while begun.elapsed() < RUN {
        // Kills come at any moment: 0.7 to 6.9 s after the worker began.
        let life = Duration::from_millis(700 + 1_553 * (kills as u64 * 7 % 5));
        let born = Instant::now();
        live.waits_until("a moment passes", || born.elapsed() > life);
        dying.kill();
        kills += 1;
        dying = live.worker();
        live.hurry().await;
        if open(&live).await < SENDS {
            more(&live, rounds).await;
            rounds += 1;
        }
        looks.push(held(&lasting));
    }
    assert!(lasting.0.try_wait().unwrap().is_none(), "one worker lives through it");
    drains(&live).await;
    dying.kill();
    let struck = struck_after_the_mark(&live);
    live.is_judged(kills * IN_FLIGHT + struck, 1);
    let third = looks.len() / 3;
    let (early, late) = (most(&looks[..third]), most(&looks[looks.len() - third..]));
    eprintln!(
        "{} sends, {kills} kills, {struck} faults after the mark; early {early:?}, late {late:?}",
        rounds * SENDS * 2
    );
    assert!(kills > 20 && struck > 20, "{kills} kills and {struck} faults");
    assert!(late.memory_kb < early.memory_kb * 115 / 100 + 4_096, "{early:?} {late:?}");
    assert!(late.files <= early.files + 6, "{early:?} {late:?}");
    let states = live.states();
    assert!(states.keys().all(|state| state == "sent" || state == "unknown"), "{states:?}");
}

/// Everything is sent, but what the killed had on the wire: that is given up once it cannot arrive any more.
async fn drains(live: &Live) {
    let begun = Instant::now();
    while open(live).await > 0 {
        assert!(begun.elapsed() < Duration::from_mins(2), "open for ever: {:?}", live.states());
        live.hurry().await;
        let wait = Instant::now();
        live.waits_until("a moment passes", || wait.elapsed() > Duration::from_millis(300));
        let states = live.states();
        let only_marked =
            ["scheduled", "leased", "deferred"].iter().all(|state| !states.contains_key(*state));
        if only_marked {
            // As if a quarter of an hour passed for those whose lease has ended; others hold theirs.
            let now = bespoke::clock::Clock::System.now().as_millisecond();
            let sql = format!(
                "update sends set lease_until = lease_until - 1000000 where state = 'submitting' and lease_until < {now}"
            );
            live.database.execute(&sql).await;
        }
    }
}
