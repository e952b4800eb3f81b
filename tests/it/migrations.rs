//! The schema: made once, by one at a time, and never by an older program over a newer one.

use bespoke::store::Error;
use bespoke::store::Store;

use crate::support::Database;
use crate::support::database::start;
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
