//! Conformance of the store, both databases: pauses that end, and consent that was confirmed.

use std::collections::HashSet;

use bespoke::campaign::Kind;
use bespoke::ingest::segment::Entry;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::send::PAUSE_TOPIC;
use bespoke::send::Suppression;
use bespoke::store::ConsentNeeded;
use bespoke::store::ConsentProof;
use bespoke::store::Heard;
use bespoke::store::Refusal;
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
    }
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
async fn only_the_newest_proof_says_whether_consent_was_confirmed() {
    for database in stores().await {
        let store = &database.store;
        let names = ["word", "link", "taken-back", "word-again", "none"];
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
        ];
        assert_eq!(store.append_consents(&proofs, later).await.unwrap(), 7);
        let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
        assert_eq!(store.confirmed(&ids).await.unwrap(), HashSet::from([id("link")]));

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
                "link" => None,
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
        let names = ["moved", "same", "form"];
        given_people(&database, &names).await;
        let link = |name: &str| proof(name, start(), Consent::Granted, "confirmation link");
        let form = proof("form", start(), Consent::Granted, "form");
        store.append_consents(&[link("moved"), link("same"), form], start()).await.unwrap();
        let ids = names.map(id);
        assert_eq!(store.confirmed(&ids).await.unwrap(), HashSet::from([id("moved"), id("same")]));

        let at = |name: &str, address: &str| Profile {
            address: Some(EmailAddress::parse(address).unwrap()),
            ..profile(name)
        };
        let told = [
            at("moved", "elsewhere@example.test"),
            at("same", "Same@Example.test"),
            at("form", "form2@example.test"),
        ];
        store.upsert_profiles(&told, start()).await.unwrap();
        assert_eq!(store.confirmed(&ids).await.unwrap(), HashSet::from([id("same")]), "{}", database.name());
        let moved = store.profile(&id("moved")).await.unwrap().unwrap();
        assert_eq!(moved.consent, Consent::Granted, "what was granted stays granted");
        assert_eq!(store.consents_of(&id("moved")).await.unwrap().last().unwrap().source, "address changed");
        assert_eq!(store.consents_of(&id("form")).await.unwrap().len(), 1);

        store.upsert_profiles(&told, start() + 1.hour()).await.unwrap();
        assert_eq!(store.consents_of(&id("moved")).await.unwrap().len(), 2, "twice is as once");
        let again = proof("moved", start() + 2.hours(), Consent::Granted, "confirmation link");
        store.append_consents(&[again], start() + 2.hours()).await.unwrap();
        assert!(store.confirmed(&ids).await.unwrap().contains(&id("moved")));
    }
}

#[tokio::test]
async fn consent_that_was_given_at_another_address_does_not_come_along_when_two_turn_out_to_be_one() {
    for database in stores().await {
        let store = &database.store;
        let at = |name: &str, address: Option<&str>, consent: Consent| Profile {
            address: address.map(|address| EmailAddress::parse(address).unwrap()),
            consent,
            ..profile(name)
        };
        // Each with a visitor who confirmed at an address: another one, the same one, and where they had none.
        for (name, address, own) in [
            ("elsewhere", Some("mine@example.test"), Consent::Unknown),
            ("confirmed", Some("own@example.test"), Consent::Granted),
            ("same", Some("visitor@example.test"), Consent::Unknown),
            ("none", None, Consent::Unknown),
        ] {
            let visitor = format!("anon:{name}");
            let known = at(name, address, own);
            let stranger =
                Profile { id: id(&visitor), ..at(name, Some("Visitor@example.test"), Consent::Unknown) };
            store.upsert_profiles(&[known, stranger], start()).await.unwrap();
            let mut proofs = vec![proof(&visitor, start() + 1.hour(), Consent::Granted, "confirmation link")];
            if own == Consent::Granted {
                proofs.push(proof(name, start(), Consent::Granted, "confirmation link"));
            }
            store.append_consents(&proofs, start()).await.unwrap();
            let join = Entry::Join { anonymous: id(&visitor), known: id(name) };
            store.take_in(&[Heard { entry: &join, key: "k" }], start() + 2.hours()).await.unwrap();
        }
        let ids = ["elsewhere", "confirmed", "same", "none"].map(id);
        let expected = HashSet::from([id("confirmed"), id("same"), id("none")]);
        assert_eq!(store.confirmed(&ids).await.unwrap(), expected, "{}", database.name());
        let elsewhere = store.profile(&id("elsewhere")).await.unwrap().unwrap();
        assert_eq!(elsewhere.consent, Consent::Unknown);
        let proofs = store.consents_of(&id("elsewhere")).await.unwrap();
        let sources: Vec<_> = proofs.iter().map(|proof| (proof.source.as_str(), proof.status)).collect();
        let expected = [("confirmation link", Consent::Granted), ("joined", Consent::Unknown)];
        assert_eq!(sources, expected, "what was said there stays as proof");
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
            let heard = entries.map(|entry| Heard { entry, key: "a1b2" });
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
