//! Rates are kept by all workers of one database together, and across their deaths.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;

use bespoke::campaign::Guarantee;

use crate::support::journal::accepted_at;
use crate::support::journal::busiest_second;
use crate::support::journal::most_within;
use crate::support::journal::taken;
use crate::support::live::Live;
use crate::support::live::Running;

async fn work(live: &mut Live, workers: usize, mails: usize, kill: bool) {
    live.given_sends(Guarantee::AtMostOnce, mails * 4).await;
    live.serve(0.0, &[]);
    let mut running: Vec<Running> = (0..workers).map(|_| live.worker()).collect();
    if kill {
        live.waits_until("a third is taken", || live.count("accept") >= mails / 3);
        running[0].kill();
        running[0] = live.worker();
    }
    live.waits_until("all are taken", || live.count("accept") >= mails);
}

#[tokio::test]
async fn workers_together_keep_the_stated_rate_and_a_restart_gives_none_away() {
    let config = "[worker]\nin_flight = 20\npoll_ms = 100\n[rates]\nper_second = 40\n";
    for mut live in Live::on_each_database(config).await {
        let workers = if live.database.name() == "postgres" { 3 } else { 1 };
        work(&mut live, workers, 120, true).await;
        let times = accepted_at(&live);
        // The slots of one second, and those that were late by half a second at most.
        assert!(busiest_second(&times) <= 60, "{} on {}", busiest_second(&times), live.database.name());
        let longest = times[119] - times[0];
        assert!(longest > 2.4, "120 mails at 40 a second in {longest} s, on {}", live.database.name());
    }
}

#[tokio::test]
async fn a_slow_domain_holds_up_nobody_else() {
    let config = "[worker]\nin_flight = 4\npoll_ms = 50\n[rates.domain.slow]\ndomains = [\"slow.test\"]\nper_minute = 6\n";
    for mut live in Live::on_each_database(config).await {
        // All of the slow ones come first in the queue, many times what is in flight.
        given_at(&live, "slow.test", 60).await;
        live.given_sends(Guarantee::AtMostOnce, 100).await;
        live.serve(0.0, &[]);
        let _worker = live.worker();
        let begun = std::time::Instant::now();
        live.waits_until("everybody else has mail", || taken(&live, "@example.test") == 100);
        let most = 2 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
        let slow = taken(&live, "@slow.test");
        assert!((1..=most).contains(&slow), "{slow} on {}", live.database.name());
    }
}

/// So many people at this domain, and a mail to each, due now.
async fn given_at(live: &Live, domain: &str, count: usize) {
    let names: Vec<String> = (0..count).map(|i| format!("{}{i}", &domain[..1])).collect();
    live.given_sends_to(Guarantee::AtMostOnce, &names, |profile| {
        let address = format!("{}@{domain}", profile.id);
        profile.address = Some(bespoke::profile::EmailAddress::parse(&address).unwrap());
    })
    .await;
}

#[tokio::test]
#[ignore = "real time, half a minute: tests/run --faults"]
async fn a_stated_rate_is_met_within_two_percent() {
    let domain = "[rates.domain.example]\ndomains = [\"example.test\"]";
    // Of the last one, more wait for their turn than there is room for.
    for (scope, in_flight, rate, mails) in [
        ("[rates]", 50, 5.0, 40),
        ("[rates]", 50, 50.0, 500),
        (domain, 50, 50.0, 500),
        (domain, 12, 50.0, 500),
    ] {
        let worker = format!("[worker]\nin_flight = {in_flight}\npoll_ms = 100\n");
        for mut live in Live::on_each_database(&format!("{worker}{scope}\nper_second = {rate}\n")).await {
            let workers = if live.database.name() == "postgres" { 2 } else { 1 };
            work(&mut live, workers, mails, false).await;
            let times = accepted_at(&live);
            let found = count(mails - 1) / (times[mails - 1] - times[0]);
            let on = live.database.name();
            eprintln!(
                "{rate}/s of {scope:?} stated, {in_flight} in flight: {found:.2}/s on {on}, {workers} workers"
            );
            assert!((found / rate - 1.0).abs() < 0.02, "{found} of {rate} on {on}");
        }
    }
}

#[tokio::test]
async fn a_relay_that_is_slow_uses_up_nobody_elses_rate() {
    let config = "[worker]\nin_flight = 30\npoll_ms = 50\n[rates]\nper_second = 40\n";
    for mut live in Live::on_each_database_if_long(config).await {
        let Some(mut slow) = Live::on_sqlite(config).await else { return };
        live.given_sends(Guarantee::AtMostOnce, 300).await;
        live.serve(0.0, &[]);
        slow.serve(30.0, &[]);
        let relay = |name: &str, port: u16, connections: u32| {
            format!(
                "[[relay]]\nname = \"{name}\"\nurl = \"smtp://127.0.0.1:{port}\"\nmax_connections = {connections}\n"
            )
        };
        live.state_relays(&(relay("fast", live.port, 20) + &relay("slow", slow.port, 5)));
        let _worker = live.worker();
        live.waits_until("mails go out", || live.count("accept") >= 200);
        // The best two seconds, since a machine may be slow; a relay that eats half of the rate never leaves so much.
        let most = most_within(&accepted_at(&live), 2.0);
        eprintln!("{most} in two seconds of 80 beside a relay that is slow, on {}", live.database.name());
        assert!(most >= 72, "{most} in two seconds on {}", live.database.name());
        assert!(slow.count("accept") <= 5, "each of its connections waits for its reply");
    }
}

/// What the worker's own page says of the connections to its one relay.
async fn connections_shown(address: &str) -> usize {
    let page = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    let line = page.lines().find(|line| line.starts_with("bespoke_relay_connections{"));
    let line = line.unwrap_or_else(|| panic!("no connections in {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_rate_finds_the_connections_that_it_needs_and_shows_them() {
    let config = "[worker]\nin_flight = 60\npoll_ms = 50\n[rates]\nper_second = 40\n";
    for mut live in Live::on_each_database_if_long(config).await {
        live.given_sends(Guarantee::AtMostOnce, 600).await;
        // A quarter of a second for each mail: ten connections carry forty a second.
        live.serve(0.25, &[]);
        let mut command = live.bespoke();
        command.args(["work", "--metrics", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut worker = Running(command.spawn().unwrap());
        let mut lines = BufReader::new(worker.0.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            Some(line.unwrap().strip_prefix("metrics at ")?.strip_suffix("/metrics")?.to_owned())
        });
        live.waits_until("mails go out", || live.count("accept") >= 200);
        let shown = connections_shown(&address.unwrap()).await;
        let opened = live.journal().into_iter().filter_map(|line| line["open"].as_u64()).max().unwrap();
        let most = most_within(&accepted_at(&live), 3.0);
        eprintln!("{shown} connections shown, {opened} at most, {most} of 120 mails in three seconds");
        assert!((10..=20).contains(&shown) && (10..=20).contains(&opened), "{shown} shown, {opened} at most");
        assert!(most >= 117, "{most} in three seconds on {}", live.database.name());
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// More than a host that asks for patience takes while the test looks.
const PEOPLE: usize = 1_500;

/// Mails to one domain, of which the host wants fewer after a while: `421` once, 4.7.x otherwise.
#[tokio::test]
async fn a_host_that_asks_for_patience_gets_it_from_all_workers_and_from_those_that_begin_anew() {
    let config = "[worker]\nin_flight = 8\npoll_ms = 50\nlease_seconds = 5\n";
    for mut live in Live::on_each_database(config).await {
        let name = live.database.name();
        live.given_sends(Guarantee::AtMostOnce, PEOPLE).await;
        live.serve(0.05, &["rcpt#60=450 4.7.1 you are too fast"]);
        let workers = if name == "postgres" { 2 } else { 1 };
        let mut running: Vec<Running> = (0..workers).map(|_| live.worker()).collect();
        live.waits_until("the host asks for patience", || live.struck("rcpt"));
        let asked = std::time::Instant::now();
        let throttled = loop {
            assert!(asked.elapsed().as_secs() < 60, "nobody wrote down that {name}'s host wants patience");
            let now = bespoke::clock::Clock::System.now();
            if let Some(throttled) = live.store().throttled(now).await.unwrap().pop() {
                break throttled;
            }
        };
        assert_eq!(throttled.group, "example.test");
        assert!((throttled.rate * 2.0 - throttled.usual).abs() < 1e-6, "half: {throttled:?}");
        // What was under way may still arrive; then all know of it, those that begin now too.
        running[0].kill();
        running[0] = live.worker();
        let known = std::time::Instant::now();
        live.waits_until("all know", || known.elapsed().as_secs() >= 4);
        let (before, from) = (live.count("accept"), std::time::Instant::now());
        live.waits_until("time passes", || from.elapsed().as_secs() >= 5);
        let found = count(live.count("accept") - before) / from.elapsed().as_secs_f64();
        eprintln!(
            "{:.1}/s, then {:.1}/s allowed and {found:.1}/s taken on {name}",
            throttled.usual, throttled.rate
        );
        assert!(found <= throttled.rate * 1.1 + 1.0 && found > 0.0, "{found} of {throttled:?}");
        // Those of another domain come last in the queue, and overtake all that wait for the patience of this one.
        given_at(&live, "quick.test", 100).await;
        live.waits_until("everybody at the other domain has mail", || taken(&live, "@quick.test") == 100);
        let waiting = PEOPLE - taken(&live, "@example.test");
        assert!(waiting > 100, "only {waiting} were left to overtake on {name}");
    }
}

#[tokio::test]
async fn a_relay_that_takes_few_connections_gets_everything_over_those() {
    const TAKEN: usize = 4;
    for mut live in Live::on_each_database("[worker]\npoll_ms = 50\n").await {
        live.given_sends(Guarantee::AtMostOnce, 400).await;
        live.serve_with(0.002, &[], &["--max-conn", &TAKEN.to_string()]);
        live.drains();
        let on = live.database.name();
        live.is_judged(0, TAKEN);
        live.everybody_is_served(Guarantee::AtMostOnce, 400);
        assert_eq!(live.count("accept"), 400, "{on}");
        let journal = live.journal();
        let open = |line: &serde_json::Value| line["open"].as_u64();
        let most = journal.iter().filter(|line| line["ev"] == "connect").filter_map(open).max();
        assert!(most.is_some_and(|most| most > TAKEN as u64), "{on}: no more was tried than it takes");
        // A relay that refuses is not asked again by each mail: once a second, and less and less often.
        let tried = live.count("connect");
        assert!(tried < 120, "{on}: {tried} connections were tried");
    }
}
