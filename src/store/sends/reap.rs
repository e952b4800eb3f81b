//! Orphans: sends whose worker died, or was cut off, while it held them.

use jiff::Timestamp;

use super::claim::send_rows;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::SoleWorker;
use crate::store::Store;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::webhooks;
use crate::store::webhooks::Ended;
use crate::store::webhooks::OutcomeLog;

/// A send that was being decided or rendered by this many workers as they died is quarantined.
pub const ORPHANED_MAX: i64 = 3;
/// How long a relay may take to answer the final dot (RFC 5321 §4.5.3.2.6): a mail on the wire is not given up before,
/// however short the deadlines are.
pub const DOT_REPLY_MS: i64 = 600_000;
/// Orphans that one transaction takes care of.
const REAP_ROWS: usize = 5_000;

/// Which sends have nobody who works on them.
#[derive(Debug, Clone, Copy)]
pub enum Orphans<'a> {
    /// Those whose lease has ended; those on the wire only `on_wire_ms`, [`DOT_REPLY_MS`] at least, and `margin_ms`
    /// after that.
    LeaseEnded {
        /// How long a worker that is cut off from the database may still have a mail on the wire, milliseconds: by the
        /// deadlines of its relays, from the mark on.
        on_wire_ms: i64,
        /// For clocks and stalled processes, milliseconds.
        margin_ms: i64,
    },
    /// All that are held: this is the only worker there is, and it has just begun.
    All(&'a SoleWorker),
}

/// What became of orphans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Due again, their body had not left.
    pub rescheduled: Vec<SendId>,
    /// Due again under at-least-once: the body may have left, and will leave again, the same bytes.
    pub resubmitted: Vec<SendId>,
    /// At-most-once, and the body may have left: shown as `unknown`, not sent again by itself.
    pub unknown: Vec<SendId>,
}

impl Store {
    /// Counts a death against sends that were in work when a worker died, and quarantines those for which it is the
    /// [`ORPHANED_MAX`]th: they fail with the reason `quarantined`. Returns these. A mail that had been marked was
    /// rendered, so it is no suspect.
    pub async fn accuse(&self, suspects: &[SendId], now: Timestamp) -> Result<Vec<SendId>, Error> {
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.pools.begin().await?;
        let rows: Vec<(String, String, Option<String>)> =
            tx.all(accuse_sql(), args![send_rows(suspects), now]).await?;
        let failed = rows.into_iter().filter(|(_, state, _)| state == State::Failed.as_str());
        let ended: Vec<Ended> = failed
            .map(|(send, _, detail)| Ended {
                send,
                state: State::Failed,
                reason: "quarantined",
                detail: detail.unwrap_or_default(),
            })
            .collect();
        webhooks::keep_ended(&mut tx, self.outcome_log(), &ended, now).await?;
        tx.commit().await?;
        let mut quarantined: Vec<SendId> =
            ended.iter().filter_map(|ended| SendId::parse(&ended.send)).collect();
        quarantined.sort();
        Ok(quarantined)
    }

    /// Gives back what nobody works on. What becomes of a mail that had been marked is its campaign's guarantee.
    pub async fn reap(&self, orphans: Orphans<'_>, now: Timestamp) -> Result<Reaped, Error> {
        let mut reaped = Reaped::default();
        loop {
            let mut tx = self.pools.begin().await?;
            let found = reap_leased(&mut tx, orphans, now, &mut reaped).await?
                + reap_submitting(&mut tx, orphans, now, self.outcome_log(), &mut reaped).await?;
            tx.commit().await?;
            if found == 0 {
                break;
            }
        }
        self.release_held().await?;
        for list in [&mut reaped.rescheduled, &mut reaped.resubmitted, &mut reaped.unknown] {
            list.sort();
        }
        Ok(reaped)
    }
}

/// The end of lease before which a send counts as orphaned, less than the time now by `grace_ms`.
fn condition(orphans: Orphans<'_>, grace_ms: i64) -> String {
    match orphans {
        Orphans::LeaseEnded { .. } => format!("lease_until < {{now}} - {grace_ms}"),
        Orphans::All(_) => "true".to_owned(),
    }
}

/// `$1` suspects, `$2` now.
fn accuse_sql() -> String {
    format!(
        "with accused as materialized (
           select seq as accused_seq from sends
           where id in (select value->>0 from {{rows}}) and state in ('scheduled', 'deferred', 'leased')
           order by id {{for_update}}
         )
         update sends set
           orphaned = orphaned + 1,
           state = case when orphaned + 1 >= {ORPHANED_MAX} then 'failed' else state end,
           reason = case when orphaned + 1 >= {ORPHANED_MAX} then 'quarantined' else reason end,
           detail = case when orphaned + 1 >= {ORPHANED_MAX}
             then 'this send was in work each of ' || (orphaned + 1) || ' times when a worker died' else detail end,
           finished_at = case when orphaned + 1 >= {ORPHANED_MAX} then {{now}} end,
           lease_token = case when orphaned + 1 < {ORPHANED_MAX} then lease_token end,
           lease_until = case when orphaned + 1 < {ORPHANED_MAX} then lease_until end
         from accused where seq = accused_seq
         returning id, state, detail"
    )
}

/// `$1` the detail to write, `$2` now.
pub(in crate::store) fn leased_sql(orphans: Orphans<'_>) -> String {
    // The states stand twice: once for the index, once for what is meant.
    format!(
        "with dead as materialized (
           select seq as dead_seq from sends
           where state in ('leased', 'submitting') and state = 'leased' and {}
           order by lease_until limit {REAP_ROWS} {{skip_locked}}
         )
         update sends set state = 'scheduled', reason = 'orphaned', detail = $1, lease_token = null, lease_until = null
         from dead where seq = dead_seq
         returning id",
        condition(orphans, 0)
    )
}

async fn reap_leased(
    tx: &mut Tx,
    orphans: Orphans<'_>,
    now: Timestamp,
    reaped: &mut Reaped,
) -> Result<usize, Error> {
    let detail = "a worker ended before it put this mail on the wire";
    let rows: Vec<(String,)> = tx.all(leased_sql(orphans), args![detail, now]).await?;
    reaped.rescheduled.extend(rows.iter().filter_map(|(id,)| SendId::parse(id)));
    Ok(rows.len())
}

/// `$1` the detail to write, `$2` now.
pub(in crate::store) fn submitting_sql(orphans: Orphans<'_>) -> String {
    let grace_ms = match orphans {
        Orphans::LeaseEnded { on_wire_ms, margin_ms } => {
            on_wire_ms.max(DOT_REPLY_MS).saturating_add(margin_ms.max(0))
        }
        Orphans::All(_) => 0,
    };
    format!(
        "with dead as materialized (
           select seq as dead_seq from sends
           where state in ('leased', 'submitting') and state = 'submitting' and {}
           order by lease_until limit {REAP_ROWS} {{skip_locked}}
         )
         update sends set
           state = case when guarantee = 'alo' then 'scheduled' else 'unknown' end,
           reason = 'orphaned',
           detail = $1,
           finished_at = case when guarantee = 'alo' then null else {{now}} end,
           lease_token = null, lease_until = null
         from dead where seq = dead_seq
         returning id, state",
        condition(orphans, grace_ms)
    )
}

async fn reap_submitting(
    tx: &mut Tx,
    orphans: Orphans<'_>,
    now: Timestamp,
    log: OutcomeLog,
    reaped: &mut Reaped,
) -> Result<usize, Error> {
    let detail = "a worker ended while this mail was on the wire; nobody knows whether the relay took it";
    let rows: Vec<(String, String)> = tx.all(submitting_sql(orphans), args![detail, now]).await?;
    let found = rows.len();
    let mut ended = Vec::new();
    for (send, state) in rows {
        let Some(id) = SendId::parse(&send) else { continue };
        if state == State::Unknown.as_str() {
            reaped.unknown.push(id);
            let detail = detail.to_owned();
            ended.push(Ended { send, state: State::Unknown, reason: "orphaned", detail });
        } else {
            reaped.resubmitted.push(id);
        }
    }
    webhooks::keep_ended(tx, log, &ended, now).await?;
    Ok(found)
}
