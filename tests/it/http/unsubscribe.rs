//! Unsubscribe, preferences and the mail as a page, as hosts, scanners and people use them.

use bespoke::config::DatabaseLinks;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::profile::Consent;
use bespoke::send::State;
use bespoke::worker::run::Until;
use reqwest::Method;
use serde_json::json;

use super::mailed::LINKED;
use super::mailed::Links;
use super::mailed::mail_to;
use super::mailed::newest;
use crate::support::TestApp;
use crate::support::given;
use crate::support::service::Answer;
use crate::support::service::Serving;
use crate::support::service::answer;

const FORM: &str = "application/x-www-form-urlencoded";

async fn posts(serving: &Serving, path: &str, kind: &str, body: &str) -> Answer {
    let request = serving.request(Method::POST, path).header("content-type", kind);
    answer(request.header("cookie", "session=stray").body(body.to_owned())).await
}

async fn submits(serving: &Serving, path: &str, body: &str) -> Answer {
    let answer = posts(serving, path, FORM, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Topic and reason of what stands against ana, her consent, and how many proofs and events there are.
async fn state(app: &TestApp) -> (Vec<String>, Consent, usize, usize) {
    let store = &app.database.store;
    let key = "ana@example.test".to_owned();
    let found = store.suppressions_of(&[key]).await.unwrap();
    let found = found.into_values().flatten().map(|found| format!("{} {}", found.topic, found.reason));
    let ana = given::id("ana");
    let proofs = store.consents_of(&ana).await.unwrap().len();
    let events = store.events_of(std::slice::from_ref(&ana)).await.unwrap();
    let unsubscribed = events.into_values().flatten().filter(|event| event.name == "Unsubscribed").count();
    (found.collect(), store.profile(&ana).await.unwrap().unwrap().consent, proofs, unsubscribed)
}

async fn app_with_mail(app: &TestApp) -> (Links, Serving) {
    app.given_profile("ana").await;
    (mail_to(app, "ana").await, app.serves().await)
}

#[tokio::test]
async fn scanners_that_follow_every_link_unsubscribe_nobody() {
    for app in TestApp::on_each_database(LINKED).await {
        let (links, serving) = app_with_mail(&app).await;
        let before = state(&app).await;
        let agents = ["Barracuda Sentinel (EE)", "Mozilla/5.0 (compatible; proofpoint)", "curl/8", ""];
        for round in 0..100 {
            for path in [&links.unsubscribe, &links.preferences] {
                for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                    let request =
                        serving.request(method.clone(), path).header("user-agent", agents[round % 4]);
                    let expected = if method == Method::OPTIONS { 405 } else { 200 };
                    assert_eq!(answer(request).await.status, expected, "{method} {path}");
                }
            }
        }
        assert_eq!(state(&app).await, before);
        assert_eq!(before, (vec![], Consent::Granted, 0, 0));
    }
}

#[tokio::test]
async fn one_click_unsubscribes_from_the_topic_whatever_the_body_and_however_often() {
    let multipart =
        "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    for (kind, body) in [
        (FORM, "List-Unsubscribe=One-Click"),
        ("multipart/form-data; boundary=b", multipart),
        ("application/json", "{\"a\": \u{0}"),
        ("text/plain", ""),
    ] {
        for app in TestApp::on_each_database(LINKED).await {
            let (links, serving) = app_with_mail(&app).await;
            for _ in 0..2 {
                let done = posts(&serving, &links.unsubscribe, kind, body).await;
                assert_eq!((done.status, done.header("location"), done.header("set-cookie")), (200, "", ""));
                assert_eq!(state(&app).await, (vec!["news unsubscribe".to_owned()], Consent::Granted, 0, 1));
            }
            let token = links.unsubscribe.trim_start_matches("/u/");
            for wrong in [&token[1..], &token[..token.len() - 1], "AAAA", "%00"] {
                assert_eq!(posts(&serving, &format!("/u/{wrong}"), kind, body).await.status, 404, "{wrong}");
            }
            assert_eq!(state(&app).await.0.len(), 1);
            app.at("2026-03-03T10:00:00Z").await;
            app.plans().await;
            app.runs_until_idle().await;
            let states = app.states().await;
            assert!(states[1..].iter().all(|(state, _)| *state == State::Suppressed), "{states:?}");
        }
    }
}

#[tokio::test]
async fn people_choose_topics_pause_stop_and_come_back_with_proof() {
    for app in TestApp::on_each_database(LINKED).await {
        let (links, serving) = app_with_mail(&app).await;
        let page = answer(serving.request(Method::GET, &links.preferences)).await.text;
        assert!(
            page.contains("name=\"topic\" value=\"news\" checked") && !page.contains("receipt"),
            "{page}"
        );
        let granted = |found: &[&str], events| {
            (found.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), Consent::Granted, events)
        };
        let without_proofs = async || {
            let (found, consent, _, events) = state(&app).await;
            (found, consent, events)
        };
        submits(&serving, &links.preferences, "action=save&tracking=on").await;
        assert_eq!(without_proofs().await, granted(&["news unsubscribe"], 1));
        submits(&serving, &links.preferences, "action=save&topic=news&tracking=on").await;
        assert_eq!(without_proofs().await, granted(&[], 1));

        let paused = submits(&serving, &links.preferences, "action=pause").await.text;
        assert!(paused.contains("Paused until 1 April 2026"), "{paused}");
        assert_eq!(without_proofs().await, granted(&["pause pause"], 1));
        app.at("2026-03-05T10:00:00Z").await;
        app.plans().await;
        app.runs_until_idle().await;
        let states = app.states().await;
        assert_eq!(states.last().unwrap().0, State::Suppressed, "{states:?}");
        app.at("2026-04-02T10:00:01Z").await;
        app.plans().await;
        app.runs_until_idle().await;
        let sent = app.states().await.into_iter().filter(|(state, _)| *state == State::Sent).count();
        assert!(sent > 1, "the pause is over by itself");

        submits(&serving, &links.preferences, "action=stop").await;
        let (found, consent, proofs, _) = state(&app).await;
        assert_eq!((found[0].as_str(), consent), ("lifecycle unsubscribe", Consent::Withdrawn));
        // Of two words at the same moment the one that takes back would count.
        app.at("2026-04-02T10:05:00Z").await;
        let page = submits(&serving, &links.preferences, "action=subscribe").await.text;
        assert!(page.contains("You are subscribed again"), "{page}");
        let after = state(&app).await;
        assert_eq!((after.0, after.1, after.2), (vec![], Consent::Granted, proofs + 1));
        let proof = app.database.store.consents_of(&given::id("ana")).await.unwrap().pop().unwrap();
        assert_eq!(proof.source, "preferences link");
        assert!(proof.wording.contains("I want mail from Shop") && proof.who.contains(links.send.as_str()));

        for wrong in ["", "action=everything", "topic=news", "\u{0}"] {
            assert_eq!(posts(&serving, &links.preferences, FORM, wrong).await.status, 422, "{wrong:?}");
        }
        submits(&serving, &links.preferences, "action=save&topic=news").await;
        let ana = app.database.store.profile(&given::id("ana")).await.unwrap().unwrap();
        assert_eq!(ana.traits["tracking"], "off");
        submits(&serving, &links.preferences, "action=save&topic=news&tracking=on").await;
        let ana = app.database.store.profile(&given::id("ana")).await.unwrap().unwrap();
        assert_eq!(ana.traits.get("tracking"), None);
    }
}

/// What a browser sends of the page's first form when somebody presses its button: hidden fields and ticked boxes.
fn form(page: &str) -> Vec<(String, String)> {
    let (_, form) = page.split_once("<form method=\"post\"><fieldset>").unwrap();
    let form = form.split("</form>").next().unwrap();
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let inputs = form.split("<input").skip(1).map(|tag| tag.split('>').next().unwrap());
    let sent = inputs.filter(|tag| tag.contains("type=\"hidden\"") || tag.ends_with(" checked"));
    let mut fields: Vec<_> = sent.map(|tag| (attribute(tag, "name"), attribute(tag, "value"))).collect();
    fields.push(("action".to_owned(), "save".to_owned()));
    fields
}

#[tokio::test]
async fn an_old_tab_of_the_preferences_takes_nothing_back_that_was_done_elsewhere() {
    for app in TestApp::on_each_database(LINKED).await {
        let (links, serving) = app_with_mail(&app).await;
        let page = answer(serving.request(Method::GET, &links.preferences)).await.text;
        let opened = form(&page);
        let submit = async |fields: &[(String, String)]| {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            submits(&serving, &links.preferences, &body).await.text
        };
        let without = |name: &str| -> Vec<(String, String)> {
            opened.iter().filter(|(known, _)| known != name).cloned().collect()
        };
        // One tab stops the topic; another, opened before, turns the counting off; meanwhile the address changes.
        submit(&without("topic")).await;
        assert_eq!(state(&app).await.0, ["news unsubscribe"]);
        let moved = json!({"userId": "ana", "traits": {"email": "ana2@example.test", "city": "Ulm"}});
        assert_eq!(serving.post("/v1/identify", &moved).await.status, 200);
        let page = submit(&without("tracking")).await;
        assert_eq!(state(&app).await.0, ["news unsubscribe"], "{}", app.database.name());
        let ana = app.database.store.profile(&given::id("ana")).await.unwrap().unwrap();
        assert_eq!(ana.address.unwrap().as_str(), "ana2@example.test");
        assert_eq!((&ana.traits["tracking"], &ana.traits["city"]), (&json!("off"), &json!("Ulm")));
        // What the page shows after it is how things stand, and pressing its button again changes nothing.
        assert!(page.contains("name=\"topic\" value=\"news\">") && !page.contains(" checked"), "{page}");
        let before = state(&app).await;
        submit(&form(&page)).await;
        assert_eq!(state(&app).await, before);
    }
}

#[tokio::test]
async fn stopping_everything_from_the_unsubscribe_page_takes_consent_back() {
    for app in TestApp::on_each_database(LINKED).await {
        let (links, serving) = app_with_mail(&app).await;
        let page = answer(serving.request(Method::GET, &links.unsubscribe)).await;
        assert!(page.text.contains("Stop “News”") && page.text.contains("Stop all mail"), "{}", page.text);
        assert!(!page.text.contains("<script") && !page.text.contains("ana@"), "{}", page.text);
        submits(&serving, &links.unsubscribe, "scope=everything").await;
        submits(&serving, &links.unsubscribe, "scope=everything").await;
        let stopped = vec!["lifecycle unsubscribe".to_owned()];
        assert_eq!(state(&app).await, (stopped, Consent::Withdrawn, 1, 1));
    }
}

#[tokio::test]
async fn links_of_mails_that_went_out_outlive_the_secret_that_signed_them() {
    for mut app in TestApp::on_each_database(LINKED).await {
        app.given_profile("ana").await;
        let [first, second] = ["a first secret of thirty-two bytes", "a second secret of thirty-two bytes"];
        app.config.public.secret = None;
        let own = mail_to(&app, "ana").await.unsubscribe;
        app.config.public.secret = Some(first.into());
        app.at("2026-03-03T09:00:00Z").await;
        app.plans().await;
        app.at("2026-03-03T10:00:00Z").await;
        app.runs_until_idle().await;
        let stated = newest(&app, "ana").unsubscribe;
        assert_eq!(app.mails().len(), 2);
        // Which of both links works: with a secret where there was none, with another one, without the first, and
        // where the database's own is not believed any more.
        let (believed, refused) = (DatabaseLinks::Believed, DatabaseLinks::Refused);
        for (secret, previous, own_links, expected) in [
            (first, vec![], believed, [200, 200]),
            (second, vec![first], believed, [200, 200]),
            (second, vec![], believed, [200, 404]),
            (first, vec![], refused, [404, 200]),
            (second, vec![first], refused, [404, 200]),
        ] {
            app.config.public.database_links = own_links;
            app.config.public.secret = Some(secret.into());
            app.config.public.previous_secrets = previous.into_iter().map(Into::into).collect();
            let serving = app.serves().await;
            let status = async |path: &str| answer(serving.request(Method::GET, path)).await.status;
            assert_eq!([status(&own).await, status(&stated).await], expected, "on {}", app.database.name());
        }
    }
}

#[tokio::test]
async fn a_mail_is_shown_as_a_page_without_anything_that_counts_or_runs() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile_with("ana", |profile| {
            profile.traits.insert("first_name".to_owned(), "<script>alert(1)</script>".into());
        })
        .await;
        let links = mail_to(&app, "ana").await;
        let serving = app.serves().await;
        let page = answer(serving.request(Method::GET, &links.view)).await;
        assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
        assert!(page.text.contains("href=\"https://shop.test/new?for=ana\""), "{}", page.text);
        assert!(!page.text.contains("/c/") && !page.text.contains("/o/") && !page.text.contains("<script"));
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("script"), "{policy}");
        let hits = app.database.store.hits_of(&links.send).await.unwrap();
        assert_eq!(hits.len(), 0);
    }
}

/// Thirty people get a mail over one connection, one at a time; once five have theirs, all thirty unsubscribe at once
/// in other tabs.
#[tokio::test]
async fn nothing_is_accepted_later_than_the_commit_but_the_one_on_the_wire() {
    for database in crate::support::stores().await {
        let config = format!("{}[worker]\nin_flight = 1\nbatch = 50\n", crate::support::app::CONFIG);
        let mut app = TestApp::new(database, &config, LINKED);
        let names: Vec<String> = (0..30).map(|number| format!("p{number}")).collect();
        for name in &names {
            app.given_profile(name).await;
        }
        app.plans().await;
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec!["reply=delay:0.03".parse().unwrap()]);
        let relay = Relay::from_url(&catcher.url()).unwrap();
        app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
        let serving = app.serves().await;
        let links = app.engine().await.sender.links;
        let paths: Vec<String> = app
            .sends()
            .await
            .iter()
            .map(|stored| links.own(&stored.send.id).unsubscribe.replace(super::mailed::PUBLIC, ""))
            .collect();
        app.at("2026-03-02T10:00:00Z").await;
        let worker = app.worker().await;
        let running = tokio::spawn(worker.run(Until::Idle));
        while catcher.accepted_count() < 5 {
            tokio::task::yield_now().await;
        }
        let all = paths.iter().map(|path| posts(&serving, path, FORM, "List-Unsubscribe=One-Click"));
        for done in futures_util::future::join_all(all).await {
            assert_eq!(done.status, 200);
        }
        let accepted = catcher.accepted_count();
        running.await.unwrap().unwrap();
        let in_the_end = catcher.accepted_count();
        assert!(accepted < 29, "the test came too late to see anything: {accepted}");
        assert!(in_the_end <= accepted + 1, "{accepted}, then {in_the_end} on {}", app.database.name());
        let states = app.states().await;
        let sent = states.iter().filter(|(state, _)| *state == State::Sent).count() as u64;
        let stopped = states.iter().filter(|(state, _)| *state == State::Suppressed).count() as u64;
        assert_eq!((sent, sent + stopped), (in_the_end, 30), "{states:?}");
    }
}
