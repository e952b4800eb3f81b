//! Requests for sends, as the store keeps them.

use bespoke::campaign::Kind;
use bespoke::store::Accepted;
use bespoke::store::IdempotencyKey;
use bespoke::store::SendRequest;
use bespoke::store::StoredAttachment;

use crate::support::database::start;
use crate::support::given;
use crate::support::stores;

fn key(body: &str) -> IdempotencyKey {
    IdempotencyKey { api_key: "a".to_owned(), key: "k".to_owned(), body_hash: body.to_owned() }
}

#[tokio::test]
async fn a_request_is_one_send_with_its_files_and_its_person_or_nothing_at_all() {
    for database in stores().await {
        let store = &database.store;
        let file = |name: &str| StoredAttachment {
            name: name.to_owned(),
            content_type: "text/plain".to_owned(),
            content: "aGk=".to_owned(),
        };
        let request = |occurrence: &str, body: &str| SendRequest {
            key: Some(key(body)),
            send: given::send("new", occurrence, Kind::Transactional, start()),
            profile: Some(given::profile("new")),
            attachments: vec![file("b.txt"), file("a.txt")],
        };
        let first = request("api/1", "hash");
        let id = first.send.id.clone();
        assert_eq!(store.request_before(first.key.as_ref().unwrap()).await.unwrap(), None);
        assert_eq!(store.request_send(&first, start()).await.unwrap(), Accepted::New(id.clone()));
        let again = request("api/2", "hash");
        assert_eq!(store.request_send(&again, start()).await.unwrap(), Accepted::Before(id.clone()));
        let other = request("api/3", "another");
        assert_eq!(store.request_send(&other, start()).await.unwrap(), Accepted::OtherBody);
        for (body, expected) in [("hash", Accepted::Before(id.clone())), ("another", Accepted::OtherBody)] {
            assert_eq!(store.request_before(&key(body)).await.unwrap(), Some(expected));
        }
        for unborn in [&again.send.id, &other.send.id] {
            assert_eq!(store.send(unborn).await.unwrap(), None);
            assert_eq!(store.attachments_of(unborn).await.unwrap(), []);
        }
        assert_eq!(store.attachments_of(&id).await.unwrap(), [file("b.txt"), file("a.txt")]);
        assert_eq!(store.profile(&given::id("new")).await.unwrap(), Some(given::profile("new")));

        let mut known = request("api/4", "hash");
        known.key = None;
        known.profile = Some(bespoke::profile::Profile { address: None, ..given::profile("new") });
        assert_eq!(store.request_send(&known, start()).await.unwrap(), Accepted::New(known.send.id.clone()));
        let kept = store.profile(&given::id("new")).await.unwrap().unwrap();
        assert!(kept.address.is_some(), "somebody who is known stays as they are");
    }
}

#[tokio::test]
async fn fingerprints_stay_the_same_and_differ_between_databases() {
    for database in stores().await {
        let print = database.store.fingerprints().await.unwrap().of("address", "ana@example.test");
        let reopened = bespoke::store::Store::open(&database.url).await.unwrap();
        assert_eq!(reopened.fingerprints().await.unwrap().of("address", "ana@example.test"), print);
        reopened.close().await;
        let other = crate::support::Database::sqlite().await;
        assert_ne!(other.store.fingerprints().await.unwrap().of("address", "ana@example.test"), print);
    }
}
