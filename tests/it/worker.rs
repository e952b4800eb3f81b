//! From a person's deeds to their inbox, on both databases.

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::profile::Consent;
use bespoke::send::State;
use bespoke::send::Suppression;
use mail_parser::MessageParser;
use serde_json::json;

use crate::support::TestApp;

fn terminal(state: State, reason: &str) -> (State, String) {
    (state, reason.to_owned())
}

#[tokio::test]
async fn a_planned_campaign_reaches_everybody_in_its_audience_once() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        app.given_profile("bo").await;
        app.given_profile_with("no-consent", |profile| profile.consent = Consent::Unknown).await;
        app.given_profile_with("no-address", |profile| profile.address = None).await;
        assert_eq!(app.plans().await, 2);
        assert_eq!(app.plans().await, 0, "planning twice adds nothing");
        app.runs_until_idle().await;
        assert!(app.mails().is_empty(), "nothing is due before ten");
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        app.runs_until_idle().await;
        let mut to: Vec<_> = app.mails().into_iter().map(|mail| mail.to).collect();
        to.sort();
        assert_eq!(to, ["ana@example.test", "bo@example.test"]);
        assert_eq!(app.states().await, [terminal(State::Sent, "sent"), terminal(State::Sent, "sent")]);
        let mail = app.mails().into_iter().find(|mail| mail.to.starts_with("ana")).unwrap();
        let message = MessageParser::new().parse(&mail.bytes).unwrap();
        assert_eq!(message.subject(), Some("Hello ana"));
        assert!(message.body_text(0).unwrap().contains("Dear ana"));
        let html = message.body_html(0).unwrap();
        assert!(html.contains("https://m.shop.test/c/") && html.contains("https://m.shop.test/u/"), "{html}");
        let decision = app.decision(&mail.send).await;
        assert_eq!(decision.propensity.to_bits(), 1.0_f64.to_bits());
        assert_eq!(decision.candidates.len(), 1);
    }
}

#[tokio::test]
async fn an_event_starts_a_transactional_mail_with_its_data() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile_with("ana", |profile| profile.consent = Consent::Withdrawn).await;
        app.does(
            "ana",
            "Order Completed",
            json!({"order_id": "A-7", "total": 12.5, "products": [{"price": "3.20"}]}),
        )
        .await;
        assert_eq!(app.plans().await, 1);
        let data = &app.sends().await[0].send.data;
        assert_eq!(
            (&data["total"], &data["products"][0]["price"]),
            (&json!(1250), &json!(320)),
            "minor units"
        );
        app.runs_until_idle().await;
        let mails = app.mails();
        assert_eq!(mails.len(), 1);
        let message = MessageParser::new().parse(&mails[0].bytes).unwrap();
        assert_eq!(message.subject(), Some("Your order A-7"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    }
}

#[tokio::test]
async fn a_window_of_a_trigger_begins_with_the_send_and_not_with_the_calendar() {
    let trigger = "trigger = { event = { name = \"Product Added\", once_per_hours = 24 } }\n";
    let campaign = format!("kind = \"transactional\"\n{trigger}");
    let template = "+++\nsubject = \"Your cart\"\n+++\n<mj-section><mj-column><mj-text>It waits.</mj-text></mj-column></mj-section>";
    let files = [("cart/campaign.toml", campaign.as_str()), ("cart/any/cart.mjml", template)];
    for app in TestApp::on_each_database(&files).await {
        app.given_profile("ana").await;
        let planned = async || {
            app.plans().await;
            app.sends().await.iter().filter(|stored| stored.send.campaign.as_str() == "cart").count()
        };
        let mut counts = Vec::new();
        let times =
            ["2026-03-02T22:00:00Z", "2026-03-03T02:00:00Z", "2026-03-03T21:59:59Z", "2026-03-03T22:00:00Z"];
        for time in times {
            app.at(time).await;
            app.does("ana", "Product Added", json!({"product_id": time})).await;
            counts.push(planned().await);
        }
        assert_eq!(counts, [1, 1, 1, 2], "{}", app.database.name());
        app.does("ana", "Product Added", json!({"product_id": "a"})).await;
        app.does("ana", "Product Added", json!({"product_id": "b"})).await;
        assert_eq!(planned().await, 2, "two more within the window");
    }
}

#[tokio::test]
async fn a_decision_that_cannot_be_read_again_does_not_keep_the_rest_of_its_batch_back() {
    for app in TestApp::on_each_database(&[]).await {
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        assert_eq!(app.plans().await, 2);
        app.at("2026-03-02T12:00:00Z").await;
        app.database
            .execute(
                "insert into decisions (send_seq, send_id, profile_id, campaign, at, stage, slice, propensity, policy,
                   policy_version, body)
                 select seq, id, profile_id, campaign, 0, 'compare', 'policy', 1.0, 'p', '1', '{\"send\":' from sends
                 where profile_id = 'ana'",
            )
            .await;
        app.runs_until_idle().await;
        let mut states = app.states().await;
        states.sort();
        let expected = [(State::Sent, "sent".to_owned()), (State::Failed, "unreadable".to_owned())];
        assert_eq!(states, expected, "{}", app.database.name());
    }
}

#[tokio::test]
async fn the_gate_says_why_a_send_did_not_go() {
    let config = format!("{}[cap]\nlifecycle_mails = 1\ndays = 7\n", crate::support::app::CONFIG);
    for database in crate::support::stores().await {
        let app = TestApp::new(database, &config, &[]);
        for name in ["ana", "bo", "cy"] {
            app.given_profile(name).await;
        }
        app.plans().await;
        let suppression = Suppression {
            address: "bo@example.test".into(),
            topic: "*".into(),
            reason: "hard_bounce".into(),
            at: app.now(),
            send: None,
            until: None,
        };
        app.database.store.add_suppressions(&[suppression]).await.unwrap();
        app.given_profile_with("cy", |profile| profile.consent = Consent::Withdrawn).await;
        app.at("2026-03-02T10:00:01Z").await;
        app.runs_until_idle().await;
        app.plans().await;
        app.at("2026-03-03T10:00:00Z").await;
        app.runs_until_idle().await;
        let mut found: Vec<_> = app
            .sends()
            .await
            .into_iter()
            .map(|stored| {
                format!("{} {} {}", stored.send.profile, stored.send.state, stored.reason.unwrap_or_default())
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "ana sent sent",
                "ana skipped cap",
                "bo suppressed suppressed",
                "bo suppressed suppressed",
                "cy skipped no_consent",
            ]
        );
        assert_eq!(app.mails().len(), 1);
    }
}

#[tokio::test]
async fn hostile_values_stop_nobody_and_come_out_as_they_are() {
    for app in TestApp::on_each_database(&[]).await {
        let hostile = [
            "<script>alert(1)</script>",
            "{{ 90210*90210 }}",
            "{% raw %}",
            "a\r\nBcc: x@y.test",
            "\u{202e}gnp",
            "🎉مرحبا",
            "\"><img src=x onerror=alert(1)>",
            &"n".repeat(10_000),
            "<mj-text>",
            "&amp;",
            "\u{1}\u{2}",
        ];
        for (i, name) in hostile.iter().enumerate() {
            app.given_profile_with(&format!("p{i}"), |profile| {
                profile.traits.insert("first_name".into(), json!(name));
            })
            .await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        assert!(
            app.states().await.iter().all(|(state, _)| *state == State::Sent),
            "{:?}",
            app.states().await
        );
        for mail in app.mails() {
            let message = MessageParser::new().parse(&mail.bytes).unwrap();
            assert_eq!(message.headers().iter().filter(|header| header.name() == "Bcc").count(), 0);
            let html = message.body_html(0).unwrap();
            assert!(
                !html.contains("<script>alert")
                    && !html.contains("<img src=x")
                    && !html.contains("8137844100"),
                "{html}"
            );
        }
    }
}

#[tokio::test]
async fn over_smtp_a_hard_bounce_suppresses_and_a_deferral_waits() {
    for mut app in TestApp::on_each_database(&[]).await {
        let rules = [
            "rcpt@550@=550 5.1.1 no such user",
            "rcpt@450@=450 4.2.0 try later",
            "rcpt@552@=552 5.2.2 mailbox full",
        ];
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(rules.map(|rule| rule.parse().unwrap()).into());
        let relay = Relay::from_url(&catcher.url()).unwrap();
        app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
        for name in ["ana", "550", "450", "552"] {
            app.given_profile(name).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let mut found: Vec<_> = app
            .sends()
            .await
            .into_iter()
            .map(|stored| {
                format!("{} {} {}", stored.send.profile, stored.send.state, stored.reason.unwrap_or_default())
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            ["450 deferred deferred", "550 failed hard_bounce", "552 failed soft_bounce", "ana sent sent"]
        );
        let suppressed = app
            .database
            .store
            .suppressions_of(&[
                "550@example.test".into(),
                "552@example.test".into(),
                "450@example.test".into(),
            ])
            .await
            .unwrap();
        assert_eq!(suppressed.keys().collect::<Vec<_>>(), ["550@example.test"]);
        assert_eq!(catcher.messages().len(), 1);
        assert_eq!(catcher.violations(), [""; 0]);
    }
}

#[tokio::test]
async fn a_retry_has_the_same_bytes_even_when_the_templates_have_changed() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        app.does("ana", "Order Completed", json!({"order_id": "A-7"})).await;
        app.plans().await;
        let engine = app.engine().await;
        let send = app.sends().await.remove(0).send;
        app.runs_until_idle().await;
        let first = app.mails().remove(0);
        app.database
            .execute("update sends set state = 'scheduled', finished_at = null, submitted_at = null")
            .await;
        drop(engine);
        let template = app.config.templates.folder.join("receipt/any/receipt.mjml");
        let text = std::fs::read_to_string(&template).unwrap().replace("Thank you", "Thanks a lot");
        std::fs::write(&template, text).unwrap();
        app.runs_until_idle().await;
        let mails = app.mails();
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[1].send, send.id);
        assert_eq!(mails[1].bytes, first.bytes);
    }
}

/// As if the worker had died before it could write down what became of the sends.
const UNSETTLED: &str =
    "update sends set state = 'scheduled', reason = null, detail = null, finished_at = null,
  submitted_at = null, lease_token = null";

#[tokio::test]
async fn what_was_decided_to_be_nothing_stays_nothing_after_a_crash() {
    let hello = "+++\nsubject = \"Hello\"\nwhen = 'history.orders_total > 0'\n+++\n<mj-section><mj-column><mj-text>Hello.</mj-text></mj-column></mj-section>";
    for app in TestApp::on_each_database(&[("news/any/hello.mjml", hello)]).await {
        app.given_profile("ana").await;
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let expected = [terminal(State::Skipped, "no_variant")];
        assert_eq!(app.states().await, expected);
        app.database.execute(UNSETTLED).await;
        app.runs_until_idle().await;
        assert_eq!(app.states().await, expected, "{}", app.database.name());
        assert!(app.mails().is_empty());
    }
}

#[tokio::test]
async fn an_event_that_calls_a_send_off_is_asked_for_again_at_a_retry() {
    let campaign = "kind = \"transactional\"\n\
        trigger = { event = { name = \"Product Added\", cancel_on = [\"Order Completed\"] } }\n";
    let template = "+++\nsubject = \"Your cart\"\n+++\n<mj-section><mj-column><mj-text>It waits.</mj-text></mj-column></mj-section>";
    let receipt = ("receipt/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n");
    let files = [("cart/campaign.toml", campaign), ("cart/any/cart.mjml", template), receipt];
    for app in TestApp::on_each_database(&files).await {
        app.given_profile("ana").await;
        app.does("ana", "Product Added", json!({"product_id": "p1"})).await;
        app.plans().await;
        app.runs_until_idle().await;
        app.at("2026-03-02T09:30:00Z").await;
        app.does("ana", "Order Completed", json!({"order_id": "A-7"})).await;
        app.database.execute(&format!("{UNSETTLED} where campaign = 'cart'")).await;
        app.runs_until_idle().await;
        let sends = app.sends().await;
        let cart = sends.iter().find(|stored| stored.send.campaign.as_str() == "cart").unwrap();
        assert_eq!((cart.send.state, cart.reason.as_deref()), (State::Canceled, Some("cancel_on")));
        assert_eq!(app.mails().len(), 1, "{}", app.database.name());
    }
}

#[tokio::test]
async fn a_decision_that_somebody_else_saved_first_is_the_one_that_is_sent() {
    let app = TestApp::on_sqlite(&[]).await;
    app.given_profile("ana").await;
    app.does("ana", "Order Completed", json!({"order_id": "A-7"})).await;
    app.plans().await;
    app.runs_until_idle().await;
    let first = app.mails().remove(0);
    let decision = app.decision(&first.send).await;
    // Comes back between reading and saving: the changed template is saved just before the decision.
    let meanwhile = "create table aside as select * from decisions; delete from decisions;
        create trigger meanwhile after insert on templates begin
          insert into decisions select * from aside;
        end;";
    app.database.execute(&format!("{UNSETTLED}; {meanwhile}")).await;
    let template = app.config.templates.folder.join("receipt/any/receipt.mjml");
    let text = std::fs::read_to_string(&template).unwrap().replace("Thank you", "Thanks a lot");
    std::fs::write(&template, text).unwrap();
    app.runs_until_idle().await;
    assert_eq!(app.decision(&first.send).await, decision);
    let mails = app.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[1].bytes, first.bytes);
}
