//! What other systems are told: outcomes in order of arrival, how far each receiver is, messages not taken yet.

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrival;
use super::arrival::Arrivals;
use super::arrival::Page;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::sends::Settlement;
use super::tombstones;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::send::State;

/// Whether outcomes are kept in order of arrival, for whoever reads on from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeLog {
    /// They are.
    Kept,
    /// Nobody reads them.
    NotKept,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOutcome {
    /// Of which send.
    pub send: SendId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub profile: ProfileId,
    /// The state that followed.
    pub state: State,
    /// Machine word.
    pub reason: String,
    /// The relay's reply, or a sentence.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// What a reader of arrivals reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebhookSource {
    /// Events of people.
    Events,
    /// [`LoggedOutcome`]s.
    Outcomes,
}

impl WebhookSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Outcomes => "outcome_log",
        }
    }
}

/// A message for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// `webhook-id`: the same id to the same receiver is one message.
    pub id: String,
    /// Such as `email.sent`.
    pub kind: String,
    /// Whom it is about.
    pub profile: ProfileId,
    /// JSON, as it is signed and sent.
    pub body: String,
    /// Where it stood in its source.
    pub place: Arrival,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// What is sent.
    pub message: WebhookMessage,
    /// Since when.
    pub created_at: Timestamp,
    /// Attempts that failed.
    pub attempt: u32,
}

#[derive(Serialize)]
struct LogRow<'a> {
    seq: i64,
    send: &'a str,
    state: &'static str,
    reason: &'a str,
    detail: &'a str,
}

#[derive(sqlx::FromRow)]
struct OutcomeRow {
    seq: i64,
    send_id: String,
    campaign: String,
    profile_id: String,
    state: String,
    reason: String,
    detail: String,
    at: i64,
}

#[derive(Serialize)]
struct MessageRow<'a> {
    id: &'a str,
    kind: &'a str,
    profile: &'a str,
    body: &'a str,
    place: i64,
}

#[derive(sqlx::FromRow)]
struct QueuedRow {
    id: String,
    kind: String,
    profile_id: String,
    body: String,
    place: i64,
    created_at: i64,
    attempt: i64,
}

impl Store {
    /// From now on this process keeps outcomes in order of arrival, in the transactions that record them.
    pub fn keep_outcomes(&self) {
        self.shared.keeps_outcomes.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    pub(super) fn outcome_log(&self) -> OutcomeLog {
        let kept = self.shared.keeps_outcomes.load(std::sync::atomic::Ordering::Relaxed);
        if kept { OutcomeLog::Kept } else { OutcomeLog::NotKept }
    }

    /// The next `limit` outcomes in the order of arrival, behind `after`. Those of sends that were erased are left out.
    pub async fn outcomes_after(&self, after: Arrival, limit: usize) -> Result<Page<LoggedOutcome>, Error> {
        let rows: Vec<OutcomeRow> = self
            .pools
            .all(
                "select o.seq, o.send_id, s.campaign, s.profile_id, o.state, o.reason, o.detail, o.at
                 from outcome_log as o join sends as s on s.id = o.send_id
                 where o.seq > $1 order by o.seq limit $2",
                args![after.0, limit],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (Arrival(row.seq), Error::told(LoggedOutcome::try_from(row))))
            .collect())
    }

    /// Makes this receiver begin behind all that has arrived; one that has begun stays where it is.
    pub async fn begin_webhook(&self, endpoint: &str) -> Result<(), Error> {
        let mut tx = self.pools.begin().await?;
        for source in [WebhookSource::Events, WebhookSource::Outcomes] {
            tx.run(
                "insert into webhook_cursors (endpoint, source, place)
                 select $1, name, value from counters where name = $2
                 on conflict (endpoint, source) do nothing",
                args![endpoint, source.as_str()],
            )
            .await?;
        }
        tx.commit().await
    }

    /// How far this receiver has been told; `None` before [`Store::begin_webhook`].
    pub async fn webhook_cursor(
        &self,
        endpoint: &str,
        source: WebhookSource,
    ) -> Result<Option<Arrival>, Error> {
        let row: Option<(i64,)> = self
            .pools
            .first(
                "select place from webhook_cursors where endpoint = $1 and source = $2",
                args![endpoint, source.as_str()],
            )
            .await?;
        Ok(row.map(|(place,)| Arrival(place)))
    }

    /// Queues messages for a receiver and moves its place, in one transaction: nothing is left out or told twice.
    pub async fn queue_webhooks(
        &self,
        endpoint: &str,
        source: WebhookSource,
        messages: &[WebhookMessage],
        place: Arrival,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut tx = self.pools.begin().await?;
        // Somebody may have been erased since their deed was read.
        let people = messages.iter().map(|message| (&message.profile, None));
        let erased = tombstones::erased(&mut tx, people).await?;
        for chunk in messages.chunks(ROWS_PER_STATEMENT_MAX) {
            let told = chunk.iter().filter(|message| !erased.contains(&message.profile));
            let rows: Vec<MessageRow<'_>> = told.map(MessageRow::of).collect();
            tx.run(
                "insert into webhook_messages (endpoint, id, kind, profile_id, body, place, created_at, attempt, due_at)
                 select $2, value->>'id', value->>'kind', value->>'profile', value->>'body',
                   cast(value->>'place' as bigint), $3, 0, $3
                 from {rows} where true
                 on conflict (endpoint, id) do nothing",
                args![Rows::of(&rows), endpoint, now],
            )
            .await?;
        }
        tx.run(
            "update webhook_cursors set place = $3 where endpoint = $1 and source = $2",
            args![endpoint, source.as_str(), place.0],
        )
        .await?;
        tx.commit().await
    }

    /// The next messages for a receiver that are due, in order.
    pub async fn due_webhooks(
        &self,
        endpoint: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, Error> {
        let rows: Vec<QueuedRow> = self
            .pools
            .all(
                "select id, kind, profile_id, body, place, created_at, attempt from webhook_messages
                 where endpoint = $1 and due_at <= $2 order by due_at, place, id limit $3",
                args![endpoint, now, limit],
            )
            .await?;
        rows.into_iter().map(QueuedMessage::try_from).collect()
    }

    /// Messages that were taken, or given up, wait no more.
    pub async fn webhooks_done(&self, endpoint: &str, ids: &[&str]) -> Result<(), Error> {
        let rows: Vec<[&str; 1]> = ids.iter().map(|id| [*id]).collect();
        let sql = "delete from webhook_messages
                   where endpoint = $2 and id in (select value->>0 from {rows})";
        self.pools.run(sql, args![Rows::of(&rows), endpoint]).await?;
        Ok(())
    }

    /// An attempt failed; the next is at `due_at`.
    pub async fn webhook_failed(
        &self,
        endpoint: &str,
        id: &str,
        fault: &str,
        due_at: Timestamp,
    ) -> Result<(), Error> {
        let sql = "update webhook_messages set attempt = attempt + 1, fault = $3, due_at = $4
                   where endpoint = $1 and id = $2";
        self.pools.run(sql, args![endpoint, id, fault, due_at]).await?;
        Ok(())
    }

    /// Forgets receivers other than these, and outcomes that all of these have been told.
    pub async fn tidy_webhooks(&self, endpoints: &[&str]) -> Result<(), Error> {
        let rows: Vec<[&str; 1]> = endpoints.iter().map(|endpoint| [*endpoint]).collect();
        let mut tx = self.pools.begin().await?;
        for table in ["webhook_messages", "webhook_cursors"] {
            let sql = format!("delete from {table} where endpoint not in (select value->>0 from {{rows}})");
            tx.run(sql, args![Rows::of(&rows)]).await?;
        }
        tx.run(
            "delete from outcome_log where seq <=
               (select min(place) from webhook_cursors where source = 'outcome_log')",
            args![],
        )
        .await?;
        tx.commit().await
    }

    /// How many messages wait, to whomever.
    pub async fn count_webhooks(&self) -> Result<u64, Error> {
        self.count("select count(*) from webhook_messages", args![]).await
    }
}

/// A send that came to its end without an outcome of an attempt: the store itself wrote so.
pub(super) struct Ended {
    /// Its id as it is stored.
    pub(super) send: String,
    pub(super) state: State,
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// Keeps outcomes that are being recorded.
pub(super) async fn keep(tx: &mut Tx, settlements: &[&Settlement], now: Timestamp) -> Result<(), Error> {
    let rows = settlements.iter().map(|settlement| LogRow {
        seq: 0,
        send: settlement.send.as_str(),
        state: settlement.outcome.state.as_str(),
        reason: &settlement.outcome.reason,
        detail: &settlement.outcome.detail,
    });
    append(tx, rows.collect(), now).await
}

/// Keeps what the store itself put an end to, where anybody reads it.
pub(super) async fn keep_ended(
    tx: &mut Tx,
    log: OutcomeLog,
    ended: &[Ended],
    now: Timestamp,
) -> Result<(), Error> {
    if log == OutcomeLog::NotKept {
        return Ok(());
    }
    let rows = ended.iter().map(|ended| LogRow {
        seq: 0,
        send: &ended.send,
        state: ended.state.as_str(),
        reason: ended.reason,
        detail: &ended.detail,
    });
    append(tx, rows.collect(), now).await
}

async fn append(tx: &mut Tx, mut rows: Vec<LogRow<'_>>, now: Timestamp) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let first = arrival::take(tx, Arrivals::Outcomes, rows.len()).await?;
    for (row, seq) in rows.iter_mut().zip(first..) {
        row.seq = seq;
    }
    tx.run(
        "insert into outcome_log (seq, send_id, state, reason, detail, at)
         select cast(value->>'seq' as bigint), value->>'send', value->>'state', value->>'reason',
           value->>'detail', $2
         from {rows} where true",
        args![Rows::of(&rows), now],
    )
    .await?;
    Ok(())
}

impl TryFrom<OutcomeRow> for LoggedOutcome {
    type Error = Error;

    fn try_from(row: OutcomeRow) -> Result<Self, Error> {
        let bad = |fault: &dyn std::fmt::Display| Error::unreadable("outcome_log", &row.send_id, fault);
        Ok(Self {
            send: SendId::parse(&row.send_id).ok_or_else(|| bad(&"the id is not 32 hex digits"))?,
            state: State::parse(&row.state).ok_or_else(|| bad(&"the state is no known word"))?,
            profile: ProfileId::parse(&row.profile_id).map_err(|fault| bad(&fault))?,
            campaign: CampaignId(row.campaign),
            reason: row.reason,
            detail: row.detail,
            at: from_millisecond(row.at),
        })
    }
}

impl<'a> MessageRow<'a> {
    fn of(message: &'a WebhookMessage) -> Self {
        let WebhookMessage { id, kind, profile, body, place } = message;
        Self { id, kind, profile: profile.as_str(), body, place: place.0 }
    }
}

impl TryFrom<QueuedRow> for QueuedMessage {
    type Error = Error;

    fn try_from(row: QueuedRow) -> Result<Self, Error> {
        let profile = ProfileId::parse(&row.profile_id);
        let profile = profile.map_err(|fault| Error::unreadable("webhook_messages", &row.id, fault))?;
        let place = Arrival(row.place);
        Ok(Self {
            message: WebhookMessage { id: row.id, kind: row.kind, profile, body: row.body, place },
            created_at: from_millisecond(row.created_at),
            attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        })
    }
}
