//! What a worker has done so far, for progress lines, summaries and metrics.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::send::Outcome;
use crate::send::State;

/// Why a mail is unknown that this worker found so.
const LEFT_UNKNOWN: &str = "on the wire when the worker before died; `bespoke sends list --state unknown`";

/// Counts by state and reason.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<(State, String), u64>>);

impl Tally {
    /// Counts an outcome.
    pub fn count(&self, outcome: &Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((outcome.state, outcome.reason.clone())).or_default() += 1;
    }

    /// Counts mails of a worker that died, of which nobody knows whether they went.
    pub(super) fn count_left_unknown(&self, mails: usize) {
        if mails > 0 {
            tracing::warn!("{mails} sends are unknown after a worker died");
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry((State::Unknown, LEFT_UNKNOWN.to_owned())).or_default() += mails as u64;
        }
    }

    /// All counts, by state and reason.
    pub fn counts(&self) -> BTreeMap<(State, String), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many came to this state.
    pub fn of(&self, state: State) -> u64 {
        self.counts().iter().filter(|((found, _), _)| *found == state).map(|(_, count)| count).sum()
    }
}
