//! A bug that one send brings out: that send fails, and no other waits for it or goes down with it.

use std::time::Duration;

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::send::State;
use bespoke::worker::run::Until;
use serde_json::json;

use crate::support::TestApp;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_send_that_panics_while_its_claim_is_decided_fails_alone() {
    for mut app in TestApp::on_each_database(&[]).await {
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec!["rcpt@ana@=450 4.2.0 try later".parse().unwrap()]);
        let relay = Relay::from_url(&catcher.url()).unwrap();
        app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
        app.given_profile("ana").await;
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;

        app.over(Transport::Memory(app.outbox.clone()));
        app.at("2026-03-02T10:20:00Z").await;
        for name in ["bo", "cy"] {
            app.given_profile(name).await;
            app.does(name, "Order Completed", json!({"order_id": "7"})).await;
        }
        app.plans().await;
        // No calendar reaches back so far, and only a file's configuration is checked: whoever looks at the cap panics,
        // which a retry does outside of what the engine decides.
        app.config.cap.days = u32::MAX;
        let worked = tokio::time::timeout(PATIENCE, app.worker().await.run(Until::Idle)).await;
        worked.expect("nothing is held for ever").unwrap();
        let mut found: Vec<_> = app
            .sends()
            .await
            .into_iter()
            .filter(|stored| stored.send.state != State::Scheduled)
            .map(|stored| {
                let (send, reason) = (stored.send, stored.reason.unwrap_or_default());
                format!("{} {} {} {reason}", send.profile, send.campaign, send.state)
            })
            .collect();
        found.sort();
        let expected = ["ana news failed panic", "bo receipt sent sent", "cy receipt sent sent"];
        assert_eq!(found, expected, "{}", app.database.name());
        assert_eq!(app.mails().len(), 2);
    }
}
