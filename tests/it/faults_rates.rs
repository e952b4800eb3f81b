//! Rates are kept by all workers of one database together, and across their deaths.

use bespoke::campaign::Guarantee;

use crate::support::live::Live;
use crate::support::live::Running;

/// When the server took each mail, in seconds.
fn taken_at(live: &Live) -> Vec<f64> {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    let mut times: Vec<f64> = accepts.map(|line| line["t"].as_f64().unwrap()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The most mails within any second.
fn busiest_second(times: &[f64]) -> usize {
    let within = |(index, begin): (usize, &f64)| times[index..].partition_point(|time| *time < begin + 1.0);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

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
        let times = taken_at(&live);
        // The slots of one second, and those that were late by half a second at most.
        assert!(busiest_second(&times) <= 60, "{} on {}", busiest_second(&times), live.database.name());
        let longest = times[119] - times[0];
        assert!(longest > 2.4, "120 mails at 40 a second in {longest} s, on {}", live.database.name());
    }
}

#[tokio::test]
async fn a_slow_domain_holds_up_nobody_else() {
    let config = "[worker]\nin_flight = 4\npoll_ms = 50\n[rates.domain.slow]\ndomains = [\"slow.test\"]\nper_minute = 6\n";
    let Some(mut live) = Live::on_sqlite(config).await else { return };
    // All of the slow ones come first in the queue, many times what is in flight.
    let slow: Vec<String> = (0..60).map(|i| format!("s{i}")).collect();
    live.given_sends_to(Guarantee::AtMostOnce, &slow, |profile| {
        let address = format!("{}@slow.test", profile.id);
        profile.address = Some(bespoke::profile::EmailAddress::parse(&address).unwrap());
    })
    .await;
    live.given_sends(Guarantee::AtMostOnce, 100).await;
    live.serve(0.0, &[]);
    let _worker = live.worker();
    let taken = |live: &Live, domain: &str| {
        let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
        accepts.filter(|line| line["rcpt"].to_string().contains(domain)).count()
    };
    let begun = std::time::Instant::now();
    live.waits_until("everybody else has mail", || taken(&live, "@example.test") == 100);
    let most = 2 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    assert!((1..=most).contains(&taken(&live, "@slow.test")), "{}", taken(&live, "@slow.test"));
}

#[tokio::test]
#[ignore = "real time, half a minute: tests/run --faults"]
async fn a_stated_rate_is_met_within_two_percent() {
    for (rate, mails) in [(5.0, 40), (50.0, 500)] {
        let config = format!("[worker]\nin_flight = 50\npoll_ms = 100\n[rates]\nper_second = {rate}\n");
        for mut live in Live::on_each_database(&config).await {
            let workers = if live.database.name() == "postgres" { 2 } else { 1 };
            work(&mut live, workers, mails, false).await;
            let times = taken_at(&live);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            let found = (mails - 1) as f64 / (times[mails - 1] - times[0]);
            eprintln!("{rate}/s stated, {found:.2}/s on {}, {workers} workers", live.database.name());
            assert!((found / rate - 1.0).abs() < 0.02, "{found} of {rate} on {}", live.database.name());
        }
    }
}
