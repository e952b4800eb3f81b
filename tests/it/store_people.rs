//! Conformance of the store, both databases: profiles, events, products.

use std::collections::HashMap;

use bespoke::product::Product;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::profile::ProfileId;
use bespoke::stage::Stage;
use bespoke::stage::StageRecord;
use bespoke::stage::Transition;
use bespoke::store::Arrival;
use bespoke::store::Upserted;
use jiff::ToSpan;
use serde_json::json;

use crate::support::database::start;
use crate::support::given::event;
use crate::support::given::id;
use crate::support::given::profile;
use crate::support::stores;

#[tokio::test]
async fn profiles_are_added_once_and_merged_after() {
    for database in stores().await {
        let store = &database.store;
        let mut ana = profile("ana");
        ana.traits = json!({"first_name": "Ana", "vip": true}).as_object().unwrap().clone();
        let first = store.upsert_profiles(&[ana.clone(), profile("bo")], start()).await.unwrap();
        assert_eq!(first, Upserted { inserted: 2, updated: 0, unchanged: 0, erased: 0 });
        let again = store.upsert_profiles(&[ana.clone(), profile("bo")], start()).await.unwrap();
        assert_eq!(again, Upserted { inserted: 0, updated: 0, unchanged: 2, erased: 0 });

        let later = start() + 1.hour();
        let mut news = profile("ana");
        news.address = None;
        news.locale = Some("de-AT".to_owned());
        news.traits = json!({"vip": null, "city": "Wien"}).as_object().unwrap().clone();
        news.created_at = later;
        let merged = store.upsert_profiles(&[news], later).await.unwrap();
        assert_eq!(merged, Upserted { inserted: 0, updated: 1, unchanged: 0, erased: 0 });
        let expected = Profile {
            traits: json!({"first_name": "Ana", "city": "Wien"}).as_object().unwrap().clone(),
            locale: Some("de-AT".to_owned()),
            updated_at: later,
            ..ana
        };
        assert_eq!(store.profile(&id("ana")).await.unwrap(), Some(expected), "{}", database.name());
        assert_eq!(store.profile(&id("nobody")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_import_does_not_bring_back_who_unsubscribed() {
    for database in stores().await {
        let store = &database.store;
        let mut ana = profile("ana");
        ana.consent = Consent::Withdrawn;
        store.upsert_profiles(&[ana], start()).await.unwrap();
        store.upsert_profiles(&[profile("ana")], start()).await.unwrap();
        assert_eq!(store.profile(&id("ana")).await.unwrap().unwrap().consent, Consent::Withdrawn);
    }
}

#[tokio::test]
async fn pages_of_profiles_cover_everybody_once() {
    for database in stores().await {
        let store = &database.store;
        let names: Vec<String> = (0..2_500).map(|n| format!("p-{n:04}")).collect();
        let all: Vec<Profile> = names.iter().map(|name| profile(name)).collect();
        assert_eq!(store.upsert_profiles(&all, start()).await.unwrap().inserted, 2_500);
        let mut seen = Vec::new();
        let mut after: Option<ProfileId> = None;
        loop {
            let page = store.profiles_after(after.as_ref(), 700).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            seen.extend(page.into_iter().map(|profile| profile.id.to_string()));
        }
        assert_eq!(seen, names);
        assert_eq!(store.count_profiles().await.unwrap(), 2_500);
        let some = store.profiles(&[id("p-0007"), id("p-2499"), id("missing")]).await.unwrap();
        assert_eq!(some.len(), 2);
        let address = EmailAddress::parse("P-0007@EXAMPLE.test").unwrap();
        assert_eq!(store.profiles_by_address(&address).await.unwrap(), [profile("p-0007")]);
    }
}

#[tokio::test]
async fn the_same_event_twice_is_one_event() {
    for database in stores().await {
        let store = &database.store;
        let events = [
            event("ana", "m1", "Product Viewed", start() - 2.hours()),
            event("ana", "m2", "Product Viewed", start() - 1.hour()),
            event("bo", "m1", "Order Completed", start()),
        ];
        assert_eq!(store.insert_events(&events).await.unwrap(), 3);
        assert_eq!(store.insert_events(&events).await.unwrap(), 0);
        assert_eq!(store.count_events().await.unwrap(), 3);
        let of = store.events_of(&[id("ana"), id("bo"), id("nobody")]).await.unwrap();
        let expected = HashMap::from([
            (id("ana"), vec![events[1].clone(), events[0].clone()]),
            (id("bo"), vec![events[2].clone()]),
        ]);
        assert_eq!(of, expected, "{}", database.name());
        let latest = store.latest_event(&id("ana"), "Product Viewed").await.unwrap();
        assert_eq!(latest, Some(events[1].clone()));
        assert_eq!(store.latest_event(&id("bo"), "Product Viewed").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_reader_by_arrival_misses_no_late_event() {
    for database in stores().await {
        let store = &database.store;
        store.insert_events(&[event("ana", "old", "Signed Up", start())]).await.unwrap();
        let mut place = store.events_end().await.unwrap();
        assert_eq!(Arrival::parse(&place.to_string()), Some(place));
        assert_eq!(store.events_after(&["Signed Up"], place, 10).await.unwrap(), []);

        // It happened long before everything known, and arrives now.
        let late = event("bo", "late", "Signed Up", start() - 1_000.hours());
        store.insert_events(&[late.clone(), event("bo", "x", "Page Viewed", start())]).await.unwrap();
        let other = event("cy", "m", "Order Completed", start());
        store.insert_events(std::slice::from_ref(&other)).await.unwrap();
        let mut seen = Vec::new();
        loop {
            let page = store.events_after(&["Signed Up", "Order Completed"], place, 1).await.unwrap();
            let Some((next, event)) = page.into_iter().next() else { break };
            place = next;
            seen.extend(event);
        }
        assert_eq!(seen, [late, other], "{}", database.name());

        // What cannot be read is passed, also where nothing stands behind it.
        store.insert_events(&[event("cy", "torn", "Signed Up", start())]).await.unwrap();
        database.execute("update events set properties = '{' where id = 'torn'").await;
        let page = store.events_after(&["Signed Up"], place, 1).await.unwrap();
        assert_eq!(page, [(store.events_end().await.unwrap(), None)], "{}", database.name());
    }
}

#[tokio::test]
async fn a_profile_stands_where_its_newest_step_led() {
    for database in stores().await {
        let store = &database.store;
        let step = |from: Option<Stage>, to: Stage, hours: i64| {
            (id("ana"), Transition { from, to, at: start() + hours.hours(), reason: format!("step {hours}") })
        };
        let steps = [step(None, Stage::Discover, 0), step(Some(Stage::Discover), Stage::Compare, 2)];
        store.record_transitions(&steps).await.unwrap();
        store.record_transitions(&steps).await.unwrap();
        // A worker that was slow records an older step: it is kept, and moves nobody back.
        store.record_transitions(&[step(Some(Stage::Discover), Stage::Educate, 1)]).await.unwrap();
        let stages = store.stages_of(&[id("ana"), id("bo")]).await.unwrap();
        let expected =
            StageRecord { stage: Stage::Compare, since: start() + 2.hours(), reason: "step 2".to_owned() };
        assert_eq!(stages, HashMap::from([(id("ana"), expected)]), "{}", database.name());

        let entered = store.transitions_after(Stage::Compare, Arrival::default(), 10).await.unwrap();
        let place = entered[0].0;
        assert_eq!(entered, [(place, Some(steps[1].clone()))]);
        assert_eq!(store.transitions_after(Stage::Compare, place, 10).await.unwrap(), []);
        let end = store.transitions_end().await.unwrap();
        store.record_transitions(&[step(Some(Stage::Educate), Stage::Compare, 3)]).await.unwrap();
        assert_eq!(store.transitions_after(Stage::Compare, end, 10).await.unwrap().len(), 1);
        database
            .execute("update stage_transitions set from_stage = 'beyond' where from_stage = 'educate'")
            .await;
        let torn = (store.transitions_end().await.unwrap(), None);
        assert_eq!(store.transitions_after(Stage::Compare, end, 10).await.unwrap(), [torn]);
    }
}

#[tokio::test]
async fn products_are_replaced_as_a_whole() {
    for database in stores().await {
        let store = &database.store;
        let product = |id: &str, name: &str| -> Product {
            serde_json::from_value(json!({"id": id, "name": name, "price_minor": 1_295, "currency": "EUR"}))
                .unwrap()
        };
        let (boots, socks) = (product("b", "Boots"), product("s", "Socks"));
        assert_eq!(store.upsert_products(&[socks.clone(), boots.clone()], start()).await.unwrap(), 2);
        assert_eq!(store.upsert_products(&[socks.clone(), boots.clone()], start()).await.unwrap(), 0);
        let renamed = product("b", "Winter boots");
        let changed = store.upsert_products(&[boots, renamed.clone()], start()).await.unwrap();
        assert_eq!(changed, 1, "the last of an id counts");
        assert_eq!(store.all_products().await.unwrap(), [renamed, socks.clone()], "{}", database.name());
        let found = store.products(&["s", "missing"]).await.unwrap();
        assert_eq!(found, HashMap::from([("s".to_owned(), socks)]));
    }
}

#[tokio::test]
async fn zones_are_listed_once_and_their_people_page_by_page() {
    for database in stores().await {
        let store = &database.store;
        assert_eq!(store.time_zones().await.unwrap(), Vec::<Option<String>>::new());
        let zones =
            [("a", Some("Asia/Tokyo")), ("b", None), ("c", Some("Asia/Tokyo")), ("d", Some("America/Lima"))];
        let people: Vec<Profile> = zones
            .iter()
            .map(|(name, zone)| Profile { time_zone: zone.map(str::to_owned), ..profile(name) })
            .collect();
        store.upsert_profiles(&people, start()).await.unwrap();
        let found = store.time_zones().await.unwrap();
        assert_eq!(found, [Some("America/Lima".to_owned()), Some("Asia/Tokyo".to_owned()), None]);
        let names = async |zone: Option<&str>, after: Option<&ProfileId>, limit: usize| {
            let page = store.profiles_in_zone(zone, after, limit).await.unwrap();
            let (people, next) = page;
            let names = people.into_iter().map(|profile| profile.id.to_string());
            (names.collect::<Vec<_>>().concat(), next)
        };
        let page = |names: &str, next: Option<&str>| (names.to_owned(), next.map(id));
        assert_eq!(names(Some("Asia/Tokyo"), None, 1).await, page("a", Some("a")));
        assert_eq!(names(Some("Asia/Tokyo"), Some(&id("a")), 9).await, page("c", None));
        assert_eq!(names(None, None, 9).await, page("b", None));
        assert_eq!(names(Some("Europe/Rome"), None, 9).await, page("", None));
        // Who cannot be read holds up nobody.
        database.execute("update profiles set traits = '{' where id = 'a'").await;
        assert_eq!(names(Some("Asia/Tokyo"), None, 1).await, page("", Some("a")));
        assert_eq!(names(Some("Asia/Tokyo"), None, 9).await, page("c", None));
        let readable = store.readable_profiles(&[id("a"), id("c")]).await.unwrap();
        assert_eq!(readable.into_keys().collect::<Vec<_>>(), [id("c")], "{}", database.name());
        let fault = store.profiles(&[id("a"), id("c")]).await.unwrap_err();
        assert!(fault.is_one_persons(), "{fault}");
    }
}

#[tokio::test]
async fn who_stands_beyond_the_beginning_is_found_page_by_page() {
    for database in stores().await {
        let store = &database.store;
        let step = |name: &str, to: Stage| {
            let transition = Transition { from: None, to, at: start(), reason: String::new() };
            (id(name), transition)
        };
        let steps = [step("a", Stage::Compare), step("b", Stage::Discover), step("c", Stage::Purchase)];
        store.record_transitions(&steps).await.unwrap();
        assert_eq!(store.placed_after(None, 9).await.unwrap(), [id("a"), id("c")]);
        assert_eq!(store.placed_after(None, 1).await.unwrap(), [id("a")]);
        assert_eq!(store.placed_after(Some(&id("a")), 9).await.unwrap(), [id("c")]);
    }
}
