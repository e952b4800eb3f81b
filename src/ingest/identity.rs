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
/// The same file read again gives the same ids, so that nothing is added; two identical lines give two.
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
