//! The pages behind the links of a mail speak their reader's language.

use bespoke::catalog::page_texts::KEYS;
use bespoke::profile::Consent;
use reqwest::Method;
use serde_json::json;

use super::mailed::LINKED;
use super::mailed::Links;
use super::mailed::mail_to;
use crate::support::TestApp;
use crate::support::given;
use crate::support::service::Serving;
use crate::support::service::answer;

/// Ana, who reads the locale's language, and a mail of hers.
async fn mail_in(app: &TestApp, locale: Option<&str>) -> (Links, Serving) {
    app.given_profile_with("ana", |ana| ana.locale = locale.map(str::to_owned)).await;
    (mail_to(app, "ana").await, app.serves().await)
}

/// The page behind a link, for a browser that asks for these languages.
async fn page(serving: &Serving, method: Method, path: &str, browser: &str, body: &'static str) -> String {
    let mut request = serving.request(method, path);
    if !browser.is_empty() {
        request = request.header("accept-language", browser);
    }
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    answer(request).await.text
}

async fn get(serving: &Serving, path: &str, browser: &str) -> String {
    page(serving, Method::GET, path, browser, "").await
}

fn check(page: &str, language: &str, says: &[&str]) {
    assert!(page.starts_with(&format!("<!doctype html><html lang=\"{language}\">")), "{page}");
    for text in says {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[tokio::test]
async fn who_reads_german_gets_german_pages_whatever_the_browser_is_set_to() {
    let german = [("pages/de.toml", "[topics]\nnews = \"Neues & Schönes\"\n")];
    for app in TestApp::on_each_database(&[LINKED, &german].concat()).await {
        let (links, serving) = mail_in(&app, Some("de-AT")).await;
        let asked = get(&serving, &links.unsubscribe, "en-US,en;q=0.5").await;
        check(
            &asked,
            "de",
            &["<title>Abbestellen?</title>", "„Neues &amp; Schönes“ abbestellen", "kam von Shop"],
        );
        let preferences = get(&serving, &links.preferences, "es").await;
        check(
            &preferences,
            "de",
            &["Ihre E-Mail-Einstellungen", "> Neues &amp; Schönes</label>", "Speichern"],
        );
        let paused = page(&serving, Method::POST, &links.preferences, "", "action=pause").await;
        check(&paused, "de", &["Für 30 Tage pausiert.", "Pausiert bis 1. April 2026:"]);
        let wrong = page(&serving, Method::POST, &links.preferences, "", "action=x").await;
        check(&wrong, "de", &["Das steht nicht zur Wahl"]);

        // The words that a proof keeps are those that were read.
        app.at("2026-03-02T11:00:00Z").await;
        let stopped = page(&serving, Method::POST, &links.preferences, "", "action=stop").await;
        check(
            &stopped,
            "de",
            &["Sie sind von allem abgemeldet.", "Ich möchte E-Mails von Shop zu den Themen"],
        );
        let proofs = app.database.store.consents_of(&given::id("ana")).await.unwrap();
        let last = proofs.last().unwrap();
        let words = "Keine E-Mails mehr außer solchen, die zu meinen Bestellungen und meinem Konto gehören";
        assert_eq!((last.status, last.wording.as_str()), (Consent::Withdrawn, words));
    }
}

#[tokio::test]
async fn one_click_works_in_every_language_as_in_english() {
    for (locale, title) in [(Some("de"), "Sie sind abgemeldet"), (None, "You are unsubscribed")] {
        for app in TestApp::on_each_database(LINKED).await {
            let (links, serving) = mail_in(&app, locale).await;
            let body = "List-Unsubscribe=One-Click";
            let done = page(&serving, Method::POST, &links.unsubscribe, "", body).await;
            check(&done, locale.unwrap_or("en"), &[title]);
            let key = "ana@example.test".to_owned();
            let found = app.database.store.suppressions_of(&[key]).await.unwrap();
            let found: Vec<_> = found.into_values().flatten().map(|one| (one.topic, one.reason)).collect();
            assert_eq!(found, [("news".to_owned(), "unsubscribe".to_owned())]);
        }
    }
}

#[tokio::test]
async fn where_nothing_is_known_of_a_readers_language_their_browser_says_it() {
    for app in TestApp::on_each_database(LINKED).await {
        let (links, serving) = mail_in(&app, None).await;
        for (browser, language, title) in [
            ("es-MX,es;q=0.9,en;q=0.8", "es", "¿Darse de baja?"),
            ("pl, de;q=0.5, en;q=0.4", "de", "Abbestellen?"),
            ("pl", "en", "Unsubscribe?"),
            ("", "en", "Unsubscribe?"),
            ("de;q=x;;;", "en", "Unsubscribe?"),
        ] {
            check(&get(&serving, &links.unsubscribe, browser).await, language, &[title]);
        }
        // Of a link that names nobody, nothing else can be known.
        for path in ["/u/none", "/p/none", "/k/none", "/v/none", "/c/none", "/o/none.gif"] {
            check(&get(&serving, path, "de").await, "de", &["Hier ist nichts"]);
        }
        let (en, de) = ("en;q=0.1", "de, en;q=0.1");
        check(&get(&serving, "/u/none", en).await, "en", &["There is nothing here"]);
        check(&get(&serving, "/docs", de).await, "en", &["bespoke: what can be asked for"]);
    }
}

#[tokio::test]
async fn a_fourth_language_is_one_file() {
    let texts: Vec<String> = KEYS.iter().map(|(key, _)| format!("{key} = \"fr {key}\"")).collect();
    let texts = texts.join("\n");
    let french = [("pages/fr.toml", texts.as_str())];
    let app = TestApp::on_sqlite(&[LINKED, &french].concat()).await;
    let (links, serving) = mail_in(&app, Some("fr-CA")).await;
    check(
        &get(&serving, &links.unsubscribe, "").await,
        "fr",
        &["fr unsubscribe_title", "fr stop_all_button"],
    );
    let preferences = get(&serving, &links.preferences, "").await;
    check(&preferences, "fr", &["fr preferences_title", "fr topics_legend", "fr tracking_label"]);
    assert!(!preferences.contains("Mail from") && !preferences.contains("Save"), "{preferences}");
}

#[tokio::test]
async fn who_confirms_is_asked_in_their_language() {
    let confirm = [
        ("confirm/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
        (
            "confirm/any/ask.mjml",
            "+++\nsubject = \"Confirm\"\n+++\n<mj-section><mj-column><mj-text>{{ data.confirm_url or '' }}</mj-text></mj-column></mj-section>",
        ),
    ];
    for app in TestApp::on_each_database(&confirm).await {
        app.given_profile_with("ana", |ana| {
            ana.locale = Some("es".to_owned());
            ana.consent = Consent::Unknown;
        })
        .await;
        let serving = app.serves().await;
        let said = json!({"profile": "ana", "source": "form", "wording": "sí", "double_opt_in": "confirm"});
        assert_eq!(serving.post("/v1/consents", &said).await.status, 202);
        app.runs_until_idle().await;
        let mail = String::from_utf8(app.mails().remove(0).bytes).unwrap().replace("=\r\n", "");
        let (_, rest) = mail.split_once("https://m.shop.test/k/").unwrap();
        let token: String = rest.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let path = format!("/k/{token}");
        check(
            &get(&serving, &path, "de").await,
            "es",
            &["Un clic más", "Sí, lo confirmo", "Una pregunta de Shop"],
        );
        let done = page(&serving, Method::POST, &path, "de", "").await;
        check(&done, "es", &["Gracias. Recibirá correos de Shop"]);
        check(&get(&serving, &path, "de").await, "es", &["Confirmado"]);
    }
}
