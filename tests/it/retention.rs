//! How long what is kept: each table by its own line of the configuration, deleted by `bespoke prune`.

use std::collections::BTreeMap;

use bespoke::clock::Clock;
use bespoke::store::Pruned;
use bespoke::store::Store;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::support::given;
use crate::support::program::Program;

const STATED: &str = "\
[retention]
events_days = 10
stage_transitions_days = 20
sends_days = 90
decisions_days = 40
hits_days = 50
attachments_days = 60
webhooks_days = 70
idempotency_keys_hours = 72
";

/// Of each table, what was counted, the verb, and how old what goes is, in hours.
fn read(said: &str, now: Timestamp) -> BTreeMap<String, (u64, String, i64)> {
    let line = |line: &str| {
        let (front, older) = line.split_once(": older than ").unwrap_or_else(|| panic!("{line}"));
        let words: Vec<&str> = front.split_whitespace().collect();
        let [count, table, verb @ ..] = words.as_slice() else { panic!("{line}") };
        let before: Timestamp = older.trim().parse().unwrap();
        let hours = (now.duration_since(before) + SignedDuration::from_mins(30)).as_hours();
        ((*table).to_owned(), (count.parse().unwrap(), verb.join(" "), hours))
    };
    said.lines().map(line).collect()
}

#[tokio::test]
async fn each_table_is_pruned_by_its_own_line_of_the_configuration() {
    let program = Program::new(STATED);
    let now = Clock::System.now();
    let url = format!("sqlite://{}", program.folder.path().join("bespoke.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate(now).await.unwrap();
    store.upsert_profiles(&[given::profile("ana")], now).await.unwrap();
    let seen = |id: &str, days: i64| {
        given::event("ana", id, "Product Viewed", now - SignedDuration::from_hours(24 * days))
    };
    store.insert_events(&[seen("old", 11), seen("new", 9)]).await.unwrap();
    let expected: BTreeMap<String, (u64, i64)> = [
        (Pruned::Events, 1, 10 * 24),
        (Pruned::StageTransitions, 0, 20 * 24),
        (Pruned::Sends, 0, 90 * 24),
        (Pruned::Decisions, 0, 40 * 24),
        (Pruned::WebDecisions, 0, 40 * 24),
        (Pruned::Hits, 0, 50 * 24),
        (Pruned::Attachments, 0, 60 * 24),
        (Pruned::OutcomeLog, 0, 70 * 24),
        (Pruned::WebhookMessages, 0, 70 * 24),
        (Pruned::ConsentRequests, 0, 7 * 24),
        (Pruned::SoftBounces, 0, 30 * 24),
        (Pruned::IdempotencyKeys, 0, 72),
    ]
    .map(|(what, count, hours)| (what.table().to_owned(), (count, hours)))
    .into();
    assert_eq!(expected.len(), Pruned::ALL.len());
    for (arguments, verb) in [
        (["prune", "--dry-run"].as_slice(), "would go"),
        (&["prune", "--dry-run"], "would go"),
        (&["prune"], "deleted"),
    ] {
        let said = program.says(arguments).await;
        let found = read(&said, now);
        let of = |(table, (count, said, hours)): (&String, &(u64, String, i64))| {
            assert_eq!(said, verb);
            (table.clone(), (*count, *hours))
        };
        assert_eq!(found.iter().map(of).collect::<BTreeMap<_, _>>(), expected, "{said}");
    }
    let left = store.events_of(&[given::id("ana")]).await.unwrap();
    let left: Vec<String> = left.into_values().flatten().map(|event| event.id).collect();
    assert_eq!(left, ["new"]);
    store.close().await;
}
