//! The mark: committed before the first byte of a body goes out, and the last look at whether it may.

use std::collections::HashMap;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

mod judge;

use judge::Judge;

use crate::decision::VariantId;
use crate::profile::EmailAddress;
use crate::send::LeaseToken;
use crate::send::SendId;
use crate::store::ConsentNeeded;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::consents::confirms;
use crate::store::dialect::Dialect;
use crate::store::packed::Packed;

/// A send about to go on the wire.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Which.
    pub send: SendId,
    /// The lease under which the caller holds it.
    pub token: LeaseToken,
    /// Where it goes.
    pub to: EmailAddress,
    /// What its reader can unsubscribe from.
    pub topic: String,
    /// Which variant.
    pub variant: VariantId,
    /// Which products it shows.
    pub products: Vec<String>,
    /// The recipient-domain group under which rates and reports count it.
    pub domain_group: String,
    /// What lifecycle mail of its campaign asks for.
    pub consent: ConsentNeeded,
}

/// At most `count` lifecycle mails to one profile within `within_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How many.
    pub count: usize,
    /// In how long a time, milliseconds.
    pub within_ms: i64,
}

/// Why a send may not go on the wire now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The lease is lost: somebody else holds the send, or it was canceled. Write nothing more about it.
    LeaseLost,
    /// Its campaign was paused. Release it.
    CampaignPaused,
    /// Its campaign was canceled.
    CampaignCanceled,
    /// Its deadline passed while it waited for the relay.
    Expired,
    /// The profile was erased, or has no address any more.
    ProfileGone,
    /// Lifecycle mail, and the profile has not granted consent.
    NoConsent,
    /// The campaign asks for double opt-in, and consent was not confirmed by a link to this address.
    NotConfirmed,
    /// The address is suppressed.
    Suppressed {
        /// For which topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// Lifecycle mail, and the profile has had its share.
    Capped {
        /// The cap that binds.
        cap: Cap,
        /// When the next one may go.
        until: Timestamp,
    },
}

/// What became of marks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marked {
    /// These are `submitting` now: send them, and record what became of them.
    pub accepted: HashSet<SendId>,
    /// These must not go. Apart from [`Refusal::LeaseLost`] they are still leased: record an outcome or release them.
    pub refused: HashMap<SendId, Refusal>,
}

#[derive(Serialize)]
struct MarkRow<'a> {
    id: &'a str,
    token: &'a str,
    address: &'a str,
    key: String,
    topic: &'a str,
    variant: &'a str,
    products: String,
    domain_group: &'a str,
    consent: &'static str,
}

/// What the database says of one mark, as things are at this moment.
struct Standing {
    id: String,
    profile_id: String,
    verdict: String,
    recent: i64,
}

impl Store {
    /// Marks sends as `submitting`, as long as their leases hold, and looks a last time at campaign, consent,
    /// suppression and caps: what was committed before this call is honoured. Two sends of one profile do not both
    /// pass a cap of one, in one batch or in two workers.
    pub async fn mark_submitting(
        &self,
        marks: &[Mark],
        caps: &[Cap],
        now: Timestamp,
    ) -> Result<Marked, Error> {
        let mut tx = self.pools.begin().await?;
        let marked = mark(&mut tx, marks, caps, now).await?;
        tx.commit().await?;
        Ok(marked)
    }
}

pub(in crate::store) async fn mark(
    tx: &mut Tx,
    marks: &[Mark],
    caps: &[Cap],
    now: Timestamp,
) -> Result<Marked, Error> {
    if marks.is_empty() {
        return Ok(Marked::default());
    }
    // Of a send that stands twice in a batch, the first counts.
    let mut seen = HashSet::new();
    let mut rows: Vec<MarkRow<'_>> =
        marks.iter().filter(|mark| seen.insert(&mark.send)).map(MarkRow::of).collect();
    let mut batch = Rows::of(&rows);
    let longest_ms = caps.iter().map(|cap| cap.within_ms).max();
    if longest_ms.is_some() && tx.dialect() == Dialect::Postgres {
        // Another worker that marks a send of the same profile waits here, and then sees this one.
        let _: Vec<(String,)> = tx.all(LOCK_PROFILES_SQL, args![batch.clone()]).await?;
    }
    let longest_ms = longest_ms.unwrap_or(0);
    let standings = read_standings(tx, batch.clone(), now, longest_ms).await?;
    let recent = read_recent(tx, &standings, now, longest_ms).await?;
    let suppressions = read_suppressions(tx, marks, &standings, now).await?;
    let standings = standings.into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut judge = Judge { standings, suppressions, recent, caps, now };
    let mut marked = Marked::default();
    for mark in marks {
        if let Some(refusal) = judge.refusal(mark) {
            marked.refused.insert(mark.send.clone(), refusal);
        }
    }
    if !marked.refused.is_empty() {
        rows.retain(|row| SendId::parse(row.id).is_some_and(|id| !marked.refused.contains_key(&id)));
        batch = Rows::of(&rows);
    }
    let written = tx.run(MARK_SQL, args![batch, now]).await?;
    if written != rows.len() as u64 {
        // They were locked when they were looked at. Nothing is marked then.
        let fault = format!("{written} of {} rows were marked under their locks", rows.len());
        return Err(Error::unreadable("sends", "of a batch of marks", fault));
    }
    marked.accepted = rows.iter().filter_map(|row| SendId::parse(row.id)).collect();
    Ok(marked)
}

async fn read_standings(
    tx: &mut Tx,
    batch: Rows,
    now: Timestamp,
    longest_ms: i64,
) -> Result<Vec<Standing>, Error> {
    let row: Option<(Option<String>,)> = tx.first(STANDINGS_SQL, args![batch, now, longest_ms]).await?;
    let text = row.and_then(|(text,)| text).unwrap_or_default();
    let mut packed = Packed::new(&text);
    let mut standings = Vec::new();
    while !packed.is_empty() {
        let standing = Standing::unpack(&mut packed)
            .map_err(|fault| Error::unreadable("sends", "of a batch of marks", fault))?;
        standings.push(standing);
    }
    Ok(standings)
}

impl Standing {
    fn unpack(packed: &mut Packed<'_>) -> Result<Self, String> {
        Ok(Self {
            id: packed.text()?.to_owned(),
            profile_id: packed.text()?.to_owned(),
            verdict: packed.text()?.to_owned(),
            recent: packed.number()?.unwrap_or_default(),
        })
    }
}

/// `$1` marks. In the order of ids, as everywhere.
const LOCK_PROFILES_SQL: &str = "select id from profiles where id in (
       select s.profile_id from {rows} join sends as s on s.id = value->>'id' and s.kind = 'lifecycle')
     order by id {for_update}";

/// `$1` marks, `$2` now, `$3` the longest cap in milliseconds. The first reason against a mark is its verdict.
pub(in crate::store) const STANDINGS_SQL: &str = concat!("select string_agg(format('%s:%s%s:%s%s:%s%s:', octet_length(q.id), q.id,
       octet_length(q.profile_id), q.profile_id, octet_length(q.verdict), q.verdict, q.recent), '') from (
     select s.id, s.profile_id,
       case
         when s.state <> 'leased' or s.lease_token is null or s.lease_token <> value->>'token' then 'lost'
         when c.state = 'paused' then 'paused'
         when c.state = 'canceled' then 'canceled'
         when s.expires_at <= {now} then 'expired'
         when s.to_address is null and p.address is null then 'gone'
         when s.kind = 'lifecycle' and coalesce(p.consent, '') <> 'granted' then 'no_consent'
         when s.kind = 'lifecycle' and value->>'consent' = 'confirmed' and not exists (
           select 1 from consents as k
           where k.profile_id = s.profile_id and k.address = value->>'key' and ", confirms!("k"), ")
           then 'not_confirmed'
         when exists (
           select 1 from suppressions as x where x.address = value->>'key' and (x.until is null or x.until > {now})
             and (x.topic in ('*', value->>'topic') or (s.kind = 'lifecycle' and x.topic in ('lifecycle', 'pause'))))
           then 'suppressed'
         else s.kind
       end as verdict,
       (select count(*) from sends as r where r.profile_id = s.profile_id and r.kind = 'lifecycle'
         and r.submitted_at > {now} - $3 and r.id <> s.id) as recent
     from {rows}
     join sends as s on s.id = value->>'id'
     left join profiles as p on p.id = s.profile_id
     left join campaign_states as c on c.campaign = s.campaign
     order by s.id {for_update_of_s}) as q");

/// `$1` profiles, `$2` now, `$3` the longest cap in milliseconds.
pub(in crate::store) const RECENT_SQL: &str = "select profile_id, id, {now} - submitted_at from sends
     where profile_id in (select value->>0 from {rows}) and kind = 'lifecycle'
       and submitted_at > {now} - $3";

/// `$1` address keys, `$2` now.
pub(in crate::store) const SUPPRESSIONS_SQL: &str =
    "select address, topic, reason from suppressions where address in (select value->>0 from {rows})
       and (until is null or until > {now})
     order by address, topic";

/// `$1` marks, `$2` now.
pub(in crate::store) const MARK_SQL: &str = "update sends set state = 'submitting', submitted_at = {now},
       address = value->>'address', variant = value->>'variant', products = value->>'products',
       domain_group = value->>'domain_group'
     from {rows}
     where id = value->>'id' and state = 'leased' and lease_token = value->>'token'";

/// Ages of the lifecycle mails that a profile had within the longest cap, each with its send.
type Recent = HashMap<String, Vec<(String, i64)>>;

/// Only for the few that had any.
async fn read_recent(
    tx: &mut Tx,
    standings: &[Standing],
    now: Timestamp,
    longest_ms: i64,
) -> Result<Recent, Error> {
    let mut recent = Recent::new();
    let profiles: Vec<[&str; 1]> =
        standings.iter().filter(|row| row.recent > 0).map(|row| [row.profile_id.as_str()]).collect();
    if !profiles.is_empty() {
        let rows: Vec<(String, String, i64)> =
            tx.all(RECENT_SQL, args![Rows::of(&profiles), now, longest_ms]).await?;
        for (profile, send, age_ms) in rows {
            recent.entry(profile).or_default().push((send, age_ms));
        }
    }
    Ok(recent)
}

/// By address key: topic and reason.
type Suppressions = HashMap<String, Vec<(String, String)>>;

/// Only for the few that are suppressed.
async fn read_suppressions(
    tx: &mut Tx,
    marks: &[Mark],
    standings: &[Standing],
    now: Timestamp,
) -> Result<Suppressions, Error> {
    let suppressed: HashSet<&str> =
        standings.iter().filter(|row| row.verdict == "suppressed").map(|row| row.id.as_str()).collect();
    let mut found = Suppressions::new();
    let keys: Vec<[String; 1]> = marks
        .iter()
        .filter(|mark| suppressed.contains(mark.send.as_str()))
        .map(|mark| [mark.to.key()])
        .collect();
    if !keys.is_empty() {
        let rows: Vec<(String, String, String)> =
            tx.all(SUPPRESSIONS_SQL, args![Rows::of(&keys), now]).await?;
        for (address, topic, reason) in rows {
            found.entry(address).or_default().push((topic, reason));
        }
    }
    Ok(found)
}

impl<'a> MarkRow<'a> {
    fn of(mark: &'a Mark) -> Self {
        Self {
            id: mark.send.as_str(),
            token: &mark.token.0,
            address: mark.to.as_str(),
            key: mark.to.key(),
            topic: &mark.topic,
            variant: mark.variant.as_str(),
            products: serde_json::to_string(&mark.products).expect("a list of texts has a JSON form"),
            domain_group: &mark.domain_group,
            consent: match mark.consent {
                ConsentNeeded::Granted => "granted",
                ConsentNeeded::Confirmed => "confirmed",
            },
        }
    }
}
