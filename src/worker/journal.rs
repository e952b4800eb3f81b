//! Group commit: marks and outcomes of many sends share one transaction, and with it one wait for the disk.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::store::Cap;
use crate::store::GroupCommit;
use crate::store::GroupCommitted;
use crate::store::Mark;
use crate::store::Refusal;
use crate::store::Settlement;
use crate::store::Store;

/// Entries of one transaction, at most.
const GROUP_ROWS_MAX: usize = 1_000;
/// Entries that wait, at most; whoever writes more waits with them.
const QUEUE_ROWS_MAX: usize = 10_000;
/// A commit that failed is tried again after this long, doubling …
const RETRY_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What came of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkAnswer {
    /// Committed: the body may go.
    Accepted,
    /// It must not go.
    Refused(Refusal),
    /// Nobody knows whether it was committed: the body must not go.
    Unwritten,
}

enum Entry {
    Mark(Box<Mark>, oneshot::Sender<MarkAnswer>),
    Settle(Box<Settlement>, oneshot::Sender<()>),
}

/// The way to the writer. Clones share it; when the last one is dropped, the writer ends.
#[derive(Debug, Clone)]
pub struct Journal(mpsc::Sender<Entry>);

/// What the writer needs.
#[derive(Debug)]
pub struct JournalSettings {
    /// The time between two transactions, at least: under load entries gather for so long, and a lone one waits for
    /// nothing.
    pub group_ms: u64,
    /// Lifecycle mails per person.
    pub caps: Vec<Cap>,
    /// Soft bounces after which an address is suppressed.
    pub soft_bounces_max: u32,
}

impl Journal {
    /// Starts the writer.
    pub fn start(store: Store, clock: Clock, settings: JournalSettings) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_ROWS_MAX);
        tokio::spawn(write_all(store, clock, settings, receiver));
        Self(sender)
    }

    /// Marks a send as `submitting`, if it may still go.
    pub async fn mark(&self, mark: Mark) -> MarkAnswer {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Entry::Mark(Box::new(mark), answer)).await.is_err() {
            return MarkAnswer::Unwritten;
        }
        answered.await.unwrap_or(MarkAnswer::Unwritten)
    }

    /// Records an outcome. Returns when it is committed, or when the send turned out to be somebody else's.
    pub async fn settle(&self, settlement: Settlement) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Entry::Settle(Box::new(settlement), answer)).await.is_ok() {
            // The writer answers whatever happened; if it is gone, the process is ending.
            let _ = answered.await;
        }
    }
}

#[derive(Default)]
struct Group {
    commit: GroupCommit,
    marks: Vec<oneshot::Sender<MarkAnswer>>,
    settlements: Vec<oneshot::Sender<()>>,
}

impl Group {
    fn push(&mut self, entry: Entry) {
        match entry {
            Entry::Mark(mark, answer) => {
                self.commit.marks.push(*mark);
                self.marks.push(answer);
            }
            Entry::Settle(settlement, answer) => {
                self.commit.settlements.push(*settlement);
                self.settlements.push(answer);
            }
        }
    }

    fn len(&self) -> usize {
        self.marks.len() + self.settlements.len()
    }
}

async fn write_all(
    store: Store,
    clock: Clock,
    settings: JournalSettings,
    mut entries: mpsc::Receiver<Entry>,
) {
    let mut full_at = Instant::now();
    while let Some(first) = entries.recv().await {
        let mut group = Group::default();
        group.push(first);
        while group.len() < GROUP_ROWS_MAX {
            match tokio::time::timeout_at(full_at, entries.recv()).await {
                Ok(Some(entry)) => group.push(entry),
                Ok(None) | Err(_) => break,
            }
        }
        full_at = Instant::now() + Duration::from_millis(settings.group_ms);
        commit(&store, &clock, &settings, group).await;
    }
}

/// Commits until it is done. A mark whose commit failed is given up: its connection is dropped before the body.
/// Outcomes are kept and tried again: a 250 that was read must not be forgotten.
async fn commit(store: &Store, clock: &Clock, settings: &JournalSettings, mut group: Group) {
    let mut wait = RETRY_MIN;
    loop {
        let now = clock.now();
        match store.commit_group(&group.commit, &settings.caps, settings.soft_bounces_max, now).await {
            Ok(GroupCommitted { settled, mut marked, .. }) => {
                for lost in &settled.lost {
                    tracing::warn!(send = %lost, "the outcome of send {lost} came after its lease was lost");
                }
                for (mark, answer) in group.commit.marks.iter().zip(group.marks) {
                    let found = match marked.refused.remove(&mark.send) {
                        Some(refusal) => MarkAnswer::Refused(refusal),
                        None if marked.accepted.contains(&mark.send) => MarkAnswer::Accepted,
                        None => MarkAnswer::Unwritten,
                    };
                    // A task that no longer waits has dropped its connection already.
                    let _ = answer.send(found);
                }
                for answer in group.settlements {
                    let _ = answer.send(());
                }
                return;
            }
            Err(error) => {
                tracing::error!(
                    marks = group.commit.marks.len(),
                    outcomes = group.commit.settlements.len(),
                    "cannot commit {} outcomes, trying again: {error}",
                    group.commit.settlements.len()
                );
                group.commit.marks.clear();
                for answer in group.marks.drain(..) {
                    let _ = answer.send(MarkAnswer::Unwritten);
                }
                if group.settlements.is_empty() {
                    return;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}
