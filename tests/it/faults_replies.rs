//! What each reply at each phase becomes. The costly mistake is to suppress a good address.

use std::collections::BTreeMap;

use bespoke::campaign::Guarantee;
use bespoke::profile::EmailAddress;
use bespoke::store::SendFilter;

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

#[tokio::test]
async fn before_the_recipient_is_named_nothing_is_held_against_them() {
    for (phase, text, expected, attempt) in [
        ("connect", "421 4.3.2 busy", "deferred relay", 0),
        ("connect", "554 5.7.1 go away", "deferred relay", 0),
        ("ehlo", "550 5.7.1 not you", "deferred relay", 0),
        ("mail", "451 4.3.0 later", "deferred deferred", 1),
        ("mail", "552 5.2.2 full", "failed policy", 1),
        ("mail", "554 5.7.1 blocked", "failed policy", 1),
        ("mail", "530 5.7.0 log in first", "deferred relay", 0),
    ] {
        let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
        given(&live, &["ana".to_owned()]).await;
        live.serve(0.0, &[&format!("{phase}={text}")]);
        assert!(live.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        let expected = BTreeMap::from([("ana".to_owned(), expected.to_owned())]);
        assert_eq!(outcomes(&live).await, expected, "{phase} {text}");
        let stored = live.store().sends(&SendFilter::default(), None, 1).await.unwrap().remove(0);
        assert_eq!(stored.send.attempt, attempt, "{phase} {text}");
        let suppressed = live.store().suppressions_of(&["x@ana.test".to_owned()]).await.unwrap();
        assert!(suppressed.is_empty(), "{phase} {text}");
    }
}
