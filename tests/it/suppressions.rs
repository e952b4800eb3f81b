//! Addresses that must not be written to: the list as its keeper handles it, by command and by request.

use bespoke::campaign::Kind;
use bespoke::http::Scope;
use bespoke::profile::Consent;
use bespoke::send::Outcome;
use bespoke::send::State;
use bespoke::send::Suppress;
use bespoke::send::Suppression;
use bespoke::store::Lifted;
use bespoke::store::Listed;
use bespoke::store::SuppressionFilter;
use futures_util::TryStreamExt as _;
use jiff::ToSpan as _;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::database::start;
use crate::support::given;
use crate::support::given::claim;
use crate::support::given::given_people;
use crate::support::given::send;
use crate::support::given::settlement;
use crate::support::service::answer;
use crate::support::stores;

fn one(address: &str, topic: &str, reason: &str) -> Suppression {
    let (address, topic, reason) = (address.to_owned(), topic.to_owned(), reason.to_owned());
    Suppression { address, topic, reason, at: start(), send: None, until: None }
}

#[tokio::test]
async fn two_mails_that_one_dead_address_sends_back_at_once_are_one_suppression() {
    for database in stores().await {
        given_people(&database, &["ana"]).await;
        let sends = ["1", "2"].map(|occurrence| send("ana", occurrence, Kind::Transactional, start()));
        database.store.plan(&sends).await.unwrap();
        let claimed = claim(&database, start(), 2, "a").await;
        let bounce = || Outcome {
            suppress: Suppress::HardBounce,
            ..Outcome::terminal(State::Failed, "hard_bounce", "550 5.1.1")
        };
        let settlements: Vec<_> = claimed.iter().map(|claimed| settlement(claimed, bounce())).collect();
        database.store.record_outcomes(&settlements, 5, start()).await.unwrap();
        let all = database.store.suppressions(&SuppressionFilter::default(), None, 10).await.unwrap();
        assert_eq!(all.len(), 1, "on {}", database.name());
        assert_eq!((all[0].topic.as_str(), all[0].reason.as_str()), ("*", "hard_bounce"));
    }
}

#[tokio::test]
async fn of_two_lines_about_one_address_the_one_that_nobody_lifts_counts() {
    for database in stores().await {
        let lines = [
            one("ana@example.test", "picks", "unsubscribe"),
            one("ana@example.test", "picks", "complaint"),
            one("ana@example.test", "picks", "unsubscribe"),
        ];
        let listed = database.store.take_over_suppressions(&lines).await.unwrap();
        assert_eq!(listed, Listed { added: 1, erased: 0 }, "on {}", database.name());
        let all = database.store.suppressions(&SuppressionFilter::default(), None, 10).await.unwrap();
        assert_eq!(all, [lines[1].clone()]);
    }
}

#[tokio::test]
async fn of_two_pauses_of_one_address_the_longer_counts() {
    for database in stores().await {
        let until = |days: i64| Suppression {
            until: Some(start() + (days * 24).hours()),
            ..one("ana@example.test", "pause", "pause")
        };
        database.store.take_over_suppressions(&[until(8), until(38), until(3)]).await.unwrap();
        let all = database.store.suppressions(&SuppressionFilter::default(), None, 10).await.unwrap();
        assert_eq!(all, [until(38)], "on {}", database.name());
    }
}

#[tokio::test]
async fn the_list_is_read_a_page_at_a_time_and_by_what_is_asked_for() {
    for database in stores().await {
        let store = &database.store;
        let mut all: Vec<Suppression> =
            (0..1_500).map(|number| one(&format!("p{number:04}@example.test"), "*", "hard_bounce")).collect();
        all.push(one("p0000@example.test", "picks", "unsubscribe"));
        assert_eq!(store.add_suppressions(&all).await.unwrap(), 1_501);
        all.sort_by(|a, b| (&a.address, &a.topic).cmp(&(&b.address, &b.topic)));
        let read: Vec<Suppression> =
            store.export_suppressions(SuppressionFilter::default()).try_collect().await.unwrap();
        assert_eq!(read, all, "on {}", database.name());
        let filters = [
            (Some("p0000@example.test"), None, None, 2),
            (None, Some("unsubscribe"), None, 1),
            (None, None, Some("*"), 1_500),
            (Some("p0001@example.test"), Some("unsubscribe"), None, 0),
        ];
        for (address, reason, topic, count) in filters {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let filter = SuppressionFilter { address: own(address), reason: own(reason), topic: own(topic) };
            let found = store.suppressions(&filter, None, 2_000).await.unwrap();
            assert_eq!(found.len(), count, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn who_was_erased_is_taken_over_from_no_list_and_lifted_from_none() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store.erase(&given::id("ana"), start()).await.unwrap().unwrap();
        let lines = [one("ana@example.test", "*", "complaint"), one("bo@example.test", "*", "complaint")];
        let listed = store.take_over_suppressions(&lines).await.unwrap();
        assert_eq!(listed, Listed { added: 1, erased: 1 }, "on {}", database.name());
        let all = store.suppressions(&SuppressionFilter::default(), None, 10).await.unwrap();
        assert_eq!(all, [lines[1].clone()]);
        let lifted = store.lift_suppressions("ana@example.test", None, Some("asked"), start()).await.unwrap();
        assert_eq!(lifted, Lifted::Erased);
    }
}

#[tokio::test]
async fn what_somebody_said_is_lifted_only_in_their_words_and_stays_in_their_history() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana", "bo"]).await;
        let key = "ana@example.test";
        let lines = [one(key, "*", "hard_bounce"), one(key, "lifecycle", "complaint")];
        store.add_suppressions(&lines).await.unwrap();
        let now = start() + 1.hour();
        let lift = async |topic, because| store.lift_suppressions(key, topic, because, now).await.unwrap();

        assert_eq!(lift(Some("picks"), None).await, Lifted::Nothing { other: lines.to_vec() });
        assert_eq!(lift(None, None).await, Lifted::TheirOwnWord(lines.to_vec()));
        assert_eq!(store.suppressions(&SuppressionFilter::default(), None, 10).await.unwrap(), lines);
        assert_eq!(lift(Some("*"), None).await, Lifted::Done(vec![lines[0].clone()]));
        assert_eq!(store.consents_of(&given::id("ana")).await.unwrap(), []);

        assert_eq!(lift(None, Some("by phone")).await, Lifted::Done(vec![lines[1].clone()]));
        assert_eq!(lift(None, Some("by phone")).await, Lifted::Nothing { other: vec![] });
        let history = store.consents_of(&given::id("ana")).await.unwrap();
        let said: Vec<_> = history.iter().map(|proof| (proof.status, proof.wording.as_str())).collect();
        assert_eq!(said, [(Consent::Granted, "by phone")], "on {}", database.name());
        let who = format!("an operator, who lifted complaint of lifecycle since {}", start());
        assert_eq!((history[0].who.as_str(), history[0].address.as_ref()), (who.as_str(), None));
        assert_eq!(store.profile(&given::id("ana")).await.unwrap().unwrap().consent, Consent::Granted);
        assert_eq!(store.consents_of(&given::id("bo")).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_kept_by_commands() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        let added = app.says(&["suppressions", "add", "Ana@Example.test", "--reason", "complaint"]).await;
        assert!(
            added.starts_with("Ana@example.test is suppressed: complaint of lifecycle since 2"),
            "{added}"
        );
        let again = app.says(&["suppressions", "add", "ana@example.test", "--reason", "complaint"]).await;
        assert!(again.contains("was suppressed before, and stays so: complaint"), "{again}");
        let wrong = app.refuses(&["suppressions", "add", "bo@example.test", "--topic", "new"]).await;
        assert!(
            wrong.contains("no campaign has the topic \"new\"") && wrong.contains("did you mean \"news\"?")
        );
        app.says(&["suppressions", "add", "bo@example.test", "--topic", "news"]).await;

        let list = app.says(&["suppressions", "list"]).await;
        let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["address", "topic", "reason", "at", "until", "send"]);
        assert_eq!(lines[1][..3], ["ana@example.test", "lifecycle", "complaint"]);
        assert_eq!(lines[2][..3], ["bo@example.test", "news", "manual"]);
        let one = app.says(&["suppressions", "list", "--reason", "manual", "--format", "jsonl"]).await;
        let one: Value = serde_json::from_str(&one).unwrap();
        assert_eq!((&one["address"], &one["topic"]), (&"bo@example.test".into(), &"news".into()));
        let none = app.says(&["suppressions", "list", "--address", "cy@example.test"]).await;
        assert_eq!(none, "no suppression is like that\n");
        let cut = app.says(&["suppressions", "list", "--limit", "1"]).await;
        assert!(cut.lines().count() == 3 && cut.contains("… and more"), "{cut}");

        let refused = app.refuses(&["suppressions", "remove", "ana@example.test"]).await;
        assert!(refused.contains("ana@example.test said so: complaint of lifecycle since 2"), "{refused}");
        assert!(refused.contains("--because WORDS"), "{refused}");
        let done =
            app.says(&["suppressions", "remove", "ana@example.test", "--because", "ticket 4711"]).await;
        assert!(done.starts_with("lifted: complaint of lifecycle since 2"), "{done}");
        assert!(done.ends_with("consent of ana is granted\n"), "{done}");
        assert_eq!(
            app.database.store.consents_of(&given::id("ana")).await.unwrap()[0].wording,
            "ticket 4711"
        );
        let lifted = app.says(&["suppressions", "remove", "bo@example.test"]).await;
        assert!(lifted.starts_with("lifted: manual of news since 2"), "{lifted}");
        let nothing = app.refuses(&["suppressions", "remove", "bo@example.test"]).await;
        assert!(nothing.contains("nothing stands against bo@example.test"), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tools_list_is_taken_over_and_what_is_written_out_can_be_read_in_again() {
    for app in TestApp::on_each_database(&[]).await {
        let list = "Email Address,Reason,Created At,List\n\
                    ana@example.test,spam,2025-01-02T03:04:05Z,\n\
                    bo@example,Bounced,,\n\
                    bo@example.test,Bounced,2025-01-02,\n\
                    cy@example.test,550 no,,\n\
                    di@example.test,unsubscribed,,newz\n\
                    bo@example.test,Bounced,2025-01-02,\n";
        std::fs::write(app.path("old.csv"), list).unwrap();
        let (said, warned) = app.says_and_warns(&["suppressions", "import", "old.csv"]).await;
        assert_eq!(
            said,
            "old.csv: 6 rows: 3 suppressions loaded, 1 unchanged, 2 rejected (see old.csv.rejects.csv)\n",
            "on {}",
            app.database.name()
        );
        assert!(
            warned.contains("no campaign has the topic \"newz\"") && warned.contains("\"news\"?"),
            "{warned}"
        );
        let rejects = std::fs::read_to_string(app.path("old.csv.rejects.csv")).unwrap();
        let lines: Vec<&str> =
            rejects.lines().skip(1).map(|line| line.split("\",\"").next().unwrap()).collect();
        assert_eq!(lines, ["\"3", "\"5"]);

        let csv = app.says(&["suppressions", "list", "--format", "csv"]).await;
        assert!(
            csv.starts_with(
                "address,topic,reason,at,until,send\n\
                 ana@example.test,lifecycle,complaint,2025-01-02T03:04:05Z,,\n\
                 bo@example.test,*,hard_bounce,2025-01-02T00:00:00Z,,\n\
                 di@example.test,newz,unsubscribe,2"
            ),
            "{csv}"
        );
        std::fs::write(app.path("list.csv"), csv).unwrap();
        let same = app.says(&["import", "suppressions", "list.csv"]).await;
        assert_eq!(same, "list.csv: 3 rows: 0 suppressions loaded, 3 unchanged, 0 rejected\n");

        std::fs::write(app.path("plain.csv"), "email\nel@example.test\n").unwrap();
        app.says(&["suppressions", "import", "plain.csv", "--reason", "unsubscribe"]).await;
        let el =
            app.says(&["suppressions", "list", "--address", "el@example.test", "--format", "jsonl"]).await;
        let el: Value = serde_json::from_str(&el).unwrap();
        assert_eq!((&el["reason"], &el["topic"]), (&"unsubscribe".into(), &"lifecycle".into()));
    }
}

#[tokio::test]
async fn programs_suppress_look_and_lift_by_request_and_nothing_is_sent_meanwhile() {
    for app in TestApp::on_each_database(&[]).await {
        app.at("2026-10-05T08:00:00Z").await;
        app.given_profile("ana").await;
        let serving = app.serves().await;
        let stop = json!({"address": "Ana@example.test", "reason": "unsubscribe", "topic": "news"});
        let standing = serving.post("/v1/suppressions", &stop).await;
        let stands =
            json!({"topic": "news", "reason": "unsubscribe", "at": app.now(), "until": null, "send": null});
        let expected = json!({"address": "ana@example.test", "suppressions": [stands]});
        assert_eq!((standing.status, standing.json()), (200, expected.clone()));
        assert_eq!(serving.get("/v1/suppressions/ANA@example.test").await.json(), expected);
        // What stands there of other topics is told to those alone who may look at people.
        let complaint = json!({"address": "ana@example.test", "reason": "complaint", "topic": "lifecycle"});
        let answered = serving.post("/v1/suppressions", &complaint).await.json();
        let topics = |found: &serde_json::Value| {
            let found = found["suppressions"].as_array().unwrap().iter();
            found.map(|one| one["topic"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(topics(&answered), ["lifecycle"]);
        let all = serving.get("/v1/suppressions/ana@example.test").await.json();
        assert_eq!(topics(&all), ["lifecycle", "news"]);
        let only = json!({"topic": "lifecycle", "because": "by phone"});
        assert_eq!(serving.post("/v1/suppressions/ana@example.test/lift", &only).await.status, 200);
        app.plans().await;
        app.at("2026-10-05T10:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 0);

        let path = "/v1/suppressions/ana@example.test/lift";
        let silent = serving.post(path, &json!({})).await;
        assert_eq!((silent.status, silent.text.contains("say how they took it back")), (409, true));
        assert_eq!(serving.post(path, &json!({"topic": "picks"})).await.status, 404);
        assert_eq!(serving.post(path, &json!({"because": "x".repeat(1_001)})).await.status, 422);
        let lifted = serving.post(path, &json!({"because": "by phone"})).await;
        assert_eq!((lifted.status, lifted.json()), (200, expected));
        assert_eq!(serving.post(path, &json!({"because": "by phone"})).await.status, 404);
        let none = serving.get("/v1/suppressions/ana@example.test").await.json();
        assert_eq!(none["suppressions"], json!([]));

        for (body, status) in [
            (json!({"address": "ana"}), 422),
            (json!({"address": "ana@example.test", "topic": "nothing"}), 404),
            (json!({"address": "ana@example.test", "reason": "erased"}), 422),
        ] {
            assert_eq!(serving.post("/v1/suppressions", &body).await.status, status, "{body}");
        }
        // Who may tell of bounces may not look at people, and nobody without a key may do either.
        let feedback = app.key_for(&[Scope::Feedback]).await;
        let look = serving.request(Method::GET, "/v1/suppressions/ana@example.test");
        assert_eq!(answer(look.bearer_auth(&feedback)).await.status, 403);
        let add = serving.request(Method::POST, "/v1/suppressions").json(&stop);
        assert_eq!(answer(add).await.status, 401);
    }
}
