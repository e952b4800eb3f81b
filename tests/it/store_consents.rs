//! Conformance of the store, both databases: pauses that end, and consent that was confirmed.

use bespoke::campaign::Kind;
use bespoke::ingest::segment::Entry;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::send::PAUSE_TOPIC;
use bespoke::send::Suppression;
use bespoke::store::Asked;
use bespoke::store::Confirmed;
use bespoke::store::ConsentNeeded;
use bespoke::store::ConsentProof;
use bespoke::store::ConsentRequest;
use bespoke::store::Heard;
use bespoke::store::LINK_SOURCES;
use bespoke::store::Lift;
use bespoke::store::Mark;
use bespoke::store::Refusal;
use bespoke::store::Store;
use bespoke::store::Trust;
use bespoke::store::Wish;
use jiff::Timestamp;
use jiff::ToSpan;

use crate::support::database::start;
use crate::support::given::claim;
use crate::support::given::given_people;
use crate::support::given::id;
use crate::support::given::mark;
use crate::support::given::profile;
use crate::support::given::send;
use crate::support::stores;

fn pause(name: &str, from: Timestamp, until: Timestamp) -> Suppression {
    Suppression {
        address: format!("{name}@example.test"),
        topic: PAUSE_TOPIC.to_owned(),
        reason: "pause".to_owned(),
        at: from,
        send: None,
        until: Some(until),
    }
}

fn proof(name: &str, at: Timestamp, status: Consent, source: &str) -> ConsentProof {
    ConsentProof {
        profile: id(name),
        at,
        status,
        source: source.to_owned(),
        who: "203.0.113.0/24".to_owned(),
        wording: "yes, write to me".to_owned(),
        address: LINK_SOURCES.contains(&source).then(|| format!("{name}@example.test")),
    }
}

/// Who confirmed, and at which address.
async fn confirmed(store: &Store, names: &[&str]) -> Vec<(String, String)> {
    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
    let found = store.confirmed(&ids).await.unwrap().into_iter();
    let mut found: Vec<_> = found
        .flat_map(|(id, addresses)| addresses.into_iter().map(move |address| (id.to_string(), address)))
        .collect();
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect()
}

fn at(name: &str, address: Option<&str>, consent: Consent) -> Profile {
    Profile {
        address: address.map(|address| EmailAddress::parse(address).unwrap()),
        consent,
        ..profile(name)
    }
}

fn heard<'a>(entry: &'a Entry, key: &'a str) -> Heard<'a> {
    Heard { entry, key, trust: Trust::Full }
}

#[tokio::test]
async fn a_pause_stops_lifecycle_mail_until_it_ends_and_a_new_one_replaces_it() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana", "bo", "cy"]).await;
        store
            .plan(&[
                send("ana", "1", Kind::Lifecycle, start()),
                send("bo", "1", Kind::Lifecycle, start()),
                send("cy", "1", Kind::Transactional, start()),
            ])
            .await
            .unwrap();
        let pauses = [
            pause("ana", start(), start() + 1.hour()),
            pause("bo", start() - 2.hours(), start()),
            pause("cy", start(), start() + 1.hour()),
        ];
        assert_eq!(store.add_suppressions(&pauses).await.unwrap(), 3);
        let claimed = claim(&database, start(), 10, "a").await;
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        let marked = store.mark_submitting(&marks, &[], start()).await.unwrap();
        assert_eq!(marked.accepted.len(), 2, "{marked:?} on {}", database.name());
        let refused: Vec<_> = marked.refused.values().cloned().collect();
        let refusal = Refusal::Suppressed { topic: PAUSE_TOPIC.to_owned(), reason: "pause".to_owned() };
        assert_eq!(refused, [refusal]);

        let longer = pause("ana", start() + 1.minute(), start() + 720.hours());
        assert_eq!(store.add_suppressions(std::slice::from_ref(&longer)).await.unwrap(), 1);
        let key = "ana@example.test".to_owned();
        let found = store.suppressions_of(std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(found[&key], [longer]);
    }
}

#[tokio::test]
async fn a_confirmation_holds_until_something_else_than_a_grant_is_said() {
    for database in stores().await {
        let store = &database.store;
        let names = ["word", "link", "taken-back", "back-by-word", "word-again", "old-mail", "none"];
        given_people(&database, &names).await;
        let later = start() + 1.hour();
        let proofs = [
            proof("word", start(), Consent::Granted, "form"),
            proof("link", start(), Consent::Granted, "form"),
            proof("link", later, Consent::Granted, "confirmation link"),
            proof("taken-back", start(), Consent::Granted, "confirmation link"),
            proof("taken-back", start(), Consent::Withdrawn, "unsubscribe link"),
            proof("word-again", start(), Consent::Granted, "confirmation link"),
            proof("word-again", later, Consent::Granted, "import"),
            proof("back-by-word", start(), Consent::Granted, "confirmation link"),
            proof("back-by-word", start() + 1.minute(), Consent::Withdrawn, "unsubscribe link"),
            proof("back-by-word", later, Consent::Granted, "form"),
            proof("old-mail", start(), Consent::Granted, "confirmation link"),
            // Behind a link in a mail that went to the address before.
            ConsentProof {
                address: Some("before@example.test".to_owned()),
                ..proof("old-mail", later, Consent::Granted, "preferences link")
            },
        ];
        assert_eq!(store.append_consents(&proofs, later).await.unwrap(), 12);
        let expected = [
            ("link", "link@example.test"),
            ("old-mail", "before@example.test"),
            ("old-mail", "old-mail@example.test"),
            ("word-again", "word-again@example.test"),
        ];
        assert_eq!(confirmed(store, &names).await, pairs(&expected), "{}", database.name());

        let sends: Vec<_> = names.iter().map(|name| send(name, "1", Kind::Lifecycle, start())).collect();
        store.plan(&sends).await.unwrap();
        let claimed = claim(&database, later, 10, "a").await;
        let mut marks: Vec<_> = claimed.iter().map(mark).collect();
        for mark in &mut marks {
            mark.consent = ConsentNeeded::Confirmed;
        }
        let marked = store.mark_submitting(&marks, &[], later).await.unwrap();
        for claimed in &claimed {
            let expected = match claimed.send.profile.as_str() {
                "link" | "word-again" | "old-mail" => None,
                "taken-back" => Some(&Refusal::NoConsent),
                _ => Some(&Refusal::NotConfirmed),
            };
            assert_eq!(marked.refused.get(&claimed.send.id), expected, "{}", claimed.send.profile);
        }
    }
}

#[tokio::test]
async fn a_consent_that_was_confirmed_at_one_address_is_not_confirmed_at_another() {
    for database in stores().await {
        let store = &database.store;
        let names = ["moved", "same"];
        given_people(&database, &names).await;
        let proofs = names.map(|name| proof(name, start(), Consent::Granted, "confirmation link"));
        store.append_consents(&proofs, start()).await.unwrap();
        let told = [
            at("moved", Some("elsewhere@example.test"), Consent::Unknown),
            at("same", Some("Same@Example.test"), Consent::Unknown),
        ];
        store.upsert_profiles(&told, start()).await.unwrap();
        let moved = store.profile(&id("moved")).await.unwrap().unwrap();
        assert_eq!(moved.consent, Consent::Granted, "what was granted stays granted");

        // A mail asks for a consent that was confirmed where it goes.
        store.plan(&names.map(|name| send(name, "1", Kind::Lifecycle, start()))).await.unwrap();
        let claimed = claim(&database, start(), 10, "a").await;
        let marks: Vec<_> = claimed
            .iter()
            .map(|claimed| {
                let to = told.iter().find(|told| told.id == claimed.send.profile).unwrap().address.clone();
                Mark { to: to.unwrap(), consent: ConsentNeeded::Confirmed, ..mark(claimed) }
            })
            .collect();
        let marked = store.mark_submitting(&marks, &[], start()).await.unwrap();
        for claimed in &claimed {
            let expected = (claimed.send.profile.as_str() == "moved").then_some(&Refusal::NotConfirmed);
            assert_eq!(marked.refused.get(&claimed.send.id), expected, "on {}", database.name());
        }
        let found = confirmed(store, &names).await;
        assert_eq!(found, pairs(&[("moved", "moved@example.test"), ("same", "same@example.test")]));
    }
}

#[tokio::test]
async fn who_has_another_address_by_the_time_they_confirm_has_confirmed_nothing() {
    for database in stores().await {
        let store = &database.store;
        let now = start();
        store.upsert_profiles(&[at("ana", Some("old@example.test"), Consent::Unknown)], now).await.unwrap();
        let request = ConsentRequest {
            id: "q".to_owned(),
            profile: id("ana"),
            address: "old@example.test".to_owned(),
            source: "form".to_owned(),
            who: "told by the key k".to_owned(),
            trust: Trust::Full,
            wording: "yes".to_owned(),
            requested_at: now,
            expires_at: now + 1.hour(),
            confirmed_at: None,
        };
        let mail = send("ana", "q", Kind::Transactional, now);
        assert_eq!(store.ask_for_consent(&request, &mail).await.unwrap(), Asked::Now);
        let proof = ConsentProof {
            address: Some(request.address.clone()),
            ..proof("ana", now, Consent::Granted, "confirmation link")
        };
        let wish = Wish {
            profile: id("ana"),
            addresses: vec![request.address.clone()],
            send: None,
            at: now,
            stop: Vec::new(),
            pause_until: None,
            lift: Lift::All,
            proof: Some(proof),
            traits: serde_json::Map::new(),
        };
        let confirms = async || store.confirm_consent("q", &request.address, &wish).await.unwrap();
        for (address, expected) in
            [("new", Confirmed::Elsewhere), ("Old", Confirmed::Now), ("old", Confirmed::Before)]
        {
            let told = at("ana", Some(&format!("{address}@example.test")), Consent::Unknown);
            store.upsert_profiles(&[told], now).await.unwrap();
            assert_eq!(confirms().await, expected, "{address} on {}", database.name());
            let granted = expected != Confirmed::Elsewhere;
            assert_eq!(store.consents_of(&id("ana")).await.unwrap().len(), usize::from(granted));
            let consent = store.profile(&id("ana")).await.unwrap().unwrap().consent;
            assert_eq!(consent == Consent::Granted, granted);
        }
    }
}

#[tokio::test]
async fn consent_comes_along_to_the_same_address_only_when_two_turn_out_to_be_one() {
    for database in stores().await {
        let store = &database.store;
        // A visitor who granted, by a link where they had an address, and whom they turn out to be.
        let (visitors, none) = (Some("Visitor@example.test"), None);
        let cases = [
            ("elsewhere", visitors, Some("mine@example.test"), Consent::Unknown, Consent::Unknown),
            ("confirmed", visitors, Some("confirmed@example.test"), Consent::Granted, Consent::Granted),
            ("same", visitors, Some("visitor@example.test"), Consent::Unknown, Consent::Granted),
            ("first", visitors, none, Consent::Unknown, Consent::Granted),
            // Anybody who can put the id of a visitor beside that of a person would grant in their name.
            ("wordless", none, Some("wordless@example.test"), Consent::Unknown, Consent::Unknown),
            ("stopped", none, Some("stopped@example.test"), Consent::Withdrawn, Consent::Withdrawn),
            ("nowhere", none, none, Consent::Unknown, Consent::Granted),
        ];
        for (name, visited, address, own, expected) in cases {
            let visitor = format!("anon:{name}");
            let stranger = Profile { id: id(&visitor), ..at(name, visited, Consent::Unknown) };
            store.upsert_profiles(&[at(name, address, Consent::Unknown), stranger], start()).await.unwrap();
            let source = if visited.is_some() { "confirmation link" } else { "form" };
            let granted = ConsentProof {
                address: visited.map(str::to_lowercase),
                ..proof(&visitor, start() + 1.hour(), Consent::Granted, source)
            };
            let own_source = if own == Consent::Granted { "confirmation link" } else { "form" };
            let own = (own != Consent::Unknown).then(|| proof(name, start(), own, own_source));
            let proofs: Vec<_> = own.into_iter().chain([granted]).collect();
            store.append_consents(&proofs, start()).await.unwrap();
            let join = Entry::Join { anonymous: id(&visitor), known: id(name) };
            store.take_in(&[heard(&join, "k")], start() + 2.hours()).await.unwrap();
            let found = store.profile(&id(name)).await.unwrap().unwrap();
            assert_eq!(found.consent, expected, "{name} on {}", database.name());
            let newest = store.consents_of(&id(name)).await.unwrap().pop().unwrap();
            assert_eq!(newest.status, expected, "{name}: the newest proof says the same");
        }
        let found = confirmed(store, &cases.map(|(name, ..)| name)).await;
        let visitor = "visitor@example.test";
        let expected = [
            ("confirmed", "confirmed@example.test"),
            ("confirmed", visitor),
            ("first", visitor),
            ("same", visitor),
        ];
        assert_eq!(found, pairs(&expected), "{}", database.name());
        let proofs = store.consents_of(&id("elsewhere")).await.unwrap();
        let sources: Vec<_> = proofs.iter().map(|proof| (proof.source.as_str(), proof.status)).collect();
        let expected = [("confirmation link", Consent::Granted), ("joined", Consent::Unknown)];
        assert_eq!(sources, expected, "what was said there stays as proof");
    }
}

#[tokio::test]
async fn consent_without_an_address_does_not_wait_for_one_that_a_visitor_brings() {
    for database in stores().await {
        let store = &database.store;
        let stranger = Profile { id: id("anon:v"), ..at("v", Some("v@example.test"), Consent::Unknown) };
        let granted = Entry::Profile(at("ana", None, Consent::Granted));
        store.take_in(&[heard(&granted, "k")], start()).await.unwrap();
        store.upsert_profiles(&[stranger], start()).await.unwrap();
        let join = Entry::Join { anonymous: id("anon:v"), known: id("ana") };
        store.take_in(&[heard(&join, "k")], start()).await.unwrap();
        let ana = store.profile(&id("ana")).await.unwrap().unwrap();
        assert_eq!((ana.address.unwrap().as_str(), ana.consent), ("v@example.test", Consent::Unknown));
    }
}

#[tokio::test]
async fn a_consent_that_a_program_or_a_file_tells_is_kept_with_its_proof_once() {
    for database in stores().await {
        let store = &database.store;
        let told = |name: &str, consent: Consent| Profile { consent, ..profile(name) };
        let granted = Entry::Profile(told("ana", Consent::Granted));
        let unknown = Entry::Profile(told("bo", Consent::Unknown));
        let withdrawn = Entry::Profile(told("ana", Consent::Withdrawn));
        for (minutes, entries) in
            [(0, [&granted, &unknown]), (1, [&granted, &unknown]), (2, [&withdrawn, &withdrawn])]
        {
            let heard = entries.map(|entry| heard(entry, "a1b2"));
            store.take_in(&heard, start() + i64::from(minutes).minutes()).await.unwrap();
        }
        let proofs = store.consents_of(&id("ana")).await.unwrap();
        let found: Vec<_> =
            proofs.iter().map(|proof| (proof.at, proof.status, proof.source.as_str())).collect();
        let expected = [
            (start(), Consent::Granted, "identify"),
            (start() + 2.minutes(), Consent::Withdrawn, "identify"),
        ];
        assert_eq!(found, expected, "{}", database.name());
        assert_eq!(proofs[0].who, "told by the key a1b2");
        assert_eq!(store.consents_of(&id("bo")).await.unwrap(), []);

        store.import_profiles(&[told("cy", Consent::Granted)], start()).await.unwrap();
        store.import_profiles(&[told("cy", Consent::Granted)], start() + 1.minute()).await.unwrap();
        let proofs = store.consents_of(&id("cy")).await.unwrap();
        assert_eq!((proofs.len(), proofs[0].source.as_str()), (1, "import"));
    }
}
