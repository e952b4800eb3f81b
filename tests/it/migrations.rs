//! The schema: made once, by one at a time, and never by an older program over a newer one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bespoke::store::Error;
use bespoke::store::Store;
use sqlx::Connection as _;
use sqlx::SqliteConnection;

use crate::privacy::IMPERSONAL;
use crate::support::Database;
use crate::support::database::start;
use crate::support::given::id;
use crate::support::stores;

/// Tables whose rows name whose they are by an address, or by a send, which is somebody's. With those that hold nothing
/// of anybody they are what whoever goes past one PostgreSQL has to know of.
const BY_ADDRESS_OR_SEND: &[&str] =
    &["soft_bounces", "suppressions", "attachments", "attempts", "idempotency_keys", "outcome_log"];

/// What is unique beyond one person, in tables of people's rows.
const UNIQUE_BEYOND_A_PERSON: &[&str] = &[
    // The person's own id.
    "profiles (id)",
    // An anonymous id is joined to one person.
    "aliases (alias_id)",
    // One code goes to one person.
    "coupons (offer, code)",
    // Random, or made from what is unique within the person: unique everywhere, whoever gives them out.
    "consent_requests (id)",
    "sends (id)",
    "web_decisions (id)",
    "webhook_messages (endpoint, id)",
    // Order of arrival, which each database counts for itself.
    "decisions (send_seq)",
    "hits (seq)",
    "sends (seq)",
    "stage_transitions (seq)",
];

/// Rows of a query over the schema.
async fn schema(sql: &'static str) -> Vec<(String, String)> {
    let database = Database::sqlite().await;
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    let rows = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// A new table of people has a `profile_id`, and its keys begin within it; or it is added here, and to what
/// ARCHITECTURE.md says of going past one PostgreSQL.
#[tokio::test]
async fn what_does_not_distribute_by_person_is_known() {
    let columns = schema(
        "select m.name, c.name from sqlite_master as m join pragma_table_info(m.name) as c
         where m.type = 'table' and m.name not like 'sqlite_%'",
    )
    .await;
    let mut tables: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (table, column) in &columns {
        tables.entry(table).or_default().insert(column);
    }
    let of_people = |table: &str| table == "profiles" || tables[table].contains("profile_id");
    let found: BTreeSet<&str> = tables.keys().copied().filter(|table| !of_people(table)).collect();
    let stated: BTreeSet<&str> = BY_ADDRESS_OR_SEND.iter().chain(IMPERSONAL).copied().collect();
    assert_eq!(found, stated, "tables without profile_id");
    let unique = schema(
        "select m.name, group_concat(c.name, ', ') from sqlite_master as m
           join pragma_index_list(m.name) as i join pragma_index_info(i.name) as c
         where m.type = 'table' and i.\"unique\" = 1 group by m.name, i.name
         union
         select name, group_concat(column, ', ') from (
           select m.name, c.name as column from sqlite_master as m join pragma_table_info(m.name) as c
           where m.type = 'table' and m.name not like 'sqlite_%' and c.pk > 0 order by m.name, c.pk)
         group by name",
    )
    .await;
    let found: BTreeSet<String> = unique
        .into_iter()
        .filter(|(table, key)| of_people(table) && !key.split(", ").any(|column| column == "profile_id"))
        .map(|(table, key)| format!("{table} ({key})"))
        .collect();
    let stated: BTreeSet<String> = UNIQUE_BEYOND_A_PERSON.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(found, stated, "unique beyond a person");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    for database in stores().await {
        assert_eq!(database.store.migrate(start()).await.unwrap(), 0, "{}", database.name());
    }
}

#[tokio::test]
async fn two_programs_that_migrate_at_once_wait_for_each_other() {
    for database in Database::empty_of_each_kind().await {
        let mut migrators = Vec::new();
        for _ in 0..4 {
            let store = Store::open(&database.url).await.unwrap();
            migrators.push(tokio::spawn(async move { store.migrate(start()).await.unwrap() }));
        }
        let mut applied = Vec::new();
        for migrator in migrators {
            applied.push(migrator.await.unwrap());
        }
        applied.sort_unstable();
        assert_eq!(applied[..3], [0, 0, 0], "{}", database.name());
        assert!(applied[3] > 0);
    }
}

#[tokio::test]
async fn an_older_program_refuses_a_newer_schema() {
    for database in stores().await {
        database.execute("insert into schema_versions values (9999, 'from the future', 'x', 0)").await;
        let refused = database.store.migrate(start()).await.unwrap_err();
        assert!(matches!(refused, Error::Schema(_)), "{}", database.name());
        let text = refused.to_string();
        assert!(text.contains("version 9999 (from the future)"), "{text}");
    }
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused() {
    for database in stores().await {
        database.execute("update schema_versions set checksum = 'other' where version = 1").await;
        let text = database.store.migrate(start()).await.unwrap_err().to_string();
        assert!(text.contains("migration 1 (people)"), "{text}");
    }
}

#[tokio::test]
async fn who_confirmed_before_confirmations_had_an_address_has_confirmed_at_their_own() {
    for database in Database::empty_of_each_kind().await {
        let store = &database.store;
        assert_eq!(store.migrate_to(14, start()).await.unwrap(), 14, "{}", database.name());
        let names = ["link", "preferences", "link-then-form", "form", "taken-back", "nowhere"];
        for name in names {
            let (address, key) = match name {
                "nowhere" => ("null".to_owned(), "null".to_owned()),
                _ => (format!("'{name}@Example.test'"), format!("'{name}@example.test'")),
            };
            let sql = format!(
                "insert into profiles (id, address, address_key, traits, consent, created_at, updated_at)
                 values ('{name}', {address}, {key}, '{{}}', 'granted', 0, 0)"
            );
            database.execute(&sql).await;
        }
        for (name, at, status, source) in [
            ("link", 1, "granted", "form"),
            ("link", 2, "granted", "confirmation link"),
            ("preferences", 1, "granted", "preferences link"),
            ("link-then-form", 1, "granted", "confirmation link"),
            ("link-then-form", 2, "granted", "form"),
            ("form", 1, "granted", "form"),
            ("taken-back", 1, "granted", "confirmation link"),
            ("taken-back", 2, "withdrawn", "preferences link"),
            ("nowhere", 1, "granted", "confirmation link"),
        ] {
            let sql = format!(
                "insert into consents (profile_id, at, status, source, who, wording)
                 values ('{name}', {at}, '{status}', '{source}', 'x', 'yes')"
            );
            database.execute(&sql).await;
        }
        assert!(store.migrate(start()).await.unwrap() > 0);
        let mut found: Vec<_> = store.confirmed(&names.map(id)).await.unwrap().into_iter().collect();
        found.sort();
        let expected = ["link", "preferences"].map(|name| (id(name), vec![format!("{name}@example.test")]));
        assert_eq!(found, expected, "{}", database.name());
    }
}
