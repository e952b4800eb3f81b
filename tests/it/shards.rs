//! A shard is a whole database: PostgreSQL's own tools move it, and its workers go on where it is.

use bespoke::send::State;
use bespoke::send::Suppression;
use serde_json::json;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::given::id;

#[tokio::test]
async fn a_shard_that_was_moved_goes_on_and_nobody_gets_anything_twice() {
    let Some(database) = Database::postgres().await else { return };
    let before = TestApp::new(database, CONFIG, &[]);
    for name in ["ana", "bo", "cy"] {
        before.given_profile(name).await;
    }
    before.does("ana", "Order Completed", json!({"order_id": "A-1"})).await;
    before.plans().await;
    before.runs_until_idle().await;
    let left = Suppression {
        address: "bo@example.test".to_owned(),
        topic: "*".to_owned(),
        reason: "unsubscribe".to_owned(),
        send: None,
        at: before.now(),
        until: None,
    };
    before.database.store.add_suppressions(&[left]).await.unwrap();
    let Some(moved) = before.database.moved_to("another_shard").await else { return };

    let after = TestApp::new(moved, CONFIG, &[]);
    after.at("2026-03-02T10:00:00Z").await;
    after.runs_until_idle().await;
    let to = |app: &TestApp| app.mails().into_iter().map(|mail| mail.to).collect::<Vec<_>>();
    assert_eq!(to(&before), ["ana@example.test"], "the receipt");
    let mut news = to(&after);
    news.sort();
    assert_eq!(news, ["ana@example.test", "cy@example.test"]);
    let mut states: Vec<_> = after
        .sends()
        .await
        .into_iter()
        .map(|stored| (stored.send.campaign.to_string(), stored.send.profile, stored.send.state))
        .collect();
    states.sort();
    assert_eq!(
        states,
        [
            ("news".to_owned(), id("ana"), State::Sent),
            ("news".to_owned(), id("bo"), State::Suppressed),
            ("news".to_owned(), id("cy"), State::Sent),
            ("receipt".to_owned(), id("ana"), State::Sent),
        ]
    );
    // What comes in there is new there.
    after.does("cy", "Order Completed", json!({"order_id": "A-2"})).await;
    after.plans().await;
    after.runs_until_idle().await;
    assert_eq!(to(&after).len(), 3);
}
