//! Claims: a worker takes sends that are due, for a while.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Serialize;

use super::row::SEND_PACKED;
use super::row::SendRow;
use crate::campaign::Kind;
use crate::send::LeaseToken;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::packed::Packed;
use crate::store::webhooks;
use crate::store::webhooks::Ended;
use crate::store::webhooks::OutcomeLog;

/// Most sends of one claim.
pub const CLAIM_ROWS_MAX: usize = 5_000;

/// A send that this worker holds until its lease ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The send; its attempt includes this claim.
    pub send: ScheduledSend,
    /// To be shown with every write.
    pub token: LeaseToken,
}

impl Store {
    /// Takes up to `limit` sends that are due, transactional ones first, then by due time. Each is leased for
    /// `lease_ms`, its attempt is counted, and both are committed before this returns. No other worker gets them
    /// until the lease has ended and [`Store::reap`] has given them back.
    ///
    /// `token` must be new for every claim. Sends of a paused campaign that come due are put aside until
    /// [`Store::resume_campaign`]; they cost later claims nothing.
    pub async fn claim(
        &self,
        now: Timestamp,
        lease_ms: i64,
        limit: usize,
        token: &LeaseToken,
    ) -> Result<Vec<Claimed>, Error> {
        let limit = limit.min(CLAIM_ROWS_MAX);
        let mut claimed = Vec::new();
        loop {
            let mut held = 0;
            let mut tx = self.pools.begin().await?;
            for kind in [Kind::Transactional, Kind::Lifecycle] {
                let wanted = limit - claimed.len();
                if wanted > 0 {
                    let batch = claim_kind(&mut tx, kind, now, lease_ms, wanted, token).await?;
                    claimed.extend(batch.claimed);
                    held += batch.held;
                    fail_unreadable(&mut tx, &batch.unreadable, self.outcome_log(), now).await?;
                }
            }
            tx.commit().await?;
            // What was put aside does not come due again, so this ends with the backlog of paused campaigns.
            if held == 0 || !claimed.is_empty() {
                break;
            }
        }
        // RETURNING has no order; this is the order of the claim.
        claimed.sort_by_key(|(seq, claimed)| (claimed.send.kind.priority(), claimed.send.due_at, *seq));
        Ok(claimed.into_iter().map(|(_, claimed)| claimed).collect())
    }

    /// A send that is held under this token and has not begun, as it was claimed; `None` where somebody else has the say.
    /// Reads no more of it than a claim does.
    pub async fn leased(&self, id: &SendId, token: &LeaseToken) -> Result<Option<ScheduledSend>, Error> {
        let sql = format!(
            "select {SEND_PACKED} from sends where id = $1 and lease_token = $2 and state = 'leased'"
        );
        let row: Option<(String,)> = self.pools.first(sql, args![id.as_str(), token.0.as_str()]).await?;
        row.map(|(packed,)| read(&packed, id.as_str())).transpose()
    }

    /// Prolongs the lease of these sends to `lease_ms` from now and returns those that are still held under `token`.
    /// A send that is not among them is somebody else's, or is being written at this moment: it is not waited for, and
    /// the next call prolongs its lease.
    pub async fn renew_leases(
        &self,
        sends: &[SendId],
        token: &LeaseToken,
        now: Timestamp,
        lease_ms: i64,
    ) -> Result<Vec<SendId>, Error> {
        let mut tx = self.pools.begin().await?;
        let rows: Vec<(String,)> = tx
            .all(
                "with held as materialized (
                   select s.seq as held_seq from {rows} join sends as s on s.id = value->>0
                   where s.lease_token = $4 and s.state in ('leased', 'submitting') order by s.id {skip_locked_of_s}
                 )
                 update sends set lease_until = {now} + $3 from held where seq = held_seq returning id",
                args![send_rows(sends), now, lease_ms, token.0.as_str()],
            )
            .await?;
        tx.commit().await?;
        let mut held: Vec<SendId> = rows.iter().filter_map(|(id,)| SendId::parse(id)).collect();
        held.sort();
        Ok(held)
    }

    /// Gives sends back that were claimed and not begun: due again at `due_at`, the attempt not counted. Returns how
    /// many were still held under their token.
    pub async fn release(&self, held: &[(SendId, LeaseToken)], due_at: Timestamp) -> Result<u64, Error> {
        let rows: Vec<HeldRow<'_>> =
            held.iter().map(|(id, token)| HeldRow { id: id.as_str(), token: &token.0 }).collect();
        let mut tx = self.pools.begin().await?;
        let released = tx
            .run(
                "with given_back as materialized (
                   select s.seq as given_seq from {rows} join sends as s on s.id = value->>'id'
                   where s.lease_token = value->>'token' and s.state = 'leased' order by s.id {for_update_of_s}
                 )
                 update sends set state = 'scheduled', due_at = $2, attempt = attempt - 1, lease_token = null,
                   lease_until = null
                 from given_back where seq = given_seq",
                args![Rows::of(&rows), due_at],
            )
            .await?;
        tx.commit().await?;
        Ok(released)
    }
}

#[derive(Serialize)]
struct HeldRow<'a> {
    id: &'a str,
    token: &'a str,
}

/// A batch of ids, each a list of one.
pub(in crate::store) fn send_rows(ids: &[SendId]) -> Rows {
    let rows: Vec<[&str; 1]> = ids.iter().map(|id| [id.as_str()]).collect();
    Rows::of(&rows)
}

struct Batch {
    claimed: Vec<(i64, Claimed)>,
    held: usize,
    unreadable: Vec<(i64, Error)>,
}

/// Reads [`SEND_PACKED`] of the row of this key.
fn read(packed: &str, key: &str) -> Result<ScheduledSend, Error> {
    SendRow::unpack(&mut Packed::new(packed))
        .map_err(|fault| Error::unreadable("sends", key, fault))
        .and_then(ScheduledSend::try_from)
}

/// One batch of one kind. Its rows are leased; where their campaign is paused, put aside; where it was canceled, too.
async fn claim_kind(
    tx: &mut Tx,
    kind: Kind,
    now: Timestamp,
    lease_ms: i64,
    wanted: usize,
    token: &LeaseToken,
) -> Result<Batch, Error> {
    let args = args![token.0.as_str(), now, i64::from(kind.priority()), wanted, lease_ms];
    let rows: Vec<(i64, String)> = tx.all(CLAIM_SQL.as_str(), args).await?;
    let mut batch = Batch { claimed: Vec::with_capacity(rows.len()), held: 0, unreadable: Vec::new() };
    for (seq, packed) in rows {
        match read(&packed, &seq.to_string()) {
            Ok(send) if send.state == State::Leased => {
                batch.claimed.push((seq, Claimed { send, token: token.clone() }));
            }
            Ok(_) => batch.held += 1,
            // One row that nobody can read must not stop all others behind it.
            Err(fault) => batch.unreadable.push((seq, fault)),
        }
    }
    Ok(batch)
}

/// Built once.
static CLAIM_SQL: LazyLock<String> = LazyLock::new(claim_sql);

/// `$1` token, `$2` now, `$3` priority, `$4` how many, `$5` length of the lease in milliseconds.
pub(in crate::store) fn claim_sql() -> String {
    // The cast keeps SQLite from preparing the statement anew for every limit.
    // stopped: 0 when the campaign runs, 1 when it is paused, 2 when it was canceled.
    format!(
        "with due as materialized (
           select seq as due_seq, coalesce((
               select case c.state when 'paused' then 1 when 'canceled' then 2 else 0 end
               from campaign_states as c where c.campaign = sends.campaign
             ), 0) as stopped
           from sends
           where state in ('scheduled', 'deferred') and held = 0 and priority = $3 and due_at <= {{now}}
           order by due_at, seq limit cast($4 as bigint) {{skip_locked}}
         )
         update sends set
           held = case when stopped = 1 then 1 else 0 end,
           state = case stopped when 0 then 'leased' when 2 then 'canceled' else state end,
           reason = case when stopped = 2 then 'campaign_canceled' else reason end,
           finished_at = case when stopped = 2 then {{now}} end,
           attempt = attempt + case when stopped = 0 then 1 else 0 end,
           lease_token = case when stopped = 0 then $1 end,
           lease_until = case when stopped = 0 then {{now}} + $5 end
         from due where seq = due_seq
         returning seq, {SEND_PACKED}"
    )
}

async fn fail_unreadable(
    tx: &mut Tx,
    unreadable: &[(i64, Error)],
    log: OutcomeLog,
    now: Timestamp,
) -> Result<(), Error> {
    let mut ended = Vec::new();
    for (seq, fault) in unreadable {
        let detail = fault.to_string();
        let row: Option<(String,)> = tx
            .first(
                "update sends set state = 'failed', reason = 'unreadable', detail = $3, finished_at = {now},
                   lease_token = null, lease_until = null
                 where seq = $1 returning id",
                args![*seq, now, detail.as_str()],
            )
            .await?;
        let (state, reason) = (State::Failed, "unreadable");
        ended.extend(row.map(|(send,)| Ended { send, state, reason, detail }));
    }
    webhooks::keep_ended(tx, log, &ended, now).await
}
