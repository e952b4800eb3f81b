//! What reports count. Nothing is written. Whole tables are read, page by page or as counts.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::events::read_packed;
use super::packed::Packed;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::event::Event;
use crate::profile::ProfileId;
use crate::stage::Stage;

/// Order events of one profile that a report reads, at most; the newest.
const ORDER_EVENTS_PER_PROFILE_MAX: usize = 100_000;
/// Mails of one profile that a report reads, at most; the newest.
const MAILS_PER_PROFILE_MAX: usize = 10_000;
/// The finest step in which counts are told apart by time: every zone's days begin at a multiple of it.
pub const QUARTER_HOUR_MS: i64 = 15 * 60 * 1_000;

/// From when to when, and of which campaign.
#[derive(Debug, Clone)]
pub struct Window {
    /// The first moment inside.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// This campaign only.
    pub campaign: Option<CampaignId>,
}

/// What a report must know of one person.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonRecord {
    /// Who.
    pub profile: ProfileId,
    /// Orders and refunds of all times, as events, oldest first.
    pub order_events: Vec<Event>,
    /// Mails of all times that went, or may have gone, oldest first.
    pub mails: Vec<ReportMail>,
}

/// A mail that went, or may have gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportMail {
    /// Its campaign.
    pub campaign: String,
    /// Lifecycle or transactional.
    pub kind: Kind,
    /// Its variant; empty where it is not known any more.
    pub variant: String,
    /// Where the person stood when it was decided.
    pub stage: Option<Stage>,
    /// When it went on the wire.
    pub at: Timestamp,
    /// When a person first opened it.
    pub opened_at: Option<Timestamp>,
    /// When a person first clicked in it.
    pub clicked_at: Option<Timestamp>,
    /// When a person clicked in it after that, in no order.
    pub clicked_again: Vec<Timestamp>,
}

/// Steps from stage to stage within one quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageSteps {
    /// The stage left; `None` when a profile was placed for the first time.
    pub from: Option<Stage>,
    /// The stage entered.
    pub to: Stage,
    /// The beginning of the quarter.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
}

/// Sends that came to an end within one quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSends {
    /// The group of the recipient's domain; empty where it never came to that.
    pub domain_group: String,
    /// The beginning of the quarter.
    pub at: Timestamp,
    /// `sent`, `failed`, `unknown`, `expired`.
    pub state: String,
    /// One word.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// How many of them people opened.
    pub opened: u64,
    /// How many of them people clicked in.
    pub clicked: u64,
}

/// Sends that ended before their domain's group was noted, by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrouplessSends {
    /// Lower case; empty where there was none.
    pub address: String,
    /// `failed`, `expired`.
    pub state: String,
    /// One word.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Mails after which somebody must not be written to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequences {
    /// The group of the recipient's domain.
    pub domain_group: String,
    /// The campaign of the mail.
    pub campaign: String,
    /// Its variant.
    pub variant: String,
    /// `hard_bounce`, `complaint`, `unsubscribe` …
    pub reason: String,
    /// Mails.
    pub count: u64,
}

/// Attempts that came to nothing, or not at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubledAttempts {
    /// What became of them: `deferred`, `failed` …
    pub state: String,
    /// One word.
    pub reason: String,
    /// Sends.
    pub sends: u64,
    /// Attempts.
    pub times: u64,
}

/// A send of a lifecycle campaign, as it was dealt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealtSend {
    /// To whom.
    pub profile: ProfileId,
    /// Which campaign.
    pub campaign: String,
    /// When it first fell due.
    pub due_at: Timestamp,
    /// What became of it, one word; empty while it is open.
    pub reason: String,
}

/// `$1` behind which profile, `$2` how many, `$3` and `$4` limits of events and mails.
const PEOPLE_SQL: &str = "select p.id, (
       select string_agg(format('%s:%s:%s%s:%s%s:%s', e.at, octet_length(e.id), e.id, octet_length(e.name), e.name,
         octet_length(e.properties), e.properties), '')
       from (
         select at, id, name, properties from events
         where profile_id = p.id and name in ('Order Completed', 'Order Refunded')
         order by at desc, id desc limit $3
       ) as e
     ), (
       select string_agg(format('%s:%s%s:%s%s:%s%s:%s%s:%s:%s:%s:%s', octet_length(m.campaign), m.campaign,
         octet_length(m.kind), m.kind, octet_length(m.variant), m.variant, octet_length(m.stage), m.stage,
         m.submitted_at, m.opened_at, m.clicked_at, octet_length(m.again), m.again), '')
       from (
         select s.campaign, s.kind, coalesce(s.variant, '') as variant, coalesce(d.stage, '') as stage, s.submitted_at,
           s.opened_at, s.clicked_at, case when s.clicked_at is null then '' else coalesce((
             select string_agg(format('%s:', h.at), '') from hits as h
             where h.send_id = s.id and h.kind = 'click' and h.class = 'human' and h.at > s.clicked_at
           ), '') end as again
         from sends as s left join decisions as d on d.send_seq = s.seq
         where s.profile_id = p.id and s.submitted_at is not null and s.state in ('sent', 'unknown')
         order by s.submitted_at desc, s.seq desc limit $4
       ) as m
     )
     from (select id from profiles where id > $1 order by id limit $2) as p order by p.id";

impl Store {
    /// The next `limit` people in the order of their ids, behind `after`, with what they bought and were sent.
    pub async fn people_after(
        &self,
        after: Option<&ProfileId>,
        limit: usize,
    ) -> Result<Vec<PersonRecord>, Error> {
        let after = after.map_or("", ProfileId::as_str);
        let limits = args![after, limit, ORDER_EVENTS_PER_PROFILE_MAX, MAILS_PER_PROFILE_MAX];
        let rows: Vec<(String, Option<String>, Option<String>)> = self.pools.all(PEOPLE_SQL, limits).await?;
        let person = |(id, events, mails): (String, Option<String>, Option<String>)| {
            let unreadable = |fault: String| Error::unreadable("profiles", &id, fault);
            let profile = ProfileId::parse(&id).map_err(|fault| unreadable(fault.to_string()))?;
            let mut order_events = read(&events.unwrap_or_default(), |packed| read_packed(&profile, packed))
                .map_err(unreadable)?;
            let mut mails = read(&mails.unwrap_or_default(), read_mail).map_err(unreadable)?;
            order_events.reverse();
            mails.reverse();
            Ok(PersonRecord { profile, order_events, mails })
        };
        rows.into_iter().map(person).collect()
    }

    /// How many people did anything at all.
    pub async fn count_people_seen(&self, window: &Window) -> Result<u64, Error> {
        let sql = "select count(distinct profile_id) from events where at >= $1 and at < $2";
        self.count(sql, args![window.since, window.until]).await
    }

    /// Steps from stage to stage until the end of the window, from the very first one on: where people stood when it
    /// began follows from those before it.
    pub async fn stage_steps(&self, window: &Window) -> Result<Vec<StageSteps>, Error> {
        let rows: Vec<(String, String, i64, i64)> = self
            .pools
            .all(
                "select coalesce(from_stage, ''), to_stage, at / 900000, count(*) from stage_transitions
                 where at < $1 group by 1, 2, 3 order by 3, 1, 2",
                args![window.until],
            )
            .await?;
        let steps = rows.into_iter().map(|(from, to, quarter, count)| {
            let stage = |text: &str| {
                Stage::parse(text).ok_or_else(|| Error::unreadable("stage_transitions", text, "no stage"))
            };
            let from = if from.is_empty() { None } else { Some(stage(&from)?) };
            Ok(StageSteps { from, to: stage(&to)?, at: quarter_start(quarter), count: whole(count) })
        });
        steps.collect()
    }

    /// Sends that came to an end, by domain group, time, state and reason.
    pub async fn ended_sends(&self, window: &Window) -> Result<Vec<EndedSends>, Error> {
        let rows: Vec<(String, i64, String, String, i64, i64, i64)> = self
            .pools
            .all(
                "select coalesce(domain_group, ''), coalesce(submitted_at, finished_at) / 900000, state,
                   coalesce(reason, ''), count(*), count(opened_at), count(clicked_at)
                 from sends
                 where state in ('sent', 'failed', 'unknown', 'expired')
                   and coalesce(submitted_at, finished_at) >= $1 and coalesce(submitted_at, finished_at) < $2
                   and (cast($3 as text) is null or campaign = $3)
                 group by 1, 2, 3, 4 order by 1, 2, 3, 4",
                args![window.since, window.until, window.campaign()],
            )
            .await?;
        let ended = rows.into_iter().map(|(domain_group, quarter, state, reason, count, opened, clicked)| {
            EndedSends {
                domain_group,
                at: quarter_start(quarter),
                state,
                reason,
                count: whole(count),
                opened: whole(opened),
                clicked: whole(clicked),
            }
        });
        Ok(ended.collect())
    }

    /// Those of [`Store::ended_sends`] that never came to a domain group.
    pub async fn groupless_sends(&self, window: &Window) -> Result<Vec<GrouplessSends>, Error> {
        let rows: Vec<(String, String, String, i64)> = self
            .pools
            .all(
                "select coalesce(lower(s.to_address), p.address_key, ''), s.state, coalesce(s.reason, ''), count(*)
                 from sends as s left join profiles as p on p.id = s.profile_id
                 where s.domain_group is null and s.state in ('failed', 'expired')
                   and s.finished_at >= $1 and s.finished_at < $2
                   and (cast($3 as text) is null or s.campaign = $3)
                 group by 1, 2, 3 order by 1, 2, 3",
                args![window.since, window.until, window.campaign()],
            )
            .await?;
        let groupless = rows.into_iter().map(|(address, state, reason, count)| GrouplessSends {
            address,
            state,
            reason,
            count: whole(count),
        });
        Ok(groupless.collect())
    }

    /// Mails of the window after which an address was suppressed, by what for.
    pub async fn consequences(&self, window: &Window) -> Result<Vec<Consequences>, Error> {
        let rows: Vec<(String, String, String, String, i64)> = self
            .pools
            .all(
                "select coalesce(s.domain_group, ''), s.campaign, coalesce(s.variant, ''), u.reason, count(distinct s.id)
                 from suppressions as u join sends as s on s.id = u.send_id
                 where s.submitted_at >= $1 and s.submitted_at < $2 and s.state in ('sent', 'unknown')
                   and (cast($3 as text) is null or s.campaign = $3)
                 group by 1, 2, 3, 4 order by 1, 2, 3, 4",
                args![window.since, window.until, window.campaign()],
            )
            .await?;
        let found = rows.into_iter().map(|(domain_group, campaign, variant, reason, count)| Consequences {
            domain_group,
            campaign,
            variant,
            reason,
            count: whole(count),
        });
        Ok(found.collect())
    }

    /// Attempts of the window that did not succeed at once, by what became of them.
    pub async fn troubled_attempts(&self, window: &Window) -> Result<Vec<TroubledAttempts>, Error> {
        let rows: Vec<(String, String, i64, i64)> = self
            .pools
            .all(
                "select a.state, a.reason, count(distinct a.send_id), cast(sum(a.times) as bigint)
                 from attempts as a join sends as s on s.id = a.send_id
                 where a.at >= $1 and a.at < $2 and (cast($3 as text) is null or s.campaign = $3)
                 group by 1, 2 order by 3 desc, 1, 2",
                args![window.since, window.until, window.campaign()],
            )
            .await?;
        let attempts = rows.into_iter().map(|(state, reason, sends, times)| TroubledAttempts {
            state,
            reason,
            sends: whole(sends),
            times: whole(times),
        });
        Ok(attempts.collect())
    }

    /// Sends of lifecycle campaigns that first fell due within the window, by profile and campaign, oldest first.
    pub async fn dealt_sends(&self, window: &Window) -> Result<Vec<DealtSend>, Error> {
        let rows: Vec<(String, String, i64, String)> = self
            .pools
            .all(
                "select profile_id, campaign, first_due_at, coalesce(reason, '') from sends
                 where kind = 'lifecycle' and first_due_at >= $1 and first_due_at < $2
                   and (cast($3 as text) is null or campaign = $3)
                 order by profile_id, campaign, first_due_at, seq",
                args![window.since, window.until, window.campaign()],
            )
            .await?;
        let dealt = rows.into_iter().map(|(profile, campaign, due_at, reason)| {
            let profile =
                ProfileId::parse(&profile).map_err(|fault| Error::unreadable("sends", &profile, fault))?;
            Ok(DealtSend { profile, campaign, due_at: from_millisecond(due_at), reason })
        });
        dealt.collect()
    }
}

impl Window {
    fn campaign(&self) -> Option<&str> {
        self.campaign.as_ref().map(CampaignId::as_str)
    }
}

fn quarter_start(quarter: i64) -> Timestamp {
    from_millisecond(quarter.saturating_mul(QUARTER_HOUR_MS))
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn read<T>(list: &str, one: impl Fn(&mut Packed<'_>) -> Result<T, String>) -> Result<Vec<T>, String> {
    let mut packed = Packed::new(list);
    let mut found = Vec::new();
    while !packed.is_empty() {
        found.push(one(&mut packed)?);
    }
    Ok(found)
}

fn read_mail(packed: &mut Packed<'_>) -> Result<ReportMail, String> {
    let campaign = packed.text()?.to_owned();
    let (kind, variant, stage) = (packed.text()?, packed.text()?.to_owned(), packed.text()?);
    Ok(ReportMail {
        campaign,
        kind: if kind == Kind::Transactional.as_str() { Kind::Transactional } else { Kind::Lifecycle },
        variant,
        stage: Stage::parse(stage),
        at: packed.number()?.map(from_millisecond).ok_or("a mail without a time")?,
        opened_at: packed.number()?.map(from_millisecond),
        clicked_at: packed.number()?.map(from_millisecond),
        clicked_again: read(packed.text()?, |again| {
            again.number()?.map(from_millisecond).ok_or("no time".into())
        })?,
    })
}
