//! API keys, as the store keeps them.

use bespoke::http::Scope;
use bespoke::http::key;
use jiff::ToSpan;

use crate::support::database::start;
use crate::support::stores;

#[tokio::test]
async fn a_key_is_kept_without_its_secret_and_refused_once_it_is_revoked() {
    for database in stores().await {
        let store = &database.store;
        let (text, row) = key::make("web shop", &[Scope::Ingest, Scope::Decide], [3; 32], start());
        store.add_api_key(&row).await.unwrap();
        assert!(store.add_api_key(&row).await.is_err(), "an id is used once");
        assert_eq!(store.api_key(&row.id).await.unwrap().as_ref(), Some(&row));
        assert_eq!(store.api_key("other").await.unwrap(), None);
        assert!(!format!("{:?}", store.api_keys().await.unwrap()).contains(&text));
        let later = start() + 1.hour();
        assert_eq!(store.revoke_api_key(&row.id, later).await.unwrap(), 1);
        assert_eq!(store.revoke_api_key(&row.id, later + 1.hour()).await.unwrap(), 0);
        let revoked = key::id_of(&text).map(|id| store.api_key(id)).unwrap().await.unwrap().unwrap();
        assert_eq!((key::fits(&text, &revoked), revoked.revoked_at), (false, Some(later)));
        store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_secret_that_nobody_stated_is_made_once_and_stays() {
    for database in stores().await {
        let store = &database.store;
        assert_eq!(store.kept_secret("links").await.unwrap(), None, "{}", database.name());
        let (one, other) = tokio::join!(store.secret("links", "first"), store.secret("links", "second"));
        assert_eq!(one.unwrap(), other.unwrap());
        let kept = store.kept_secret("links").await.unwrap().unwrap();
        assert_eq!(store.secret("links", "third").await.unwrap(), kept, "{}", database.name());
        assert_eq!(store.kept_secret("tombstones").await.unwrap(), None, "one says nothing of another");
    }
}
