//! Segment's own examples, and what clients in the field make of them.

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn read(value: Value) -> Result<Vec<Entry>, String> {
    let Value::Object(object) = value else { unreachable!() };
    message(None, &object, &Shop::default(), now())
}

fn events(value: Value) -> Vec<(String, String, Value, String)> {
    let event = |entry| match entry {
        Entry::Event(event) => {
            let properties = Value::Object(event.properties);
            (event.profile.to_string(), event.name, properties, event.at.to_string())
        }
        other => panic!("{other:?}"),
    };
    read(value).unwrap().into_iter().map(event).collect()
}

#[test]
fn what_somebody_did_becomes_an_event_of_theirs() {
    let at = "2026-03-01T10:00:00Z";
    for (value, expected) in [
        (
            json!({"type": "track", "userId": 42, "event": "Order Completed", "timestamp": at,
                   "properties": {"order_id": "a-1", "nothing": null}}),
            ("42", "Order Completed", json!({"order_id": "a-1"}), at),
        ),
        (
            json!({"type": "page", "anonymousId": "x", "name": "Home", "properties": {"url": "https://s.test"}}),
            (
                "anon:x",
                "Page Viewed",
                json!({"url": "https://s.test", "name": "Home"}),
                "2026-03-02T09:00:00Z",
            ),
        ),
        (
            json!({"type": "screen", "userId": "", "anonymousId": "x", "name": "Cart", "timestamp": at}),
            ("anon:x", "Page Viewed", json!({"name": "Cart"}), at),
        ),
        (
            json!({"type": "group", "userId": "a", "groupId": "acme", "traits": {"plan": "pro"}, "timestamp": at}),
            ("a", "Group Joined", json!({"plan": "pro", "group_id": "acme"}), at),
        ),
    ] {
        let (profile, name, properties, at) = expected;
        assert_eq!(events(value), [(profile.to_owned(), name.to_owned(), properties, at.to_owned())]);
    }
}

#[test]
fn a_wrong_clock_is_corrected_by_when_it_says_that_it_sent() {
    for (original, sent, expected) in [
        // Right to the second, on the wire for 100 ms.
        ("2026-03-02T08:59:00Z", "2026-03-02T08:59:59.9Z", "2026-03-02T08:59:00.1Z"),
        // Ten years behind, a minute before it sent.
        ("2016-03-02T08:59:00Z", "2016-03-02T09:00:00Z", "2026-03-02T08:59:00Z"),
        // Later than it was sent: not later than now.
        ("2026-03-02T12:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T09:00:00Z"),
        ("9999-12-30T00:00:00Z", "0001-01-01T00:00:00Z", "2026-03-02T09:00:00Z"),
        // A clock that was set in between corrects nothing.
        ("1950-03-02T08:59:00Z", "9999-03-02T09:00:00Z", "1950-03-02T08:59:00Z"),
    ] {
        let value =
            json!({"type": "track", "userId": "a", "event": "E", "timestamp": original, "sentAt": sent});
        assert_eq!(events(value)[0].3, expected, "{original} {sent}");
    }
}

#[test]
fn who_somebody_is_joins_both_ids() {
    let traits = json!({"email": "Ana@example.test", "firstName": "Ana", "id": "elsewhere", "plan": null});
    let value = json!({"type": "identify", "userId": "u1", "anonymousId": "x", "traits": traits,
                       "context": {"locale": "de_DE", "timezone": "Europe/Berlin", "ip": "::1"}});
    let entries = read(value).unwrap();
    let [Entry::Join { anonymous, known }, Entry::Profile(profile)] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    assert_eq!((anonymous.as_str(), known.as_str(), profile.id.as_str()), ("anon:x", "u1", "u1"));
    assert_eq!(profile.address.as_ref().unwrap().as_str(), "Ana@example.test");
    assert_eq!(
        (profile.locale.as_deref(), profile.time_zone.as_deref()),
        (Some("de-DE"), Some("Europe/Berlin"))
    );
    assert_eq!(Value::Object(profile.traits.clone()), json!({"first_name": "Ana", "plan": null}));

    let alias = read(json!({"type": "alias", "previousId": "x", "userId": "u1"})).unwrap();
    assert_eq!(alias, [Entry::Join { anonymous: anonymous.clone(), known: known.clone() }]);
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_field() {
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    for (value, expected) in [
        (json!({"type": "track", "event": "E"}), "userId and anonymousId are missing; state one of them"),
        (json!({"type": "track", "userId": "a"}), "event is missing: the name of what was done"),
        (
            json!({"type": "alias", "previousId": "b", "userId": "anon:a"}),
            "userId: an id of your own does not begin with `anon:`",
        ),
        (
            json!({"type": "nonsense", "userId": "a"}),
            "type is none of identify, track, page, screen, group, alias",
        ),
        (json!({"type": "track", "userId": ["a"], "event": "E"}), "userId is neither text nor a number"),
        (json!({"type": "track", "userId": "a\u{1}b", "event": "E"}), "userId holds a control character"),
        (json!({"type": "track", "userId": "a", "event": "E", "properties": 3}), "properties is no object"),
        (
            json!({"type": "track", "userId": "a", "event": "E", "properties": {"a": deep}}),
            "nested deeper than 32 levels",
        ),
        (
            json!({"type": "track", "userId": "a", "event": "E", "timestamp": "soon"}),
            "timestamp: \"soon\" is no time; write 2026-01-31T18:00:00Z, or state a format in the map",
        ),
        (json!({"type": "identify", "userId": "a", "traits": {"email": "nobody"}}), "email \"nobody\": "),
        (json!({"type": "alias", "userId": "a"}), "previousId is missing"),
        (json!({"type": "alias", "previousId": "a", "anonymousId": "b"}), "userId is missing"),
        (json!({"type": "group", "userId": "a"}), "groupId is missing"),
        (
            json!({"type": "track", "userId": "a", "event": "E", "properties": {"a": "x".repeat(33_000)}}),
            "too long: ",
        ),
    ] {
        let reason = read(value).unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[test]
fn a_bad_message_of_a_batch_costs_only_itself() {
    let body = json!({
        "sentAt": "2026-03-02T08:59:59Z",
        "batch": [
            {"type": "track", "userId": "a", "event": "One", "messageId": "m1", "timestamp": "2026-03-02T08:59:58Z"},
            {"type": "track", "messageId": "m2", "event": "Two"},
            7,
        ]
    });
    let Value::Object(body) = body else { unreachable!() };
    let read = batch(body, &Shop::default(), now()).unwrap();
    let [Entry::Event(event)] = read.entries.as_slice() else { panic!("{read:?}") };
    assert_eq!((event.id.as_str(), event.at.to_string().as_str()), ("m1", "2026-03-02T08:59:59Z"));
    let reasons: Vec<_> =
        read.rejected.iter().map(|rejected| (rejected.index, rejected.message_id.as_deref())).collect();
    assert_eq!((read.messages, reasons), (3, vec![(1, Some("m2")), (2, None)]));
    assert!(batch(Map::new(), &Shop::default(), now()).unwrap_err().starts_with("batch is missing"));
}

proptest::proptest! {
    #[test]
    fn no_body_panics(text in "\\PC{0,80}", number in proptest::prelude::any::<f64>()) {
        for key in ["userId", "anonymousId", "previousId", "event", "timestamp", "sentAt", "traits", "properties", "context", "type"] {
            for value in [json!(text), json!(number), json!([text]), json!({"email": text, "timezone": text})] {
                let mut object = Map::from_iter([("userId".to_owned(), json!("a")), ("event".to_owned(), json!("E"))]);
                object.insert(key.to_owned(), value);
                for call in [Call::Identify, Call::Track, Call::Page, Call::Group, Call::Alias] {
                    let _ = message(Some(call), &object, &Shop::default(), now());
                }
            }
        }
    }
}
