//! What a worker has done so far, for progress lines, summaries and metrics.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::send::Outcome;
use crate::send::State;

/// Counts by state and reason.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<(State, String), u64>>);

impl Tally {
    /// Counts an outcome.
    pub fn count(&self, outcome: &Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((outcome.state, outcome.reason.clone())).or_default() += 1;
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
