//! Rates are kept by all workers of one database together, and across their deaths.

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
    for (rate, mails) in [(5.0, 40), (50.0, 500)] {
        let config = format!("[worker]\nin_flight = 50\npoll_ms = 100\n[rates]\nper_second = {rate}\n");
        for mut live in Live::on_each_database(&config).await {
            let workers = if live.database.name() == "postgres" { 2 } else { 1 };
            work(&mut live, workers, mails, false).await;
            let times = accepted_at(&live);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            let found = (mails - 1) as f64 / (times[mails - 1] - times[0]);
            eprintln!("{rate}/s stated, {found:.2}/s on {}, {workers} workers", live.database.name());
            assert!((found / rate - 1.0).abs() < 0.02, "{found} of {rate} on {}", live.database.name());
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
    }
}
