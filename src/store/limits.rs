//! What live workers share: rates that survive restarts, and the list of who is alive.
//!
//! A rate is a GCRA row (ITU-T I.371, generic cell rate algorithm): the theoretical arrival time of the next slot.
//! Workers reserve slots a handful at a time and spend them themselves, so all of them together hold the rate, and
//! slots that a dead worker had reserved are lost, never given twice.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::connection::Tx;
use super::dialect::Dialect;
use crate::clock::from_millisecond;

/// Slots wanted of one shared rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserve {
    /// Names the rate: `global`, `relay:main`, `group:gmail` …
    pub key: String,
    /// How many slots are wanted.
    pub slots: u32,
    /// Time between two slots, microseconds: 200 is 5,000 a second.
    pub interval_us: f64,
    /// How far ahead of its time a slot may be reserved, microseconds.
    pub ahead_us: f64,
    /// How much idle time may be made up for at once, microseconds.
    pub credit_us: f64,
}

/// What was granted of a [`Reserve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Granted {
    /// How many slots; may be none.
    pub slots: u32,
    /// The time of the first slot, microseconds from now: negative for idle time that is made up for. The others
    /// follow, one interval apart.
    pub starts_us: i64,
    /// How long until the next slot can be granted, microseconds; 0 when all that were wanted were granted.
    pub wait_us: i64,
}

/// A worker process, alive or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Unique for every start of a worker.
    pub id: String,
    /// Where it runs.
    pub host: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

impl Store {
    /// Reserves slots of shared rates, all in one transaction; the answers are in the order of `wanted`. By the
    /// database's clock on PostgreSQL.
    pub async fn reserve(&self, wanted: &[Reserve], now: Timestamp) -> Result<Vec<Granted>, Error> {
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        // Locked in one order everywhere, so that two workers cannot wait for each other.
        order.sort_by(|a, b| wanted[*a].key.cmp(&wanted[*b].key));
        let mut granted = vec![Granted::default(); wanted.len()];
        let mut tx = self.pools.begin().await?;
        for index in order {
            granted[index] = reserve(&mut tx, &wanted[index], now).await?;
        }
        tx.commit().await?;
        Ok(granted)
    }

    /// Says that this worker is alive.
    pub async fn heartbeat(&self, id: &str, host: &str, now: Timestamp) -> Result<(), Error> {
        self.pools
            .run(
                "insert into workers (id, host, started_at, seen_at) select $1, $3, {now}, {now} where true
                 on conflict (id) do update set seen_at = excluded.seen_at",
                args![id, now, host],
            )
            .await?;
        Ok(())
    }

    /// Workers that were heard of within `within_ms`, by id.
    pub async fn live_workers(&self, within_ms: i64, now: Timestamp) -> Result<Vec<WorkerRow>, Error> {
        let rows: Vec<(String, String, i64, i64)> = self
            .pools
            .all(
                "select id, host, started_at, seen_at from workers where seen_at >= {now} - $1 order by id",
                args![within_ms, now],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, host, started_at, seen_at)| WorkerRow {
                id,
                host,
                started_at: from_millisecond(started_at),
                seen_at: from_millisecond(seen_at),
            })
            .collect())
    }

    /// Takes a worker that ends off the list, with all that were not heard of for `forget_ms`.
    pub async fn worker_ended(&self, id: &str, forget_ms: i64, now: Timestamp) -> Result<(), Error> {
        self.pools
            .run("delete from workers where id = $1 or seen_at < {now} - $3", args![id, now, forget_ms])
            .await?;
        Ok(())
    }
}

async fn reserve(tx: &mut Tx, wanted: &Reserve, now: Timestamp) -> Result<Granted, Error> {
    let key = wanted.key.as_str();
    tx.run("insert into limits (key, arrival_us) values ($1, 0) on conflict (key) do nothing", args![key])
        .await?;
    // Milliseconds are too coarse for 5,000 a second; a clock that was moved by hand has no more.
    let now_us = match tx.dialect() {
        Dialect::Sqlite => "$2 * 1000",
        Dialect::Postgres => "bespoke_now_us()",
    };
    let sql =
        format!("select arrival_us, cast({now_us} as bigint) from limits where key = $1 {{for_update}}");
    let row: Option<(i64, i64)> = tx.first(sql, args![key, now]).await?;
    let (arrival_us, now_us) = row.unwrap_or_default();
    let (granted, next_us) = gcra(wanted, arrival_us, now_us);
    if next_us != arrival_us {
        tx.run("update limits set arrival_us = $2 where key = $1", args![key, next_us]).await?;
    }
    Ok(granted)
}

/// What is granted, and the arrival time after that. Every slot has a time of its own, one interval after the one
/// before it, whoever gets it: the rate holds in every window, however many ask, and however late.
fn gcra(wanted: &Reserve, arrival_us: i64, now_us: i64) -> (Granted, i64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970 fit into 53 bits until the year 2255"
    )]
    let (arrival, now) = (arrival_us as f64, now_us as f64);
    let Reserve { interval_us, ahead_us, credit_us, .. } = *wanted;
    // No slot is ever given out further ahead. An arrival beyond that was written before the clock was set back, or
    // under another rate, and must not stop the mail until then.
    let arrival = arrival.min(now + ahead_us + interval_us).max(now - credit_us);
    let room = ((now + ahead_us - arrival) / interval_us + 1.0).floor().clamp(0.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    let slots = (room as u32).min(wanted.slots);
    let next = arrival + f64::from(slots) * interval_us;
    let wait = if slots == wanted.slots { 0.0 } else { (next - ahead_us - now).max(0.0) };
    #[expect(clippy::cast_possible_truncation, reason = "a time in microseconds, far below the limit")]
    let (starts_us, wait_us, next_us) =
        ((arrival - now).round() as i64, wait.ceil() as i64, next.round() as i64);
    (Granted { slots, starts_us, wait_us }, next_us)
}

#[cfg(test)]
mod tests {
    use super::Granted;
    use super::Reserve;
    use super::gcra;

    #[test]
    fn slots_are_an_interval_apart_and_reserved_a_little_ahead_of_their_time() {
        let granted = |slots, starts_us, wait_us| Granted { slots, starts_us, wait_us };
        for (slots, credit_us, arrival_us, now_us, expected) in [
            (4, 0.0, 0, 50_000, (granted(4, 0, 0), 54_000)),
            // Ten milliseconds ahead, and the one that is due now.
            (40, 0.0, 0, 50_000, (granted(11, 0, 1_000), 61_000)),
            (5, 0.0, 61_000, 50_000, (granted(0, 11_000, 1_000), 61_000)),
            (5, 0.0, 61_000, 50_999, (granted(0, 10_001, 1), 61_000)),
            (5, 0.0, 61_000, 52_000, (granted(2, 9_000, 1_000), 63_000)),
            // Idle time counts as far as there is credit for it.
            (40, 3_000.0, 0, 50_000, (granted(14, -3_000, 1_000), 61_000)),
            (40, 3_000.0, 49_000, 50_000, (granted(12, -1_000, 1_000), 61_000)),
            // The clock was set back by an hour.
            (1, 0.0, 3_600_000_000, 0, (granted(0, 11_000, 1_000), 11_000)),
        ] {
            let wanted =
                Reserve { key: "k".to_owned(), slots, interval_us: 1_000.0, ahead_us: 10_000.0, credit_us };
            assert_eq!(gcra(&wanted, arrival_us, now_us), expected, "{slots} at {now_us}");
        }
    }
}
