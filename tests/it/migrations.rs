//! The schema: made once, by one at a time, and never by an older program over a newer one.

use bespoke::store::Error;
use bespoke::store::Store;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::id;
use crate::support::stores;

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
