//! What a key of scope ingest alone may do: it stands in a page, and anybody can read it there.

use bespoke::http::Scope;
use bespoke::profile::Consent;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::consent::CAREFUL;
use super::consent::SAID;
use super::consent::ask;
use super::consent::consent;
use crate::support::TestApp;
use crate::support::given;
use crate::support::service::answer;

#[tokio::test]
async fn a_key_that_may_stand_in_a_page_grants_nothing_by_saying_who_somebody_is() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let public = app.key_for(&[Scope::Ingest]).await;
        let own = app.key_for(&[Scope::Ingest, Scope::Send]).await;
        let identify =
            |name: &str, word: &str| json!({"type": "identify", "userId": name, "traits": {"consent": word}});
        let batch = json!({"batch": [identify("ana", "granted"), identify("bo", "withdrawn")]});
        for (key, path, body) in [
            (&public, "/v1/identify", identify("ana", "granted")),
            (&public, "/v1/batch", batch),
            (&own, "/v1/identify", identify("eve", "granted")),
        ] {
            let request = serving.request(Method::POST, path).bearer_auth(key).json(&body);
            assert_eq!(answer(request).await.status, 200);
        }
        let found = [consent(&app, "ana").await, consent(&app, "bo").await, consent(&app, "eve").await];
        assert_eq!(
            found,
            [Consent::Unknown, Consent::Withdrawn, Consent::Granted],
            "{}",
            app.database.name()
        );
        let proofs = app.database.store.consents_of(&given::id("ana")).await.unwrap();
        assert_eq!(proofs, []);
    }
}

#[tokio::test]
async fn a_key_that_may_stand_in_a_page_turns_nobodys_mail_to_another_address() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let public = app.key_for(&[Scope::Ingest]).await;
        let own = app.key_for(&[Scope::Ingest, Scope::Send]).await;
        app.given_profile("ana").await;
        app.given_profile_with("bo", |profile| profile.address = None).await;
        let says = async |key: &str, body: Value| {
            let request = serving.request(Method::POST, "/v1/batch").bearer_auth(key);
            assert_eq!(answer(request.json(&json!({"batch": [body]}))).await.status, 200);
        };
        let found = async |name: &str| {
            let profile = app.database.store.profile(&given::id(name)).await.unwrap().unwrap();
            (profile.address.map(|address| address.to_string()), profile.consent, profile.traits)
        };
        let known = |name: &str, address: &str| json!({"type": "identify", "userId": name, "traits": {"email": address, "firstName": "N"}});
        let visitor =
            |address: &str| json!({"type": "identify", "anonymousId": "v", "traits": {"email": address}});
        let at = |address: &str| Some(address.to_owned());

        says(&public, known("ana", "thief@example.test")).await;
        let (address, consent, traits) = found("ana").await;
        assert_eq!((address, consent), (at("ana@example.test"), Consent::Granted));
        assert_eq!(traits["first_name"], "N", "what it says besides is kept");
        says(&own, known("ana", "ana2@example.test")).await;
        assert_eq!(found("ana").await.0, at("ana2@example.test"), "a program of ours may");

        // Who has no address gets one; who read there has granted nothing.
        says(&public, known("bo", "victim@example.test")).await;
        assert_eq!((found("bo").await.0, found("bo").await.1), (at("victim@example.test"), Consent::Unknown));
        says(&public, known("bo", "thief@example.test")).await;
        assert_eq!(found("bo").await.0, at("victim@example.test"));
        says(&public, known("cy", "cy@example.test")).await;
        says(&public, known("cy", "thief@example.test")).await;
        assert_eq!(found("cy").await.0, at("cy@example.test"));

        // A visitor corrects what they typed, and leaves their consent at the address where they gave it.
        says(&public, visitor("typo@example.test")).await;
        let granted = json!({"type": "identify", "anonymousId": "v", "traits": {"consent": "granted"}});
        says(&own, granted).await;
        assert_eq!(found("anon:v").await.1, Consent::Granted);
        says(&public, visitor("v@example.test")).await;
        assert_eq!(
            (found("anon:v").await.0, found("anon:v").await.1),
            (at("v@example.test"), Consent::Unknown)
        );

        // Nor by asking for consent there.
        app.given_profile_with("dora", |profile| profile.address = None).await;
        let asks = ask(&json!({"profile": "dora", "address": "victim2@example.test", "double_opt_in": true}));
        let request = serving.request(Method::POST, "/v1/consents").bearer_auth(&public).json(&asks);
        assert_eq!(answer(request).await.status, 202);
        assert_eq!(found("dora").await.1, Consent::Unknown, "on {}", app.database.name());
    }
}

#[tokio::test]
async fn a_key_that_may_stand_in_a_page_cannot_keep_our_own_programs_from_asking() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let public = app.key_for(&[Scope::Ingest]).await;
        let asks = async |key: &str, wording: &str| {
            let body = json!({"address": "ana@example.test", "source": "form", "wording": wording, "double_opt_in": true});
            let request = serving.request(Method::POST, "/v1/consents").bearer_auth(key).json(&body);
            answer(request).await.status
        };
        for (hour, expected) in [("09", 202), ("10", 202), ("11", 202), ("12", 202), ("13", 202), ("14", 429)]
        {
            app.at(&format!("2026-03-02T{hour}:00:00Z")).await;
            assert_eq!(asks(&public, "a stranger's words").await, expected, "at {hour}");
        }
        assert_eq!(asks(&serving.key, SAID).await, 202, "{}", app.database.name());
        assert_eq!(asks(&serving.key, "other words").await, 429, "whose own questions count");
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 6);
    }
}
