//! Previews, explanations and test mails by the shipped templates, over a small shop on SQLite.

use std::collections::BTreeSet;
use std::path::Path;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::clock::Clock;
use bespoke::config::Config;
use bespoke::decision::Decision;
use bespoke::deliver::transport::Outbox;
use bespoke::deliver::transport::Transport;
use bespoke::event::Event;
use bespoke::explain::explain;
use bespoke::explain::text;
use bespoke::preview::Gate;
use bespoke::preview::PreviewError;
use bespoke::preview::PreviewRequest;
use bespoke::preview::PreviewSummary;
use bespoke::preview::Whom;
use bespoke::preview::preview;
use bespoke::preview::test_mail::test_mail;
use bespoke::preview::test_mail::transmit;
use bespoke::product::Product;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::ProfileId;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::Suppression;
use bespoke::worker::assemble;
use bespoke::worker::engine::Engine;
use bespoke::worker::run::Until;
use bespoke::worker::run::Worker;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::Value;
use serde_json::json;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::event;
use crate::support::given::given_people;
use crate::support::given::id;
use crate::support::given::profile;
use crate::support::given::send;

const CONFIG: &str = r#"
templates.folder = "builtin"
sender.from = "Brindle & Steam <hello@brindle.example>"
quiet_hours = { start = "21:00", end = "08:00", default_time_zone = "UTC" }
cap = { lifecycle_mails = 3, days = 7 }
[shop]
name = "Brindle & Steam"
tagline = "Coffee, tea and the things one brews with"
url = "https://brindle.example"
address = "4 Quay Lane, Fernhollow FH1 2QL"
support_email = "help@brindle.example"
currency = "GBP"
[traits]
first_name = "string"
country = "string"
birthday = "date"
"#;

fn config() -> Config {
    toml::from_str(CONFIG).unwrap()
}

/// A shop with a few products, and one who looked at them.
async fn shop() -> (Database, Engine) {
    let database = Database::sqlite().await;
    let products: Vec<Product> = ["kettle", "grinder", "beans", "cups", "dripper"]
        .into_iter()
        .map(|name| {
            serde_json::from_value(json!({
                "id": name, "name": format!("The {name}"), "description": "A fine one.", "category": "Things",
                "price_minor": 4_900, "currency": "GBP", "url": format!("https://brindle.example/{name}"),
            }))
            .unwrap()
        })
        .collect();
    database.store.upsert_products(&products, start()).await.unwrap();
    given_people(&database, &["ana"]).await;
    let viewed = |number: i64, product: &str| Event {
        properties: json!({"product_id": product}).as_object().unwrap().clone(),
        ..event("ana", &format!("v{number}"), "Product Viewed", start() - number.hours())
    };
    let events = [viewed(1, "kettle"), viewed(2, "grinder"), viewed(30, "kettle")];
    database.store.insert_events(&events).await.unwrap();
    let engine = assemble::engine(&config(), &database.store).await.unwrap();
    (database, engine)
}

fn request(campaign: &str, whom: Whom) -> PreviewRequest {
    PreviewRequest { campaigns: vec![CampaignId(campaign.to_owned())], whom, now: start(), gate: Gate::Kept }
}

async fn run(
    database: &Database,
    engine: &Engine,
    request: &PreviewRequest,
    out: &Path,
) -> Result<PreviewSummary, PreviewError> {
    preview(&database.store, engine, request, out, &|_, _| ()).await
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The data of the gallery's page.
fn data(out: &Path) -> Value {
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    assert!(!json.contains('<') && !json.contains('>') && !json.contains('&'));
    serde_json::from_str(json).unwrap()
}

/// Everything that the tables hold which a preview could touch.
async fn state(database: &Database) -> String {
    let store = &database.store;
    let ana = [id("ana")];
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.count_profiles().await.unwrap(),
        store.count_events().await.unwrap(),
        store.count_sends().await.unwrap(),
        store.count_coupons().await.unwrap(),
        store.stages_of(&ana).await.unwrap(),
        store.mails_of(&ana).await.unwrap(),
        store.suppressions_of(&["ana@example.test".to_owned()]).await.unwrap(),
        store.transitions_end().await.unwrap(),
    )
}

#[tokio::test]
async fn a_preview_writes_files_and_no_state() {
    let (database, engine) = shop().await;
    let codes = ["C-1".to_owned(), "C-2".to_owned()];
    database.store.import_coupons("first-order", &codes).await.unwrap();
    let before = state(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let summary =
        run(&database, &engine, &request("journey", Whom::Profiles(vec![id("ana")])), &out).await.unwrap();
    assert_eq!((summary.mails, summary.not_sent), (1, vec![]));
    assert!(summary.variants > 40 && summary.variants_never_chosen == summary.variants - 1);
    assert_eq!(state(&database).await, before);

    let page = data(&out);
    let card = &page["mails"][0];
    let stem = card["stem"].as_str().unwrap();
    let expected = [".bespoke-preview", "index.html"].map(str::to_owned).into_iter();
    let of_mail = ["dark.html", "eml", "html", "json", "txt"].map(|ending| format!("{stem}.{ending}"));
    assert_eq!(names(&out), expected.chain(of_mail).collect());
    let record: Value =
        serde_json::from_slice(&std::fs::read(out.join(format!("{stem}.json"))).unwrap()).unwrap();
    let decision: Decision = serde_json::from_value(record["decision"].clone()).unwrap();
    let total: f64 = decision.candidates.iter().map(|candidate| candidate.probability).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let eml = std::fs::read(out.join(format!("{stem}.eml"))).unwrap();
    let mail = mail_parser::MessageParser::new().parse(&eml).unwrap();
    assert_eq!(mail.subject().unwrap(), card["subject"].as_str().unwrap());
    assert!(mail.header("X-Bespoke-Test").is_none());
    assert!(database.store.send(&decision.send).await.unwrap().is_none());
}

#[tokio::test]
async fn the_same_preview_again_replaces_the_first_and_touches_no_other_folder() {
    let (database, engine) = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let request = request("journey", Whom::Profiles(vec![id("ana")]));
    run(&database, &engine, &request, &out).await.unwrap();
    let first = names(&out);
    run(&database, &engine, &request, &out).await.unwrap();
    assert_eq!(names(&out), first);

    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = run(&database, &engine, &request, &out).await.unwrap_err().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(names(&out).len(), first.len() + 1);

    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("index.html"), "my own").unwrap();
    let error = run(&database, &engine, &request, &mine).await.unwrap_err().to_string();
    assert!(error.contains("no earlier preview"), "{error}");
    assert_eq!(std::fs::read_to_string(mine.join("index.html")).unwrap(), "my own");

    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&out, &link).unwrap();
    let error = run(&database, &engine, &request, &link).await.unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
}

#[tokio::test]
async fn hostile_people_stay_in_the_folder_and_out_of_the_markup() {
    let (database, engine) = shop().await;
    let ids = [
        "../../x".to_owned(),
        "a/b".to_owned(),
        "CON".to_owned(),
        "\u{202e}txt.exe".to_owned(),
        "é".repeat(127),
    ];
    let mut people = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let mut person = profile("someone");
        person.id = ProfileId::parse(id).unwrap();
        person.address = Some(EmailAddress::parse(&format!("p{number}@example.test")).unwrap());
        let name = "</script><script>alert(1)</script>{{ 90210*90210 }}\r\nBcc: x@example.test";
        person.traits = json!({ "first_name": name }).as_object().unwrap().clone();
        people.push(person);
    }
    database.store.upsert_profiles(&people, start()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let ids: Vec<ProfileId> = people.iter().map(|person| person.id.clone()).collect();
    let summary =
        run(&database, &engine, &request("journey", Whom::Profiles(ids.clone())), &out).await.unwrap();
    assert_eq!(summary.mails + summary.not_sent.iter().map(|(_, count)| count).sum::<usize>(), 5);
    assert!(summary.mails > 0);
    assert_eq!(names(folder.path()), BTreeSet::from(["out".to_owned()]));
    let safe = |name: &String| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    assert!(names(&out).iter().all(safe), "{:?}", names(&out));
    let page = data(&out);
    let shown: Vec<&str> =
        page["mails"].as_array().unwrap().iter().map(|card| card["profile"].as_str().unwrap()).collect();
    assert_eq!(shown, ids.iter().map(ProfileId::as_str).collect::<Vec<_>>());
    for name in names(&out).iter().filter(|name| name.contains(".html") && *name != "index.html") {
        let html = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(!html.contains("<script") && !html.contains("8137844100"), "{name}");
    }
}

#[tokio::test]
async fn what_the_gate_stops_is_shown_with_its_reason_and_quiet_hours_only_delay() {
    let (database, engine) = shop().await;
    let mut bo = profile("bo");
    bo.consent = Consent::Unknown;
    database.store.upsert_profiles(&[bo], start()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut wanted = request("journey", Whom::Profiles(vec![id("bo"), id("ana")]));
    wanted.now = "2026-03-02T22:30:00Z".parse::<Timestamp>().unwrap();
    let summary = run(&database, &engine, &wanted, &out).await.unwrap();
    assert_eq!((summary.mails, summary.not_sent), (1, vec![("no_consent".to_owned(), 1)]));
    let page = data(&out);
    assert_eq!(page["mails"][0]["outcome"], json!(["skipped", "no_consent", "consent is unknown"]));
    let note = page["mails"][1]["notes"][0].as_str().unwrap();
    assert!(note.contains("quiet hours") && note.contains("2026-03-03T08:00:00Z"), "{note}");
    wanted.campaigns = vec![CampaignId("welcome".to_owned())];
    wanted.whom = Whom::Sample(5);
    let summary = run(&database, &engine, &wanted, &out).await.unwrap();
    assert_eq!((summary.mails, summary.not_sent), (0, vec![]), "nobody signed up");
    assert!(data(&out)["notes"][0].as_str().unwrap().starts_with("welcome: none of the 2 people"));
    wanted.campaigns = vec![CampaignId("birthday".to_owned())];
    let summary = run(&database, &engine, &wanted, &out).await.unwrap();
    assert_eq!((summary.mails, summary.not_sent), (0, vec![]), "nobody's birthday is known");
    wanted.whom = Whom::Profiles(vec![id("ana")]);
    run(&database, &engine, &wanted, &out).await.unwrap();
    let notes = data(&out)["mails"][0]["notes"].to_string();
    assert!(notes.contains("no date in `birthday`, which starts this campaign"), "{notes}");
}

#[tokio::test]
async fn coverage_shows_every_variant_once_without_a_single_profile() {
    let (database, engine) = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut wanted = request("journey", Whom::Coverage);
    wanted.campaigns.clear();
    let summary = run(&database, &engine, &wanted, &out).await.unwrap();
    assert!(summary.variants >= 240, "{summary:?}");
    assert_eq!((summary.variants_never_chosen, &summary.not_sent), (0, &vec![]), "{summary:?}");
    assert_eq!(summary.mails, engine.catalog.variants().count());
    let page = data(&out);
    assert_eq!(page["mails"].as_array().unwrap().len(), summary.mails);
    let unnamed = run(&database, &engine, &request("nothing", Whom::Coverage), &out).await.unwrap_err();
    assert!(
        unnamed.to_string().contains("known are birthday, cart, confirm-subscription, journey"),
        "{unnamed}"
    );
    assert_eq!(data(&out), page, "a request that fails leaves the earlier preview alone");
}

#[tokio::test]
async fn a_test_mail_is_marked_and_touches_nobodys_history() {
    let (database, engine) = shop().await;
    let before = state(&database).await;
    let (campaign, ana) = (CampaignId("journey".to_owned()), id("ana"));
    let to = EmailAddress::parse("author@example.test").unwrap();
    let test = test_mail(&database.store, &engine, &campaign, &ana, &to, start()).await.unwrap();
    let outbox = Outbox::default();
    transmit(&Transport::Memory(outbox.clone()), &test).await.unwrap();
    let kept = outbox.mails();
    assert_eq!((kept.len(), kept[0].to.as_str()), (1, "author@example.test"));
    let mail = mail_parser::MessageParser::new().parse(&kept[0].bytes).unwrap();
    assert!(mail.subject().unwrap().starts_with("[Test] "), "{:?}", mail.subject());
    assert_eq!(mail.header("X-Bespoke-Test").and_then(|value| value.as_text()), Some("yes"));
    assert!(!String::from_utf8_lossy(&kept[0].bytes).contains("ana@example.test"));
    assert_eq!(state(&database).await, before);

    let bounced = Suppression {
        address: to.key(),
        topic: "*".to_owned(),
        reason: "hard_bounce".to_owned(),
        at: start(),
        send: None,
        until: None,
    };
    database.store.add_suppressions(&[bounced]).await.unwrap();
    let refused = test_mail(&database.store, &engine, &campaign, &ana, &to, start()).await.unwrap_err();
    assert!(refused.to_string().contains("hard_bounce"), "{refused}");
}

#[tokio::test]
async fn an_explanation_names_the_rule_the_numbers_and_the_reason() {
    let (database, engine) = shop().await;
    let store = &database.store;
    let mut bo = profile("bo");
    bo.consent = Consent::Withdrawn;
    store.upsert_profiles(&[bo], start()).await.unwrap();
    let campaign = CampaignId("journey".to_owned());
    let ids = ["ana", "bo"].map(|name| SendId::derive(start(), &campaign, &id(name), "today"));
    let sends = ["ana", "bo"].map(|name| ScheduledSend {
        id: SendId::derive(start(), &campaign, &id(name), "today"),
        campaign: campaign.clone(),
        ..send(name, "today", Kind::Lifecycle, start())
    });
    store.plan(&sends).await.unwrap();
    let transport = Transport::Memory(Outbox::default());
    let worker = Worker::new(store.clone(), engine, transport, Clock::fixed(start())).unwrap();
    worker.run(Until::Idle).await.unwrap();

    let told = explain(store, &ids[0]).await.unwrap().unwrap();
    let page = text(&told);
    let decision = told.decision.as_ref().unwrap();
    assert!(page.lines().all(|line| line.chars().count() <= 110), "{page}");
    let stage_rule = decision.ruled_out.iter().find(|out| out.rule == "stage").unwrap();
    let drawn = format!("probability {:.4}, seed {}", decision.propensity, decision.seed);
    for words in [
        "sent, at 2026-03-02T09:00:00Z",
        "ana, a",
        "consent granted",
        decision.stage.as_str(),
        &drawn,
        &stage_rule.detail,
        "ruled out",
        "could have been chosen",
        "profile.consent = granted",
        "kept as it was sent",
    ] {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
    let json = told.to_json().to_string();
    for shown in [&page, &json] {
        assert!(!shown.contains("ana@example.test"), "{shown}");
    }
    let page = text(&explain(store, &ids[1]).await.unwrap().unwrap());
    assert!(page.contains("skipped, no_consent") && page.contains("consent is withdrawn"), "{page}");
    assert!(page.contains("the gate stopped it before anything was chosen"), "{page}");
    let unknown = SendId::derive(start(), &campaign, &id("cy"), "today");
    assert!(explain(store, &unknown).await.unwrap().is_none());
}
