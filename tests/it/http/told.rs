//! Other systems hear of everything that becomes of a mail: each of the eight kinds, from what people and hosts do.

use std::collections::BTreeMap;

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::profile::Consent;
use bespoke::store::ConsentProof;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::mailed::LINKED;
use super::mailed::newest;
use crate::support::TestApp;
use crate::support::given;
use crate::support::service::answer;
use crate::webhooks::Receiver;
use crate::webhooks::configure;
use crate::webhooks::messenger;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// cy takes consent back after their mail was planned.
async fn withdraws(app: &TestApp, name: &str) {
    let proof = ConsentProof {
        profile: given::id(name),
        at: app.now(),
        status: Consent::Withdrawn,
        source: "form".to_owned(),
        who: name.to_owned(),
        wording: "no more".to_owned(),
        address: None,
    };
    app.database.store.append_consents(&[proof], app.now()).await.unwrap();
}

#[tokio::test]
async fn receivers_hear_of_all_that_becomes_of_mails() {
    for mut app in TestApp::on_each_database(LINKED).await {
        let receiver = Receiver::start().await;
        configure(&mut app, &receiver, &[]);
        app.config.feedback.postmark_basic_auth = Some("hook:secret".into());
        let mut messenger = messenger(&app).await;
        for name in ["ana", "bo", "cy", "dee"] {
            app.given_profile(name).await;
        }
        app.plans().await;
        withdraws(&app, "cy").await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;

        let serving = app.serves().await;
        let links = newest(&app, "ana");
        let browses = async |path: &str| {
            answer(serving.request(Method::GET, path).header("user-agent", BROWSER)).await.status
        };
        assert_eq!(browses(links.pixel.as_ref().unwrap()).await, 200);
        assert_eq!(browses(&links.clicks[0]).await, 302);
        assert_eq!(answer(serving.request(Method::POST, &links.unsubscribe)).await.status, 200);
        for (name, kind) in [("bo", "Bounce"), ("dee", "SpamComplaint")] {
            let send = newest(&app, name).send;
            let body = json!({
                "RecordType": kind, "ID": 1, "Type": "HardBounce", "Email": format!("{name}@example.test"),
                "Details": "smtp;550 5.1.1 user unknown", "MessageID": format!("{send}@shop.test"),
            });
            let request = serving.request(Method::POST, "/v1/webhooks/postmark");
            let told = answer(request.basic_auth("hook", Some("secret")).json(&body)).await;
            assert_eq!(told.json()["reports"][0]["verdict"], "applied", "{told:?}");
        }
        // Tomorrow the host of a newcomer is busy.
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec!["rcpt@eve@=451 4.2.1 try again later".parse().unwrap()]);
        let relay = Relay::from_url(&catcher.url()).unwrap();
        app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
        app.given_profile("eve").await;
        app.plans().await;
        app.at("2026-03-03T10:00:00Z").await;
        app.runs_until_idle().await;

        while messenger.round(&app.database.store, &app.clock).await.unwrap().delivered > 0 {}
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, body) in receiver.take() {
            assert!(!body.contains('@'), "no address is told: {body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            let profile = body["data"]["profile_id"].as_str().unwrap().to_owned();
            told.entry(body["type"].as_str().unwrap().to_owned()).or_default().push(profile);
        }
        for people in told.values_mut() {
            people.sort();
            people.dedup();
        }
        let expected: BTreeMap<String, Vec<String>> = [
            ("email.sent", &["ana", "bo", "dee"][..]),
            ("email.opened", &["ana"]),
            ("email.clicked", &["ana"]),
            ("email.unsubscribed", &["ana"]),
            ("email.bounced", &["bo"]),
            ("email.complained", &["dee"]),
            ("email.deferred", &["eve"]),
            ("email.skipped", &["cy"]),
        ]
        .into_iter()
        .map(|(kind, people)| (kind.to_owned(), people.iter().map(ToString::to_string).collect()))
        .collect();
        assert_eq!(told, expected, "on {}", app.database.name());
    }
}
