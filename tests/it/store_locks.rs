//! Opening, refusing to open, and what only one process may do.

use std::time::Duration;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::store::Error;
use bespoke::store::Role;
use bespoke::store::Store;
use bespoke::store::Woken;
use bespoke::store::WorkerLock;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::send;
use crate::support::patience::until;
use crate::support::stores;

#[tokio::test]
async fn urls_that_cannot_be_used_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    for (url, expected) in [
        ("mysql://x".to_owned(), "write sqlite://PATH or postgres://"),
        ("sqlite://".to_owned(), "the database must be a file"),
        ("sqlite::memory:".to_owned(), "the database must be a file"),
        (format!("sqlite://{folder}/missing/x.db"), "does not exist; create it"),
        (format!("sqlite://{folder}"), "is a folder; name a file in it"),
        (format!("sqlite://{folder}/x.db?mode=ro"), "options behind `?` are not supported"),
        ("postgres://user:geheim@[bad/x".to_owned(), "the PostgreSQL URL is not well formed"),
        (
            "postgres://user:geheim@127.0.0.1:1/x".to_owned(),
            "cannot open PostgreSQL at 127.0.0.1:1, database x",
        ),
    ] {
        let error = Store::open(&url).await.unwrap_err();
        assert!(matches!(error, Error::Open(_)), "{url}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[tokio::test]
async fn a_database_that_may_forget_commits_is_refused() {
    let Some(database) = Database::postgres().await else { return };
    let url = format!("{}&options[synchronous_commit]=off", database.url);
    let text = Store::open(&url).await.unwrap_err().to_string();
    assert!(text.contains("synchronous_commit = off"), "{text}");
}

#[tokio::test]
async fn one_worker_at_a_time_works_on_a_sqlite_file_and_many_on_postgresql() {
    for database in stores().await {
        let second = Store::open(&database.url).await.unwrap();
        let held = database.store.worker_lock().unwrap();
        if database.name() == "postgres" {
            assert!(matches!(second.worker_lock().unwrap(), WorkerLock::OneOfMany));
            continue;
        }
        let refused = second.worker_lock().unwrap_err();
        assert!(matches!(refused, Error::Held(_)));
        assert!(refused.to_string().contains("another bespoke is working on"), "{refused}");
        drop(held);
        assert!(matches!(second.worker_lock().unwrap(), WorkerLock::Sole(_)));
    }
}

#[tokio::test]
async fn one_process_leads_and_another_takes_over() {
    for database in stores().await {
        let second = Store::open(&database.url).await.unwrap();
        let mut leader = database.store.lead(Role::Planner).await.unwrap().unwrap();
        assert!(leader.holds().await);
        assert!(second.lead(Role::Planner).await.unwrap().is_none(), "{}", database.name());
        let learner = second.lead(Role::Learner).await.unwrap();
        assert!(learner.is_some(), "roles do not stand in each other's way");
        drop(leader);
        // The server needs a moment to see that the session is gone.
        let takes = async || second.lead(Role::Planner).await.unwrap();
        drop(until("another may lead", takes).await);
    }
}

#[tokio::test]
async fn who_leads_finds_out_that_its_session_was_cut() {
    let Some(database) = Database::postgres().await else { return };
    let mut leader = database.store.lead(Role::Planner).await.unwrap().unwrap();
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_locks
             where locktype = 'advisory' and classid::bigint = hashtext('bespoke ' || current_schema())::bigint
               & 4294967295",
        )
        .await;
    assert!(!leader.holds().await);
}

#[tokio::test]
async fn a_worker_that_waits_hears_of_new_sends() {
    for database in stores().await {
        let store = &database.store;
        let mut ear = store.wake_up().await.unwrap();
        assert_eq!(ear.wait(Duration::from_millis(1)).await.unwrap(), Woken::Timeout);
        store.plan(&[send("ana", "1", Kind::Lifecycle, start())]).await.unwrap();
        assert_eq!(ear.wait(Duration::from_secs(20)).await.unwrap(), Woken::Work, "{}", database.name());
    }
}

/// A client that hangs up drops what is done for it, wherever that stands.
#[tokio::test]
async fn what_others_write_is_kept_though_a_call_before_was_dropped_half_way() {
    for database in stores().await {
        let store = &database.store;
        let campaign = CampaignId("news".to_owned());
        for round in 0..60_usize {
            let dropped = store.release(&[], start());
            let turns = async {
                for _ in 0..round % 12 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { biased; _ = dropped => {} () = turns => {} }
            store.set_plan_cursor(&campaign, "until", &round.to_string()).await.unwrap();
            let other = Store::open(&database.url).await.unwrap();
            let kept = other.plan_cursor(&campaign, "until").await.unwrap();
            other.close().await;
            assert_eq!(kept, Some(round.to_string()), "{}", database.name());
        }
    }
}
