//! An id for an event that its source gave none.

use std::collections::HashMap;

use sha2::Digest;
use sha2::Sha256;

use crate::digest::hex;
use crate::digest::of_parts;
use crate::event::Event;

/// Distinct rows of one generation; two generations are remembered, about 36 MB.
const GENERATION_ROWS: usize = 900_000;

/// The id of an event by what it says, and by how many events that say the same stood before it: 32 hex digits.
///
/// The same file read again gives the same ids, so that nothing is added; two identical lines give two. Properties count
/// as JSON, by their names in alphabetical order at every depth, in whatever order the source has them. An id never
/// changes: who imports a file again after an update must not get its orders twice.
pub fn event_id(event: &Event, occurrence: u32) -> String {
    numbered(&content(event), occurrence)
}

fn content(event: &Event) -> [u8; 32] {
    let properties = serde_json::to_string(&event.properties).unwrap_or_default();
    let mut hash = of_parts([event.profile.as_str(), &event.name, &properties]);
    hash.update(event.at.as_millisecond().to_be_bytes());
    hash.finalize().into()
}

fn numbered(content: &[u8; 32], occurrence: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(content);
    hash.update(occurrence.to_be_bytes());
    hex(&hash.finalize()[..16])
}

/// How often each row was seen, in bounded memory.
///
/// Identical rows are told apart as long as fewer than [`GENERATION_ROWS`] different rows lie between them; farther
/// apart they are taken for one, as in two exports that overlap.
#[derive(Debug, Default)]
pub(super) struct Occurrences {
    new: HashMap<u64, u32>,
    old: HashMap<u64, u32>,
}

impl Occurrences {
    /// The id of an event, given that it is the next one.
    pub(super) fn id_of(&mut self, event: &Event) -> String {
        let content = content(event);
        let mut key = [0; 8];
        key.copy_from_slice(&content[..8]);
        let occurrence = self.next(u64::from_be_bytes(key));
        numbered(&content, occurrence)
    }

    fn next(&mut self, key: u64) -> u32 {
        if self.new.len() >= GENERATION_ROWS {
            self.old = std::mem::take(&mut self.new);
        }
        let before = self.new.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(0);
        self.new.insert(key, before.saturating_add(1));
        before
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::profile::ProfileId;

    #[test]
    fn the_id_of_an_event_is_what_it_always_was_in_whatever_order_its_properties_stand() {
        let texts = [
            r#"{"quantity": 2, "price": 9.95, "big": 1e21, "Ünder": "é\n", "a": {"z": [true, null], "b": -0.1}}"#,
            r#"{"a": {"b": -0.1, "z": [true, null]}, "big": 1e21, "price": 9.95, "quantity": 2, "Ünder": "é\n"}"#,
        ];
        for text in texts {
            let event = Event {
                id: String::new(),
                profile: ProfileId::parse("ana").unwrap(),
                name: "Order Completed".to_owned(),
                at: "2026-03-02T09:00:00.250Z".parse().unwrap(),
                properties: serde_json::from_str(text).unwrap(),
            };
            assert_eq!(
                json!([event_id(&event, 0), event_id(&event, 1)]),
                json!(["c499da03f83b8d10728e28084e44554d", "b717615c415cee9969dadf9fddada21b"])
            );
        }
    }
}
