//! `bespoke replay`: the same people, time and seed under two configurations.

use bespoke::campaign::CampaignId;
use bespoke::preview::replay::Change;
use bespoke::preview::replay::Replay;
use bespoke::preview::replay::ReplayRequest;
use bespoke::preview::replay::replay;
use bespoke::report;
use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy as _;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;

/// Two ways to say hello, drawn evenly.
const TWO: (&str, &str) = (
    "news/any/hej.mjml",
    "+++\nsubject = \"Hej {{ profile.first_name or 'there' }}\"\n+++\n<mj-section><mj-column><mj-text>Hej, <a href=\"https://shop.test/new\">see what is new</a>.</mj-text></mj-column></mj-section>",
);

const PEOPLE: usize = 24;

async fn shop(more: &[(&str, &str)]) -> TestApp {
    let app = TestApp::on_sqlite(more).await;
    for number in 0..PEOPLE {
        app.given_profile(&format!("p{number:02}")).await;
    }
    app.does("p00", "Product Viewed", json!({"product_id": "tea"})).await;
    app
}

fn request(seed: u64, limit: Option<usize>) -> ReplayRequest {
    let now = "2026-03-03T10:00:00Z".parse().unwrap();
    ReplayRequest { campaign: CampaignId("news".to_owned()), now, seed, limit }
}

/// What `before`'s people would get by `after`'s templates.
async fn compare(before: &TestApp, after: &TestApp, request: &ReplayRequest) -> Replay {
    let store = &before.database.store;
    let other = bespoke::worker::assemble::engine(&after.config, store).await.unwrap();
    replay(store, [&before.engine().await, &other], request, &|_, _| {}).await.unwrap()
}

fn counts(replay: &Replay) -> Vec<(Change, u64)> {
    replay.changes.iter().map(|(change, count)| (*change, *count)).collect()
}

#[tokio::test]
async fn the_same_people_time_and_seed_give_the_same_bytes_whatever_they_are() {
    let app = shop(&[TWO]).await;
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let cases = (proptest::num::u64::ANY, 0_i64..10 * 365 * 86_400);
    for _ in 0..12 {
        let (seed, seconds) = cases.new_tree(&mut runner).unwrap().current();
        let mut request = request(seed, None);
        request.now = app.now() + jiff::SignedDuration::from_secs(seconds);
        let replay = compare(&app, &app, &request).await;
        assert_eq!(counts(&replay), [(Change::SameMail, PEOPLE as u64)], "seed {seed}, {}", request.now);
    }
}

#[tokio::test]
async fn a_replay_tells_who_gets_something_else_and_changes_nothing() {
    let before = shop(&[]).await;
    let texts = |file: &'static str, text: &'static str| (file, text);
    let retold = texts("news/any/hello.mjml", TWO.1);
    let nobody = texts(
        "news/campaign.toml",
        "kind = \"lifecycle\"\naudience = 'profile.consent == \"withdrawn\"'\ntrigger = { api = {} }\n",
    );
    let check = async |more: &[(&str, &str)], expected: &[(Change, u64)]| {
        let after = TestApp::new(Database::sqlite().await, CONFIG, more);
        assert_eq!(counts(&compare(&before, &after, &request(7, None)).await), expected);
    };
    check(&[], &[(Change::SameMail, 24)]).await;
    check(&[retold], &[(Change::OtherContent, 24)]).await;
    check(&[nobody], &[(Change::Lost, 24)]).await;
    assert_eq!(before.sends().await.len(), 0, "nothing is planned");
    assert_eq!(before.mails().len(), 0, "nothing is sent");
    let stages = before.database.store.stages_of(&[crate::support::given::id("p00")]).await.unwrap();
    assert!(stages.is_empty(), "nobody is placed");

    let after = TestApp::new(Database::sqlite().await, CONFIG, &[TWO]);
    let replay = compare(&before, &after, &request(7, Some(10))).await;
    assert_eq!(replay.people(), 10);
    let changed = counts(&replay).into_iter().find(|(change, _)| *change == Change::OtherVariant).unwrap().1;
    assert!((1..=9).contains(&changed), "a new variant of the same weight takes about half: {changed} of 10");
    let told = report::machine::json(&replay.report(&request(7, Some(10))));
    let variants = told["tables"]["variants"]["rows"].as_array().unwrap();
    let of = |name: &str| variants.iter().find(|row| row["variant"] == name).unwrap();
    assert_eq!(of("news/any/hej")["mails_after"], json!(changed));
    assert_eq!(
        (&of("news/any/hej")["expected_before"], &of("news/any/hej")["expected_after"]),
        (&json!(0.0), &json!(5.0))
    );
    let example = &told["tables"]["examples"]["rows"][0];
    assert_eq!((&example["before"], &example["after"]), (&json!("news/any/hello"), &json!("news/any/hej")));
}
