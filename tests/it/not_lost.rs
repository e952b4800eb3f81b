//! Mail that had to wait goes out all the same, and nobody gets again what the program has forgotten.

use bespoke::campaign::Kind;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::profile::Consent;
use bespoke::profile::ProfileId;
use bespoke::send::State;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::given;
use crate::support::patience::until;
use crate::support::program::Program;

fn outcome(state: State, reason: &str) -> (State, String) {
    (state, reason.to_owned())
}

const LETTER: &str = "<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";

#[tokio::test]
async fn a_deadline_shorter_than_the_night_loses_no_mail() {
    let config = CONFIG.replace("start = \"00:00\"\nend = \"00:00\"", "start = \"21:00\"\nend = \"08:00\"");
    let letter = format!("+++\nsubject = \"Hi\"\n+++\n{LETTER}");
    let campaign =
        "kind = \"lifecycle\"\ndeadline_hours = 2\ntrigger = { cron = { schedule = \"0 3 * * *\" } }\n";
    for database in crate::support::stores().await {
        let files = [("night/campaign.toml", campaign), ("night/any/letter.mjml", letter.as_str())];
        let app = TestApp::new(database, &config, &files);
        app.given_profile("ana").await;
        app.at("2026-03-02T12:00:00Z").await;
        app.plans().await;
        let of_night = async || {
            let sends = app.sends().await;
            let stored = sends.into_iter().find(|stored| stored.send.campaign.as_str() == "night").unwrap();
            (stored.send.state, stored.reason.unwrap_or_default(), stored.send.expires_at.to_string())
        };
        app.at("2026-03-03T03:30:00Z").await;
        app.runs_until_idle().await;
        // Half an hour of its two was over when it was put off.
        let expected = (State::Deferred, "quiet_hours".to_owned(), "2026-03-03T09:30:00Z".to_owned());
        assert_eq!(of_night().await, expected, "{}", app.database.name());
        app.at("2026-03-03T08:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(of_night().await.0, State::Sent, "{}", app.database.name());
    }
}

#[tokio::test]
async fn whoever_got_nothing_for_want_of_a_code_gets_it_when_there_are_more() {
    let gift = format!("+++\nsubject = \"A gift\"\noffer = \"gift\"\n+++\n{LETTER}")
        .replace("day.", "day: {{ offer.code }}");
    let files = [
        ("news/any/hello.mjml", gift.as_str()),
        ("offers.toml", "[gift]\ndescription = \"A gift\"\nkind = \"coupon\"\npercent = '10'\n"),
    ];
    for app in TestApp::on_each_database(&files).await {
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        let imported = async |code: &str| {
            app.database.store.import_coupons("gift", &[code.to_owned()]).await.unwrap();
        };
        imported("ONE").await;
        app.plans().await;
        app.at("2026-03-02T12:00:00Z").await;
        app.runs_until_idle().await;
        let mut states = app.states().await;
        states.sort();
        assert_eq!(states, [outcome(State::Sent, "sent"), outcome(State::Skipped, "no_coupon")]);

        imported("TWO").await;
        let ids: Vec<_> = app.sends().await.into_iter().map(|stored| stored.send.id).collect();
        assert_eq!(app.database.store.retry(&ids, app.now()).await.unwrap(), 1, "what was sent stays sent");
        app.runs_until_idle().await;
        assert_eq!(app.states().await, [outcome(State::Sent, "sent"), outcome(State::Sent, "sent")]);
        assert_eq!(app.database.store.retry(&ids, app.now()).await.unwrap(), 0);
        for (name, codes) in [("ana", 1), ("bo", 1)] {
            let id = ProfileId::parse(name).unwrap();
            let code = app.database.store.coupon_of("gift", &id).await.unwrap();
            assert_eq!(code.iter().count(), codes, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_skipped_for_another_reason_stays_skipped() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        app.plans().await;
        app.given_profile_with("ana", |profile| profile.consent = Consent::Withdrawn).await;
        app.at("2026-03-02T12:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(app.states().await, [outcome(State::Skipped, "no_consent")]);
        let ids: Vec<_> = app.sends().await.into_iter().map(|stored| stored.send.id).collect();
        assert_eq!(app.database.store.retry(&ids, app.now()).await.unwrap(), 0);
    }
}

/// What is said of a configuration with this at its end.
fn refused(more: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bespoke.toml");
    std::fs::write(&file, format!("{CONFIG}{more}")).unwrap();
    match Config::load(Some(&file), &Environment::default(), &Overrides::default()) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn sends_are_kept_as_long_as_anything_looks_back_at_them() {
    for (more, expected) in [
        ("[retention]\nsends_days = 0\n", "retention.sends_days = 0 would delete everything"),
        ("[retention]\nevents_days = 0\n", "retention.events_days = 0 would delete everything"),
        (
            "[retention]\nsends_days = 5\n",
            "than the program looks back (the guard of campaigns looks at 7 days)",
        ),
        ("[cap]\ndays = 30\n[retention]\nsends_days = 29\n", "than the program looks back (cap.days = 30)"),
    ] {
        let said = refused(more);
        assert!(said.contains(expected), "{more}{said}");
    }
    assert_eq!(refused("[cap]\ndays = 30\n[retention]\nsends_days = 30\nevents_days = 1\n"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_looks_back_further_keeps_prune_from_deleting() {
    let program = Program::new("[retention]\nsends_days = 90\n");
    let trigger = "trigger = { event = { name = \"Signed Up\", once_per_hours = 8760 } }\n";
    let write = |name: &str, text: &str| {
        let path = program.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("people.csv", "id,email\nana,ana@example.test\n");
    program.says(&["import", "profiles", "people.csv"]).await;
    program.says(&["prune", "--dry-run"]).await;
    write("templates/hello/campaign.toml", &format!("kind = \"lifecycle\"\n{trigger}"));
    write(
        "templates/hello/any/hi.mjml",
        &format!("+++\nsubject = \"Hi\"\npreheader = \"Hi\"\n+++\n{LETTER}"),
    );
    for arguments in [["prune"].as_slice(), &["prune", "--dry-run"], &["check"]] {
        let output = program.command(&[], arguments).output().await.unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let said = said.concat().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{said}");
        for words in ["trigger.event.once_per_hours = 8760 of campaign hello", "write 365 or more"] {
            assert!(said.contains(words), "{arguments:?}\n{said}");
        }
    }
}

/// A worker on another host marked the mails and was cut off; it may still have one on the wire, by its relay's deadlines.
#[tokio::test]
async fn a_mail_that_a_patient_relay_may_still_answer_for_is_left_to_who_sends_it() {
    let Some(database) = Database::postgres().await else { return };
    let mut app = TestApp::new(database, CONFIG, &[]);
    let mut relay = Relay::from_url("smtp://127.0.0.1:9").unwrap();
    relay.deadlines.dot_ms = 3_600_000;
    app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
    let names = ["long-ago", "lately"];
    given::given_people(&app.database, &names).await;
    let sends = names.map(|name| given::send(name, "1", Kind::Lifecycle, app.now()));
    app.database.store.plan(&sends).await.unwrap();
    let claimed = given::claim(&app.database, app.now(), 10, "cut off").await;
    let marks: Vec<_> = claimed.iter().map(given::mark).collect();
    assert_eq!(app.database.store.mark_submitting(&marks, &[], app.now()).await.unwrap().accepted.len(), 2);
    // Body and dot have 180 and 3,600 s, and there is a minute's margin.
    let ended = |seconds: i64, name: &str| {
        let at = app.now().as_millisecond() - seconds * 1_000;
        format!("update sends set lease_until = {at} where profile_id = '{name}'")
    };
    app.database.execute(&ended(3_841, "long-ago")).await;
    app.database.execute(&ended(3_839, "lately")).await;
    let given_up = async || {
        app.runs_until_idle().await;
        let sends = app.sends().await;
        let state =
            |name: &str| sends.iter().find(|stored| stored.send.profile.as_str() == name).unwrap().send.state;
        (state("long-ago") != State::Submitting).then(|| names.map(state))
    };
    let states = until("what was marked long ago is given up", given_up).await;
    assert_eq!(states, [State::Unknown, State::Submitting]);
}
