//! Addresses that must not be written to.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::sends::SOFT_BOUNCE_WINDOW_MS;
use crate::clock::from_millisecond;
use crate::send::EVERY_TOPIC;
use crate::send::SendId;
use crate::send::Suppression;

mod listed;

pub use listed::BECAUSE_CHARACTERS_MAX;
pub use listed::Lifted;
pub use listed::Listed;
pub use listed::SuppressionFilter;

#[derive(Serialize)]
struct NewRow<'a> {
    address: &'a str,
    topic: &'a str,
    reason: &'a str,
    at: i64,
    send: Option<&'a str>,
    until: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    address: String,
    topic: String,
    reason: String,
    at: i64,
    send_id: Option<String>,
    until: Option<i64>,
}

impl From<Row> for Suppression {
    fn from(row: Row) -> Self {
        Self {
            send: row.send_id.as_deref().and_then(SendId::parse),
            address: row.address,
            topic: row.topic,
            reason: row.reason,
            at: from_millisecond(row.at),
            until: row.until.map(from_millisecond),
        }
    }
}

impl Store {
    /// Adds suppressions and returns how many were new. The first reason for an address and topic stays; one that
    /// would end by itself gives way to the next, and an unsubscribe, which a later grant lifts, to what none lifts.
    pub async fn add_suppressions(&self, suppressions: &[Suppression]) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let added = add(&mut tx, suppressions).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// All suppressions of these address keys, by key; erased addresses are among them.
    pub async fn suppressions_of(&self, keys: &[String]) -> Result<HashMap<String, Vec<Suppression>>, Error> {
        let mut found: HashMap<String, Vec<Suppression>> = HashMap::new();
        for chunk in keys.chunks(ROWS_PER_STATEMENT_MAX) {
            let keys: Vec<[&str; 1]> = chunk.iter().map(|key| [key.as_str()]).collect();
            let rows: Vec<Row> = self
                .pools
                .all(
                    "select address, topic, reason, at, send_id, until from suppressions
                     where address in (select value->>0 from {rows}) order by address, topic",
                    args![Rows::of(&keys)],
                )
                .await?;
            for row in rows {
                found.entry(row.address.clone()).or_default().push(row.into());
            }
        }
        for (address, at) in self.erased_addresses(keys).await? {
            let (topic, reason) = (EVERY_TOPIC.to_owned(), "erased".to_owned());
            let erased = Suppression { address: address.clone(), topic, reason, at, send: None, until: None };
            found.entry(address).or_default().push(erased);
        }
        Ok(found)
    }
}

pub(super) async fn add(tx: &mut Tx, suppressions: &[Suppression]) -> Result<u64, Error> {
    let mut added = 0;
    for chunk in suppressions.chunks(ROWS_PER_STATEMENT_MAX) {
        let mut rows: Vec<NewRow<'_>> = chunk
            .iter()
            .map(|suppression| NewRow {
                address: &suppression.address,
                topic: &suppression.topic,
                reason: &suppression.reason,
                at: suppression.at.as_millisecond(),
                send: suppression.send.as_ref().map(SendId::as_str),
                until: suppression.until.map(Timestamp::as_millisecond),
            })
            .collect();
        // In one order everywhere, so that two workers cannot wait for each other. Of two that are the same, what none
        // lifts goes before an unsubscribe, that before what ends by itself, and what ends last before the others: one
        // statement writes a row once.
        rows.sort_by_key(|row| {
            (row.address, row.topic, row.until.is_some(), Reverse(row.until), row.reason == "unsubscribe")
        });
        rows.dedup_by_key(|row| (row.address, row.topic));
        added += tx
            .run(
                "insert into suppressions (address, topic, reason, at, send_id, until)
                 select value->>'address', value->>'topic', value->>'reason', cast(value->>'at' as bigint),
                   value->>'send', cast(value->>'until' as bigint)
                 from {rows} where true
                 on conflict (address, topic) do update set reason = excluded.reason, at = excluded.at,
                   send_id = excluded.send_id, until = excluded.until
                 where suppressions.until is not null or (suppressions.reason = 'unsubscribe'
                   and excluded.reason in ('complaint', 'hard_bounce', 'manual', 'soft_bounces'))",
                args![Rows::of(&rows)],
            )
            .await?;
    }
    Ok(added)
}

/// Notes soft bounces and returns the addresses that now have `max` of them within the window, each with the send
/// that made it so.
pub(super) async fn count_soft_bounces(
    tx: &mut Tx,
    bounces: &[(String, SendId)],
    max: u32,
    now: Timestamp,
) -> Result<Vec<(String, SendId)>, Error> {
    let mut rows: Vec<[&str; 2]> =
        bounces.iter().map(|(address, send)| [address.as_str(), send.as_str()]).collect();
    rows.sort_unstable();
    rows.dedup();
    let rows = Rows::of(&rows);
    tx.run(
        "insert into soft_bounces (address, send_id, at) select value->>0, value->>1, $2 from {rows} where true
         on conflict (address, send_id) do update set at = excluded.at",
        args![rows.clone(), now],
    )
    .await?;
    let full: Vec<(String,)> = tx
        .all(
            "select address from soft_bounces
             where address in (select value->>0 from {rows}) and at > $2
             group by address having count(*) >= $3",
            args![rows, now.as_millisecond() - SOFT_BOUNCE_WINDOW_MS, i64::from(max)],
        )
        .await?;
    let sends: HashMap<&str, &SendId> =
        bounces.iter().map(|(address, send)| (address.as_str(), send)).collect();
    Ok(full
        .into_iter()
        .filter_map(|(address,)| sends.get(address.as_str()).map(|send| (address.clone(), (*send).clone())))
        .collect())
}
