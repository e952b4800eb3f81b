//! What live workers share: rates that survive restarts, hosts that asked for patience, and the list of who sends.
//!
//! A rate is the theoretical arrival time of its next slot ([`crate::rate`]). Workers reserve slots a handful at a
//! time and spend them themselves, so all of them together hold the rate, and slots that a dead worker had reserved
//! are lost, never given twice.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::dialect::Dialect;
use crate::rate::Granted;
use crate::rate::Refusal;
use crate::rate::Reserve;
use crate::rate::Throttled;
use crate::rate::grant;

/// Groups that are throttled at once, as far as workers learn of them; the last to refuse come first.
const THROTTLED_MAX: usize = 10_000;
/// A refusal that is older than this is forgotten: whatever the rate was, it has recovered.
const THROTTLED_MS: i64 = 24 * 3_600_000;
/// Refusals of one group within this long count once.
const REFUSALS_TOGETHER_MS: i64 = 1_000;

/// What lies further ahead than this was written before the clock was set back.
const CLOCK_SET_BACK_MS: i64 = 60_000;
/// A rate that nobody asked for that long says no more than one that was never asked for.
const LIMIT_FORGOTTEN_MS: i64 = 2 * 86_400_000;

#[derive(Serialize)]
struct Arrival<'a> {
    key: &'a str,
    arrival_us: i64,
}

impl Store {
    /// Reserves slots of shared rates, all in one transaction; the answers are in the order of `wanted`. By the
    /// database's clock on PostgreSQL.
    pub async fn reserve(&self, wanted: &[Reserve], now: Timestamp) -> Result<Vec<Granted>, Error> {
        let mut keys: Vec<&str> = wanted
            .iter()
            .flat_map(|wanted| wanted.windows.iter().map(|window| window.key.as_str()))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut tx = self.pools.begin().await?;
        let (mut arrivals, now_us) = lock(&mut tx, &keys, now).await?;
        let mut granted = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let windows = || wanted.windows.iter().map(|window| window.key.as_str());
            let mut own: Vec<i64> = windows().map(|key| arrivals.get(key).copied().unwrap_or(0)).collect();
            granted.push(grant(wanted, &mut own, now_us));
            arrivals.extend(windows().map(str::to_owned).zip(own));
        }
        let rows: Vec<_> =
            arrivals.iter().map(|(key, arrival_us)| Arrival { key, arrival_us: *arrival_us }).collect();
        tx.run(
            "update limits set arrival_us = cast(value->>'arrival_us' as bigint) from {rows}
             where key = value->>'key'",
            args![Rows::of(&rows)],
        )
        .await?;
        tx.commit().await?;
        Ok(granted)
    }

    /// Writes down that a group's host asked for patience. False when another refusal counts instead: one that this
    /// worker did not know of, or that came within the same second.
    pub async fn throttle(&self, refusal: &Refusal, now: Timestamp) -> Result<bool, Error> {
        let Refusal { group, rate, usual, known_at_ms } = refusal;
        let changed = self
            .pools
            .run(
                "insert into throttles (domain_group, rate, usual, refused_at) select $1, $3, $4, {now} where true
                 on conflict (domain_group) do update
                 set rate = excluded.rate, usual = excluded.usual, refused_at = excluded.refused_at
                 where ((throttles.refused_at = $5 or throttles.refused_at < excluded.refused_at - $6)
                     and throttles.refused_at <= excluded.refused_at - $7)
                   or throttles.refused_at > excluded.refused_at + $8",
                args![
                    group,
                    now,
                    *rate,
                    *usual,
                    *known_at_ms,
                    THROTTLED_MS,
                    REFUSALS_TOGETHER_MS,
                    CLOCK_SET_BACK_MS
                ],
            )
            .await?;
        Ok(changed > 0)
    }

    /// The groups whose host asked for patience lately.
    pub async fn throttled(&self, now: Timestamp) -> Result<Vec<Throttled>, Error> {
        let rows: Vec<(String, f64, f64, i64, i64)> = self
            .pools
            .all(
                "select domain_group, rate, usual, refused_at, {now} - refused_at from throttles
                 where refused_at > {now} - $1 order by refused_at desc limit $3",
                args![THROTTLED_MS, now, THROTTLED_MAX],
            )
            .await?;
        let throttled = |(group, rate, usual, refused_at_ms, age_ms): (_, _, _, _, i64)| {
            let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
            Throttled { group, rate, usual, refused_at_ms, age }
        };
        Ok(rows.into_iter().map(throttled).collect())
    }

    /// Says that this worker sends, and forgets those that were not heard of for `forget_ms`, hosts that have recovered,
    /// and rates that nobody uses. Returns how many workers were heard of within `within_ms`, this one included.
    pub async fn heartbeat(
        &self,
        id: &str,
        within_ms: i64,
        forget_ms: i64,
        now: Timestamp,
    ) -> Result<u32, Error> {
        let mut tx = self.pools.begin().await?;
        tx.run(
            "insert into workers (id, started_at, seen_at) select $1, {now}, {now} where true
             on conflict (id) do update set seen_at = excluded.seen_at",
            args![id, now],
        )
        .await?;
        tx.run("delete from workers where seen_at < {now} - $1", args![forget_ms, now]).await?;
        for (sql, ms) in [
            ("delete from throttles where refused_at < {now} - $1", THROTTLED_MS),
            ("update throttles set refused_at = {now} where refused_at > {now} + $1", CLOCK_SET_BACK_MS),
            (
                "delete from limits where key in (
                   select key from limits where arrival_us < ({now} - $1) * 1000 {skip_locked})",
                LIMIT_FORGOTTEN_MS,
            ),
        ] {
            tx.run(sql, args![ms, now]).await?;
        }
        let sql = "select count(*) from workers where seen_at >= {now} - $1";
        let alive: Option<(i64,)> = tx.first(sql, args![within_ms, now]).await?;
        tx.commit().await?;
        Ok(alive.and_then(|(count,)| u32::try_from(count).ok()).unwrap_or(1))
    }
}

/// The arrival times of rates, which nobody else moves until the transaction ends, and the time now; both in
/// microseconds. `keys` are sorted: locked in one order everywhere, so that two workers cannot wait for each other.
async fn lock(tx: &mut Tx, keys: &[&str], now: Timestamp) -> Result<(HashMap<String, i64>, i64), Error> {
    // Milliseconds are too coarse for 5,000 a second; a clock that was moved by hand has no more.
    let now_us = match tx.dialect() {
        Dialect::Sqlite => "$2 * 1000",
        Dialect::Postgres => "bespoke_now_us()",
    };
    let sql = format!(
        "select key, arrival_us, cast({now_us} as bigint) from limits where key in (select value->>0 from {{rows}})
         order by key {{for_update}}"
    );
    let rows: Vec<[&str; 1]> = keys.iter().map(|key| [*key]).collect();
    let rows = Rows::of(&rows);
    let mut found: Vec<(String, i64, i64)> = tx.all(sql.clone(), args![rows.clone(), now]).await?;
    if found.len() < keys.len() {
        tx.run(
            "insert into limits (key, arrival_us) select value->>0, 0 from {rows} order by 1
             on conflict (key) do nothing",
            args![rows.clone()],
        )
        .await?;
        found = tx.all(sql, args![rows, now]).await?;
    }
    // The last row may have been waited for: its time is the latest.
    let now_us = found.iter().map(|(_, _, now_us)| *now_us).max().unwrap_or(0);
    Ok((found.into_iter().map(|(key, arrival_us, _)| (key, arrival_us)).collect(), now_us))
}
