//! A send that kills the worker is put aside after three deaths; who merely waited in the same hands is not.

use std::collections::BTreeMap;

use bespoke::campaign::Guarantee;
use bespoke::profile::EmailAddress;
use bespoke::store::SendFilter;
use bespoke::worker::in_work::InWork;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::is_long;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\n";

#[tokio::test]
async fn a_send_that_was_in_work_at_three_deaths_is_quarantined_and_all_others_are_sent() {
    for mut live in Live::on_each_database(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, 40).await;
        live.serve(0.0, &["connect=421 4.3.0 not yet"]);
        let sends = live.store().sends(&SendFilter::default(), None, 100).await.unwrap();
        let poison = &sends.iter().find(|stored| stored.send.profile.as_str() == "p7").unwrap().send.id;
        for _ in 0..3 {
            // What a process leaves behind that dies while it renders this send.
            let dead = InWork::begin(&live.in_work());
            let entered = dead.enter(poison);
            std::mem::forget(entered);
            copy_and_drop(dead, &live);
            live.hurry().await;
            let before = live.count("connect");
            let mut worker = live.worker();
            live.waits_until("it has begun", || live.count("connect") > before);
            worker.kill();
        }
        live.serve(0.0, &[]);
        live.hurry().await;
        live.drains();
        live.is_judged(3, IN_FLIGHT);
        let expected = BTreeMap::from([("failed".to_owned(), 1), ("sent".to_owned(), 39)]);
        assert_eq!(live.states(), expected, "{}", live.database.name());
        let stored = live.store().send(poison).await.unwrap().unwrap();
        assert_eq!(stored.reason.as_deref(), Some("quarantined"));
    }
}

/// Its file stays, and the lock on it is gone, as after a death.
fn copy_and_drop(dead: InWork, live: &Live) {
    let stem = live.in_work();
    let name = format!("{}.work.", stem.file_name().unwrap().to_string_lossy());
    let folder = stem.parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> =
        files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&name)).collect();
    let texts: Vec<_> = left.iter().map(|path| std::fs::read(path).unwrap()).collect();
    drop(dead);
    for (path, text) in left.iter().zip(texts) {
        std::fs::write(path, text).unwrap();
    }
}

#[tokio::test]
async fn a_poison_recipient_in_every_thousand_harms_nobody_else() {
    let people = if is_long() { 6_000 } else { 1_000 };
    for mut live in Live::on_each_database_if_long(WORKER).await {
        let names: Vec<String> = (0..people).map(|i| format!("p{i}")).collect();
        live.given_sends_to(Guarantee::AtMostOnce, &names, |profile| {
            // A name that breaks headers, one that no mail has room for, and an address that the relay cannot take.
            let poison = match profile.id.as_str()[1..].parse::<usize>().unwrap() % 1_000 {
                7 => "\u{0}\r\nBcc: everybody@example.test\r\n\u{202e}{{ 7 * 7 }}{% raw %}".to_owned(),
                500 => "x".repeat(3_000_000),
                800 => {
                    profile.address = EmailAddress::parse(&format!("\u{e9}{}@example.test", profile.id)).ok();
                    return;
                }
                _ => return,
            };
            profile.traits.insert("first_name".to_owned(), poison.into());
        })
        .await;
        live.serve_with(0.0, &[], &["--no-utf8"]);
        let worked = live.bespoke().args(["work", "--until-idle"]).status().unwrap();
        assert!(worked.success(), "the worker does not die of it");
        live.drains();
        live.is_judged(0, IN_FLIGHT);
        let expected = [("failed", people / 1_000), ("sent", people - people / 1_000)];
        let expected = expected.map(|(state, count)| (state.to_owned(), count)).into();
        assert_eq!(live.states(), expected, "on {}", live.database.name());
        assert_eq!(live.count("accept"), people - people / 1_000);
        let one_each = |line: &serde_json::Value| {
            line["ev"] != "accept" || line["rcpt"].as_array().is_some_and(|to| to.len() == 1)
        };
        assert!(live.journal().iter().all(one_each));
    }
}
