//! What a mail costs does not grow with the mails before it: the statements use the indexes made for them.

use std::collections::BTreeMap;

use crate::support::stores;

/// 20,000 sends of 2,000 profiles, nearly all finished, with more profiles, events and suppressions, and what the
/// planner of PostgreSQL has to know about them. In small tables it rightly reads all.
const FILL: &str = "
insert into sends (id, campaign, profile_id, occurrence, kind, guarantee, priority, due_at, first_due_at, expires_at,
  state, data, submitted_at, finished_at, lease_until)
with recursive n(n) as (select 1 union all select n + 1 from n where n < 20000)
select 'id' || n, 'picks', 'p' || (n % 2000), 'o' || n, 'lifecycle', 'amo', 10, n, n, n,
  case when n % 400 = 0 then 'scheduled' when n % 401 = 0 then 'leased' when n % 402 = 0 then 'submitting'
    else 'sent' end,
  '{}', n, n, n
from n;
insert into profiles (id, traits, consent, created_at, updated_at)
with recursive n(n) as (select 1 union all select n + 1 from n where n < 20000)
select 'p' || n, '{}', 'granted', 0, 0 from n;
insert into events (seq, profile_id, id, name, at, properties)
with recursive n(n) as (select 1 union all select n + 1 from n where n < 20000)
select n, 'p' || (n % 2000), 'e' || n, 'Product Viewed', n, '{}' from n;
insert into suppressions (address, topic, reason, at)
with recursive n(n) as (select 1 union all select n + 1 from n where n < 40000)
select 'a' || n, '*', 'manual', 0 from n;
analyze;
";

#[tokio::test]
async fn statements_that_run_for_every_mail_use_their_indexes() {
    // Either of two, where both read only what is in hand.
    let expected = BTreeMap::from([
        ("claim", ["sends_claim", "sends_pkey|INTEGER PRIMARY KEY"]),
        ("standings", ["sends_id", "profiles_pkey"]),
        ("caps", ["sends_submitted"; 2]),
        ("suppressions", ["suppressions_pkey|suppressions USING PRIMARY KEY"; 2]),
        ("mark", ["sends_id|sends_lease"; 2]),
        ("holdings", ["sends_id"; 2]),
        ("outcome", ["sends_id|sends_lease"; 2]),
        ("reap leased", ["sends_lease", "sends_pkey|INTEGER PRIMARY KEY"]),
        ("reap submitting", ["sends_lease", "sends_pkey|INTEGER PRIMARY KEY"]),
        ("mails", ["sends_submitted"; 2]),
        ("events", ["events_pkey|events_id|events USING PRIMARY KEY"; 2]),
    ]);
    for database in stores().await {
        database.execute(FILL).await;
        let plans = database.store.query_plans().await.unwrap();
        assert_eq!(plans.len(), expected.len());
        for plan in plans {
            for index in expected[plan.name] {
                // SQLite calls the index of a primary key after its table, or just that.
                let automatic =
                    |index: &str| format!("sqlite_autoindex_{}_1", index.trim_end_matches("_pkey"));
                let used = index
                    .split('|')
                    .any(|index| plan.text.contains(index) || plan.text.contains(&automatic(index)));
                assert!(used, "{} without {index} on {}:\n{}", plan.name, database.name(), plan.text);
            }
            for table in ["sends", "profiles", "events", "suppressions"] {
                let scans = [format!("Seq Scan on {table}"), format!("SCAN {table}")];
                let scanned = scans.iter().any(|scan| plan.text.contains(scan));
                assert!(
                    !scanned,
                    "{} reads all of {table} on {}:\n{}",
                    plan.name,
                    database.name(),
                    plan.text
                );
            }
        }
    }
}
