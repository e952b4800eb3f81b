//! Segment's calls become nouns: `identify`, `track`, `page`, `screen`, `group`, `alias`, alone or in a batch.
//!
//! The shapes are those of Segment's specification, so that its clients work unchanged. People without a `userId` are
//! kept under `anon:` and their `anonymousId`, which no customer's own id can take by accident; `identify` and `alias`
//! join them to whom they turn out to be.

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::Fields;
use super::JSON_DEPTH_MAX;
use super::Noun;
use super::Record;
use super::Shop;
use super::json::too_deep;
use super::nouns::record;
use super::times::TimeReader;
use super::values;
use crate::clock::is_plausible;
use crate::event::EVENT_SIZE_BYTES_MAX;
use crate::event::Event;
use crate::event::name;
use crate::product::money::Written;
use crate::profile::PROFILE_ID_CHARACTERS_MAX;
use crate::profile::Profile;
use crate::profile::ProfileId;

#[cfg(test)]
mod tests;

/// Begins the ids of people of whom only an `anonymousId` is known.
pub const ANONYMOUS: &str = "anon:";
/// A group was joined; `group_id`, and the group's traits.
pub const GROUP_JOINED: &str = "Group Joined";
/// Messages of one batch, at most.
pub const MESSAGES_PER_BATCH_MAX: usize = 5_000;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Who somebody is.
    Identify,
    /// What somebody did.
    Track,
    /// A page that was seen.
    Page,
    /// The same in an app.
    Screen,
    /// A company or club that somebody belongs to.
    Group,
    /// Two ids are one person.
    Alias,
}

impl Call {
    /// Reads the word in `type`.
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "identify" => Self::Identify,
            "track" => Self::Track,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "group" => Self::Group,
            "alias" => Self::Alias,
            _ => return None,
        })
    }
}

/// What a message asks to be kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Both are one person: what `anonymous` did is what `known` did, now and later.
    Join {
        /// An id that begins with [`ANONYMOUS`].
        anonymous: ProfileId,
        /// Who it turned out to be.
        known: ProfileId,
    },
    /// Somebody is so.
    Profile(Profile),
    /// Somebody did something.
    Event(Event),
}

/// A message that cannot be kept, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Its `messageId`, where it states one.
    pub message_id: Option<String>,
    /// Names the field.
    pub reason: String,
}

/// What a batch became.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// How many messages it held.
    pub messages: usize,
    /// What they ask to be kept, in their order.
    pub entries: Vec<Entry>,
    /// Those that cannot be kept; all others can.
    pub rejected: Vec<Rejected>,
}

/// Reads the body of a batch, which arrived at `received_at`. The reason, where nothing of it can be read.
pub fn batch(mut body: Map<String, Value>, shop: &Shop, received_at: Timestamp) -> Result<Batch, String> {
    time(&body, "sentAt")?;
    object(&body, "context")?;
    let sent_at = body.get("sentAt").cloned();
    let context = body.get("context").cloned();
    let Some(Value::Array(messages)) = body.get_mut("batch").map(Value::take) else {
        return Err("batch is missing; send {\"batch\": [{\"type\": \"track\", …}]}".to_owned());
    };
    if messages.len() > MESSAGES_PER_BATCH_MAX {
        return Err(format!("{} messages; at most {MESSAGES_PER_BATCH_MAX} are allowed", messages.len()));
    }
    let mut read = Batch { messages: messages.len(), ..Batch::default() };
    for (index, message) in messages.into_iter().enumerate() {
        let Value::Object(mut message) = message else {
            let reason = "the message is no object".to_owned();
            read.rejected.push(Rejected { index, message_id: None, reason });
            continue;
        };
        for (key, outer) in [("sentAt", &sent_at), ("context", &context)] {
            if let (false, Some(outer)) = (message.contains_key(key), outer) {
                message.insert(key.to_owned(), outer.clone());
            }
        }
        match self::message(None, &message, shop, received_at) {
            Ok(entries) => read.entries.extend(entries),
            Err(reason) => {
                let message_id = message.get("messageId").and_then(Value::as_str).map(str::to_owned);
                read.rejected.push(Rejected { index, message_id, reason });
            }
        }
    }
    Ok(read)
}

/// Reads one message. `call` is what its path says it is; in a batch its `type` does.
pub fn message(
    call: Option<Call>,
    message: &Map<String, Value>,
    shop: &Shop,
    received_at: Timestamp,
) -> Result<Vec<Entry>, String> {
    let json = serde_json::to_string(message).map_err(|error| error.to_string())?;
    if json.len() > EVENT_SIZE_BYTES_MAX {
        return Err(format!("too long: {} bytes, at most {EVENT_SIZE_BYTES_MAX} are allowed", json.len()));
    }
    if too_deep(&json).is_some() {
        return Err(format!("nested deeper than {JSON_DEPTH_MAX} levels"));
    }
    let kind = message.get("type").and_then(Value::as_str);
    let Some(call) = call.or_else(|| kind.and_then(Call::parse)) else {
        return Err("type is none of identify, track, page, screen, group, alias".to_owned());
    };
    let at = corrected(message, received_at)?;
    let who = Who::of(message)?;
    if let Some(id) = field(message, "messageId") {
        text(id, "messageId")?;
    }
    match call {
        Call::Identify => identify(message, &who, shop, at, received_at),
        Call::Alias => alias(message, &who),
        Call::Track => {
            let name = field(message, "event").ok_or("event is missing: the name of what was done")?;
            let name = name.as_str().ok_or("event is no text")?;
            Ok(vec![event(message, &who, Value::from(name), "properties", shop, at)?])
        }
        Call::Page | Call::Screen => {
            let seen = Value::from(name::PAGE_VIEWED);
            Ok(vec![event(message, &who, seen, "properties", shop, at)?])
        }
        Call::Group => {
            text(field(message, "groupId").ok_or("groupId is missing")?, "groupId")?;
            Ok(vec![event(message, &who, Value::from(GROUP_JOINED), "traits", shop, at)?])
        }
    }
}

/// Who a message speaks of.
struct Who {
    known: Option<ProfileId>,
    anonymous: Option<ProfileId>,
}

impl Who {
    fn of(message: &Map<String, Value>) -> Result<Self, String> {
        let known = match field(message, "userId") {
            Some(id) => {
                let id =
                    ProfileId::parse(&text(id, "userId")?).map_err(|error| format!("userId: {error}"))?;
                // Only visitors are joined to others: two of them joined to each other would be nobody.
                if id.as_str().starts_with(ANONYMOUS) {
                    return Err(format!("userId: an id of your own does not begin with `{ANONYMOUS}`"));
                }
                Some(id)
            }
            None => None,
        };
        let anonymous = field(message, "anonymousId").map(|id| anonymous(id, "anonymousId")).transpose()?;
        if known.is_none() && anonymous.is_none() {
            return Err("userId and anonymousId are missing; state one of them".to_owned());
        }
        Ok(Self { known, anonymous })
    }

    fn id(&self) -> &ProfileId {
        self.known.as_ref().or(self.anonymous.as_ref()).expect("Who::of has refused neither")
    }

    /// That both ids are one person, where both are stated.
    fn join(&self) -> Option<Entry> {
        let (anonymous, known) = self.anonymous.clone().zip(self.known.clone())?;
        Some(Entry::Join { anonymous, known })
    }
}

fn anonymous(value: &Value, name: &str) -> Result<ProfileId, String> {
    let id = text(value, name)?;
    ProfileId::parse(&format!("{ANONYMOUS}{}", id.trim())).map_err(|error| format!("{name}: {error}"))
}

/// A field that says something: null and blank text say nothing.
fn field<'a>(message: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let value = message.get(name)?;
    let blank = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    (!blank).then_some(value)
}

/// An id: clients in the field send numbers too.
fn text(value: &Value, name: &str) -> Result<String, String> {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => {
            Err(format!("{name} holds a control character"))
        }
        Value::String(text) if text.chars().count() > PROFILE_ID_CHARACTERS_MAX => {
            Err(format!("{name} has more than {PROFILE_ID_CHARACTERS_MAX} characters"))
        }
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("{name} is neither text nor a number")),
    }
}

/// A field that holds an object, or says nothing.
fn object<'a>(message: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    match message.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(format!("{name} is no object")),
    }
}

/// A time, by the sender's clock.
fn time(message: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, String> {
    match message.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::String(_)) => {
            TimeReader::default().read(value).map(Some).map_err(|error| format!("{name}: {error}"))
        }
        Some(_) => Err(format!("{name} is no text such as 2026-01-31T18:00:00Z")),
    }
}

/// When it happened by our clock: a device's clock may be wrong, and `sentAt`, read from the same clock, says by how
/// much (Segment: timestamp = receivedAt − (sentAt − originalTimestamp)). Nothing has happened later than now.
fn corrected(message: &Map<String, Value>, received_at: Timestamp) -> Result<Timestamp, String> {
    let (original, timestamp, sent_at) =
        (time(message, "originalTimestamp")?, time(message, "timestamp")?, time(message, "sentAt")?);
    let Some(stated) = original.or(timestamp) else { return Ok(received_at) };
    if !is_plausible(stated.min(received_at)) {
        return Err("timestamp is before the year 1900".to_owned());
    }
    // A correction that leads nowhere is none: the clock was set between the two.
    let by_its_clock = |sent_at: Timestamp| received_at.checked_sub(sent_at.duration_since(stated)).ok();
    let at = sent_at.and_then(by_its_clock).filter(|at| is_plausible(*at));
    Ok(at.unwrap_or(stated).min(received_at))
}

fn identify(
    message: &Map<String, Value>,
    who: &Who,
    shop: &Shop,
    at: Timestamp,
    now: Timestamp,
) -> Result<Vec<Entry>, String> {
    let traits = object(message, "traits")?.cloned().unwrap_or_default();
    // What a client adds by itself must not cost the person's own words.
    let context = object(message, "context")?.map(context).unwrap_or_default();
    let read = profile(who, &traits, context, shop, now)
        .or_else(|_| profile(who, &traits, Map::new(), shop, now))?;
    let profile = Profile { created_at: read.created_at.min(at), ..read };
    Ok(who.join().into_iter().chain([Entry::Profile(profile)]).collect())
}

/// What the circumstances say of a person.
fn context(context: &Map<String, Value>) -> Map<String, Value> {
    let known = [("locale", "locale"), ("timezone", "time_zone")].into_iter();
    known.filter_map(|(key, name)| Some((name.to_owned(), context.get(key)?.clone()))).collect()
}

fn profile(
    who: &Who,
    traits: &Map<String, Value>,
    mut more: Map<String, Value>,
    shop: &Shop,
    now: Timestamp,
) -> Result<Profile, String> {
    more.extend(traits.iter().map(|(key, value)| (key.clone(), value.clone())));
    let mut fields = Fields::of_object(Noun::Profiles, &more);
    // An id among the traits is the same person's id elsewhere, not another person.
    fields.take("id");
    fields.set("id", Value::from(who.id().as_str()));
    let untyped =
        values::typed_traits(&mut fields.extras, &shop.traits, &TimeReader::default(), Written::Number);
    let mut reasons: Vec<String> = untyped.into_iter().map(|reason| format!("traits.{reason}")).collect();
    match record(Noun::Profiles, fields, shop, now) {
        Ok(Record::Profile(profile)) if reasons.is_empty() => return Ok(profile),
        Ok(_) => {}
        Err(reason) => reasons.push(reason),
    }
    Err(reasons.join("; "))
}

fn alias(message: &Map<String, Value>, who: &Who) -> Result<Vec<Entry>, String> {
    let known = who.known.clone().ok_or("userId is missing")?;
    let previous = field(message, "previousId").map(|id| anonymous(id, "previousId")).transpose()?;
    let anonymous = previous.or_else(|| who.anonymous.clone()).ok_or("previousId is missing")?;
    Ok(vec![Entry::Join { anonymous, known }])
}

fn event(
    message: &Map<String, Value>,
    who: &Who,
    name: Value,
    extras: &str,
    shop: &Shop,
    at: Timestamp,
) -> Result<Entry, String> {
    let mut properties = object(message, extras)?.cloned().unwrap_or_default();
    for (key, name) in [("name", "name"), ("category", "category"), ("groupId", "group_id")] {
        if let Some(value) = field(message, key).filter(|_| !properties.contains_key(name)) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    let mut fields = Fields::default();
    fields.extras = properties;
    fields.set("profile", Value::from(who.id().as_str()));
    fields.set("name", name);
    fields.set("at", Value::from(at.to_string()));
    if let Some(id) = field(message, "messageId") {
        fields.set("id", Value::from(text(id, "messageId")?));
    }
    match record(Noun::Events, fields, shop, at)? {
        Record::Event { event, .. } => Ok(Entry::Event(event)),
        _ => Err("no event came of it".to_owned()),
    }
}
