//! One file: a thread that reads and parses, and the store behind a short queue.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::cli::import::progress::Progress;
use crate::cli::import::rejects::Rejects;
use crate::cli::import::save;
use crate::cli::import::save::Saved;
use crate::ingest::Item;
use crate::ingest::ReadError;
use crate::ingest::Reader;
use crate::ingest::Record;
use crate::store::Store;

/// Rows that are saved in one transaction.
const BATCH_ROWS_MAX: usize = 1_000;
/// Bytes of rows that are saved in one transaction, so that long rows do not fill the memory.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Batches that wait to be saved.
const BATCHES_WAITING_MAX: usize = 2;

/// Names of events that are counted, at most.
const NAMES_MAX: usize = 1_000;

/// What became of a file's rows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// All rows; a header and empty lines are none.
    pub(super) rows: u64,
    /// Left out by the map.
    pub(super) skipped: u64,
    /// Not usable.
    pub(super) rejected: u64,
    /// Traits that were not usable, of rows that were.
    pub(super) left_out: u64,
    /// Where those went.
    pub(super) rejects: Option<PathBuf>,
    /// How many events have each name; of very many names not all.
    pub(super) names: BTreeMap<String, u64>,
    /// What the store did with the others.
    pub(super) saved: Saved,
}

impl Tally {
    fn name(&mut self, record: &Record) {
        let Record::Event { event, .. } = record else { return };
        if let Some(count) = self.names.get_mut(&event.name) {
            *count += 1;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(event.name.clone(), 1);
        }
    }
}

/// Rows on their way to the store.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<Record>,
    bytes: usize,
    /// Rows read for this batch, whatever became of them.
    rows: u64,
}

/// Loads a file. The error inside is the file's: it could not be read to its end, and what stands before is loaded.
/// The error outside is ours: the store or the rejects file could not be written.
pub(super) async fn file(
    reader: Reader,
    rejects: Rejects,
    store: &Store,
    now: Timestamp,
    progress: Progress,
) -> anyhow::Result<(Tally, Result<(), ReadError>)> {
    progress.start();
    let (sender, mut batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let reading = tokio::task::spawn_blocking(move || read(reader, rejects, &sender));
    let mut saved = Saved::default();
    while let Some(batch) = batches.recv().await {
        saved += save::records(store, batch.records, now).await.context("the database refused a batch")?;
        progress.advance(batch.rows);
    }
    let (tally, ended) = reading.await.context("the reader stopped")??;
    progress.finish();
    Ok((Tally { saved, ..tally }, ended))
}

/// Reads to the end, or until nobody takes batches any more.
fn read(
    mut reader: Reader,
    mut rejects: Rejects,
    sender: &mpsc::Sender<Batch>,
) -> anyhow::Result<(Tally, Result<(), ReadError>)> {
    let mut tally = Tally::default();
    let mut batch = Batch::default();
    let mut ended = Ok(());
    loop {
        let item = match reader.next_item() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => {
                ended = Err(error);
                break;
            }
        };
        tally.rows += 1;
        batch.rows += 1;
        for reject in reader.left_out() {
            tally.left_out += 1;
            rejects.write(&reject)?;
        }
        match item {
            Item::Record(record) => {
                tally.name(&record);
                batch.records.push(record);
                batch.bytes += reader.row_bytes();
            }
            Item::Skipped => tally.skipped += 1,
            Item::Rejected(reject) => {
                tally.rejected += 1;
                rejects.write(&reject)?;
            }
        }
        let full = batch.records.len() >= BATCH_ROWS_MAX || batch.bytes >= BATCH_BYTES_MAX;
        if full && sender.blocking_send(std::mem::take(&mut batch)).is_err() {
            break;
        }
    }
    // Nobody takes it when the store has failed, and then that is what is reported.
    let _ = sender.blocking_send(batch);
    tally.rejects = rejects.finish()?;
    Ok((tally, ended))
}
