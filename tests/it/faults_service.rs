//! A service whose database goes away and comes back: what it answered with 200 is there, the rest is asked for again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bespoke::store::Store;
use reqwest::Client;
use serde_json::Value;
use serde_json::json;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::given::id;
use crate::support::patience::until;
use crate::support::postgres::Server;
use crate::support::program::Program;

/// Clients at once.
const CLIENTS: usize = 4;
/// How often the server is killed, or restarted.
const TIMES: usize = 3;

/// One client, which asks again whatever was not answered with 200, as Segment's do.
struct Teller {
    client: Client,
    url: String,
    key: String,
    stop: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Teller {
    /// Tells of one thing after the other until it is stopped. Returns what was answered with 200.
    async fn tells(self, name: usize) -> Vec<String> {
        let mut kept = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let message = format!("{name}-{}", kept.len());
            let body = json!({"userId": "ana", "event": "Product Viewed", "messageId": message});
            loop {
                let request = self.client.post(format!("{}/v1/track", self.url)).bearer_auth(&self.key);
                let answer = request.json(&body).send().await.unwrap();
                if answer.status() == 200 {
                    break;
                }
                let retry =
                    answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
                let status = answer.status().as_u16();
                let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
                assert_eq!(
                    (status, retry.as_deref(), &problem["status"]),
                    (503, Some("5"), &json!(503)),
                    "{problem}"
                );
                self.refused.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            self.kept.fetch_add(1, Ordering::Relaxed);
            kept.push(message);
        }
        kept
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_that_was_answered_with_200_is_lost_though_the_database_is_killed_again_and_again() {
    let Some(mut server) = Server::own("") else { return };
    let database = Database::empty_on(&server).await;
    let program = Program::new(&format!("[database]\nurl = \"{}\"\n", database.url));
    let key = program.says(&["keys", "create", "web", "--scope", "ingest"]).await.trim().to_owned();
    let service = program.serves(&[]).await;
    let (stop, kept, refused) = (Arc::default(), Arc::default(), Arc::default());
    let tellers: Vec<_> = (0..CLIENTS)
        .map(|name| {
            let teller = Teller {
                client: Client::builder().no_proxy().build().unwrap(),
                url: service.url.clone(),
                key: key.clone(),
                stop: Arc::clone(&stop),
                kept: Arc::clone(&kept),
                refused: Arc::clone(&refused),
            };
            tokio::spawn(teller.tells(name))
        })
        .collect();
    let goes_on = async || {
        let enough = kept.load(Ordering::Relaxed) + 100;
        until("events are kept", async || (kept.load(Ordering::Relaxed) >= enough).then_some(())).await;
    };
    for time in 0..TIMES {
        goes_on().await;
        server = tokio::task::spawn_blocking(move || {
            if time % 2 == 0 {
                server.kill();
            } else {
                server.restart();
            }
            server
        })
        .await
        .unwrap();
    }
    goes_on().await;
    stop.store(true, Ordering::Relaxed);
    let mut told = BTreeSet::new();
    for teller in tellers {
        told.extend(teller.await.unwrap());
    }
    assert!(refused.load(Ordering::Relaxed) > 0, "nobody noticed that it was away");
    let store = Store::open(&database.url).await.unwrap();
    let ana = id("ana");
    let found = store.events_of(std::slice::from_ref(&ana)).await.unwrap();
    let mut found: Vec<String> = found.into_values().flatten().map(|event| event.id).collect();
    found.sort();
    assert_eq!(found, told.into_iter().collect::<Vec<_>>(), "every event once");
    eprintln!("{} events, {} refused meanwhile", found.len(), refused.load(Ordering::Relaxed));
    store.close().await;
}

#[tokio::test]
async fn a_locked_sqlite_file_is_told_with_503_and_the_event_is_kept_when_it_is_sent_again() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let body = json!({"userId": "ana", "event": "Product Viewed", "messageId": "m"});
    let lock = app.database.locked().await;
    let away = serving.post("/v1/track", &body).await;
    assert_eq!((away.status, away.header("retry-after")), (503, "5"), "{away:?}");
    assert_eq!(away.header("content-type"), "application/problem+json");
    drop(lock);
    let kept = until("the file is free", async || {
        (serving.post("/v1/track", &body).await.status == 200).then_some(())
    });
    kept.await;
    assert_eq!(app.database.store.count_events().await.unwrap(), 1);
}
