//! Looking at sends: one, many by filter, all as a stream, counts.

use std::fmt::Write as _;

use futures_util::Stream;
use futures_util::TryStreamExt;
use futures_util::stream;
use jiff::Timestamp;

use super::row::STORED_SELECT;
use super::row::StoredRow;
use super::row::StoredSend;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::Arg;
use crate::store::batch::args;

/// Sends that a stream reads at a time; its memory is bounded by it.
const EXPORT_PAGE_ROWS: usize = 500;

/// Which sends to look at; what is not stated does not narrow.
#[derive(Debug, Clone, Default)]
pub struct SendFilter {
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// In this state.
    pub state: Option<State>,
    /// To this profile.
    pub profile: Option<ProfileId>,
    /// With this reason.
    pub reason: Option<String>,
}

/// How many sends of a campaign are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    /// The campaign.
    pub campaign: CampaignId,
    /// The state.
    pub state: State,
    /// How many.
    pub count: u64,
}

/// What is due of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which kind.
    pub kind: Kind,
    /// How many sends.
    pub count: u64,
    /// Since when the oldest of them is due.
    pub oldest: Option<Timestamp>,
}

/// An attempt other than a success at the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u32,
    /// When it last came out so.
    pub at: Timestamp,
    /// How often this attempt came out so (deferrals that are not the mail's fault do not count as attempts).
    pub times: u32,
    /// The state that followed.
    pub state: State,
    /// Machine word.
    pub reason: String,
    /// The relay's reply, or a sentence.
    pub detail: String,
    /// Which relay.
    pub relay: Option<String>,
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    attempt: i64,
    at: i64,
    times: i64,
    state: String,
    reason: String,
    detail: String,
    relay: Option<String>,
}

impl Store {
    /// One send with everything that became of it.
    pub async fn send(&self, id: &SendId) -> Result<Option<StoredSend>, Error> {
        let sql = format!("{STORED_SELECT} where s.id = $1");
        let row: Option<StoredRow> = self.pools.first(sql, args![id.as_str()]).await?;
        row.map(StoredSend::try_from).transpose()
    }

    /// The next `limit` sends behind `after` that pass the filter, by id: in the order of their planned times.
    pub async fn sends(
        &self,
        filter: &SendFilter,
        after: Option<&SendId>,
        limit: usize,
    ) -> Result<Vec<StoredSend>, Error> {
        let mut args = args![after.map_or("", SendId::as_str)];
        let mut sql = format!("{STORED_SELECT} where s.id > $1");
        let conditions = [
            ("s.campaign", filter.campaign.as_ref().map(CampaignId::as_str)),
            ("s.state", filter.state.map(State::as_str)),
            ("s.profile_id", filter.profile.as_ref().map(ProfileId::as_str)),
            ("s.reason", filter.reason.as_deref()),
        ];
        for (column, value) in conditions {
            if let Some(value) = value {
                args.push(Arg::from(value));
                write!(sql, " and {column} = ${}", args.len()).expect("writing to a String cannot fail");
            }
        }
        args.push(Arg::from(limit));
        write!(sql, " order by s.id limit ${}", args.len()).expect("writing to a String cannot fail");
        let rows: Vec<StoredRow> = self.pools.all(sql, args).await?;
        rows.into_iter().map(StoredSend::try_from).collect()
    }

    /// All sends that pass the filter, by id, read a page at a time: memory stays bounded, and no transaction is open
    /// while the caller writes them out.
    pub fn export_sends(
        &self,
        filter: SendFilter,
    ) -> impl Stream<Item = Result<StoredSend, Error>> + Send + use<> {
        let start = Some((self.clone(), filter, None::<SendId>));
        stream::try_unfold(start, |state| async move {
            let Some((store, filter, after)) = state else { return Ok::<_, Error>(None) };
            let page = store.sends(&filter, after.as_ref(), EXPORT_PAGE_ROWS).await?;
            let last = page.last().map(|stored| stored.send.id.clone());
            let next =
                last.filter(|_| page.len() == EXPORT_PAGE_ROWS).map(|last| (store, filter, Some(last)));
            Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
        })
        .try_flatten()
    }

    /// How many sends of each campaign are in each state, by campaign, then by state as in [`State::ALL`].
    pub async fn count_sends(&self) -> Result<Vec<StateCount>, Error> {
        let rows: Vec<(String, String, i64)> = self
            .pools
            .all("select campaign, state, count(*) from sends group by campaign, state", args![])
            .await?;
        let mut counts = Vec::with_capacity(rows.len());
        for (campaign, state, count) in rows {
            let state = State::parse(&state).ok_or_else(|| {
                Error::unreadable("sends", &campaign, format!("the state {state} is no known word"))
            })?;
            counts.push(StateCount {
                campaign: CampaignId(campaign),
                state,
                count: u64::try_from(count).unwrap_or(0),
            });
        }
        counts.sort_by(|a, b| (&a.campaign, a.state).cmp(&(&b.campaign, b.state)));
        Ok(counts)
    }

    /// What is due and not claimed, of each kind.
    pub async fn due(&self, now: Timestamp) -> Result<Vec<Due>, Error> {
        let rows: Vec<(i64, i64, i64)> = self
            .pools
            .all(
                "select priority, count(*), min(due_at) from sends
                 where state in ('scheduled', 'deferred') and held = 0 and due_at <= $1 group by priority",
                args![now],
            )
            .await?;
        let due = |kind: Kind| {
            let row = rows.iter().find(|(priority, ..)| *priority == i64::from(kind.priority()));
            let count = row.map_or(0, |(_, count, _)| u64::try_from(*count).unwrap_or(0));
            Due { kind, count, oldest: row.map(|(_, _, oldest)| from_millisecond(*oldest)) }
        };
        Ok([Kind::Transactional, Kind::Lifecycle].map(due).to_vec())
    }

    /// The attempts of a send, oldest first. A success at the first attempt leaves no line.
    pub async fn attempts(&self, id: &SendId) -> Result<Vec<Attempt>, Error> {
        let rows: Vec<AttemptRow> = self
            .pools
            .all(
                "select attempt, at, times, state, reason, detail, relay from attempts where send_id = $1
                 order by attempt, at, reason",
                args![id.as_str()],
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Attempt {
                    attempt: u32::try_from(row.attempt).unwrap_or(0),
                    at: from_millisecond(row.at),
                    times: u32::try_from(row.times).unwrap_or(0),
                    state: State::parse(&row.state).ok_or_else(|| {
                        Error::unreadable("attempts", id.as_str(), "the state is no known word")
                    })?,
                    reason: row.reason,
                    detail: row.detail,
                    relay: row.relay,
                })
            })
            .collect()
    }
}
