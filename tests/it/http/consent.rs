//! Consent with its proof, and double opt-in from the form to the first mail.

use bespoke::http::Scope;
use bespoke::profile::Consent;
use bespoke::send::State;
use mail_parser::MessageParser;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::mailed::PUBLIC;
use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::given;
use crate::support::patience::Holder;
use crate::support::service::Serving;
use crate::support::service::answer;

/// A campaign that asks, and one that only writes to those who said yes there.
pub(super) const CAREFUL: Files<'static> = &[
    (
        "news/campaign.toml",
        "kind = \"lifecycle\"\ndouble_opt_in = true\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
    ),
    (
        "confirm-subscription/campaign.toml",
        "kind = \"transactional\"\ntracking = \"off\"\ntrigger = { api = {} }\n",
    ),
    (
        "confirm-subscription/any/ask.mjml",
        "+++\nsubject = \"Please confirm\"\n+++\n<mj-section><mj-column><mj-text>{{ data.wording or '' }} \
         <a href=\"{{ data.confirm_url or 'https://shop.test' }}\">Confirm</a></mj-text></mj-column></mj-section>",
    ),
];

pub(super) const SAID: &str = "I want the newsletter.";

pub(super) fn ask(extra: &Value) -> Value {
    let mut body = json!({"source": "newsletter form", "wording": SAID});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The path of the link in the newest mail that asks.
fn confirm_path(app: &TestApp) -> String {
    let mails = app.mails();
    let html =
        MessageParser::new().parse(&mails.last().unwrap().bytes).unwrap().body_html(0).unwrap().into_owned();
    let (_, rest) = html.split_once(&format!("href=\"{PUBLIC}/k/")).unwrap_or_else(|| panic!("{html}"));
    format!("/k/{}", rest.split('"').next().unwrap())
}

pub(super) async fn consent(app: &TestApp, name: &str) -> Consent {
    app.database.store.profile(&given::id(name)).await.unwrap().unwrap().consent
}

async fn presses(serving: &Serving, path: &str) -> u16 {
    answer(serving.request(Method::POST, path)).await.status
}

#[tokio::test]
async fn only_the_button_behind_the_mailed_link_grants_consent_and_only_once() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        app.given_profile_with("ana", |profile| profile.consent = Consent::Unknown).await;
        let body = ask(&json!({"profile": "ana", "double_opt_in": true}));
        let first = serving.post("/v1/consents", &body).await;
        let again = serving.post("/v1/consents", &body).await;
        assert_eq!((first.status, &first.text), (202, &again.text), "one address is asked once");
        assert_eq!(first.json()["consent"], "asked");
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 1);
        assert_eq!(first.json()["send"], app.mails()[0].send.as_str());
        let path = confirm_path(&app);
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            answer(serving.request(method, &path)).await;
        }
        assert_eq!(consent(&app, "ana").await, Consent::Unknown, "looking grants nothing");
        let question = answer(serving.request(Method::GET, &path)).await.text;
        assert!(question.contains(SAID) && question.contains("Yes, I confirm"), "{question}");

        assert_eq!(presses(&serving, &path).await, 200);
        assert_eq!(presses(&serving, &path).await, 200);
        assert_eq!(consent(&app, "ana").await, Consent::Granted);
        let proofs = app.database.store.consents_of(&given::id("ana")).await.unwrap();
        assert_eq!(proofs.len(), 1);
        assert_eq!((proofs[0].source.as_str(), proofs[0].wording.as_str()), ("confirmation link", SAID));
        assert!(proofs[0].who.contains("newsletter form"), "{proofs:?}");

        // Taken back later, the old link brings nothing back.
        let no = ask(&json!({"profile": "ana", "status": "withdrawn"}));
        app.at("2026-03-02T09:30:00Z").await;
        assert_eq!(serving.post("/v1/consents", &no).await.status, 200);
        assert_eq!(presses(&serving, &path).await, 200);
        assert_eq!(consent(&app, "ana").await, Consent::Withdrawn, "{}", app.database.name());
    }
}

#[tokio::test]
async fn somebody_whom_nobody_knew_subscribes_with_their_address_alone() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let body = ask(&json!({"address": "New@example.test", "double_opt_in": true}));
        let heard = serving.post("/v1/consents", &body).await;
        assert_eq!(heard.status, 202, "{heard:?}");
        app.runs_until_idle().await;
        assert_eq!(app.mails().iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["New@example.test"]);
        assert_eq!(presses(&serving, &confirm_path(&app)).await, 200);
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let got: Vec<_> = app.mails().into_iter().map(|mail| mail.to).collect();
        assert_eq!(got, ["New@example.test", "New@example.test"], "the question, and the news");
    }
}

#[tokio::test]
async fn what_was_answered_moments_ago_is_not_asked_again_unless_it_was_taken_back() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        app.given_profile_with("ana", |profile| profile.consent = Consent::Unknown).await;
        let body = ask(&json!({"profile": "ana", "double_opt_in": true}));
        let first = serving.post("/v1/consents", &body).await;
        app.runs_until_idle().await;
        app.at("2026-03-02T09:01:00Z").await;
        assert_eq!(presses(&serving, &confirm_path(&app)).await, 200);
        let again = serving.post("/v1/consents", &body).await;
        assert_eq!((again.status, again.json()), (200, json!({"profile": "ana", "consent": "granted"})));
        // Whoever reads the page's source must not learn who has consented.
        let public = app.key_for(&[Scope::Ingest]).await;
        let request = serving.request(Method::POST, "/v1/consents").bearer_auth(public).json(&body);
        let told = answer(request).await;
        assert_eq!((told.status, &told.text), (202, &first.text));
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 1);

        app.at("2026-03-02T09:02:00Z").await;
        let no = ask(&json!({"profile": "ana", "status": "withdrawn"}));
        assert_eq!(serving.post("/v1/consents", &no).await.status, 200);
        app.at("2026-03-02T09:03:00Z").await;
        assert_eq!(serving.post("/v1/consents", &body).await.status, 202);
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 2);
        assert_eq!(presses(&serving, &confirm_path(&app)).await, 200);
        assert_eq!(consent(&app, "ana").await, Consent::Granted, "{}", app.database.name());
    }
}

#[tokio::test]
async fn nobody_is_asked_too_often_whoever_asks_and_for_whom() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let asks = async |profile: &str, address: &str| {
            let who = json!({"userId": profile, "traits": {"email": address}});
            assert_eq!(serving.post("/v1/identify", &who).await.status, 200);
            serving.post("/v1/consents", &ask(&json!({"profile": profile, "double_opt_in": true}))).await
        };
        // One address, many people: the first only.
        assert_eq!(asks("p0", "victim@example.test").await.status, 202);
        let second = asks("p1", "Victim@example.test").await;
        assert_eq!((second.status, second.header("retry-after")), (429, "601"), "{second:?}");
        assert!(second.json()["detail"].as_str().unwrap().starts_with("address: "));
        for (hour, expected) in [("10", 202), ("11", 202), ("12", 202), ("13", 202), ("14", 429)] {
            app.at(&format!("2026-03-02T{hour}:00:00Z")).await;
            assert_eq!(asks("p1", "victim@example.test").await.status, expected, "at {hour}");
        }
        app.at("2026-03-03T09:00:01Z").await;
        assert_eq!(asks("p1", "victim@example.test").await.status, 202);
        // One person, many addresses: who mistypes corrects it, a few times.
        for (number, expected) in [(0, 202), (1, 202), (2, 202), (3, 429)] {
            assert_eq!(asks("p2", &format!("a{number}@example.test")).await.status, expected, "{number}");
        }
        app.runs_until_idle().await;
        assert_eq!(app.mails().iter().filter(|mail| mail.to == "a3@example.test").count(), 0);

        // One key that anybody can read, many people.
        let public = app.key_for(&[Scope::Ingest]).await;
        let id = bespoke::http::key::id_of(&public).unwrap().to_owned();
        let now = app.now().as_millisecond();
        app.database
            .execute(&format!(
                "insert into consent_requests (id, profile_id, address, source, who, wording, requested_at, expires_at)
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
                 select 'q' || i, 'q' || i, 'q' || i, 's', 'told by the key {id}', 'w', {now}, {now} from n"
            ))
            .await;
        let one_more = ask(&json!({"address": "new@example.test", "double_opt_in": true}));
        let by = |key: &str| serving.request(Method::POST, "/v1/consents").bearer_auth(key).json(&one_more);
        assert_eq!(answer(by(&public)).await.status, 429);
        assert_eq!(answer(by(&serving.key)).await.status, 202, "a program of ours may");
    }
}

#[tokio::test]
async fn a_campaign_with_double_opt_in_goes_to_those_only_who_confirmed_where_it_goes() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        for name in ["ana", "bo", "cy", "di"] {
            app.given_profile_with(name, |profile| profile.consent = Consent::Unknown).await;
        }
        let granted = ask(&json!({"profile": "bo"}));
        let heard = serving.post("/v1/consents", &granted).await;
        assert_eq!((heard.status, &heard.json()["consent"]), (200, &json!("granted")));
        for name in ["ana", "cy", "di"] {
            let body = ask(&json!({"profile": name, "double_opt_in": "confirm-subscription"}));
            assert_eq!(serving.post("/v1/consents", &body).await.status, 202);
            app.runs_until_idle().await;
            assert_eq!(presses(&serving, &confirm_path(&app)).await, 200);
        }
        app.at("2026-03-02T09:10:00Z").await;
        let by_word = ask(&json!({"profile": "cy"}));
        assert_eq!(serving.post("/v1/consents", &by_word).await.status, 200);
        let moves = json!({"userId": "di", "traits": {"email": "elsewhere@example.test"}});
        assert_eq!(serving.post("/v1/identify", &moves).await.status, 200);

        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let mut found: Vec<String> = app
            .sends()
            .await
            .into_iter()
            .filter(|stored| stored.send.campaign.as_str() == "news")
            .map(|stored| {
                let why = stored.detail.filter(|_| stored.send.state == State::Skipped).unwrap_or_default();
                format!("{} {} {why}", stored.send.profile, stored.reason.unwrap())
            })
            .collect();
        found.sort();
        let why = "not_confirmed the campaign asks for double opt-in, and consent was not confirmed at the address that \
                   the mail goes to";
        assert_eq!(found, ["ana sent ", &format!("bo {why}"), "cy sent ", &format!("di {why}")]);
    }
}

#[tokio::test]
async fn a_link_that_is_late_forged_or_for_another_address_grants_nothing() {
    for app in TestApp::on_each_database(CAREFUL).await {
        let serving = app.serves().await;
        let body = ask(&json!({"address": "new@example.test", "double_opt_in": true}));
        let heard = serving.post("/v1/consents", &body).await;
        assert_eq!(heard.status, 202, "{heard:?}");
        let name = heard.json()["profile"].as_str().unwrap().to_owned();
        app.runs_until_idle().await;
        let path = confirm_path(&app);
        for wrong in [&path[..path.len() - 1], &path.replace("/k/", "/k/A"), "/k/"] {
            assert_eq!(presses(&serving, wrong).await, 404, "{wrong}");
        }
        app.at("2026-03-09T09:00:00Z").await;
        assert_eq!(presses(&serving, &path).await, 410);
        assert_eq!(consent(&app, &name).await, Consent::Unknown);

        assert_eq!(serving.post("/v1/consents", &body).await.status, 202);
        app.runs_until_idle().await;
        app.database
            .execute("update profiles set address = 'other@example.test', address_key = 'other@example.test'")
            .await;
        assert_eq!(presses(&serving, &confirm_path(&app)).await, 410);
        assert_eq!(consent(&app, &name).await, Consent::Unknown);
    }
}

#[tokio::test]
async fn consent_is_taken_from_those_only_who_may_say_so_and_as_they_should() {
    let app = TestApp::on_sqlite(CAREFUL).await;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    let body = ask(&json!({"profile": "ana"}));
    let with = |key: String, body: &Value| {
        answer(serving.request(Method::POST, "/v1/consents").bearer_auth(key).json(body))
    };
    assert_eq!(answer(serving.request(Method::POST, "/v1/consents").json(&body)).await.status, 401);
    for (scope, expected) in [(Scope::Send, 200), (Scope::Ingest, 403), (Scope::Decide, 403)] {
        assert_eq!(with(app.key_for(&[scope]).await, &body).await.status, expected, "{scope:?}");
    }
    for (extra, expected) in [
        (json!({"profile": "nobody"}), 404),
        (json!({"profile": "ana", "address": "other@example.test"}), 409),
        (json!({"profile": "ana", "source": " "}), 422),
        (json!({"profile": "ana", "source": "confirmation link"}), 422),
        (json!({"profile": "ana", "wording": ""}), 422),
        (json!({"profile": "ana", "double_opt_in": "news"}), 422),
        (json!({"profile": "ana", "double_opt_in": "nothing"}), 404),
        (json!({"profile": "ana", "status": "perhaps"}), 422),
        (json!({"profile": "ana", "more": 1}), 422),
        (json!({}), 422),
    ] {
        let refused = serving.post("/v1/consents", &ask(&extra)).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (expected, "application/problem+json"),
            "{extra}"
        );
    }
    let states: Vec<State> = app.states().await.into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, []);
}

#[tokio::test]
async fn whose_address_changes_while_they_confirm_has_not_confirmed_at_the_new_one() {
    for app in TestApp::on_each_database(CAREFUL).await {
        // SQLite has one writer: there one of both is always first.
        if app.database.name() != "postgres" {
            continue;
        }
        let serving = app.serves().await;
        app.given_profile_with("ana", |profile| profile.consent = Consent::Unknown).await;
        let body = ask(&json!({"profile": "ana", "double_opt_in": true}));
        assert_eq!(serving.post("/v1/consents", &body).await.status, 202);
        app.runs_until_idle().await;
        let path = confirm_path(&app);
        let mut holder =
            Holder::of(&app.database, "select id from profiles where id = 'ana' for update").await;
        let moves = json!({"userId": "ana", "traits": {"email": "new@example.test"}});
        let both = async {
            tokio::join!(serving.post("/v1/identify", &moves), async {
                let mover = holder.waited_for(&[holder.pid]).await;
                tokio::join!(presses(&serving, &path), async {
                    holder.waited_for(&[mover]).await;
                    holder.lets_go().await;
                })
                .0
            })
        };
        let (moved, pressed) = both.await;
        assert_eq!((moved.status, pressed), (200, 410));
        assert_eq!(consent(&app, "ana").await, Consent::Unknown);
        assert_eq!(app.database.store.consents_of(&given::id("ana")).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_so_and_not_that_it_may_not() {
    let mut app = TestApp::on_sqlite(CAREFUL).await;
    app.config.http.requests_per_minute_per_key = 1;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    let body = ask(&json!({"profile": "ana"}));
    assert_eq!(serving.post("/v1/consents", &body).await.status, 200);
    assert_eq!(serving.post("/v1/consents", &body).await.status, 429);
}
