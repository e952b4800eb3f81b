//! Links and pixels of real mails: where they lead, who is taken for whom, and what is kept of it.

use bespoke::store::StoredSend;
use bespoke::tracking::Class;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use super::mailed::LINKED;
use super::mailed::Links;
use super::mailed::mail_to;
use crate::support::TestApp;
use crate::support::given;
use crate::support::service::Answer;
use crate::support::service::Serving;
use crate::support::service::answer;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

async fn asks(serving: &Serving, method: Method, path: &str, agent: &str) -> Answer {
    answer(serving.request(method, path).header("user-agent", agent)).await
}

async fn browses(serving: &Serving, path: &str) -> Answer {
    asks(serving, Method::GET, path, BROWSER).await
}

async fn stored(app: &TestApp, links: &Links) -> StoredSend {
    app.database.store.send(&links.send).await.unwrap().unwrap()
}

/// Kind, link and class of each hit, oldest first.
async fn hits(app: &TestApp, links: &Links) -> Vec<(&'static str, Option<u32>, &'static str)> {
    let hits = app.database.store.hits_of(&links.send).await.unwrap();
    hits.iter().map(|stored| (stored.hit.kind.as_str(), stored.hit.link, stored.class.as_str())).collect()
}

/// Name, link and class of the events about mails, oldest first.
async fn events(app: &TestApp) -> Vec<String> {
    let events = app.database.store.events_of(&[given::id("ana")]).await.unwrap();
    let mut lines: Vec<String> = events
        .into_values()
        .flatten()
        .filter(|event| event.name.starts_with("Email"))
        .map(|event| format!("{} {} {}", event.name, event.properties["class"], event.properties["send_id"]))
        .collect();
    lines.sort();
    lines
}

fn later(app: &TestApp, milliseconds: i64) {
    app.clock.set(app.now() + SignedDuration::from_millis(milliseconds));
}

#[tokio::test]
async fn a_link_leads_where_it_was_signed_to_and_nothing_else_leads_anywhere() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile("ana").await;
        let links = mail_to(&app, "ana").await;
        let serving = app.serves().await;
        let [first, _] = links.clicks.as_slice() else { panic!("{links:?}") };
        for method in [Method::GET, Method::HEAD] {
            let led =
                asks(&serving, method, &format!("{first}?url=https://evil.test&to=//evil.test"), BROWSER)
                    .await;
            assert_eq!((led.status, led.header("location")), (302, "https://shop.test/new?for=ana"));
            assert_eq!((led.header("cache-control"), led.header("set-cookie")), ("no-store", ""));
        }
        let pixel = links.pixel.clone().unwrap();
        let seen = browses(&serving, &pixel).await;
        assert_eq!((seen.status, seen.header("content-type")), (200, "image/gif"));
        assert_eq!(seen.header("cache-control"), "no-store");
        let before = hits(&app, &links).await.len();

        let token = first.trim_start_matches("/c/");
        let open = pixel.trim_start_matches("/o/").trim_end_matches(".gif");
        let mut forged: Vec<String> =
            (1..token.len()).step_by(7).map(|end| format!("/c/{}", &token[..end])).collect();
        forged.extend((0..token.len()).step_by(3).map(|place| {
            let other = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
            format!("/c/{}{other}{}", &token[..place], &token[place + 1..])
        }));
        for (path, purpose) in
            [(&links.unsubscribe, "/u/"), (&links.preferences, "/p/"), (&links.view, "/v/"), (first, "/c/")]
        {
            let stranger = path.trim_start_matches(purpose);
            for other in ["/c/", "/u/", "/p/", "/v/", "/k/"].into_iter().filter(|other| *other != purpose) {
                forged.push(format!("{other}{stranger}"));
            }
            forged.push(format!("/o/{stranger}.gif"));
            forged.push(format!("/o/{stranger}"));
        }
        forged.extend([
            format!("/c/{open}"),
            format!("/o/{open}"),
            format!("{first}A"),
            "/c/https:evil.test".to_owned(),
            "/c/%2F%2Fevil.test".to_owned(),
            "/c/javascript:alert(1)".to_owned(),
            "/c/%00".to_owned(),
            "/c/%FF%FE".to_owned(),
        ]);
        for path in forged {
            let refused = browses(&serving, &path).await;
            assert_eq!((refused.status, refused.header("location")), (404, ""), "{path}");
        }
        assert_eq!(hits(&app, &links).await.len(), before, "what is forged leaves no trace");
    }
}

#[tokio::test]
async fn a_person_is_counted_until_a_neighbour_shows_that_it_was_a_machine() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile("ana").await;
        let links = mail_to(&app, "ana").await;
        let serving = app.serves().await;
        later(&app, 60_000);
        browses(&serving, links.pixel.as_ref().unwrap()).await;
        assert_eq!(stored(&app, &links).await.opened_at, Some(app.now()));
        later(&app, 60_000);
        let opened_at = stored(&app, &links).await.opened_at;
        browses(&serving, &links.clicks[0]).await;
        let clicked = stored(&app, &links).await;
        assert_eq!((clicked.opened_at, clicked.clicked_at), (opened_at, Some(app.now())));
        let click = Some(0);
        assert_eq!(hits(&app, &links).await, [("open", None, "human"), ("click", click, "human")]);
        let named = |name: &str, class: &str| format!("{name} \"{class}\" \"{}\"", links.send);
        let opened = named("Email Opened", "human");
        assert_eq!(events(&app).await, [named("Email Link Clicked", "human"), opened.clone()]);

        later(&app, 1_500);
        browses(&serving, &links.clicks[1]).await;
        let demoted = stored(&app, &links).await;
        assert_eq!((demoted.opened_at, demoted.clicked_at), (opened_at, None), "{}", app.database.name());
        let machine = named("Email Link Clicked", "scanner");
        assert_eq!(events(&app).await, [machine.clone(), machine.clone(), opened.clone()]);

        later(&app, 10_000);
        browses(&serving, &links.clicks[1]).await;
        assert_eq!(stored(&app, &links).await.clicked_at, Some(app.now()));
        let classes: Vec<_> = hits(&app, &links).await.into_iter().map(|(.., class)| class).collect();
        assert_eq!(classes, ["human", "scanner", "scanner", "human"]);
    }
}

#[tokio::test]
async fn machines_are_told_by_what_they_do_and_all_of_it_is_kept_without_addresses() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile("ana").await;
        let links = mail_to(&app, "ana").await;
        let serving = app.serves().await;
        let (click, pixel) = (&links.clicks[0], links.pixel.as_ref().unwrap());
        let google =
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
        let prefetch = serving
            .request(Method::GET, click)
            .header("user-agent", BROWSER)
            .header("sec-purpose", "prefetch");
        assert_eq!(answer(prefetch).await.status, 302);
        for (method, path, agent) in [
            (Method::HEAD, click, BROWSER),
            (Method::GET, click, "python-requests/2.32"),
            (Method::GET, click, ""),
            (Method::GET, pixel, "Mozilla/5.0"),
            (Method::GET, pixel, google),
        ] {
            later(&app, 3_600_000);
            asks(&serving, method, path, agent).await;
        }
        later(&app, 3_600_000);
        let trap = links.trap.as_ref().unwrap();
        let led = browses(&serving, trap).await;
        assert_eq!((led.status, led.header("location")), (302, "https://shop.test/"));
        later(&app, 30_000);
        browses(&serving, click).await;
        let scanner = ("click", Some(0), "scanner");
        let proxy = ("open", None, "privacy_proxy");
        let expected = [scanner, scanner, scanner, scanner, proxy, proxy, ("trap", None, "scanner"), scanner];
        assert_eq!(hits(&app, &links).await, expected);
        let send = stored(&app, &links).await;
        assert_eq!((send.opened_at, send.clicked_at), (None, None));
        let kept = app.database.store.hits_of(&links.send).await.unwrap();
        assert!(kept.iter().all(|stored| stored.hit.network == "127.0.0.0/24"), "{kept:?}");
        assert_eq!(events(&app).await.len(), 7, "the trap is nobody's deed");
    }
}

#[tokio::test]
async fn classes_can_be_decided_again_from_what_was_kept() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile("ana").await;
        let links = mail_to(&app, "ana").await;
        let serving = app.serves().await;
        asks(&serving, Method::GET, &links.clicks[0], "curl/8").await;
        later(&app, 60_000);
        browses(&serving, &links.clicks[0]).await;
        let at = app.now();
        app.database
            .execute(
                "update hits set class = 'human', reason = 'none' where class = 'scanner';
                 update sends set clicked_at = 1, opened_at = 1;",
            )
            .await;
        let store = &app.database.store;
        assert_eq!(store.sends_with_hits(None, 10).await.unwrap(), std::slice::from_ref(&links.send));
        assert_eq!(store.sends_with_hits(Some(&links.send), 10).await.unwrap(), []);
        assert_eq!(store.reclassify_hits(&links.send).await.unwrap(), 1);
        assert_eq!(store.reclassify_hits(&links.send).await.unwrap(), 0);
        assert_eq!(store.hits_of(&links.send).await.unwrap()[0].class, Class::Scanner);
        let send = stored(&app, &links).await;
        assert_eq!((send.opened_at, send.clicked_at), (Some(at), Some(at)));
    }
}

#[tokio::test]
async fn who_does_not_want_to_be_counted_is_not() {
    for app in TestApp::on_each_database(LINKED).await {
        app.given_profile("bo").await;
        app.given_profile_with("ana", |profile| {
            profile.traits.insert("tracking".to_owned(), json!("off"));
        })
        .await;
        let links = mail_to(&app, "ana").await;
        assert_eq!((links.clicks.len(), &links.trap, &links.pixel), (0, &None, &None), "{}", links.html);
        assert!(links.html.contains("href=\"https://shop.test/new?for=ana\""), "{}", links.html);

        // Somebody who says so later is led on, and nothing is kept.
        let serving = app.serves().await;
        let links = super::mailed::newest(&app, "bo");
        app.given_profile_with("bo", |profile| {
            profile.traits.insert("tracking".to_owned(), json!(false));
        })
        .await;
        let led = browses(&serving, &links.clicks[0]).await;
        assert_eq!((led.status, led.header("location")), (302, "https://shop.test/new?for=bo"));
        assert_eq!(hits(&app, &links).await, []);
    }
}

#[tokio::test]
async fn a_campaign_that_does_not_count_leaves_its_links_as_they_were_written() {
    let off =
        "kind = \"lifecycle\"\ntracking = \"off\"\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n";
    let files: Vec<_> = LINKED
        .iter()
        .copied()
        .map(|(path, text)| (path, if path == "news/campaign.toml" { off } else { text }))
        .collect();
    for app in TestApp::on_each_database(&files).await {
        app.given_profile("ana").await;
        let links = mail_to(&app, "ana").await;
        assert_eq!((links.clicks.len(), &links.trap, &links.pixel), (0, &None, &None), "{}", links.html);
        assert!(links.html.contains("href=\"https://shop.test/new?for=ana\""), "{}", links.html);
        assert!(!links.unsubscribe.is_empty() && !links.preferences.is_empty());
    }
}

#[tokio::test]
async fn a_flood_of_hits_ends_in_nothing_and_people_are_still_led_on() {
    let app = TestApp::on_sqlite(LINKED).await;
    app.given_profile("ana").await;
    let links = mail_to(&app, "ana").await;
    let serving = app.serves().await;
    for _ in 0..bespoke::tracking::HITS_PER_SEND_MAX + 5 {
        assert_eq!(browses(&serving, &links.clicks[0]).await.status, 302);
    }
    assert_eq!(hits(&app, &links).await.len(), bespoke::tracking::HITS_PER_SEND_MAX);
}

#[tokio::test]
async fn without_the_database_programs_are_told_to_come_again_and_people_are_led_on() {
    let app = TestApp::on_sqlite(LINKED).await;
    app.given_profile("ana").await;
    let links = mail_to(&app, "ana").await;
    let serving = app.serves().await;
    app.database.store.close().await;
    for path in
        [&links.clicks[0], links.pixel.as_ref().unwrap(), &links.unsubscribe, &links.preferences, &links.view]
    {
        let away = browses(&serving, path).await;
        assert_eq!((away.status, away.header("retry-after")), (503, "5"), "{path}");
        assert_eq!(away.header("location"), "");
    }
    let page = browses(&serving, &links.clicks[0]).await.text;
    assert!(page.contains("content=\"0;url=https://shop.test/new?for=ana\""), "{page}");
    for path in [&links.unsubscribe, &links.preferences] {
        let away = asks(&serving, Method::POST, path, "").await;
        assert_eq!((away.status, away.header("retry-after")), (503, "5"), "{path}");
    }
}
