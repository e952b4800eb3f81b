//! What each reply at each phase becomes. The costly mistake is to suppress a good address.

use std::collections::BTreeMap;

use bespoke::campaign::Guarantee;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::smtp::RelayCondition;
use bespoke::deliver::transport::Transport;
use bespoke::profile::EmailAddress;
use bespoke::send::State;
use bespoke::store::Running;
use bespoke::store::SendFilter;
use serde_json::json;

use crate::support::TestApp;
use crate::support::live::Live;

const WORKER: &str = "[worker]\nin_flight = 4\nretry_minutes = [60]\n";

/// Code with its text, and what it becomes at RCPT, DATA and the dot.
const REPLIES: [(&str, &str, [&str; 3]); 8] = [
    ("421", "421 4.3.2 going down", ["deferred deferred"; 3]),
    ("450", "450 4.2.0 greylisted", ["deferred deferred"; 3]),
    ("451", "451 4.3.0 local error", ["deferred deferred"; 3]),
    ("452", "452 4.2.2 full for now", ["deferred deferred"; 3]),
    ("550", "550 5.1.1 no such user", ["failed hard_bounce", "failed policy", "failed policy"]),
    ("551", "550 5.7.1 we do not like you", ["failed policy"; 3]),
    ("552", "552 5.2.2 full", ["failed soft_bounce", "failed policy", "failed soft_bounce"]),
    ("554", "554 5.7.1 blocked", ["failed policy"; 3]),
];

/// State and reason of each recipient.
async fn outcomes(live: &Live) -> BTreeMap<String, String> {
    let sends = live.store().sends(&SendFilter::default(), None, 1_000).await.unwrap();
    let outcome = |stored: bespoke::store::StoredSend| {
        let reason = stored.reason.unwrap_or_default();
        (stored.send.profile.to_string(), format!("{} {reason}", stored.send.state))
    };
    sends.into_iter().map(outcome).collect()
}

/// Every recipient has a domain of its own, so that one host's wish for patience is not another's.
async fn given(live: &Live, names: &[String]) {
    live.given_sends_to(Guarantee::AtMostOnce, names, |profile| {
        let address = format!("x@{}.test", profile.id);
        profile.address = Some(EmailAddress::parse(&address).unwrap());
    })
    .await;
}

#[tokio::test]
async fn only_an_address_that_does_not_exist_is_suppressed() {
    for mut live in Live::on_each_database(WORKER).await {
        let mut rules = Vec::new();
        let mut expected = BTreeMap::from([("good".to_owned(), "sent sent".to_owned())]);
        for (code, text, becomes) in REPLIES {
            for (phase, becomes) in ["rcpt", "data", "dot"].into_iter().zip(becomes) {
                rules.push(format!("{phase}@x@{phase}{code}.test={text}"));
                expected.insert(format!("{phase}{code}"), becomes.to_owned());
            }
        }
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let names: Vec<String> = expected.keys().cloned().collect();
        given(&live, &names).await;
        live.serve(0.0, &rules);
        assert!(live.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        assert_eq!(outcomes(&live).await, expected, "{}", live.database.name());
        let addresses: Vec<String> = names.iter().map(|name| format!("x@{name}.test")).collect();
        let suppressed = live.store().suppressions_of(&addresses).await.unwrap();
        assert_eq!(suppressed.keys().collect::<Vec<_>>(), ["x@rcpt550.test"]);
        assert_eq!(live.count("accept"), 1);
    }
}

/// What a reply at the greeting, at EHLO and at MAIL makes of the send, how many attempts it has cost, and of the relay.
fn before_the_recipient(phase: &str, code: u16) -> (&'static str, u32, &'static str) {
    match (phase, code) {
        ("connect" | "ehlo", 400..500) => ("deferred relay", 0, "backs off"),
        ("connect" | "ehlo", _) | ("mail", 530) => ("deferred relay", 0, "is paused"),
        (_, 400..500) => ("deferred deferred", 1, "is up"),
        _ => ("failed policy", 1, "is up"),
    }
}

#[tokio::test]
async fn before_the_recipient_is_named_nothing_is_held_against_them() {
    let replies = REPLIES.map(|(_, text, _)| text).into_iter().chain(["530 5.7.0 log in first"]);
    for (phase, text) in
        replies.flat_map(|text| ["connect", "ehlo", "mail"].into_iter().map(move |phase| (phase, text)))
    {
        for mut app in TestApp::on_each_database(&[]).await {
            let at = format!("{phase} {text} on {}", app.database.name());
            let catcher = Catcher::start().await.unwrap();
            catcher.set_rules(vec![format!("{phase}={text}").parse().unwrap()]);
            let relays = vec![Relay::from_url(&catcher.url()).unwrap()];
            let pool = Pool::new(relays, PoolSettings::default()).unwrap();
            app.over(Transport::Smtp(pool.clone()));
            app.given_profile("ana").await;
            app.does("ana", "Order Completed", json!({"order_id": "A-1"})).await;
            app.plans().await;
            app.runs_until_idle().await;
            let stored = app.sends().await.remove(0);
            let outcome = format!("{} {}", stored.send.state, stored.reason.unwrap());
            let relay = match pool.status().remove(0).condition {
                RelayCondition::Up => "is up",
                RelayCondition::BackingOff { .. } => "backs off",
                RelayCondition::Paused { .. } => "is paused",
            };
            let found = (outcome.as_str(), stored.send.attempt, relay);
            assert_eq!(found, before_the_recipient(phase, text[..3].parse().unwrap()), "{at}");
            let address = "ana@example.test".to_owned();
            assert!(app.database.store.suppressions_of(&[address]).await.unwrap().is_empty(), "{at}");
            assert_eq!(catcher.accepted_count(), 0, "{at}");
        }
    }
}

/// A hundred and fifty mails, one after the other, of which the relay refuses every `every`th for what they are.
async fn campaign_of_which_every(every: usize) -> Vec<(TestApp, u64)> {
    let mut done = Vec::new();
    for mut app in TestApp::on_each_database(&[]).await {
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec![format!("rcpt%{every}=550 5.7.1 we do not like you").parse().unwrap()]);
        let relays = vec![Relay::from_url(&catcher.url()).unwrap()];
        app.over(Transport::Smtp(Pool::new(relays, PoolSettings::default()).unwrap()));
        app.config.worker.in_flight = 1;
        for n in 0..150 {
            app.given_profile(&format!("p{n}")).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        done.push((app, catcher.accepted_count()));
    }
    done
}

#[tokio::test]
async fn a_campaign_that_relays_refuse_for_what_it_is_stops_by_itself() {
    for (app, accepted) in campaign_of_which_every(10).await {
        let on = app.database.name();
        let states = app.database.store.campaign_states().await.unwrap();
        assert_eq!((states[0].campaign.as_str(), states[0].running), ("news", Running::Paused), "on {on}");
        let reason = "10 % of the last 100 sends failed by policy; last: refused at RCPT: 550 5.7.1 we do not like you";
        assert_eq!(states[0].reason, reason, "on {on}");
        let ends = app.states().await;
        let count = |state| u64::try_from(ends.iter().filter(|end| end.0 == state).count()).unwrap();
        let tried = count(State::Sent) + count(State::Failed);
        assert!((100..=102).contains(&tried) && count(State::Sent) == accepted, "{tried} tried on {on}");
        assert_eq!(count(State::Scheduled) + count(State::Deferred), 150 - tried, "the others wait on {on}");
        let addresses: Vec<String> = (0..150).map(|n| format!("p{n}@example.test")).collect();
        assert!(app.database.store.suppressions_of(&addresses).await.unwrap().is_empty(), "on {on}");
    }
}

#[tokio::test]
async fn a_campaign_of_which_relays_refuse_no_more_than_a_twentieth_goes_on() {
    for (app, accepted) in campaign_of_which_every(20).await {
        assert_eq!(accepted, 143, "150 less the twentieth, the fortieth … on {}", app.database.name());
        assert_eq!(app.database.store.campaign_states().await.unwrap(), [], "on {}", app.database.name());
    }
}
