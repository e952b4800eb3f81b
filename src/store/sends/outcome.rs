//! Outcomes: what became of attempts, and everything that follows from them, in one transaction.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use super::mark::Cap;
use super::mark::Mark;
use super::mark::Marked;
use super::mark::mark;
use crate::decision::Decision;
use crate::profile::EmailAddress;
use crate::send::AttemptCount;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::LeaseToken;
use crate::send::Outcome;
use crate::send::SOFT_BOUNCES;
use crate::send::SendId;
use crate::send::State;
use crate::send::Suppress;
use crate::send::Suppression;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::decisions;
use crate::store::packed::Packed;
use crate::store::suppressions;
use crate::store::webhooks;
use crate::store::webhooks::OutcomeLog;

/// Longest detail that is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1_000;
/// The time in which soft bounces are counted: 30 days.
pub const SOFT_BOUNCE_WINDOW_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// What became of one attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Of which send.
    pub send: SendId,
    /// The lease under which the caller holds it.
    pub token: LeaseToken,
    /// Where it went, or should have gone; needed where the outcome suppresses.
    pub to: Option<EmailAddress>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What recording outcomes did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Recorded, now or by an earlier call whose answer was lost.
    pub recorded: HashSet<SendId>,
    /// Not recorded: the lease is lost, somebody else has the say.
    pub lost: HashSet<SendId>,
}

/// What many sends have to write, in one transaction, with one wait for the disk.
#[derive(Debug, Clone, Default)]
pub struct GroupCommit {
    /// Made for sends that had none.
    pub decisions: Vec<Decision>,
    /// Sends about to go on the wire.
    pub marks: Vec<Mark>,
    /// Attempts that came to an end.
    pub settlements: Vec<Settlement>,
}

/// What a [`GroupCommit`] did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupCommitted {
    /// As [`Store::save_decisions`] returns it.
    pub decided: HashSet<SendId>,
    /// As [`Store::mark_submitting`] returns it.
    pub marked: Marked,
    /// As [`Store::record_outcomes`] returns it.
    pub settled: Settled,
}

#[derive(Serialize)]
struct OutcomeRow<'a> {
    id: &'a str,
    token: &'a str,
    state: &'static str,
    reason: &'a str,
    detail: &'a str,
    relay: Option<&'a str>,
    retry_at: Option<i64>,
    terminal: i64,
    unspent: i64,
}

#[derive(Serialize)]
struct AttemptRow<'a> {
    send: &'a str,
    attempt: i64,
    outcome: &'a OutcomeRow<'a>,
}

impl Store {
    /// Records what became of attempts: state, reason, reply, next time; suppressions and soft bounces that follow;
    /// a line in `attempts` for everything but a success at the first. A write under a lost lease changes nothing; the
    /// same write a second time, because nobody heard whether the first was committed, changes nothing either.
    ///
    /// An address that has bounced softly `soft_bounces_max` times within [`SOFT_BOUNCE_WINDOW_MS`] gets no more
    /// lifecycle mail; transactional mail still goes there, because the mailbox exists.
    pub async fn record_outcomes(
        &self,
        settlements: &[Settlement],
        soft_bounces_max: u32,
        now: Timestamp,
    ) -> Result<Settled, Error> {
        let mut tx = self.pools.begin().await?;
        let settled = settle(&mut tx, settlements, soft_bounces_max, self.outcome_log(), now).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// [`Store::record_outcomes`], then [`Store::save_decisions`], then [`Store::mark_submitting`], in one transaction.
    pub async fn commit_group(
        &self,
        group: &GroupCommit,
        caps: &[Cap],
        soft_bounces_max: u32,
        now: Timestamp,
    ) -> Result<GroupCommitted, Error> {
        let mut tx = self.pools.begin().await?;
        let settled = settle(&mut tx, &group.settlements, soft_bounces_max, self.outcome_log(), now).await?;
        let decided = decisions::save(&mut tx, &group.decisions).await?;
        let marked = mark(&mut tx, &group.marks, caps, now).await?;
        tx.commit().await?;
        Ok(GroupCommitted { decided, marked, settled })
    }
}

async fn settle(
    tx: &mut Tx,
    settlements: &[Settlement],
    soft_bounces_max: u32,
    log: OutcomeLog,
    now: Timestamp,
) -> Result<Settled, Error> {
    if settlements.is_empty() {
        return Ok(Settled::default());
    }
    let mut rows = outcome_rows(settlements);
    let mut batch = Rows::of(&rows);
    let holdings = read_holdings(tx, batch.clone()).await?;
    let nameless: Vec<Settlement>;
    let mut settlements = settlements;
    if holdings.iter().any(|holding| holding.erased) {
        nameless = settlements.iter().map(|settlement| nameless_if_erased(settlement, &holdings)).collect();
        settlements = &nameless;
        rows = outcome_rows(settlements);
        batch = Rows::of(&rows);
    }
    let all: HashSet<SendId> = settlements.iter().map(|settlement| settlement.send.clone()).collect();
    let recorded: HashSet<SendId> =
        holdings.iter().filter_map(|holding| SendId::parse(&holding.id)).collect();
    let open: Vec<&Holding> = holdings.iter().filter(|holding| holding.open).collect();
    if open.len() != rows.len() {
        rows.retain(|row| open.iter().any(|holding| holding.id == row.id));
        batch = Rows::of(&rows);
    }
    tx.run(OUTCOME_SQL, args![batch, now]).await?;
    correct_marks(tx, &rows, &open, now).await?;
    write_attempts(tx, &rows, &open, now).await?;
    let fresh: Vec<&Settlement> =
        settlements.iter().filter(|settlement| find(&rows, settlement.send.as_str()).is_some()).collect();
    suppress(tx, &fresh, soft_bounces_max, now).await?;
    if log == OutcomeLog::Kept {
        webhooks::keep(tx, &fresh, now).await?;
    }
    let lost = all.difference(&recorded).cloned().collect();
    Ok(Settled { recorded, lost })
}

impl<'a> OutcomeRow<'a> {
    fn of(settlement: &'a Settlement) -> Self {
        let outcome = &settlement.outcome;
        Self {
            id: settlement.send.as_str(),
            token: &settlement.token.0,
            state: outcome.state.as_str(),
            reason: &outcome.reason,
            detail: shortened(&outcome.detail),
            relay: outcome.relay.as_deref(),
            retry_at: outcome.retry_at.map(Timestamp::as_millisecond),
            terminal: i64::from(outcome.state.is_terminal()),
            unspent: i64::from(outcome.attempt == AttemptCount::NotSpent),
        }
    }
}

/// One a send, sorted by id.
fn outcome_rows(settlements: &[Settlement]) -> Vec<OutcomeRow<'_>> {
    let mut rows: Vec<OutcomeRow<'_>> = settlements.iter().map(OutcomeRow::of).collect();
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    rows
}

/// What became of the mail of somebody who was erased while it was on the wire, without what would name them: replies
/// of relays quote addresses.
fn nameless_if_erased(settlement: &Settlement, holdings: &[Holding]) -> Settlement {
    let mut settlement = settlement.clone();
    if holdings.iter().any(|holding| holding.erased && holding.id == settlement.send.as_str()) {
        settlement.to = None;
        settlement.outcome.detail.clear();
        settlement.outcome.suppress = Suppress::No;
    }
    settlement
}

fn shortened(detail: &str) -> &str {
    &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]
}

/// `$1` outcomes. The token stays with a row that was settled: whoever could not see whether the commit was done asks
/// again, and hears that it was.
pub(in crate::store) const HOLDINGS_SQL: &str =
    "select string_agg(format('%s:%s%s:%s:%s:%s:', octet_length(q.id), q.id,
       q.attempt, q.open, q.marked, q.erased), '') from (
     select s.id, s.attempt, case when s.state in ('leased', 'submitting') then 1 else 0 end as open,
       case when s.submitted_at is null then 0 else 1 end as marked,
       case when s.state = 'submitting' and s.address is null then 1 else 0 end as erased
     from {rows}
     join sends as s on s.id = value->>'id' and s.lease_token = value->>'token'
     order by s.id {for_update_of_s}) as q";

/// `$1` outcomes, `$2` now. The clock of a send's deadline stands still during quiet hours, and while it waits for the
/// step before it: neither drops mail.
pub(in crate::store) const OUTCOME_SQL: &str = "update sends set
       state = value->>'state', reason = value->>'reason', detail = value->>'detail',
       relay = coalesce(value->>'relay', relay),
       due_at = coalesce(cast(value->>'retry_at' as bigint), due_at),
       expires_at = expires_at
         + case when value->>'reason' in ('quiet_hours', 'earlier_step') and cast(value->>'retry_at' as bigint) > {now}
             then cast(value->>'retry_at' as bigint) - {now} else 0 end,
       finished_at = case when cast(value->>'terminal' as bigint) = 1 then {now} end,
       attempt = attempt - cast(value->>'unspent' as bigint),
       lease_until = null
     from {rows}
     where id = value->>'id' and lease_token = value->>'token' and state in ('leased', 'submitting')";

/// A row that carries the token under which it is to be settled.
struct Holding {
    id: String,
    attempt: i64,
    /// It is still to be settled; otherwise that was done before.
    open: bool,
    marked: bool,
    /// The mark wrote down where it goes, and who erased that person took it away.
    erased: bool,
}

async fn read_holdings(tx: &mut Tx, batch: Rows) -> Result<Vec<Holding>, Error> {
    let row: Option<(Option<String>,)> = tx.first(HOLDINGS_SQL, args![batch]).await?;
    let text = row.and_then(|(text,)| text).unwrap_or_default();
    let mut packed = Packed::new(&text);
    let mut holdings = Vec::new();
    while !packed.is_empty() {
        let holding = Holding::unpack(&mut packed)
            .map_err(|fault| Error::unreadable("sends", "of a batch of outcomes", fault))?;
        holdings.push(holding);
    }
    Ok(holdings)
}

impl Holding {
    fn unpack(packed: &mut Packed<'_>) -> Result<Self, String> {
        Ok(Self {
            id: packed.text()?.to_owned(),
            attempt: packed.number()?.unwrap_or_default(),
            open: packed.number()? == Some(1),
            marked: packed.number()? == Some(1),
            erased: packed.number()? == Some(1),
        })
    }
}

/// The time of the mark stays only where the mail was, or may have been, taken. Few rows need this, and all others are
/// spared the work on the index over that column.
async fn correct_marks(
    tx: &mut Tx,
    rows: &[OutcomeRow<'_>],
    open: &[&Holding],
    now: Timestamp,
) -> Result<(), Error> {
    let mut taken_back: Vec<[&str; 1]> = Vec::new();
    let mut never_marked: Vec<[&str; 1]> = Vec::new();
    for holding in open {
        let Some(outcome) = find(rows, &holding.id) else { continue };
        let taken = [State::Sent.as_str(), State::Unknown.as_str()].contains(&outcome.state);
        match (taken, holding.marked) {
            (false, true) => taken_back.push([&holding.id]),
            (true, false) => never_marked.push([&holding.id]),
            _ => {}
        }
    }
    if !taken_back.is_empty() {
        let sql = "update sends set submitted_at = null where id in (select value->>0 from {rows})";
        tx.run(sql, args![Rows::of(&taken_back)]).await?;
    }
    if !never_marked.is_empty() {
        let sql = "update sends set submitted_at = {now} where id in (select value->>0 from {rows})";
        tx.run(sql, args![Rows::of(&never_marked), now]).await?;
    }
    Ok(())
}

/// `rows` are sorted by id.
fn find<'r, 'a>(rows: &'r [OutcomeRow<'a>], id: &str) -> Option<&'r OutcomeRow<'a>> {
    rows.binary_search_by_key(&id, |row| row.id).ok().map(|index| &rows[index])
}

async fn write_attempts(
    tx: &mut Tx,
    rows: &[OutcomeRow<'_>],
    open: &[&Holding],
    now: Timestamp,
) -> Result<(), Error> {
    let mut attempts: Vec<AttemptRow<'_>> = Vec::new();
    for holding in open {
        let Some(outcome) = find(rows, &holding.id) else { continue };
        let attempt = holding.attempt - outcome.unspent;
        if outcome.state != State::Sent.as_str() || attempt > 1 {
            attempts.push(AttemptRow { send: &holding.id, attempt, outcome });
        }
    }
    if attempts.is_empty() {
        return Ok(());
    }
    tx.run(
        "insert into attempts (send_id, attempt, reason, at, times, state, detail, relay)
         select value->>'send', cast(value->>'attempt' as bigint), value->'outcome'->>'reason', $2, 1,
           value->'outcome'->>'state', value->'outcome'->>'detail', value->'outcome'->>'relay'
         from {rows} where true
         on conflict (send_id, attempt, reason) do update set at = excluded.at, times = attempts.times + 1,
           state = excluded.state, detail = excluded.detail, relay = excluded.relay",
        args![Rows::of(&attempts), now],
    )
    .await?;
    Ok(())
}

/// Suppressions that follow from outcomes that were recorded.
async fn suppress(
    tx: &mut Tx,
    settlements: &[&Settlement],
    soft_bounces_max: u32,
    now: Timestamp,
) -> Result<(), Error> {
    let mut hard = Vec::new();
    let mut soft = Vec::new();
    for settlement in settlements {
        let Some(to) = &settlement.to else { continue };
        match settlement.outcome.suppress {
            Suppress::No => {}
            Suppress::HardBounce => hard.push(Suppression {
                address: to.key(),
                topic: crate::send::EVERY_TOPIC.to_owned(),
                reason: "hard_bounce".to_owned(),
                at: now,
                send: Some(settlement.send.clone()),
                until: None,
            }),
            Suppress::CountSoft => soft.push((to.key(), settlement.send.clone())),
        }
    }
    if !soft.is_empty() {
        let full = suppressions::count_soft_bounces(tx, &soft, soft_bounces_max, now).await?;
        hard.extend(full.into_iter().map(|(address, send)| Suppression {
            address,
            topic: LIFECYCLE_TOPIC.to_owned(),
            reason: SOFT_BOUNCES.to_owned(),
            at: now,
            send: Some(send),
            until: None,
        }));
    }
    if !hard.is_empty() {
        suppressions::add(tx, &hard).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::OUTCOME_SQL;
    use crate::send::EARLIER_STEP;

    #[test]
    fn the_deadline_of_a_step_that_waits_stands_still() {
        assert!(OUTCOME_SQL.contains(&format!("'{EARLIER_STEP}'")));
    }
}
