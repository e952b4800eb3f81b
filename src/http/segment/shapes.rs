//! What Segment's calls may hold, as JSON Schema: exactly what is taken, so that a client can check before it sends.
//!
//! Written by hand: the bodies are read as free objects, since clients send many fields that mean nothing here.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Text without control characters.
const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The same, with something in it.
pub(in crate::http) const SAID: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Characters of an id.
const ID_MAX: usize = 255;
/// Characters of an anonymous id; a prefix is kept with it.
const ANONYMOUS_MAX: usize = 250;

/// The shapes by name.
pub(in crate::http) fn shapes() -> Map<String, Value> {
    let page = json!({"properties": object("Everything else that is known of it, such as url and title.")});
    let track = json!({
        "event": {"type": "string", "pattern": SAID, "maxLength": ID_MAX, "description": "What was done."},
        "properties": object("Everything else that is known of it: product_id, order_id, products …"),
    });
    let identify = json!({
        "traits": object("What is known of the person: email, consent (granted, withdrawn), firstName and so on."),
        "context": free("locale and timezone are read."),
    });
    let group =
        json!({"groupId": said(ID_MAX, "The group."), "traits": object("What is known of the group.")});
    let known = json!({"required": ["userId"], "properties": {"userId": said(ID_MAX, "")}});
    let anonymous = |name: &str| json!({"required": [name], "properties": {name: said(ANONYMOUS_MAX, "")}});
    let anybody = json!([known, anonymous("anonymousId")]);
    let other = json!([anonymous("previousId"), anonymous("anonymousId")]);
    let alias = json!({"previousId": maybe(ANONYMOUS_MAX, "The anonymous id.")});
    let alias =
        with(message(&alias, &["userId"], &other), "userId", said(ID_MAX, "Who it turned out to be."));
    Map::from_iter([
        ("Identify".to_owned(), message(&identify, &[], &anybody)),
        ("Track".to_owned(), message(&track, &["event"], &anybody)),
        ("Page".to_owned(), message(&page, &[], &anybody)),
        ("Group".to_owned(), message(&group, &["groupId"], &anybody)),
        ("Alias".to_owned(), alias),
        ("Batch".to_owned(), batch()),
    ])
}

/// A message with these fields beside those of all messages.
fn message(own: &Value, required: &[&str], any_of: &Value) -> Value {
    let mut properties = json!({
        "userId": maybe(ID_MAX, "Your own id of the person."),
        "anonymousId": maybe(ANONYMOUS_MAX, "An id of somebody whose name is not known yet."),
        "messageId": maybe(ID_MAX, "The same id twice is one event."),
        "timestamp": time("When it happened, by the sender's clock."),
        "sentAt": time("When it was sent, by the same clock: corrects it."),
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
        all.extend(own.clone());
    }
    json!({"type": "object", "properties": properties, "required": required, "anyOf": any_of})
}

fn with(mut shape: Value, name: &str, field: Value) -> Value {
    shape["properties"][name] = field;
    shape
}

fn batch() -> Value {
    json!({
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "maxItems": crate::ingest::segment::MESSAGES_PER_BATCH_MAX,
                "items": {},
                "description": "Messages as the other calls take them, each with its type: identify, track, page, \
                                screen, group or alias. What cannot be kept is listed in the answer.",
            },
            "sentAt": time("For messages that state none."),
            "context": free("For messages that state none."),
        },
    })
}

/// An id that must say something.
fn said(characters_max: usize, description: &str) -> Value {
    json!({"type": ["string", "number"], "pattern": SAID, "maxLength": characters_max, "description": description})
}

/// An id that may be absent, null or blank.
fn maybe(characters_max: usize, description: &str) -> Value {
    let types = json!(["string", "number", "null"]);
    json!({"type": types, "pattern": PLAIN, "maxLength": characters_max, "description": description})
}

/// Not before 1900, wherever the clock stood.
fn time(description: &str) -> Value {
    let time = json!({"type": "string", "format": "date-time", "pattern": "^(19(0[1-9]|[1-9][0-9])|[2-9][0-9]{3})-"});
    json!({"anyOf": [time, {"type": "null"}], "description": description})
}

/// An object of anything.
fn free(description: &str) -> Value {
    json!({"type": ["object", "null"], "description": description})
}

/// Names of 1 to 255 characters, at most 200 of them.
fn object(description: &str) -> Value {
    let names = json!({"minLength": 1, "maxLength": ID_MAX});
    json!({"type": ["object", "null"], "propertyNames": names, "maxProperties": 190, "description": description})
}
